//! The trash as file managers use it: mkdir, a note that must be new, a rename; and the way back.

use inxtfs::fs::{Config, Error, OpenFlags};
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::Action;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Kind, Status};

use super::harness::{Engine, WRITE, eventually, patient};

fn trash() -> String {
    format!(".Trash-{}", rustix::process::geteuid().as_raw())
}

/// As GLib does it.
fn put_in_trash(e: &Engine, path: &str) -> String {
    let trash = trash();
    for folder in [trash.clone(), format!("{trash}/files"), format!("{trash}/info")] {
        assert!(matches!(e.mkdir(&folder), Err(Error::Exists)), "{folder}");
    }
    let name = path.rsplit('/').next().unwrap();
    let info = format!("{trash}/info/{name}.trashinfo");
    let fh = e.create(&info, OpenFlags { exclusive: true, ..WRITE }).unwrap();
    let told = format!("[Trash Info]\nPath={path}\nDeletionDate=2026-08-01T10:00:00\n");
    e.write_fh(fh, 0, told.as_bytes()).unwrap();
    e.close(fh).unwrap();
    let inside = format!("{trash}/files/{name}");
    e.rename(path, &inside).unwrap();
    inside
}

/// As GLib takes it out again.
fn take_out(e: &Engine, inside: &str, path: &str) {
    e.rename(inside, path).unwrap();
    let name = inside.rsplit('/').next().unwrap();
    e.unlink(&format!("{}/info/{name}.trashinfo", trash())).unwrap();
}

fn ls(e: &Engine, folder: &str) -> Vec<String> {
    e.ls(&format!("{}/{folder}", trash()))
}

#[test]
fn what_a_file_manager_trashes_is_one_delete_and_can_be_looked_at() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.mkdir("d/sub").unwrap();
    e.put("d/sub/a.txt", b"content").unwrap();
    e.put("d/b.txt", b"other").unwrap();
    e.drain();
    let row = e.row("d");
    e.cloud.clear_calls();
    let inside = put_in_trash(&e, "d");
    assert!(!e.exists("d"));
    assert_eq!((ls(&e, "files"), ls(&e, "info")), (vec!["d".to_owned()], vec!["d.trashinfo".to_owned()]));
    e.drain();
    assert_eq!(e.cloud.row(&row.id).unwrap().status, Status::Trashed);
    assert_eq!((e.cloud.count(M::Trash), e.cloud.count(M::Delete)), (1, 0));
    assert_eq!(e.cloud_tree().len(), 0);
    assert_eq!(e.read(&format!("{inside}/sub/a.txt")).unwrap(), "content");
    assert_eq!(e.tree().len(), 0, "the trash is found by name and not listed");
}

#[test]
fn what_is_taken_out_of_the_trash_before_it_was_sent_costs_nothing() {
    let e = Engine::new();
    e.put("a.txt", b"content").unwrap();
    e.drain();
    e.cloud.clear_calls();
    let inside = put_in_trash(&e, "a.txt");
    take_out(&e, &inside, "a.txt");
    e.drain();
    assert_eq!(e.read("a.txt").unwrap(), "content");
    assert_eq!(e.cloud.count(M::Trash) + e.cloud.count(M::Relocate), 0);
    assert!(ls(&e, "files").is_empty() && ls(&e, "info").is_empty());
}

#[test]
fn what_is_taken_out_of_the_trash_later_is_moved_out_of_it_there() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.mkdir("other").unwrap();
    e.put("d/a.txt", b"content").unwrap();
    e.drain();
    let row = e.row("d");
    let inside = put_in_trash(&e, "d");
    e.drain();
    e.polls(2);
    take_out(&e, &inside, "other/again");
    e.drain();
    e.polls(2);
    assert_eq!(e.row("other/again").id, row.id);
    assert_eq!(e.cloud.files()["other/again/a.txt"], "content");
    assert_eq!(e.read("other/again/a.txt").unwrap(), "content");
    assert!(ls(&e, "files").is_empty());
}

