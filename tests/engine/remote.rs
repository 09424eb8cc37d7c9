//! What other clients do, and what happens where both did something.

use std::sync::Arc;
use std::time::Duration;

use inxtfs::fs::Config;
use inxtfs::names::RemoteName;
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::{Action, Fault};
use inxtfs::remote::memory::Memory;
use inxtfs::types::Status;

use super::harness::{Engine, READ, Recorder, WRITE, eager, eventually, noise, patient};

/// A drive with the files, sent; `f` lies in the root.
fn with(files: &[&str]) -> Engine {
    let e = Engine::new();
    for name in files {
        if let Some((folder, _)) = name.rsplit_once('/')
            && !e.exists(folder)
        {
            e.mkdir(folder).unwrap();
        }
        e.put(name, name.as_bytes()).unwrap();
    }
    e.converged();
    e
}

/// The one conflict copy in a folder.
fn copy_in(e: &Engine, folder: &str) -> String {
    let copies: Vec<_> = e.ls(folder).into_iter().filter(|n| n.contains(" (conflict here ")).collect();
    assert_eq!(copies.len(), 1, "{:?}", e.ls(folder));
    if folder.is_empty() { copies[0].clone() } else { format!("{folder}/{}", copies[0]) }
}

#[test]
fn what_another_client_makes_appears_and_the_kernel_hears_of_it() {
    let e = with(&[]);
    let kernel = Arc::new(Recorder::default());
    e.fs().attach_kernel(kernel.clone());
    let folder = e.cloud.add_folder(&e.cloud_root(), "d");
    e.foreign_file(&folder.id, "f.txt", b"theirs");
    eventually("it appears", || e.exists("d/f.txt"));
    assert_eq!(e.read("d/f.txt").unwrap(), "theirs");
    assert!(kernel.heard("entry 1 d"));
    e.converged();
}

#[test]
fn a_row_whose_folder_comes_later_waits_for_it() {
    let e = with(&[]);
    let mut folder = e.cloud.blank_row(&e.cloud_root(), inxtfs::types::Kind::Folder, RemoteName::whole("d"));
    e.foreign_file(&folder.id, "f.txt", b"early");
    e.polls(2);
    assert_eq!(e.ls(""), [""; 0], "an orphan is hidden");
    folder.updated = e.cloud.now();
    e.cloud.insert_row(folder, None);
    eventually("both appear", || e.exists("d/f.txt"));
    e.converged();
}

#[test]
fn a_clean_file_takes_their_content_and_the_kernel_drops_its_pages() {
    let e = with(&["f.txt"]);
    let kernel = Arc::new(Recorder::default());
    e.fs().attach_kernel(kernel.clone());
    let ino = e.ino("f.txt").unwrap();
    assert_eq!(e.read("f.txt").unwrap(), "f.txt");
    let row = e.foreign_write(&e.row("f.txt").id, b"theirs, longer");
    eventually("their content shows", || e.stat("f.txt").unwrap().size == 14);
    assert_eq!(e.read("f.txt").unwrap(), "theirs, longer");
    assert_eq!((e.ino("f.txt").unwrap(), e.stat("f.txt").unwrap().mtime), (ino, row.modified));
    eventually("the kernel hears", || kernel.heard(&format!("data {ino}")));
    e.converged();
}

#[test]
fn a_reader_keeps_its_version_and_the_name_gets_a_new_inode() {
    let e = with(&["f.txt"]);
    let ino = e.ino("f.txt").unwrap();
    let fh = e.open("f.txt", READ).unwrap();
    e.foreign_write(&e.row("f.txt").id, b"theirs");
    eventually("the name shows theirs", || e.read("f.txt").unwrap() == "theirs");
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "f.txt");
    assert_ne!(e.ino("f.txt").unwrap(), ino);
    assert_eq!(e.fs().getattr(ino).unwrap().size, 5);
    e.fs().release(fh);
    e.converged();
    // A file renamed here and not yet there keeps its new name.
    let fh = e.open("f.txt", READ).unwrap();
    e.rename("f.txt", "g.txt").unwrap();
    e.foreign_write(&e.row("f.txt").id, b"again");
    eventually("the name shows theirs", || e.read("g.txt").unwrap() == "again");
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "theirs");
    e.converged();
    assert_eq!(e.cloud.files()["g.txt"], "again");
}

