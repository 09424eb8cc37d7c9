//! Weather: lost answers, deaths between a request and its answer, no network, no session.

use std::time::Duration;

use inxtfs::fs::{Error, SessionState};
use inxtfs::names::RemoteName;
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::{Action, Fault, Side};
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Kind, Status};

use super::harness::{Engine, PATIENCE, READ, TRUNCATE, WRITE, eager, eventually, noise, patient};

/// Kills the drive when a call of a method is there, and starts it again.
fn die_at(e: &mut Engine, method: M, side: Side) {
    let reached = e.fault.crash_at(method, 1, side);
    let fs = e.fs().clone();
    e.block_on(async {
        let draining = tokio::spawn(async move { fs.drain().await });
        reached.await.unwrap();
        draining.abort();
    });
    e.kill();
    e.start();
}

/// Living rows of that name.
fn living(e: &Engine, name: &str) -> usize {
    let rows = e.cloud.rows().into_iter().filter(|r| r.status == Status::Exists);
    rows.filter(|r| r.name.display() == name).count()
}

#[test]
fn a_create_whose_answer_was_lost_is_adopted() {
    for name in ["a.txt", "noext"] {
        let e = Engine::new();
        e.put(name, b"once").unwrap();
        e.fault.script(M::Create, 1, Action::Lost);
        e.converged();
        assert_eq!((living(&e, name), e.cloud.count(M::Create)), (1, 1), "{name}");
        e.put(name, b"twice").unwrap();
        e.converged();
    }
}

#[test]
fn a_create_that_never_arrived_is_repeated_without_sharing_an_object() {
    for name in ["a.txt", "noext"] {
        for side in [Side::Before, Side::After] {
            let mut e = Engine::new();
            e.put(name, b"once").unwrap();
            die_at(&mut e, M::Create, side);
            assert_eq!(e.read(name).unwrap(), "once");
            e.converged();
            assert_eq!(living(&e, name), 1, "{name} {side:?}");
        }
    }
}

#[test]
fn a_file_whose_create_was_lost_can_be_changed_renamed_and_deleted() {
    for death in [Side::Before, Side::After] {
        let mut e = Engine::new();
        e.put("f.txt", b"first").unwrap();
        die_at(&mut e, M::Create, death);
        e.patch("f.txt", 5, b" second").unwrap();
        e.rename("f.txt", "g.txt").unwrap();
        e.converged();
        assert_eq!(e.cloud.files()["g.txt"], "first second");
        assert_eq!(living(&e, "f.txt"), 0);

        e.put("h.txt", b"short-lived").unwrap();
        die_at(&mut e, M::Create, death);
        e.unlink("h.txt").unwrap();
        e.converged();
        assert_eq!(living(&e, "h.txt"), 0, "{death:?}");

        // Deleted, and killed before it was found out what had become of the create.
        e.put("i.txt", b"short-lived").unwrap();
        die_at(&mut e, M::Create, death);
        e.fault.set_offline(true);
        e.unlink("i.txt").unwrap();
        e.restart();
        e.fault.set_offline(false);
        e.converged();
        assert_eq!(living(&e, "i.txt"), 0, "{death:?}");
    }
}

#[test]
fn a_mkdir_whose_answer_was_lost_makes_one_folder() {
    for how in [None, Some(Side::Before), Some(Side::After)] {
        let mut e = Engine::new();
        e.mkdir("d").unwrap();
        e.put("d/f", b"below").unwrap();
        match how {
            None => e.fault.script(M::Mkdir, 1, Action::Lost),
            Some(side) => die_at(&mut e, M::Mkdir, side),
        }
        e.converged();
        assert_eq!(living(&e, "d"), 1, "{how:?}");
        assert_eq!(e.cloud.files()["d/f"], "below");
    }
}

#[test]
fn a_replace_whose_answer_was_lost_is_adopted_or_made_with_a_fresh_object() {
    for how in [None, Some(Side::Before), Some(Side::After)] {
        let mut e = Engine::new();
        e.put("f.bin", &noise(100_000, 1)).unwrap();
        e.drain();
        let id = e.row("f.bin").id;
        e.put("f.bin", &noise(90_000, 2)).unwrap();
        match how {
            None => e.fault.script(M::Replace, 1, Action::Lost),
            Some(side) => die_at(&mut e, M::Replace, side),
        }
        assert_eq!(e.read("f.bin").unwrap(), noise(90_000, 2));
        e.converged();
        assert_eq!(e.row("f.bin").id, id);
        assert_eq!(e.cloud.files()["f.bin"], noise(90_000, 2), "{how:?}");
    }
}

