//! Folders that lie below themselves, since several clients moved them at one time.

use std::time::Duration;

use inxtfs::fs::{Config, Error};
use inxtfs::names::RemoteName;
use inxtfs::remote::Method as M;
use inxtfs::remote::memory::Memory;
use inxtfs::types::Row;

use super::harness::{Engine, TRUNCATE, eventually, patient};

/// A drive with `a/inside` and `b/inside`, known.
fn two_folders(config: Config) -> (Engine, Row, Row) {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let (a, b) = (cloud.add_folder(&root, "a"), cloud.add_folder(&root, "b"));
    for folder in [&a, &b] {
        cloud.add_file(&folder.id, RemoteName::whole("inside"), folder.name.stem.as_bytes());
    }
    let e = Engine::over(cloud, config);
    assert_eq!(e.tree().len(), 4);
    (e, a, b)
}

/// Others move each of two folders into the other.
fn ring(e: &Engine, a: &Row, b: &Row) {
    e.foreign_move(a, &b.id, "a");
    e.foreign_move(b, &a.id, "b");
    eventually("the ring is seen", || e.exists("lost+found"));
}

/// Both sides agree, and nothing is in a ring.
fn open_again(e: &Engine, folders: usize) {
    e.converged();
    let paths = e.cloud.tree();
    assert_eq!(paths.iter().filter(|(_, r)| r.name.stem == "inside").count(), 2, "{paths:?}");
    assert_eq!(paths.len(), folders + 2, "{paths:?}");
    assert!(!e.exists("lost+found"));
}

#[test]
fn a_ring_that_others_made_hangs_from_the_recovery_folder_and_pushes_nothing() {
    let (mut e, a, b) = two_folders(patient());
    ring(&e, &a, &b);
    for _ in 0..2 {
        assert_eq!(e.ls(""), ["lost+found"]);
        let top = e.ls("lost+found").remove(0);
        let (top, inner) = if top == "a" { ("a", "b") } else { ("b", "a") };
        assert_eq!(e.ls(&format!("lost+found/{top}")), [inner, "inside"]);
        assert_eq!(e.read(&format!("lost+found/{top}/inside")).unwrap(), top);
        assert_eq!(e.read(&format!("lost+found/{top}/{inner}/inside")).unwrap(), inner);
        assert_eq!(e.ls(&format!("lost+found/{top}/{inner}")), ["inside"]);
        e.polls(2);
        e.restart();
    }
    e.drain();
    assert_eq!(e.sent(), []);
}

#[test]
fn the_recovery_folder_takes_nothing_in() {
    let (e, a, b) = two_folders(patient());
    ring(&e, &a, &b);
    e.put("f", b"x").unwrap();
    assert!(matches!(e.create("lost+found/new", TRUNCATE), Err(Error::ReadOnly)));
    assert!(matches!(e.mkdir("lost+found/new"), Err(Error::ReadOnly)));
    assert!(matches!(e.rename("f", "lost+found/f"), Err(Error::ReadOnly)));
    assert!(matches!(e.rename("lost+found", "other"), Err(Error::ReadOnly)));
    assert!(matches!(e.rmdir("lost+found"), Err(Error::NotPermitted)));
    let top = e.ls("lost+found").remove(0);
    assert!(matches!(e.rmdir(&format!("lost+found/{top}")), Err(Error::NotPermitted)));
    // A folder in it is a folder of the server's, and takes things.
    e.put(&format!("lost+found/{top}/new"), b"new").unwrap();
    e.drain();
    assert!(e.cloud.rows().iter().any(|r| r.name.stem == "new"));
}

#[test]
fn what_is_moved_out_of_a_ring_opens_it() {
    for deep in [false, true] {
        let (e, a, b) = two_folders(patient());
        ring(&e, &a, &b);
        let top = e.ls("lost+found").remove(0);
        let inner = if top == "a" { "b" } else { "a" };
        if deep {
            e.rename(&format!("lost+found/{top}/{inner}"), "out").unwrap();
        } else {
            e.rename(&format!("lost+found/{top}"), "out").unwrap();
            assert!(!e.exists("lost+found"), "it is there only while it has something in it");
        }
        e.drain();
        eventually("the ring is open", || !e.exists("lost+found"));
        open_again(&e, 2);
        assert_eq!(e.ls(""), ["out"]);
        assert_eq!(e.cloud.count(M::Relocate), 3, "theirs and one of ours");
    }
}