#[test]
fn a_local_rename_and_their_content_go_together() {
    let e = with(&["f.txt"]);
    e.rename("f.txt", "g.txt").unwrap();
    e.foreign_write(&e.row("f.txt").id, b"theirs");
    eventually("their content shows", || e.read("g.txt").unwrap() == "theirs");
    e.converged();
    assert_eq!(e.cloud.files().keys().collect::<Vec<_>>(), ["g.txt"]);
}

#[test]
fn their_renames_moves_trash_restores_and_deletes_are_followed() {
    let e = with(&["d/f.txt", "g.txt"]);
    let (f, g, d) = (e.row("d/f.txt"), e.row("g.txt"), e.row("d"));
    let ino = e.ino("d/f.txt").unwrap();
    e.foreign_move(&f, &e.cloud_root(), "moved.txt");
    eventually("moved", || e.exists("moved.txt") && !e.exists("d/f.txt"));
    assert_eq!(e.ino("moved.txt").unwrap(), ino);
    e.foreign_move(&d, &e.cloud_root(), "dir");
    eventually("renamed", || e.exists("dir") && !e.exists("d"));
    e.foreign_move(&g, &d.id, "g.txt");
    eventually("moved in", || e.exists("dir/g.txt"));
    e.foreign_trash(&d);
    eventually("trashed", || !e.exists("dir"));
    e.polls(1);
    e.foreign_move(&d, &e.cloud_root(), "dir");
    eventually("restored, children and all", || e.exists("dir/g.txt"));
    assert_eq!(e.read("dir/g.txt").unwrap(), "g.txt");
    e.foreign_delete(&f);
    eventually("deleted", || !e.exists("moved.txt"));
    e.foreign_delete(&d);
    e.cloud.settle();
    eventually("deleted", || !e.exists("dir"));
    e.converged();
}

#[test]
fn both_edits_are_kept() {
    let e = with(&["f.txt"]);
    let id = e.row("f.txt").id;
    let ino = e.ino("f.txt").unwrap();
    e.put("f.txt", b"mine").unwrap();
    e.foreign_write(&id, b"theirs");
    eventually("theirs has the name", || e.read("f.txt").unwrap() == "theirs");
    let copy = copy_in(&e, "");
    assert!(copy.starts_with("f (conflict here 20") && copy.ends_with(").txt"), "{copy}");
    assert_eq!(e.read(&copy).unwrap(), "mine");
    assert_eq!(e.ino(&copy).unwrap(), ino, "the inode stays with the content");
    e.converged();
    assert_eq!(e.row("f.txt").id, id);
    assert_eq!(e.cloud.files()[&copy], "mine");
}

#[test]
fn their_edit_is_found_before_a_replace_even_if_no_feed_has_told() {
    let e = Engine::over(Memory::new(), Config { poll_interval: Duration::from_secs(3600), ..patient() });
    e.put("f.txt", b"base").unwrap();
    e.drain();
    let id = e.row("f.txt").id;
    e.foreign_write(&id, b"theirs");
    e.put("f.txt", b"mine").unwrap();
    e.drain();
    assert_eq!(e.cloud.content(&id).unwrap(), "theirs");
    assert_eq!(e.cloud.files()[&copy_in(&e, "")], "mine");
    e.converged();
}

#[test]
fn conflict_copies_are_counted_and_the_last_is_named_in_the_status() {
    let e = with(&["f.txt", "g.txt"]);
    assert_eq!(e.fs().status().conflicts.made, 0);
    for (n, name) in ["f.txt", "g.txt"].into_iter().enumerate() {
        e.foreign_write(&e.row(name).id, b"theirs");
        e.put(name, b"mine").unwrap();
        e.drain();
        let told = e.fs().status().conflicts;
        assert_eq!(told.made, n as u64 + 1);
        let last = told.last.unwrap();
        assert!(last.starts_with(&format!("{} (conflict ", &name[..1])) && e.exists(&last), "{last}");
    }
    e.converged();
    assert_eq!(e.fs().status().conflicts.made, 2, "once each");
}

#[test]
fn both_edits_are_kept_where_ours_was_also_moved() {
    let e = with(&["f.txt", "d/x"]);
    let id = e.row("f.txt").id;
    e.rename("f.txt", "d/g.txt").unwrap();
    e.put("d/g.txt", b"mine").unwrap();
    e.foreign_write(&id, b"theirs");
    eventually("theirs is where it was", || e.exists("f.txt"));
    assert_eq!(e.read("d/g.txt").unwrap(), "mine");
    e.converged();
    let all: Vec<_> = e.cloud.files().into_values().collect();
    assert_eq!(all.len(), 3);
    assert!(all.contains(&"mine".into()) && all.contains(&"theirs".into()), "{all:?}");
    assert_eq!(e.read("d/g.txt").unwrap(), "mine");
}