#[test]
fn what_was_not_sent_yet_lies_in_the_trash_unsent_and_comes_back_whole() {
    let mut e = Engine::new();
    e.mkdir("known").unwrap();
    e.put("known/edited.txt", b"before").unwrap();
    e.put("edited.txt", b"before").unwrap();
    e.drain();
    e.mkdir("new").unwrap();
    e.put("new/a.txt", b"new").unwrap();
    e.put("new.txt", b"new").unwrap();
    for path in ["edited.txt", "known/edited.txt"] {
        e.put(path, b"after").unwrap();
    }
    e.cloud.clear_calls();
    let all = ["known", "new", "new.txt", "edited.txt"];
    let inside = all.map(|path| put_in_trash(&e, path));
    e.drain();
    assert_eq!((e.cloud.count(M::Put), e.cloud.count(M::Create), e.cloud.count(M::Mkdir)), (0, 0, 0));
    assert!(e.cloud_tree().is_empty());
    e.restart();
    e.polls(2);
    for (path, inside) in all.iter().zip(&inside) {
        take_out(&e, inside, path);
    }
    e.drain();
    for (path, content) in
        [("known/edited.txt", "after"), ("new/a.txt", "new"), ("new.txt", "new"), ("edited.txt", "after")]
    {
        assert_eq!(e.read(path).unwrap(), content, "{path}");
        assert_eq!(e.cloud.files()[path], content, "{path}");
    }
}

#[test]
fn what_is_removed_from_the_trash_is_deleted_for_good() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.put("d/a.txt", b"content").unwrap();
    e.put("b.txt", b"content").unwrap();
    e.drain();
    let (folder, inner, file) = (e.row("d"), e.row("d/a.txt"), e.row("b.txt"));
    put_in_trash(&e, "d");
    put_in_trash(&e, "b.txt");
    e.put("new.txt", b"never sent").unwrap();
    put_in_trash(&e, "new.txt");
    e.drain();
    e.cloud.clear_calls();
    let files = format!("{}/files", trash());
    assert!(matches!(e.rmdir(&format!("{files}/d")), Err(Error::NotEmpty)));
    e.remove_all(&format!("{files}/d")).unwrap();
    e.unlink(&format!("{files}/b.txt")).unwrap();
    e.unlink(&format!("{files}/new.txt")).unwrap();
    e.drain();
    assert!(ls(&e, "files").is_empty());
    assert!(e.cloud.row(&folder.id).is_none_or(|r| r.status == Status::Deleted));
    assert_eq!(e.cloud.row(&file.id).unwrap().status, Status::Deleted);
    assert_eq!(
        (e.cloud.count(M::Delete), e.cloud.count(M::Trash)),
        (2, 0),
        "one a thing, however much is in it"
    );
    e.polls(2);
    assert!(!e.exists("d") && !e.exists("b.txt"));
    drop(inner);
}

#[test]
fn what_is_put_where_it_is_expunged_is_deleted_for_good_with_all_below() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.put("d/a.txt", b"content").unwrap();
    e.drain();
    e.put("d/new.txt", b"never sent").unwrap();
    let folder = e.row("d");
    let inside = put_in_trash(&e, "d");
    e.rename(&inside, &format!("{}/expunged/123", trash())).unwrap();
    assert!(ls(&e, "expunged").is_empty() && ls(&e, "files").is_empty());
    e.drain();
    assert!(e.cloud.row(&folder.id).is_none_or(|r| r.status == Status::Deleted));
    eventually("what was never sent is let go", || e.fs().status().staged == 0);
}

#[test]
fn a_delete_for_good_gives_way_to_who_took_it_out_elsewhere() {
    let e = Engine::new();
    e.put("a.txt", b"content").unwrap();
    e.drain();
    let row = e.row("a.txt");
    let inside = put_in_trash(&e, "a.txt");
    e.drain();
    e.fault.set_offline(true);
    e.unlink(&inside).unwrap();
    e.foreign_move(&row, &e.cloud_root(), "a.txt");
    e.fault.set_offline(false);
    e.drain();
    e.polls(2);
    assert_eq!(e.cloud.files()["a.txt"], "content");
    assert_eq!(e.read("a.txt").unwrap(), "content");
}