#[test]
fn a_replace_whose_answer_was_lost_is_kept_though_they_trashed_the_file_since() {
    let e = Engine::new();
    e.put("f.txt", b"before").unwrap();
    e.converged();
    let row = e.row("f.txt");
    e.put("f.txt", b"edited").unwrap();
    e.fault.script(M::Replace, 1, Action::Lost);
    let (reached, look) = e.fault.hold_at(M::Stat, 2);
    e.begin_drain();
    e.block_on(reached).unwrap();
    e.foreign_trash(&row);
    look.send(()).unwrap();
    e.converged();
    assert_eq!(e.cloud.files().into_iter().collect::<Vec<_>>(), [("f.txt".to_owned(), "edited".into())]);
}

#[test]
fn a_move_whose_answer_was_lost_is_found_done_or_repeated() {
    for how in [None, Some(Side::Before), Some(Side::After)] {
        let mut e = Engine::new();
        e.mkdir("d").unwrap();
        e.put("f.txt", b"x").unwrap();
        e.drain();
        let id = e.row("f.txt").id;
        e.rename("f.txt", "d/g.txt").unwrap();
        match how {
            None => e.fault.script(M::Relocate, 1, Action::Lost),
            Some(side) => die_at(&mut e, M::Relocate, side),
        }
        assert!(e.exists("d/g.txt"));
        e.converged();
        assert_eq!(e.row("d/g.txt").id, id, "{how:?}");
    }
}

#[test]
fn a_move_that_fails_again_and_again_for_no_clear_reason_keeps_its_name() {
    // Found over the wire, in bad weather: the name was taken for taken.
    for name in ["f.txt", "d"] {
        let e = Engine::new();
        e.mkdir("d").unwrap();
        e.put("f.txt", b"x").unwrap();
        e.drain();
        let id = e.row(name).id;
        (1..=6).for_each(|nth| e.fault.script(M::Relocate, nth, Action::Unclear));
        e.rename(name, "moved").unwrap();
        e.converged();
        assert_eq!(e.row("moved").id, id, "{:?}", e.ls(""));
        assert!(e.fault.calls(M::Relocate) > 6);
    }
}

#[test]
fn a_trash_whose_answer_was_lost_is_seen_done_or_repeated() {
    for how in [None, Some(Side::Before), Some(Side::After)] {
        let mut e = Engine::new();
        e.mkdir("d").unwrap();
        e.put("d/f.txt", b"x").unwrap();
        e.put("g.txt", b"x").unwrap();
        e.drain();
        e.remove_all("d").unwrap();
        e.unlink("g.txt").unwrap();
        match how {
            None => e.fault.script(M::Trash, 1, Action::Lost),
            Some(side) => die_at(&mut e, M::Trash, side),
        }
        e.converged();
        assert!(e.cloud.tree().is_empty(), "{how:?}");
    }
}

#[test]
fn an_upload_that_dies_is_made_anew() {
    for side in [Side::Before, Side::After] {
        let mut e = Engine::new();
        e.put("f.bin", &noise(200_000, 3)).unwrap();
        die_at(&mut e, M::Put, side);
        e.converged();
        assert_eq!(e.cloud.files()["f.bin"], noise(200_000, 3));
    }
}

#[test]
fn every_call_may_fail_once_in_every_way() {
    let ways = [Action::Offline, Action::Lost, Action::Busy(Duration::from_millis(1)), Action::SessionLost];
    for way in ways {
        let e = Engine::over(Memory::new(), eager());
        for method in M::ALL {
            e.fault.script(method, 1, way);
        }
        e.mkdir("d").unwrap();
        e.put("d/a.txt", b"one").unwrap();
        e.put("b", b"two").unwrap();
        eventually("both are there", || e.cloud.files().len() == 2);
        e.put("b", b"three").unwrap();
        e.rename("d/a.txt", "a.txt").unwrap();
        e.rmdir("d").unwrap();
        let wanted = || {
            let files = e.cloud.files();
            files.len() == 2 && files.get("b").is_some_and(|b| b == "three") && e.cloud.tree().len() == 2
        };
        let start = std::time::Instant::now();
        while !wanted() {
            let status = e.fs().status();
            assert!(start.elapsed() < PATIENCE, "{way:?}: {:#?} {:#?}", e.cloud_tree(), status.queue);
            std::thread::sleep(Duration::from_millis(5));
        }
        e.converged();
    }
}