#[test]
fn a_file_being_written_is_not_overwritten_by_theirs() {
    let e = with(&["f.txt"]);
    let fh = e.open("f.txt", WRITE).unwrap();
    e.write_fh(fh, 0, b"m").unwrap();
    e.foreign_write(&e.row("f.txt").id, b"theirs");
    eventually("theirs has the name", || e.read("f.txt").unwrap() == "theirs");
    e.write_fh(fh, 1, b"ine").unwrap();
    e.close(fh).unwrap();
    e.converged();
    assert_eq!(e.cloud.files()[&copy_in(&e, "")], "minet");
}

#[test]
fn an_edit_beats_their_delete() {
    for delete in [false, true] {
        let e = with(&["f.txt"]);
        let row = e.row("f.txt");
        e.put("f.txt", b"edited").unwrap();
        if delete {
            e.foreign_delete(&row)
        } else {
            e.foreign_trash(&row)
        }
        e.cloud.settle();
        e.converged();
        assert_eq!(e.cloud.files()["f.txt"], "edited");
        assert_ne!(e.row("f.txt").id, row.id);
    }
}

#[test]
fn an_edit_below_a_folder_they_deleted_makes_the_path_again_without_its_siblings() {
    for delete in [false, true] {
        let e = with(&["d/f.txt", "d/clean.txt", "d/e/g.txt", "d/e/clean.txt", "out.txt"]);
        let d = e.row("d");
        e.put("d/f.txt", b"edited").unwrap();
        e.put("d/e/g.txt", b"edited too").unwrap();
        e.put("d/new.txt", b"new").unwrap();
        e.rename("out.txt", "d/e/in.txt").unwrap();
        if delete {
            e.foreign_delete(&d)
        } else {
            e.foreign_trash(&d)
        }
        e.cloud.settle();
        eventually("the siblings are gone", || !e.exists("d/clean.txt"));
        e.converged();
        let files = e.cloud.files();
        let paths: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["d/e/g.txt", "d/e/in.txt", "d/f.txt", "d/new.txt"], "deleted: {delete}");
        assert_eq!((&files["d/f.txt"][..], &files["d/e/g.txt"][..]), (&b"edited"[..], &b"edited too"[..]));
        assert_ne!(e.row("d").id, d.id);
    }
}

#[test]
fn our_delete_does_not_beat_their_edit() {
    let e = with(&["f.txt"]);
    let row = e.row("f.txt");
    e.unlink("f.txt").unwrap();
    e.foreign_write(&row.id, b"theirs");
    eventually("it comes back", || e.exists("f.txt"));
    e.converged();
    assert_eq!(e.cloud.files()["f.txt"], "theirs");
}

#[test]
fn one_new_name_on_both_sides() {
    // File and file.
    let e = with(&[]);
    e.put("a.txt", b"mine").unwrap();
    let theirs = e.foreign_file(&e.cloud_root(), "a.txt", b"theirs");
    e.converged();
    assert_eq!(e.row("a.txt").id, theirs.id);
    assert_eq!(e.read(&copy_in(&e, "")).unwrap(), "mine");
    // Our file and their folder.
    let e = with(&[]);
    e.put("a", b"mine").unwrap();
    e.cloud.add_folder(&e.cloud_root(), "a");
    e.converged();
    assert_eq!(e.read(&copy_in(&e, "")).unwrap(), "mine");
    assert_eq!(e.ls("a"), [""; 0]);
    // Our folder and their file.
    let e = with(&[]);
    e.mkdir("a").unwrap();
    e.put("a/x", b"mine").unwrap();
    e.foreign_file(&e.cloud_root(), "a", b"theirs");
    e.converged();
    assert_eq!(e.read("a").unwrap(), "theirs");
    assert_eq!(e.read(&format!("{}/x", copy_in(&e, ""))).unwrap(), "mine");
    // Folders merge.
    let e = with(&[]);
    e.mkdir("a").unwrap();
    e.put("a/mine", b"mine").unwrap();
    let theirs = e.cloud.add_folder(&e.cloud_root(), "a");
    e.foreign_file(&theirs.id, "theirs", b"theirs");
    e.converged();
    assert_eq!(e.row("a").id, theirs.id);
    assert_eq!(e.ls("a"), ["mine", "theirs"]);
}

