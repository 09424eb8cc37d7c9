//! Rows as no Linux program would make them.

use inxtfs::fs::Error;
use inxtfs::names::RemoteName;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Kind, NodeId, Status};

use super::harness::{Engine, eventually, noise, patient};

#[test]
fn rows_of_one_display_name_are_all_there_and_readable() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let split = RemoteName { stem: "a".to_owned(), ext: Some("b".to_owned()) };
    cloud.add_file(&root, RemoteName::whole("a.b"), b"whole");
    cloud.add_file(&root, split, b"split");
    cloud.add_folder(&root, "a.b");
    cloud.race_next_create();
    let mut e = Engine::over(cloud, patient());
    let names = e.ls("");
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&"a.b".to_owned()));
    let mut contents: Vec<_> = e.tree().into_values().flatten().collect();
    contents.sort();
    assert_eq!(contents, ["split", "whole"]);
    e.polls(2);
    e.restart();
    assert_eq!(e.ls(""), names);
    e.drain();
    assert_eq!(e.sent(), []);
    // Content goes to the row itself, under the name it has there.
    let stand_in = names.iter().find(|n| n.contains(" (") && e.read(n).is_ok()).unwrap().clone();
    e.put(&stand_in, b"changed").unwrap();
    e.drain();
    let rows: Vec<_> = e.cloud.tree().into_iter().filter(|(_, r)| r.kind == Kind::File).collect();
    assert!(rows.iter().all(|(path, _)| path == "a.b"), "{rows:?}");
    assert!(rows.iter().any(|(_, r)| e.cloud.content(&r.id).unwrap() == "changed"));
}

#[test]
fn names_that_cannot_be_shown_have_stand_ins_that_are_never_sent() {
    let odd = ["", ".", "..", "a/b", "nul\0byte", &"x".repeat(300)];
    let cloud = Memory::new();
    let root = cloud.account().root;
    let target = cloud.add_folder(&root, "target");
    for name in odd {
        cloud.add_file(&root, RemoteName::whole(name), name.as_bytes());
        let folder = cloud.add_folder(&root, name);
        cloud.add_file(&folder.id, RemoteName::split("inside.txt"), b"inside");
    }
    let mut e = Engine::over(cloud, patient());
    let tree = e.tree();
    assert_eq!(tree.len(), 1 + 3 * odd.len(), "{tree:#?}");
    assert!(e.ls("").iter().all(|n| n.len() <= 255 && !n.contains(['/', '\0'])));
    e.restart();
    e.polls(2);
    assert_eq!(e.tree(), tree);
    // Changing content and moving keep the name there.
    let names = e.ls("");
    let file = names.iter().find(|n| n.starts_with("a_b") && e.read(n).is_ok()).unwrap();
    e.put(file, b"changed").unwrap();
    e.rename(file, &format!("target/{file}")).unwrap();
    e.drain();
    let moved = e.cloud.rows().into_iter().find(|r| r.parent.as_ref() == Some(&target.id)).unwrap();
    assert_eq!(moved.name.display(), "a/b");
    assert_eq!(e.cloud.content(&moved.id).unwrap(), "changed");
    // A rename by the user gives a real one.
    e.rename(&format!("target/{file}"), "good.txt").unwrap();
    e.drain();
    assert_eq!(e.row("good.txt").id, moved.id);
}

#[test]
fn what_cannot_be_read_is_listed_and_can_be_rewritten_whole() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let row = cloud.add_file(&root, RemoteName::split("v1.bin"), &noise(1000, 1));
    cloud.edit_row(&row.id, |r| r.readable = false);
    let e = Engine::over(cloud, patient());
    assert_eq!(e.stat("v1.bin").unwrap().size, 1000);
    assert!(matches!(e.read("v1.bin"), Err(Error::Io(_))));
    assert!(matches!(e.patch("v1.bin", 3, b"x"), Err(Error::Io(_))));
    e.drain();
    assert_eq!(e.sent(), []);
    // Moved it can be, also over another.
    e.put("other", b"x").unwrap();
    e.drain();
    e.rename("v1.bin", "other").unwrap();
    e.drain();
    assert_eq!(e.row("other").id, row.id);
    e.put("other", b"rewritten").unwrap();
    e.drain();
    assert_eq!(e.row("other").id, row.id);
    assert_eq!(e.cloud.files()["other"], "rewritten");
}

#[test]
fn what_lies_below_something_trashed_or_nowhere_is_hidden() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let gone = cloud.add_folder(&root, "gone");
    let deep = cloud.add_folder(&gone.id, "deep");
    cloud.add_file(&deep.id, RemoteName::split("f"), b"x");
    cloud.edit_row(&gone.id, |r| r.status = Status::Trashed);
    cloud.add_file(&NodeId::from("11111111-0000-4000-8000-000000000000"), RemoteName::split("orphan"), b"x");
    cloud.add_file(&root, RemoteName::split("seen"), b"x");
    let mut e = Engine::over(cloud, patient());
    assert_eq!(e.ls(""), ["seen"]);
    e.restart();
    e.polls(2);
    assert_eq!(e.ls(""), ["seen"]);
    // Restored, it shows with all below it.
    e.cloud.edit_row(&gone.id, |r| r.status = Status::Exists);
    eventually("it shows", || e.exists("gone/deep/f"));
    assert_eq!(e.read("gone/deep/f").unwrap(), "x");
    e.drain();
    assert_eq!(e.sent(), []);
}

#[test]
fn cycles_that_others_made_are_out_of_the_way_and_hang_nothing() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let a = cloud.add_folder(&root, "a");
    let b = cloud.add_folder(&a.id, "b");
    cloud.add_file(&b.id, RemoteName::split("f"), b"x");
    let mut e = Engine::over(cloud, patient());
    assert!(e.exists("a/b/f"));
    e.cloud.edit_row(&a.id, |r| r.parent = Some(b.id.clone()));
    eventually("it is out of the way", || !e.exists("a"));
    e.put("g", b"x").unwrap();
    e.mkdir("d").unwrap();
    e.rename("d", "e").unwrap();
    e.drain();
    e.restart();
    assert_eq!(e.ls(""), ["e", "g", "lost+found"]);
    // Undone, it shows again.
    let root = e.cloud_root();
    e.cloud.edit_row(&a.id, |r| r.parent = Some(root));
    eventually("it shows again", || e.exists("a/b/f"));
}

#[test]
fn a_double_of_a_race_shows_under_a_stand_in() {
    let e = Engine::new();
    e.put("noext", b"mine").unwrap();
    e.drain();
    let mut double = e.row("noext");
    double.id = NodeId::from("22222222-0000-4000-8000-000000000000");
    double.content = None;
    double.size = 0;
    double.updated = e.cloud.now();
    e.cloud.insert_row(double, None);
    eventually("both are listed", || e.ls("").len() == 2);
    assert_eq!(e.read("noext").unwrap(), "mine");
    e.drain();
}