#[test]
fn offline_the_tree_and_what_is_cached_are_there_and_changes_queue() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    cloud.add_file(&root, RemoteName::split("cached.bin"), &noise(100_000, 4));
    cloud.add_file(&root, RemoteName::split("other.bin"), &noise(100_000, 5));
    let mut e = Engine::over(cloud, patient());
    assert_eq!(e.read("cached.bin").unwrap(), noise(100_000, 4));
    e.stop();
    e.fault.set_offline(true);
    e.start();
    assert_eq!(e.ls(""), ["cached.bin", "other.bin"]);
    assert_eq!(e.read("cached.bin").unwrap(), noise(100_000, 4));
    let fh = e.open("other.bin", READ).unwrap();
    assert!(matches!(e.read_fh(fh, 0, 10), Err(Error::Offline)));
    e.fs().release(fh);
    e.put("new.txt", b"queued").unwrap();
    e.rename("other.bin", "renamed.bin").unwrap();
    e.unlink("cached.bin").unwrap();
    eventually("it is told", || matches!(e.fs().status().session, SessionState::Offline { .. }));
    assert_eq!(e.fs().status().totals.items, 3);
    e.restart();
    assert_eq!(e.ls(""), ["new.txt", "renamed.bin"]);
    e.fault.set_offline(false);
    e.converged();
    assert_eq!(e.cloud.files().keys().collect::<Vec<_>>(), ["new.txt", "renamed.bin"]);
    assert!(matches!(e.fs().status().session, SessionState::Online));
}

#[test]
fn a_first_start_without_network_shows_nothing_yet_and_heals() {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split("f"), b"x");
    let fault = Fault::new(cloud.client("here"), 1);
    fault.set_offline(true);
    let mut e = Engine::down(cloud, fault, patient());
    e.start();
    assert!(matches!(e.stat("f"), Err(Error::Offline)));
    assert!(matches!(e.put("g", b"y"), Err(Error::Offline)), "the name might be taken");
    e.fault.set_offline(false);
    // A look at the folder needs no hydration.
    assert_eq!(e.read("f").unwrap(), "x");
    e.put("g", b"y").unwrap();
    assert_eq!(e.ls(""), ["f", "g"]);
    e.drain();
    assert_eq!(e.cloud.files().len(), 2);
}

#[test]
fn a_lost_session_loses_nothing_and_work_goes_on_after_it_is_back() {
    let e = Engine::new();
    e.put("f", b"old").unwrap();
    e.drain();
    for method in M::ALL {
        e.fault.always(method, Action::SessionLost);
    }
    e.put("f", b"new").unwrap();
    e.put("g", b"another").unwrap();
    let status = e.drained();
    assert!(matches!(status.session, SessionState::LoggedOut { .. }));
    assert_eq!((status.totals.items, status.totals.blocked), (2, 0));
    assert_eq!(e.read("f").unwrap(), "new");
    e.fault.clear();
    e.polls(1);
    e.converged();
    assert_eq!(e.cloud.files()["f"], "new");
}

#[test]
fn asked_to_slow_down_it_waits_and_goes_on() {
    let e = Engine::new();
    e.put("f", b"x").unwrap();
    for n in 1..4 {
        e.fault.script(M::Put, n, Action::Busy(Duration::from_millis(5)));
        e.fault.script(M::Create, n, Action::Busy(Duration::from_millis(5)));
    }
    e.converged();
    assert_eq!(e.cloud.files()["f"], "x");
}