#[test]
fn a_ring_that_others_open_leaves_the_recovery_folder() {
    let (e, a, b) = two_folders(patient());
    ring(&e, &a, &b);
    e.foreign_move(&a, &e.cloud_root(), "a");
    eventually("it shows again", || e.exists("a/b/inside") && !e.exists("lost+found"));
    open_again(&e, 2);
}

#[test]
fn a_folder_in_itself_is_a_ring() {
    let (e, a, _) = two_folders(patient());
    e.foreign_move(&a, &a.id, "a");
    eventually("it is seen", || e.exists("lost+found/a/inside"));
    assert_eq!(e.ls(""), ["b", "lost+found"]);
    e.rename("lost+found/a", "a").unwrap();
    open_again(&e, 2);
}

#[test]
fn a_real_lost_and_found_keeps_its_name() {
    // There before.
    let (e, a, b) = two_folders(patient());
    let real = e.cloud.add_folder(&e.cloud_root(), "lost+found");
    eventually("it is seen", || e.exists("lost+found"));
    e.foreign_move(&a, &b.id, "a");
    e.foreign_move(&b, &a.id, "b");
    eventually("the ring is seen", || e.exists("lost+found (inxtfs)"));
    assert_eq!(e.ls("lost+found"), [""; 0]);
    assert_eq!(e.row("lost+found").id, real.id);
    // Made by others after.
    let (e, a, b) = two_folders(patient());
    ring(&e, &a, &b);
    let real = e.cloud.add_folder(&e.cloud_root(), "lost+found");
    eventually("the recovery folder steps aside", || e.exists("lost+found (inxtfs)"));
    assert_eq!((e.ls("lost+found"), e.ls("lost+found (inxtfs)").len()), (vec![], 1));
    e.put("lost+found/f", b"x").unwrap();
    e.drain();
    assert_eq!(e.row("lost+found").id, real.id);
    assert_eq!(e.cloud.count(M::Mkdir), 0);
}

#[test]
fn a_move_that_their_move_turned_into_a_ring_is_not_sent() {
    let (e, a, b) = two_folders(patient());
    e.rename("a", "b/a").unwrap();
    e.foreign_move(&b, &a.id, "b");
    eventually("ours is taken back", || e.exists("a/b/inside"));
    e.converged();
    assert_eq!(e.ls("a"), ["b", "inside"]);
    let ours = e.cloud.calls().into_iter().filter(|c| c.client == "here" && c.method.mutates());
    assert_eq!(ours.count(), 0);
    open_again(&e, 2);
}

#[test]
fn a_ring_that_our_move_closed_is_opened_by_taking_it_back() {
    // Theirs is not heard of before ours is sent.
    let (e, a, b) = two_folders(Config { poll_interval: Duration::from_secs(3600), ..patient() });
    e.polls(1);
    e.cloud.set_events(false);
    e.foreign_move(&b, &a.id, "b");
    e.rename("a", "b/a").unwrap();
    e.drain();
    eventually("ours is taken back", || e.exists("a/b/inside"));
    open_again(&e, 2);
    assert_eq!(e.row("a").id, a.id);
}

#[test]
fn two_drives_that_move_folders_into_each_other_agree_in_the_end() {
    let config = Config { poll_interval: Duration::from_secs(3600), ..patient() };
    let (one, a, b) = two_folders(config.clone());
    let mut two = Engine::down(
        one.cloud.clone(),
        inxtfs::remote::fault::Fault::new(one.cloud.client("two"), 2),
        config,
    );
    two.start();
    two.hydrated();
    for e in [&one, &two] {
        e.polls(1);
    }
    one.cloud.set_events(false);
    one.rename("a", "b/a").unwrap();
    two.rename("b", "a/b").unwrap();
    one.drain();
    two.drain();
    for _ in 0..4 {
        for e in [&one, &two] {
            e.polls(1);
            e.drain();
        }
    }
    open_again(&one, 2);
    two.converged();
    assert_eq!(one.tree(), two.tree());
    let alive = |id| one.cloud.tree().iter().any(|(_, r)| r.id == id);
    assert!(alive(a.id) && alive(b.id));
}