#[test]
fn what_is_in_the_trash_survives_a_kill_and_goes_when_the_network_is_back() {
    let mut e = Engine::new();
    e.put("a.txt", b"content").unwrap();
    e.drain();
    let row = e.row("a.txt");
    e.fault.set_offline(true);
    e.put("new.txt", b"never sent").unwrap();
    put_in_trash(&e, "a.txt");
    put_in_trash(&e, "new.txt");
    e.kill();
    e.start();
    assert_eq!(ls(&e, "files"), ["a.txt", "new.txt"]);
    assert_eq!(ls(&e, "info"), ["a.txt.trashinfo", "new.txt.trashinfo"]);
    assert!(!e.exists("a.txt") && !e.exists("new.txt"));
    e.fault.set_offline(false);
    e.drain();
    assert_eq!(e.cloud.row(&row.id).unwrap().status, Status::Trashed);
    take_out(&e, &format!("{}/files/new.txt", trash()), "new.txt");
    assert_eq!(e.read("new.txt").unwrap(), "never sent");
}

#[test]
fn what_they_take_out_of_the_trash_or_delete_there_leaves_it_here() {
    let e = Engine::new();
    for name in ["back.txt", "gone.txt"] {
        e.put(name, b"content").unwrap();
    }
    e.drain();
    let (back, gone) = (e.row("back.txt"), e.row("gone.txt"));
    put_in_trash(&e, "back.txt");
    put_in_trash(&e, "gone.txt");
    e.drain();
    e.foreign_move(&back, &e.cloud_root(), "back.txt");
    e.foreign_delete(&gone);
    eventually("both are seen", || {
        e.fs().refresh_soon();
        ls(&e, "files").is_empty()
    });
    assert_eq!(ls(&e, "info"), Vec::<String>::new());
    assert_eq!(e.read("back.txt").unwrap(), "content");
    assert!(!e.exists("gone.txt"));
}

#[test]
fn what_they_put_into_a_folder_that_a_file_manager_trashes_lives() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.put("d/a.txt", b"content").unwrap();
    e.drain();
    let row = e.row("d");
    put_in_trash(&e, "d");
    e.foreign_file(&row.id, "theirs.txt", b"theirs");
    e.drain();
    e.polls(2);
    assert_eq!(e.cloud.files()["d/theirs.txt"], "theirs");
    assert_eq!(e.read("d/theirs.txt").unwrap(), "theirs");
    assert!(e.exists("d/a.txt") && ls(&e, "files").is_empty(), "the folder stays, and all in it");
}

#[test]
fn a_folder_in_the_trash_counts_with_all_below_it_and_is_held_back_and_taken_back() {
    let config = Config { brake_count: 3, brake_percent: 20, ..patient() };
    let e = Engine::over(Memory::new(), config);
    e.mkdir("d").unwrap();
    for n in 0..5 {
        e.put(&format!("d/{n}.txt"), b"content").unwrap();
    }
    e.drain();
    e.put("d/0.txt", b"edited, not sent").unwrap();
    e.cloud.clear_calls();
    put_in_trash(&e, "d");
    let held = e.drained().brake.unwrap();
    assert_eq!((held.removed, e.cloud.count(M::Trash)), (6, 0));
    assert_eq!(e.block_on(e.fs().restore_pending()).unwrap(), (1, 0));
    assert_eq!(e.ls("d").len(), 5);
    assert!(ls(&e, "files").is_empty() && ls(&e, "info").is_empty());
    e.drain();
    assert_eq!(e.cloud.files()["d/0.txt"], "edited, not sent");
}

#[test]
fn while_deletes_are_held_back_nothing_is_deleted_for_good() {
    let config = Config { brake_count: 3, brake_percent: 20, ..patient() };
    let e = Engine::over(Memory::new(), config);
    e.put("old.txt", b"content").unwrap();
    e.mkdir("d").unwrap();
    for n in 0..5 {
        e.put(&format!("d/{n}.txt"), b"content").unwrap();
    }
    e.drain();
    let old = e.row("old.txt");
    let inside = put_in_trash(&e, "old.txt");
    e.drain();
    put_in_trash(&e, "d");
    assert!(e.drained().brake.is_some());
    e.unlink(&inside).unwrap();
    let status = e.drained();
    assert_eq!((status.totals.items, status.totals.blocked), (2, 2));
    assert_eq!(e.cloud.row(&old.id).unwrap().status, Status::Trashed);
    e.fs().resume_deletes().unwrap();
    e.drain();
    assert_eq!(e.cloud.row(&old.id).unwrap().status, Status::Deleted);
}