#[test]
fn a_new_name_that_was_taken_unseen_is_found_before_the_create() {
    let quiet = Config { poll_interval: Duration::from_secs(3600), ..patient() };
    let cloud = Memory::new();
    let fault = Fault::new(cloud.client("here"), 1);
    // Nor does an announcement tell.
    fault.always(M::Events, Action::Offline);
    let mut e = Engine::down(cloud, fault, quiet);
    e.start();
    e.hydrated();
    eventually("the first look is over", || e.cloud.count(M::Newest) >= 2);
    e.foreign_file(&e.cloud_root(), "a.txt", b"theirs");
    // Split otherwise, and the other kind: the service would take them all.
    e.cloud.add_file(&e.cloud_root(), RemoteName::whole("b.txt"), b"theirs");
    e.cloud.add_folder(&e.cloud_root(), "c.txt");
    for name in ["a.txt", "b.txt", "c.txt"] {
        e.put(name, b"mine").unwrap();
    }
    e.mkdir("d").unwrap();
    e.cloud.add_folder(&e.cloud_root(), "d");
    e.converged();
    assert_eq!(e.cloud.tree().len(), 7);
    assert_eq!(e.ls("").iter().filter(|n| n.contains("(conflict here")).count(), 3);
    assert!(e.ls("").iter().all(|n| !n.contains(" (0")), "no stand-ins: {:?}", e.ls(""));
}

#[test]
fn a_rename_onto_a_name_they_took_steps_beside() {
    let e = with(&["f.txt"]);
    let id = e.row("f.txt").id;
    e.rename("f.txt", "g.txt").unwrap();
    let theirs = e.foreign_file(&e.cloud_root(), "g.txt", b"theirs");
    e.converged();
    assert_eq!(e.row("g.txt").id, theirs.id);
    assert_eq!(e.row(&copy_in(&e, "")).id, id);
    assert_eq!(e.cloud.files().len(), 2);
}

#[test]
fn of_two_moves_ours_is_last_and_wins() {
    let e = with(&["f.txt", "d/x"]);
    let row = e.row("f.txt");
    e.rename("f.txt", "mine.txt").unwrap();
    e.foreign_move(&row, &e.row("d").id, "theirs.txt");
    e.polls(2);
    assert!(e.exists("mine.txt"));
    e.converged();
    assert_eq!(e.row("mine.txt").id, row.id);
    assert_eq!(e.cloud.files().len(), 2);
}

#[test]
fn lagging_replicas_undo_nothing_of_ours() {
    // Long waits: what a replica shows counts as an echo for sixty of these.
    let e = Engine::over(Memory::new(), Config { pace: Duration::from_millis(300), ..patient() });
    e.mkdir("d").unwrap();
    e.put("f.txt", b"one").unwrap();
    e.put("g.txt", b"gone").unwrap();
    e.drain();
    e.polls(1);
    e.cloud.set_lag(2);
    e.put("f.txt", b"two").unwrap();
    e.drain();
    e.put("f.txt", b"three").unwrap();
    e.drain();
    e.rename("f.txt", "d/h.txt").unwrap();
    e.drain();
    for n in 0..4 {
        e.foreign_file(&e.cloud_root(), &format!("noise{n}"), b"x");
        e.polls(2);
        assert_eq!(e.read("d/h.txt").unwrap(), "three");
        assert!(!e.exists("f.txt"));
        assert!(e.ls("").iter().all(|n| !n.contains("conflict")), "{:?}", e.ls(""));
    }
    // A change of theirs still arrives.
    let id = e.row("d/h.txt").id;
    e.foreign_write(&id, b"theirs");
    e.cloud.set_lag(0);
    eventually("theirs shows", || e.read("d/h.txt").unwrap() == "theirs");
    e.converged();
}

#[test]
fn what_was_passed_over_while_a_request_was_unresolved_is_looked_at_again() {
    // Waits so long that nothing but another look at the feeds can bring it.
    let e = Engine::over(Memory::new(), Config { pace: Duration::from_secs(1), ..eager() });
    e.put("f.txt", b"ours").unwrap();
    e.drain();
    e.polls(1);
    let id = e.row("f.txt").id;
    e.fault.script(M::Relocate, 1, Action::Lost);
    e.rename("f.txt", "g.txt").unwrap();
    eventually("it was done", || e.cloud.row(&id).unwrap().name.display() == "g.txt");
    e.foreign_write(&id, b"theirs");
    e.polls(2);
    eventually("theirs shows", || e.read("g.txt").unwrap() == "theirs");
    e.converged();
}