#[test]
fn a_folder_waits_for_what_must_first_leave_it() {
    // `a` goes below `c`, which is in `b`, which leaves `a`: sent in another order, that would close a ring.
    let cloud = Memory::new();
    let root = cloud.account().root;
    let a = cloud.add_folder(&root, "a");
    let b = cloud.add_folder(&a.id, "b");
    let c = cloud.add_folder(&b.id, "c");
    cloud.add_file(&c.id, RemoteName::whole("inside"), b"x");
    cloud.add_file(&a.id, RemoteName::whole("inside"), b"x");
    let e = Engine::over(cloud, patient());
    e.rename("a/b", "b").unwrap();
    e.rename("a", "b/c/a").unwrap();
    let log = std::sync::Mutex::new(Vec::new());
    e.drain();
    log.lock().unwrap().extend(e.cloud.calls().into_iter().filter(|c| c.method == M::Relocate));
    let order: Vec<_> = log.into_inner().unwrap().into_iter().filter_map(|c| c.id).collect();
    assert_eq!(order, [b.id, a.id]);
    open_again(&e, 3);
}

#[test]
fn a_ring_of_two_thousand_levels_is_found() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let top = cloud.add_folder(&root, "top");
    let mut at = top.clone();
    for _ in 0..2000 {
        at = cloud.add_folder(&at.id, "d");
    }
    cloud.add_file(&root, RemoteName::whole("inside"), b"x");
    let e = Engine::over(cloud, patient());
    e.foreign_move(&top, &at.id, "top");
    eventually("the ring is seen", || e.exists("lost+found/top"));
    e.put("f", b"x").unwrap();
    e.foreign_move(&top, &e.cloud_root(), "top");
    eventually("and that it is open", || e.exists("top") && !e.exists("lost+found"));
    e.drain();
}

#[test]
fn a_folder_takes_the_place_of_the_one_it_lay_in() {
    // The delete waits until it has left, and it waits until the name is free.
    for below in ["a/c", "a/b/c"] {
        let e = Engine::new();
        e.mkdir("a").unwrap();
        e.mkdir("a/b").unwrap();
        e.mkdir("a/c").unwrap();
        if below != "a/c" {
            e.rename("a/c", below).unwrap();
        }
        e.put(&format!("{below}/f"), b"f").unwrap();
        e.converged();
        e.rename(below, "x").unwrap();
        e.rmdir("a/b").unwrap();
        e.rename("x", "a").unwrap();
        e.converged();
        assert_eq!(e.cloud_tree().keys().collect::<Vec<_>>(), ["a", "a/f"]);
    }
}

#[test]
fn a_file_goes_on_in_a_new_folder_that_replaces_its_own() {
    let e = Engine::new();
    e.mkdir("a").unwrap();
    e.put("a/f", b"f").unwrap();
    e.converged();
    e.rename("a/f", "x").unwrap();
    e.rmdir("a").unwrap();
    e.mkdir("a").unwrap();
    e.rename("x", "a/f").unwrap();
    e.converged();
    assert_eq!(e.cloud_tree().keys().collect::<Vec<_>>(), ["a", "a/f"]);
}

#[test]
fn a_file_that_replaced_another_goes_into_a_new_folder_of_its_former_name() {
    // The folder waits for the name, which a delete has; that waits for the bytes, and they for the folder.
    let e = Engine::new();
    e.mkdir("p").unwrap();
    e.put("p/f", b"f").unwrap();
    e.put("d", b"d").unwrap();
    e.converged();
    e.rename("p/f", "d").unwrap();
    e.mkdir("p/f").unwrap();
    e.rename("d", "p/f/x").unwrap();
    e.converged();
    assert_eq!(e.cloud.files().into_iter().collect::<Vec<_>>(), [("p/f/x".to_owned(), "f".into())]);
}

#[test]
fn a_folder_takes_the_name_of_one_that_went_into_it() {
    // The name is free once that one is in its place, which is in a folder that has no name yet.
    let e = Engine::new();
    e.mkdir("p").unwrap();
    e.mkdir("x").unwrap();
    e.put("x/f", b"f").unwrap();
    e.converged();
    e.rename("x", "p/y").unwrap();
    e.rename("p", "x").unwrap();
    e.converged();
    assert_eq!(e.cloud_tree().keys().collect::<Vec<_>>(), ["x", "x/y", "x/y/f"]);
}
