//! Coming to know the tree, and hearing of changes.

use std::sync::Arc;
use std::time::Duration;

use inxtfs::fs::Config;
use inxtfs::names::RemoteName;
use inxtfs::remote::Method;
use inxtfs::remote::fault::Fault;
use inxtfs::remote::memory::Memory;
use inxtfs::types::Row;

use super::harness::{Engine, Recorder, eventually, patient};

/// Files enough for their feed to be cut in three, as pages are 1000 rows.
const MANY: usize = 2600;
/// Rows of the first two stretches, which are cut at rows 980 and 1960; the root's comes on top.
const STRETCH: usize = 980;

/// A drive of many files in one folder, not looked at yet.
fn large() -> (Engine, Vec<Row>) {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let add = |i| cloud.add_file(&root, RemoteName::split(&format!("f{i}.txt")), b"x");
    let rows = (0..MANY).map(add).collect();
    let fault = Fault::new(cloud.client("here"), 1);
    (Engine::down(cloud, fault, patient()), rows)
}

fn known(e: &Engine) -> usize {
    usize::try_from(e.fs().status().nodes).unwrap()
}

#[test]
fn a_long_feed_is_read_in_stretches_and_goes_on_where_it_was_interrupted() {
    let (mut e, _) = large();
    // The folders' page is the first; then come the three stretches.
    let (arrived, held) = e.fault.hold_at(Method::Changes, 4);
    e.start();
    arrived.blocking_recv().unwrap();
    eventually("the other stretches are known", || known(&e) == 2 + 2 * STRETCH);
    e.kill();
    drop(held);
    let before = e.fault.calls(Method::Changes);
    e.start();
    e.hydrated();
    assert_eq!(known(&e), 1 + MANY);
    // What was left, and the delta behind it.
    eventually("the delta is read", || e.fault.calls(Method::Changes) >= before + 3);
    assert_eq!(e.fault.calls(Method::Changes), before + 3);
    assert_eq!(e.ls("").len(), MANY);
    assert_eq!(e.cloud.count(Method::List), 0);
}

#[test]
fn what_changes_while_the_tree_is_read_in_stretches_is_seen() {
    let (mut e, rows) = large();
    let (arrived, held) = e.fault.hold_at(Method::Changes, 2);
    e.start();
    arrived.blocking_recv().unwrap();
    eventually("the last stretch is known to its end", || known(&e) == 1 + MANY - STRETCH);
    // It leaves the stretch that is not read yet for one that is.
    e.cloud.edit_row(&rows[7].id, |row| row.name = RemoteName::split("moved along.txt"));
    held.send(()).unwrap();
    e.hydrated();
    eventually("it is seen", || e.exists("moved along.txt"));
    assert_eq!(e.ls("").len(), MANY);
    e.converged();
}

#[test]
fn who_waits_for_a_folder_has_it_when_the_whole_tree_is_known() {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split("f.txt"), b"x");
    let fault = Fault::new(cloud.client("here"), 1);
    let mut e = Engine::down(cloud, fault, patient());
    // Of both feeds: that of files alone would tell of the file.
    let pages = [1, 2].map(|n| e.fault.hold_at(Method::Changes, n).1);
    let (asked, listing) = e.fault.hold_at(Method::List, 1);
    e.start();
    std::thread::scope(|s| {
        let waits = s.spawn(|| e.exists("f.txt"));
        asked.blocking_recv().unwrap();
        drop(pages);
        assert!(waits.join().unwrap());
    });
    drop(listing);
    assert!(e.fs().status().hydrated);
}

#[test]
fn a_folder_is_listed_at_once_while_the_whole_tree_is_being_read() {
    let (mut e, _) = large();
    let holds: Vec<_> = (1..=4).map(|n| e.fault.hold_at(Method::Changes, n)).collect();
    e.start();
    assert_eq!(e.ls("").len(), MANY);
    assert_eq!(e.ls("").len(), MANY);
    assert!(!e.exists("not there"));
    assert_eq!(e.cloud.count(Method::List), 1);
    for (_, release) in holds {
        let _ = release.send(());
    }
    e.hydrated();
    e.converged();
}

#[test]
fn the_kernel_keeps_answers_long_only_while_changes_are_heard_of() {
    let e = Engine::new();
    let kernel = Arc::new(Recorder::default());
    e.fs().attach_kernel(kernel.clone());
    let told = |what: &str| eventually(what, || kernel.last().as_deref() == Some(what));
    told("live true");
    e.fault.set_offline(true);
    told("live false");
    e.fault.set_offline(false);
    told("live true");
}

#[test]
fn announcements_spare_looks_until_they_end() {
    let quiet = Config { poll_interval: Duration::from_secs(3600), ..patient() };
    let e = Engine::over(Memory::new(), quiet);
    let looks = || e.fault.calls(Method::Newest) + e.fault.calls(Method::Changes);
    eventually("the first look is over", || e.fs().status().last_sync.is_some());
    e.cloud.add_file(&e.cloud_root(), RemoteName::split("told.txt"), b"x");
    eventually("it is told of", || e.exists("told.txt"));
    let before = looks();
    // What happens now is announced to nobody.
    e.cloud.set_events(false);
    eventually("a look follows at once", || looks() > before);
}

#[test]
fn own_changes_are_looked_at_by_probe_and_delta_and_no_folder_is_listed_again() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.put("d/f.txt", b"x").unwrap();
    e.drain();
    e.polls(2);
    let deltas = e.fault.calls(Method::Changes);
    // The probe shows what the last delta saw.
    e.polls(3);
    assert_eq!(e.fault.calls(Method::Changes), deltas);
    assert_eq!(e.cloud.count(Method::List), 0);
}