#[test]
fn an_identity_takes_along_what_its_replicas_may_still_show() {
    let e = Engine::over(Memory::new(), Config { pace: Duration::from_millis(300), ..patient() });
    for name in ["f.txt", "v.txt"] {
        e.put(name, b"one").unwrap();
    }
    e.drain();
    e.polls(1);
    e.cloud.set_lag(4);
    for name in ["f.txt", "v.txt"] {
        e.put(name, b"two").unwrap();
    }
    e.drain();
    // An editor's save, and one of vim's kind: other nodes hold the rows from here on.
    e.put("f.tmp", b"three").unwrap();
    e.rename("f.tmp", "f.txt").unwrap();
    e.rename("v.txt", "v.txt~").unwrap();
    e.put("v.txt", b"three").unwrap();
    e.unlink("v.txt~").unwrap();
    for n in 0..4 {
        e.foreign_file(&e.cloud_root(), &format!("noise{n}"), b"x");
        e.polls(2);
        assert!(e.ls("").iter().all(|n| !n.contains("conflict")), "{:?}", e.ls(""));
    }
    e.cloud.set_lag(0);
    e.drain();
    for name in ["f.txt", "v.txt"] {
        assert_eq!(e.read(name).unwrap(), "three");
    }
    e.converged();
}

#[test]
fn what_they_changed_back_to_a_former_place_is_seen_in_the_end() {
    let e = with(&["f.txt"]);
    let row = e.row("f.txt");
    e.rename("f.txt", "g.txt").unwrap();
    e.drain();
    e.foreign_move(&row, &e.cloud_root(), "f.txt");
    eventually("seen after the time of echoes", || e.exists("f.txt") && !e.exists("g.txt"));
    e.converged();
}

#[test]
fn a_partial_write_keeps_its_base_though_they_replace_it() {
    let data = noise(300_000, 1);
    let cloud = Memory::new();
    let row = cloud.add_file(&cloud.account().root, RemoteName::split("f.bin"), &data);
    let e = Engine::over(cloud, patient());
    e.patch("f.bin", 10, b"mine").unwrap();
    eventually("the rest is fetched at once", || e.fs().status().cache_used >= 300_000);
    e.foreign_write(&row.id, b"theirs");
    e.converged();
    let mut mine = data;
    mine[10..14].copy_from_slice(b"mine");
    assert_eq!(e.cloud.files()[&copy_in(&e, "")], mine);
}

#[test]
fn a_change_that_came_while_an_answer_was_lost_is_not_missed() {
    let e = with(&["f.txt"]);
    let row = e.row("f.txt");
    e.rename("f.txt", "g.txt").unwrap();
    e.fault.script(M::Relocate, 1, inxtfs::remote::fault::Action::Lost);
    e.fault.script(M::Stat, 1, inxtfs::remote::fault::Action::Offline);
    let fs = e.fs().clone();
    e.block_on(async move {
        let draining = tokio::spawn(async move { fs.drain().await });
        tokio::time::sleep(Duration::from_millis(5)).await;
        draining.abort();
    });
    e.foreign_write(&row.id, b"theirs");
    // Behind the reach of the deltas.
    e.polls(1);
    e.cloud.advance(Duration::from_secs(600));
    e.foreign_file(&e.cloud_root(), "later", b"x");
    e.polls(1);
    e.drain();
    eventually("theirs shows", || e.read("g.txt").unwrap() == "theirs");
    assert_eq!(e.cloud.row(&row.id).unwrap().status, Status::Exists);
    e.converged();
}

#[test]
fn a_copy_that_replaced_theirs_and_lost_it_again_has_its_own_name_back() {
    // Its own former row, to be deleted once it is safe under theirs, has the name it wants.
    let e = Engine::new();
    e.put("f.pdf", b"ours").unwrap();
    let theirs = e.foreign_file(&e.cloud_root(), "f.pdf", b"theirs");
    eventually("ours steps aside", || e.ls("").len() == 2);
    e.converged();
    let copy = e.ls("").into_iter().find(|n| n != "f.pdf").unwrap();
    let (reached, look) = e.fault.hold_at(M::Newest, 1);
    e.block_on(reached).unwrap();
    e.rename(&copy, "f.pdf").unwrap();
    e.foreign_write(&theirs.id, b"theirs again");
    look.send(()).unwrap();
    e.polls(2);
    e.converged();
    assert_eq!(e.read("f.pdf").unwrap(), "theirs again");
    assert_eq!(e.read(&copy).unwrap(), "ours");
}