#[test]
fn what_was_closed_survives_a_kill_and_inodes_stay() {
    let mut e = Engine::new();
    e.mkdir("d").unwrap();
    for name in ["d/clean", "d/renamed", "d/deleted", "d/over"] {
        e.put(name, name.as_bytes()).unwrap();
    }
    e.drain();
    e.put("d/new", b"new").unwrap();
    e.patch("d/over", 2, b"OVER").unwrap();
    e.rename("d/renamed", "d/elsewhere").unwrap();
    e.unlink("d/deleted").unwrap();
    let mtime = inxtfs::types::Timestamp { secs: 77, nanos: 777_777_777 };
    e.set_mtime("d/clean", mtime).unwrap();
    e.set_mtime("d/new", mtime).unwrap();
    let stats = |e: &Engine| {
        ["d", "d/clean", "d/elsewhere", "d/new", "d/over"].map(|p| {
            let mut attr = e.stat(p).unwrap();
            // A folder's access by the kill itself does not count.
            attr.btime = attr.btime.to_millis_precision();
            attr
        })
    };
    let (tree, before) = (e.tree(), stats(&e));
    e.kill();
    e.start();
    assert_eq!((e.tree(), stats(&e)), (tree.clone(), before));
    e.converged();
    e.restart();
    assert_eq!(e.tree(), tree);
    assert_eq!(e.stat("d/new").unwrap().mtime, mtime);
    assert_eq!(e.row("d/new").modified, mtime.to_millis_precision());
}

#[test]
fn a_truncating_open_that_was_never_flushed_replaces_nothing() {
    let mut e = Engine::new();
    e.put("f", b"precious").unwrap();
    e.drain();
    let fh = e.create("f", TRUNCATE).unwrap();
    e.write_fh(fh, 0, b"half").unwrap();
    e.kill();
    e.start();
    assert_eq!(e.read("f").unwrap(), "precious");
    e.converged();
    assert_eq!(e.cloud.files()["f"], "precious");
}

#[test]
fn a_writer_that_never_closes_is_journalled_in_time() {
    let mut e = Engine::new();
    let fh = e.create("f", TRUNCATE).unwrap();
    e.write_fh(fh, 0, b"written").unwrap();
    let staged = || e.fs().status().totals.bytes;
    eventually("the syncer journals it", || staged() == 7);
    e.kill();
    e.start();
    assert_eq!(e.read("f").unwrap(), "written");
    e.converged();
}

#[test]
fn reading_the_tree_goes_on_where_it_was_interrupted() {
    let cloud = Memory::new();
    cloud.set_page(3);
    let mut folder = cloud.account().root;
    for n in 0..10 {
        cloud.add_file(&folder, RemoteName::split(&format!("f{n}")), b"x");
        folder = cloud.add_folder(&folder, "d").id;
    }
    let fault = Fault::new(cloud.client("here"), 1);
    let reached = fault.crash_at(M::Changes, 5, Side::After);
    let mut e = Engine::down(cloud, fault, patient());
    e.start();
    e.block_on(reached).unwrap();
    e.kill();
    e.start();
    e.hydrated();
    assert_eq!(e.tree(), e.cloud_tree());
    assert_eq!(e.cloud.tree().iter().filter(|(_, r)| r.kind == Kind::Folder).count(), 10);
}

/// Kills the drive when a call of a method is there, and starts it again without network: nothing is looked for yet.
fn die_offline_at(e: &mut Engine, method: M, side: Side) {
    let reached = e.fault.crash_at(method, 1, side);
    e.begin_drain();
    e.block_on(reached).unwrap();
    e.kill();
    e.fault.set_offline(true);
    e.start();
}

#[test]
fn a_create_that_was_done_and_trashed_by_another_shares_no_object() {
    for name in ["a.txt", "noext"] {
        let mut e = Engine::new();
        e.put(name, b"once").unwrap();
        die_offline_at(&mut e, M::Create, Side::After);
        let row = e.row(name);
        e.foreign_trash(&row);
        e.fault.set_offline(false);
        e.converged();
        assert_eq!(e.cloud.files()[name], "once");
        assert_ne!(e.row(name).content, row.content);
    }
}

#[test]
fn a_create_that_is_seen_late_is_known_as_ours() {
    let config = inxtfs::fs::Config { pace: Duration::from_millis(100), ..patient() };
    for name in ["a.txt", "noext"] {
        let e = Engine::over(Memory::new(), config.clone());
        e.put(name, b"once").unwrap();
        e.cloud.set_lag(1);
        e.fault.script(M::Create, 1, Action::Lost);
        e.begin_drain();
        eventually("it is tried again", || e.fault.calls(M::Create) > 1);
        e.cloud.set_lag(0);
        e.converged();
        assert_eq!(e.cloud.tree().len(), 1, "{name}: {:?}", e.cloud.tree());
        assert_eq!(e.cloud.files()[name], "once");
    }
}