#[test]
fn an_answer_that_was_lost_on_the_way_into_the_trash_and_out_of_it_loses_nothing() {
    let e = Engine::new();
    e.put("a.txt", b"content").unwrap();
    e.drain();
    let row = e.row("a.txt");
    let inside = put_in_trash(&e, "a.txt");
    e.fault.script(M::Trash, 1, Action::Lost);
    e.begin_drain();
    eventually("it is in the trash there", || e.cloud.row(&row.id).unwrap().status == Status::Trashed);
    take_out(&e, &inside, "a.txt");
    e.drain();
    e.polls(3);
    assert_eq!(e.cloud.files()["a.txt"], "content");
    assert_eq!(e.read("a.txt").unwrap(), "content");
}

#[test]
fn nobodys_trash_is_made_in_the_cloud_and_a_real_one_has_another_name() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let theirs = cloud.add_folder(&root, &trash());
    cloud.add_file(&theirs.id, inxtfs::names::RemoteName::split("old.txt"), b"old");
    let e = Engine::over(cloud, patient());
    let shown = format!("{} ({}", trash(), theirs.id.as_str());
    assert!(e.ls("").iter().any(|n| n.starts_with(&shown)), "{:?}", e.ls(""));
    assert!(e.entries(&trash()).unwrap().iter().all(|x| x.attr.kind == Kind::Folder && x.attr.private));
    for name in [".Trash", ".Trash-4242"] {
        assert!(!e.exists(name));
        assert!(matches!(e.mkdir(name), Err(Error::NotPermitted)), "{name}");
    }
    assert!(matches!(e.rmdir(&trash()), Err(Error::Busy)));
    e.drain();
    assert_eq!(e.cloud.tree().len(), 2);
}

#[test]
fn what_the_drive_is_called_can_be_read_and_is_not_listed_and_a_real_file_goes_first() {
    let e = Engine::new();
    let told = e.read(".xdg-volume-info").unwrap();
    assert!(told.starts_with(b"[Volume Info]\nName=Internxt Drive ("), "{told:?}");
    assert!(e.ls("").is_empty());
    assert!(matches!(e.open(".xdg-volume-info", WRITE), Err(Error::ReadOnly)));
    assert!(matches!(e.unlink(".xdg-volume-info"), Err(Error::NotPermitted)));
    e.foreign_file(&e.cloud_root(), ".xdg-volume-info", b"theirs");
    e.polls(2);
    assert_eq!(e.read(".xdg-volume-info").unwrap(), "theirs");
}

#[test]
fn what_others_trashed_is_in_the_trash_and_can_be_taken_out_of_it_here() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let before = cloud.add_file(&root, inxtfs::names::RemoteName::split("before.txt"), b"before");
    cloud.edit_row(&before.id, |row| row.status = Status::Trashed);
    let e = Engine::over(cloud, patient());
    e.mkdir("d").unwrap();
    e.put("d/a.txt", b"theirs").unwrap();
    e.put("a.txt", b"rm").unwrap();
    e.drain();
    let theirs = e.row("d/a.txt");
    e.foreign_trash(&theirs);
    e.unlink("a.txt").unwrap();
    e.drain();
    e.polls(2);
    let mut shown = Vec::new();
    eventually("all three are shown", || {
        shown = ls(&e, "files");
        shown.len() == 3
    });
    let inside = |start: &str| {
        let name = shown.iter().find(|n| n.starts_with(start) && *n != "a.txt").unwrap();
        format!("{}/files/{name}", trash())
    };
    let told = e.read(&format!("{}/info/before.txt.trashinfo", trash())).unwrap();
    assert!(told.starts_with(b"[Trash Info]\nPath=before.txt\nDeletionDate="), "{told:?}");
    assert_eq!(e.read(&inside("before")).unwrap(), "before");
    take_out(&e, &inside("before"), "d/before.txt");
    // Of two of one name, one has the row's identity in its own.
    take_out(&e, &inside("a ("), "again.txt");
    e.drain();
    e.polls(2);
    assert_eq!(e.cloud.files()["d/before.txt"], "before");
    assert_eq!(ls(&e, "files"), ["a.txt"]);
    e.unlink(&format!("{}/files/a.txt", trash())).unwrap();
    e.drain();
    assert!(ls(&e, "files").is_empty());
    assert_eq!(e.cloud.files().len(), 2);
}
