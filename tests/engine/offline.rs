//! No network: at the start, in the middle, and when it is back.

use std::time::Duration;

use inxtfs::fs::{Config, Error, ItemState, SessionState};
use inxtfs::names::RemoteName;
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::{Action, Fault};
use inxtfs::remote::memory::Memory;

use super::harness::{Engine, READ, TRUNCATE, eager, eventually, patient};

fn is_offline(e: &Engine) -> bool {
    matches!(e.fs().status().session, SessionState::Offline { since, .. } if since > 0)
}

fn go_offline(e: &Engine) {
    e.fault.set_offline(true);
    eventually("the loss is noticed", || is_offline(e));
}

#[test]
fn a_start_without_a_network_shows_all_that_is_known_and_catches_up_by_itself() {
    let mut e = Engine::eager();
    for name in ["cached.txt", "moved.txt", "gone.txt"] {
        e.put(name, b"cached").unwrap();
    }
    e.drain();
    e.cloud.add_file(&e.cloud_root(), RemoteName::split("far.txt"), b"not here");
    eventually("it is known", || e.exists("far.txt"));
    e.stop();
    e.fault.set_offline(true);
    for _ in 0..2 {
        e.start();
        assert_eq!(e.read("cached.txt").unwrap(), "cached");
        assert!(matches!(e.read("far.txt"), Err(Error::Offline)));
        e.put("new.txt", b"written offline").unwrap();
        if e.exists("gone.txt") {
            e.rename("moved.txt", "there.txt").unwrap();
            e.unlink("gone.txt").unwrap();
        }
        eventually("the loss is noticed", || is_offline(&e));
        let SessionState::Offline { why, .. } = e.fs().status().session else { panic!("online?") };
        assert!(why.contains("switched off"), "{why}");
        assert_eq!(e.ls(""), ["cached.txt", "far.txt", "new.txt", "there.txt"]);
        e.stop();
    }
    e.start();
    eventually("the loss is noticed", || is_offline(&e));
    e.fault.set_offline(false);
    eventually("the queue is sent", || e.fs().status().totals.items == 0);
    assert_eq!(e.fs().status().session, SessionState::Online);
    e.converged();
    assert_eq!(e.cloud.files()["new.txt"], "written offline");
}

#[test]
fn nothing_is_known_of_a_tree_that_was_never_read_and_who_asks_is_told_at_once() {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split("f.txt"), b"there");
    let fault = Fault::new(cloud.client("here"), 1);
    fault.set_offline(true);
    let mut e = Engine::down(cloud, fault, patient());
    e.start();
    eventually("the loss is noticed", || is_offline(&e));
    assert!(matches!(e.entries(""), Err(Error::Offline)));
    assert!(matches!(e.stat("f.txt"), Err(Error::Offline)));
    assert!(matches!(e.put("f.txt", b"mine"), Err(Error::Offline)), "whether the name is free is not known");
    e.fault.set_offline(false);
    e.hydrated();
    assert_eq!(e.read("f.txt").unwrap(), "there");
}

/// A black hole: what is asked is never answered, while the service is known to be away.
#[test]
fn who_needs_the_network_while_it_is_known_to_be_away_does_not_wait_up_to_the_deadline() {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split("f.txt"), b"there");
    let e = Engine::over(cloud, patient());
    let fh = e.open("f.txt", READ).unwrap();
    go_offline(&e);
    for method in M::ALL {
        e.fault.always(method, Action::Delay(Duration::from_secs(3600)));
    }
    e.fault.set_offline(false);
    assert!(matches!(e.read_fh(fh, 0, 5), Err(Error::Offline)));
    assert!(is_offline(&e));
    e.put("mine.txt", b"queued").unwrap();
    assert_eq!(e.read("mine.txt").unwrap(), "queued");
}

/// The same, where the loss is found out while somebody waits.
#[test]
fn who_waits_when_the_network_goes_is_told_soon() {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split("f.txt"), b"there");
    let e = Engine::over(cloud, patient());
    e.fault.always(M::Read, Action::Delay(Duration::from_secs(3600)));
    for method in [M::Newest, M::Changes, M::Usage, M::Limits] {
        e.fault.always(method, Action::Offline);
    }
    assert!(matches!(e.read("f.txt"), Err(Error::Offline)));
}

#[test]
fn what_failed_while_the_network_was_away_does_not_sit_its_wait_out_when_it_is_back() {
    // A wait between two tries is an hour or more.
    let e = Engine::over(Memory::new(), Config { pace: Duration::from_secs(3600), ..eager() });
    e.put("old.txt", b"deleted offline").unwrap();
    e.drain();
    go_offline(&e);
    e.put("new.txt", b"written offline").unwrap();
    e.unlink("old.txt").unwrap();
    eventually("both have failed", || {
        let queue = e.fs().status().queue;
        queue.len() == 2 && queue.iter().all(|i| i.state == ItemState::Retrying && i.tries > 0)
    });
    e.fault.set_offline(false);
    eventually("both are sent", || {
        let files = e.cloud.files();
        files.contains_key("new.txt") && !files.contains_key("old.txt")
    });
}

#[test]
fn what_the_kernel_did_not_come_to_release_is_sent_at_the_end_all_the_same() {
    let e = Engine::new();
    let fh = e.create("f.txt", TRUNCATE).unwrap();
    e.write_fh(fh, 0, b"closed, and never released").unwrap();
    e.flush(fh).unwrap();
    assert_eq!(e.drained().totals.items, 1, "as long as it may be written it is not sent");
    e.fs().release_all();
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], "closed, and never released");
}

#[test]
fn the_end_of_a_mount_sends_what_it_can_and_waits_for_nobody_who_is_away() {
    let mut e = Engine::new();
    let flush = |e: &Engine, limit| e.block_on(e.fs().flush_within(limit)).totals.items;
    e.put("sent.txt", b"sent").unwrap();
    assert_eq!(flush(&e, Duration::ZERO), 1, "told not to wait");
    assert_eq!(flush(&e, Duration::from_secs(3600)), 0);
    assert_eq!(e.cloud.files()["sent.txt"], "sent");
    go_offline(&e);
    e.put("kept.txt", b"kept").unwrap();
    assert_eq!(flush(&e, Duration::from_secs(3600)), 1);
    e.restart();
    assert_eq!(e.read("kept.txt").unwrap(), "kept");
    e.fault.set_offline(false);
    e.converged();

    // A service that answers nothing, though it is there.
    e.fault.always(M::Put, Action::Delay(Duration::from_secs(3600)));
    e.put("slow.txt", b"kept").unwrap();
    assert_eq!(flush(&e, Duration::from_millis(300)), 1);
    e.restart();
    e.fault.clear();
    e.converged();
}