#[test]
fn a_move_whose_answer_was_lost_restores_nothing_that_was_deleted_since() {
    for side in [Side::Before, Side::After] {
        for here in [true, false] {
            let mut e = Engine::new();
            e.put("f.txt", b"x").unwrap();
            e.drain();
            let row = e.row("f.txt");
            e.rename("f.txt", "g.txt").unwrap();
            die_offline_at(&mut e, M::Relocate, side);
            if here {
                e.unlink("g.txt").unwrap();
            } else {
                e.foreign_trash(&row);
            }
            e.cloud.clear_calls();
            e.fault.set_offline(false);
            e.converged();
            assert!(!e.sent().contains(&M::Relocate), "{side:?} {here}");
            assert!(e.tree().is_empty(), "{side:?} {here}");
            assert_eq!(e.cloud.row(&row.id).unwrap().status, Status::Trashed);
        }
    }
}

#[test]
fn a_name_that_is_taken_by_what_no_look_shows_is_given_up() {
    let e = Engine::new();
    e.put("moved.txt", b"moved here").unwrap();
    e.drain();
    let root = e.cloud_root();
    // Replicas show none of what happens from now on.
    e.cloud.set_lag(1000);
    e.foreign_file(&root, "f.txt", b"theirs");
    e.foreign_file(&root, "g.txt", b"theirs, too");
    e.cloud.add_folder(&root, "d");
    e.put("f.txt", b"ours").unwrap();
    e.rename("moved.txt", "g.txt").unwrap();
    e.mkdir("d").unwrap();
    e.drain();
    e.cloud.set_lag(0);
    e.converged();
    assert_eq!(e.ls("").iter().filter(|n| n.starts_with("d (conflict here")).count(), 1, "{:?}", e.ls(""));
    let files = e.cloud.files();
    assert_eq!((&files["f.txt"][..], &files["g.txt"][..]), (&b"theirs"[..], &b"theirs, too"[..]));
    for (ours, beside) in [("ours", "f (conflict here"), ("moved here", "g (conflict here")] {
        assert!(files.iter().any(|(p, b)| p.starts_with(beside) && b == ours), "{ours}: {:?}", files.keys());
    }
}

#[test]
fn who_took_a_name_back_that_we_moved_them_from_is_believed() {
    let e = Engine::new();
    e.put("f.txt", b"first").unwrap();
    e.drain();
    let row = e.row("f.txt");
    e.rename("f.txt", "elsewhere.txt").unwrap();
    e.drain();
    e.foreign_move(&row, &e.cloud_root(), "f.txt");
    e.put("f.txt", b"second").unwrap();
    e.converged();
    let files = e.cloud.files();
    assert_eq!((files.len(), &files["f.txt"][..]), (2, &b"first"[..]), "{:?}", files.keys());
}

#[test]
fn a_failure_of_former_content_does_not_block_the_new() {
    let cloud = Memory::new();
    cloud.set_events(false);
    let e = Engine::over(cloud, eager());
    e.fault.script(M::Put, 1, Action::Delay(Duration::from_millis(1500)));
    e.put("f.txt", b"longer than there is space for").unwrap();
    eventually("it is being uploaded", || e.fault.calls(M::Put) == 1);
    e.cloud.set_plan(|p| p.quota = 10);
    e.put("f.txt", b"short").unwrap();
    eventually("the new content is there", || e.cloud.files().get("f.txt").is_some_and(|b| b == "short"));
    e.converged();
    assert_eq!(e.blocked(), []);
}

#[test]
fn a_rename_during_an_upload_is_where_the_file_is_created() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.drain();
    e.put("f.txt", b"x").unwrap();
    e.fault.script(M::Put, 1, Action::Delay(Duration::from_millis(1500)));
    e.begin_drain();
    eventually("it is being uploaded", || e.fault.calls(M::Put) == 1);
    e.rename("f.txt", "d/g.txt").unwrap();
    e.converged();
    let sent: Vec<_> =
        e.cloud.calls().into_iter().filter(|c| c.client == "here" && c.method.mutates()).collect();
    let created: Vec<_> = sent.iter().filter(|c| c.method == M::Create).collect();
    assert_eq!(created.len(), 1);
    assert_eq!((created[0].name.as_deref(), &created[0].id), (Some("g.txt"), &Some(e.row("d").id)));
    assert!(!sent.iter().any(|c| c.method == M::Relocate), "{sent:?}");
}

