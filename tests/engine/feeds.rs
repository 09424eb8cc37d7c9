//! Feeds that lie.

use std::collections::HashMap;

use inxtfs::names::RemoteName;
use inxtfs::remote::Cursor;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Kind, Status, Timestamp};

use super::harness::{Engine, eventually, patient};
use super::liar::Liar;

/// 2099-01-01.
const FAR: i64 = 4_070_908_800_000;

/// A drive of three files, known.
fn with_a_liar() -> (Engine, std::sync::Arc<Liar>) {
    let cloud = Memory::new();
    for name in ["a", "b", "c"] {
        cloud.add_file(&cloud.account().root, RemoteName::whole(name), name.as_bytes());
    }
    let (mut e, liar) = Liar::engine(&cloud);
    e.start();
    e.hydrated();
    e.polls(1);
    (e, liar)
}

fn troubled(e: &Engine) -> bool {
    e.fs().status().warning.is_some_and(|w| w.contains("list of changes"))
}

#[test]
fn a_feed_that_repeats_its_page_for_ever_is_told_and_followed_again_when_it_ends() {
    let (e, liar) = with_a_liar();
    let mut first = HashMap::new();
    liar.lie(move |kind, from, mut page| {
        if from.skip == 0 {
            first.insert(kind, page.rows.clone());
        }
        page.rows = first[&kind].clone();
        page.next = Some(Cursor { after: from.after, skip: from.skip + 1 });
        page
    });
    e.foreign_file(&e.cloud_root(), "d", b"d");
    eventually("it is told", || troubled(&e));
    // What it did say counts, and the drive works meanwhile.
    eventually("what it said is seen", || e.exists("d"));
    e.put("mine", b"mine").unwrap();
    e.drain();
    liar.repent();
    e.foreign_file(&e.cloud_root(), "e", b"e");
    eventually("the next look goes on", || e.exists("e") && !troubled(&e));
    e.converged();
}

#[test]
fn a_cursor_that_goes_back_is_told_and_followed_again_when_it_does_not() {
    let (e, liar) = with_a_liar();
    liar.lie(|_, from, mut page| {
        let back = from.after.map_or(0, |t| t.as_millis() - 1000);
        page.next = Some(Cursor::since(Timestamp::from_millis(back)));
        page
    });
    e.foreign_file(&e.cloud_root(), "d", b"d");
    eventually("it is told", || troubled(&e));
    liar.repent();
    eventually("the next look goes on", || !troubled(&e));
    e.converged();
}

#[test]
fn empty_pages_that_go_on_are_told() {
    let (e, liar) = with_a_liar();
    liar.lie(|_, from, mut page| {
        page.rows.clear();
        page.next = Some(Cursor { after: from.after, skip: from.skip + 1 });
        page
    });
    e.foreign_file(&e.cloud_root(), "d", b"d");
    eventually("it is told", || troubled(&e));
    liar.repent();
    eventually("the next look goes on", || e.exists("d"));
    e.converged();
}

#[test]
fn a_first_reading_of_the_tree_that_is_led_in_circles_begins_again() {
    let cloud = Memory::new();
    for n in 0..20 {
        cloud.add_file(&cloud.account().root, RemoteName::whole(&format!("f{n}")), b"x");
    }
    cloud.set_page(4);
    let (mut e, liar) = Liar::engine(&cloud);
    liar.lie(|_, from, mut page| {
        page.next = page.next.map(|_| from);
        page
    });
    e.start();
    eventually("it is told", || troubled(&e));
    assert!(!e.fs().status().hydrated);
    liar.repent();
    e.hydrated();
    assert_eq!(e.ls("").len(), 20);
    e.converged();
}

#[test]
fn pages_of_any_size_are_followed_to_the_end() {
    let cloud = Memory::new();
    for n in 0..20 {
        cloud.add_file(&cloud.account().root, RemoteName::whole(&format!("f{n}")), b"x");
    }
    cloud.set_page(1);
    let e = Engine::over(cloud, patient());
    assert_eq!(e.ls("").len(), 20);
    for n in 0..20 {
        e.foreign_file(&e.cloud_root(), &format!("g{n}"), b"x");
    }
    e.cloud.set_page(7);
    eventually("all are seen", || e.ls("").len() == 40);
    e.converged();
}