#[test]
fn what_is_open_for_writing_keeps_its_bytes_when_it_is_deleted_or_replaced_there() {
    for replaced in [false, true] {
        for written in [false, true] {
            let cloud = Memory::new();
            let row = cloud.add_file(&cloud.account().root, RemoteName::split("f.txt"), b"former content");
            let e = Engine::over(cloud, patient());
            assert_eq!(e.read("f.txt").unwrap(), "former content");
            let fh = e.open("f.txt", WRITE).unwrap();
            if replaced {
                e.foreign_write(&row.id, b"theirs");
            } else {
                e.foreign_delete(&row);
                e.cloud.settle();
            }
            e.polls(2);
            if written {
                e.write_fh(fh, 0, b"FORMER").unwrap();
            }
            let wanted = if written { "FORMER content" } else { "former content" };
            assert_eq!(e.read_fh(fh, 0, 100).unwrap(), wanted);
            e.close(fh).unwrap();
            e.converged();
            let files = e.cloud.files();
            assert!(files.values().any(|b| b == wanted), "{replaced} {written}: {files:?}");
            assert_eq!(files.len(), if replaced { 2 } else { 1 }, "{replaced} {written}: {files:?}");
        }
    }
}

#[test]
fn a_partial_overwrite_that_was_uploaded_is_wholly_here_without_network() {
    let mut e = Engine::new();
    let mut bytes = noise(300_000, 1);
    e.put("f.bin", &bytes).unwrap();
    e.drain();
    e.put("hole", b"").unwrap();
    e.truncate("hole", 100).unwrap();
    e.patch("f.bin", 100_000, b"patched").unwrap();
    bytes[100_000..100_007].copy_from_slice(b"patched");
    e.converged();
    e.fault.set_offline(true);
    assert_eq!(e.read("f.bin").unwrap(), bytes);
    assert_eq!(e.read("hole").unwrap(), [0; 100][..]);
    e.restart();
    assert_eq!(e.read("f.bin").unwrap(), bytes);
    assert_eq!(e.read("hole").unwrap(), [0; 100][..]);
}

#[test]
fn a_move_and_an_edit_of_what_was_deleted_for_good_elsewhere_live() {
    let e = Engine::over(
        Memory::new(),
        inxtfs::fs::Config { poll_interval: Duration::from_secs(3600), ..patient() },
    );
    e.put("f.txt", b"former").unwrap();
    e.mkdir("d").unwrap();
    e.drain();
    let row = e.row("f.txt");
    e.foreign_delete(&row);
    e.put("f.txt", b"edited").unwrap();
    e.rename("f.txt", "d/g.txt").unwrap();
    // No feed has told: the refused move leads to a look at the row.
    e.drain();
    assert_eq!(e.cloud.files()["d/g.txt"], "edited");
    e.converged();
}

#[test]
fn an_edit_that_no_feed_has_told_of_outlives_our_delete() {
    let e = Engine::over(
        Memory::new(),
        inxtfs::fs::Config { poll_interval: Duration::from_secs(3600), ..patient() },
    );
    e.cloud.set_events(false);
    e.mkdir("d").unwrap();
    for path in ["f.txt", "d/g.txt"] {
        e.put(path, b"former").unwrap();
    }
    e.drain();
    let rows = ["f.txt", "d/g.txt"].map(|path| e.row(path));
    e.unlink("f.txt").unwrap();
    e.remove_all("d").unwrap();
    for row in rows {
        e.foreign_write(&row.id, b"edited");
    }
    e.converged();
    let files = e.cloud.files();
    assert_eq!((&files["f.txt"][..], &files["d/g.txt"][..]), (&b"edited"[..], &b"edited"[..]));
}

#[test]
fn announcements_that_end_right_after_one_are_listened_to_again() {
    let e = Engine::over(
        Memory::new(),
        inxtfs::fs::Config { poll_interval: Duration::from_secs(3600), ..patient() },
    );
    eventually("it listens", || e.fault.calls(M::Events) == 1);
    std::thread::sleep(Duration::from_millis(200));
    // The first announcement, that of the connection, is still waited upon.
    e.cloud.set_events(false);
    e.cloud.set_events(true);
    eventually("it listens again", || e.fault.calls(M::Events) == 2);
    e.foreign_file(&e.cloud_root(), "new.txt", b"theirs");
    eventually("it is told", || e.read("new.txt").is_ok());
}