#[test]
fn a_stamp_from_the_future_blinds_nobody() {
    let (mut e, _) = with_a_liar();
    let far = e.row("b");
    e.cloud.edit_row(&far.id, |r| r.updated = Timestamp::from_millis(FAR));
    e.foreign_file(&e.cloud_root(), "d", b"d");
    eventually("what comes after it is seen", || e.exists("d"));
    e.restart();
    e.foreign_file(&e.cloud_root(), "e", b"e");
    eventually("also after a restart", || e.exists("e"));
    // The row itself is followed, too, once its stamp is a true one.
    e.cloud.edit_row(&far.id, |r| r.name = RemoteName::whole("b2"));
    eventually("so is the row", || e.exists("b2") && !e.exists("b"));
    e.converged();
}

#[test]
fn a_row_whose_stamp_went_back_is_read_again() {
    let (e, _) = with_a_liar();
    let row = e.row("c");
    let back = Timestamp::from_millis(row.updated.as_millis() - 2);
    e.cloud.edit_row(&row.id, |r| {
        r.name = RemoteName::whole("c2");
        r.updated = back;
    });
    // Something that makes the feeds be looked at.
    e.foreign_file(&e.cloud_root(), "d", b"d");
    eventually("it is seen", || e.exists("c2") && !e.exists("c"));
    e.converged();
}

#[test]
fn a_row_that_a_feed_leaves_out_is_not_deleted() {
    let (e, liar) = with_a_liar();
    liar.lie(|kind, _, mut page| {
        page.rows.retain(|r| kind == Kind::Folder || r.name.stem != "b");
        page
    });
    e.foreign_file(&e.cloud_root(), "d", b"d");
    eventually("the others are seen", || e.exists("d"));
    e.polls(2);
    assert_eq!(e.ls(""), ["a", "b", "c", "d"]);
    assert_eq!(e.read("b").unwrap(), "b");
    e.converged();
}

#[test]
fn what_they_put_into_a_folder_whose_making_was_not_confirmed_appears() {
    use inxtfs::remote::Method as M;
    use inxtfs::remote::fault::Action;
    let (e, _) = with_a_liar();
    e.fault.script(M::Mkdir, 1, Action::Lost);
    // Finding out what became of it fails until the child has been heard of.
    e.mkdir("dir").unwrap();
    let fs = e.fs().clone();
    let draining = std::thread::spawn({
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        move || rt.block_on(async move { fs.drain().await })
    });
    let made = || e.cloud.tree().into_iter().find(|(p, _)| p == "dir").map(|(_, r)| r);
    eventually("it is made", || made().is_some());
    e.fault.always(M::Find, Action::Offline);
    e.foreign_file(&made().unwrap().id, "theirs", b"theirs");
    e.polls(2);
    e.fault.clear();
    draining.join().unwrap();
    eventually("it appears", || e.exists("dir/theirs"));
    e.converged();
}

#[test]
fn a_folder_in_the_trash_stays_there_when_the_one_it_lies_in_is_told_after_it() {
    let there = Engine::new();
    let (cloud, root) = (there.cloud.clone(), there.cloud_root());
    let outer = cloud.add_folder(&root, "outer");
    let inner = cloud.add_folder(&outer.id, "inner");
    cloud.add_folder(&inner.id, "below");
    there.foreign_trash(&inner);
    there.foreign_trash(&outer);
    drop(there);
    let (mut e, liar) = Liar::engine(&cloud);
    // One row at a time, so that each folder comes after what lies in it.
    liar.lie(|kind, from, mut page| {
        if kind == Kind::Folder && page.rows.len() > 1 {
            page.rows.truncate(1);
            page.next = Some(Cursor { after: from.after, skip: from.skip + 1 });
        }
        page
    });
    e.start();
    e.hydrated();
    e.polls(2);
    let status = e.fs().status();
    assert_eq!(status.totals.items, 0, "{:#?}", status.queue);
    assert_eq!(e.ls(""), Vec::<String>::new());
    e.drain();
    assert_eq!(cloud.row(&inner.id).unwrap().status, Status::Trashed);
}
