//! The brake on mass deletes.

use inxtfs::fs::{Brake, Config, ItemState};
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::Action;
use inxtfs::remote::memory::Memory;

use super::harness::{Engine, eventually, patient};

/// Ten files in a folder, which `rm -rf` takes for a mass, and five beside it.
fn drive(percent: u8) -> Engine {
    let e = Engine::over(Memory::new(), Config { brake_count: 3, brake_percent: percent, ..patient() });
    e.mkdir("d").unwrap();
    for n in 0..10 {
        e.put(&format!("d/f{n}.txt"), format!("content {n}").as_bytes()).unwrap();
    }
    for n in 0..5 {
        e.put(&format!("o{n}.txt"), b"other").unwrap();
    }
    e.drain();
    e.cloud.clear_calls();
    e
}

fn brake(e: &Engine) -> Option<Brake> {
    e.fs().status().brake
}

/// Sends what can be sent while the deletes are held back.
#[track_caller]
fn drained_but(e: &Engine, held: u64) {
    let status = e.drained();
    assert_eq!(status.brake.map(|b| b.held), Some(held), "{status:?}");
    assert_eq!(e.cloud.count(M::Trash), 0);
}

fn resume(e: &Engine) -> u64 {
    e.fs().resume_deletes().unwrap()
}

fn restore(e: &Engine) -> (u64, u64) {
    e.block_on(e.fs().restore_pending()).unwrap()
}

#[test]
fn a_mass_delete_is_held_back_over_a_restart_until_it_is_said_to_be_meant() {
    let mut e = drive(20);
    e.remove_all("d").unwrap();
    e.put("new.txt", b"new").unwrap();
    drained_but(&e, 11);
    let told = brake(&e).unwrap();
    assert_eq!((told.removed, told.of), (11, 17));
    assert!(told.since > 0);
    let status = e.fs().status();
    assert_eq!((status.totals.items, status.totals.blocked), (11, 11));
    assert!(status.queue.iter().all(|i| i.what == "delete" && i.state == ItemState::Blocked), "{status:?}");
    assert_eq!(e.cloud.files()["new.txt"], "new", "all else goes on");
    assert!(!e.exists("d"), "here it is gone");

    e.restart();
    e.unlink("o0.txt").unwrap();
    drained_but(&e, 12);
    assert_eq!(e.cloud.files().len(), 16);

    assert_eq!(resume(&e), 12);
    e.converged();
    assert_eq!(e.cloud.files().len(), 5);
    assert!(e.cloud.count(M::Trash) > 0);
    assert_eq!(brake(&e), None);
    assert_eq!(resume(&e), 0, "nothing is held back any more");

    // What was decided does not count again.
    e.unlink("o1.txt").unwrap();
    e.drain();
}

#[test]
fn deletes_that_were_held_back_come_back_as_they_were_and_new_names_step_aside() {
    let mut e = drive(20);
    e.remove_all("d").unwrap();
    e.unlink("o0.txt").unwrap();
    e.put("o0.txt", b"newer").unwrap();
    e.put("d", b"now a file").unwrap();
    drained_but(&e, 12);
    e.restart();
    assert_eq!(restore(&e), (12, 0));
    assert_eq!(brake(&e), None);
    for n in 0..10 {
        assert_eq!(e.read(&format!("d/f{n}.txt")).unwrap(), format!("content {n}"));
    }
    assert_eq!(e.read("o0.txt").unwrap(), "other");
    let beside: Vec<_> = e.ls("").into_iter().filter(|n| n.contains("(conflict here")).collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
    e.converged();
    assert_eq!(e.cloud.count(M::Trash), 0);
    assert_eq!(e.cloud.files().len(), 17);
    e.remove_all("d").unwrap();
    drained_but(&e, 11);
}

#[test]
fn deletes_can_be_taken_back_before_they_are_sent_though_nothing_holds_them() {
    let e = drive(100);
    e.unlink("o0.txt").unwrap();
    assert_eq!(restore(&e), (1, 0));
    assert_eq!(e.read("o0.txt").unwrap(), "other");
    e.converged();
    assert_eq!(e.cloud.count(M::Trash), 0);
}

#[test]
fn what_was_sent_before_the_brake_is_not_taken_back_as_if_it_had_not_been() {
    let e = drive(20);
    let (leaves, go) = e.fault.hold_at(M::Trash, 1);
    e.unlink("o0.txt").unwrap();
    e.unlink("o1.txt").unwrap();
    let fs = e.fs().clone();
    let draining = e.block_on(async { tokio::spawn(async move { fs.drain().await }).abort_handle() });
    e.block_on(leaves).unwrap();
    // That they arrived, no feed tells.
    for method in [M::Changes, M::Newest, M::Stat] {
        e.fault.always(method, Action::Offline);
    }
    drop(go);
    eventually("they were sent", || {
        let queue = e.fs().status().queue;
        queue.len() == 2 && queue.iter().all(|i| i.what == "delete" && i.tries > 0)
    });
    // From here on nothing is woken but those two.
    draining.abort();
    e.remove_all("d").unwrap();
    assert_eq!(e.drained().brake.map(|b| b.held), Some(13));
    assert_eq!(restore(&e), (11, 2));
    e.fault.clear();
    e.converged();
    assert_eq!(e.ls("d").len(), 10);
    assert_eq!(e.cloud.files().len(), 13);
    assert!(!e.exists("o0.txt") && !e.exists("o1.txt"));
}

#[test]
fn few_deletes_or_a_small_share_are_sent_and_add_up_over_a_restart() {
    let mut e = drive(50);
    for n in 0..5 {
        e.unlink(&format!("d/f{n}.txt")).unwrap();
    }
    e.drain();
    assert_eq!(e.cloud.files().len(), 10, "five of sixteen are no half");
    e.restart();
    e.cloud.clear_calls();
    e.remove_all("d").unwrap();
    drained_but(&e, 6);
    assert_eq!((brake(&e).unwrap().removed, brake(&e).unwrap().of), (11, 16));
    resume(&e);
    e.drain();
    for n in 0..3 {
        e.unlink(&format!("o{n}.txt")).unwrap();
    }
    e.drain();
    assert_eq!(e.cloud.files().len(), 2, "three are no mass, whatever their share");
}

#[test]
fn without_a_brake_everything_goes() {
    let mut e = drive(20);
    e.config.brake_count = 0;
    e.restart();
    e.remove_all("d").unwrap();
    e.converged();
    assert_eq!(e.cloud.files().len(), 5);
}

#[test]
fn neither_what_was_only_here_nor_what_others_deleted_nor_a_save_counts() {
    let e = drive(1);
    e.mkdir("local").unwrap();
    for n in 0..10 {
        e.put(&format!("local/{n}"), b"never sent").unwrap();
    }
    e.remove_all("local").unwrap();
    for n in 0..5 {
        e.foreign_trash(&e.row(&format!("d/f{n}.txt")));
    }
    eventually("theirs are gone", || e.ls("d").len() == 5);
    for n in 0..5 {
        // A save whose temporary file had been sent.
        e.put("d/save.tmp", format!("saved {n}").as_bytes()).unwrap();
        e.drain();
        e.rename("d/save.tmp", &format!("o{n}.txt")).unwrap();
        e.drain();
    }
    e.unlink("d/f9.txt").unwrap();
    e.converged();
    assert_eq!(e.cloud.files().len(), 9);
}

#[test]
fn a_name_whose_delete_is_held_back_waits_and_a_drain_ends() {
    let e = drive(20);
    e.remove_all("d").unwrap();
    e.mkdir("d").unwrap();
    e.put("d/f0.txt", b"again").unwrap();
    drained_but(&e, 11);
    assert_eq!(e.read("d/f0.txt").unwrap(), "again");
    resume(&e);
    e.converged();
    assert_eq!(e.cloud.files()["d/f0.txt"], "again");
    assert_eq!(e.cloud.files().len(), 6);
}

#[test]
fn a_hold_ends_by_itself_once_nothing_is_left_to_hold() {
    let e = drive(20);
    let rows: Vec<_> = (0..5).map(|n| e.row(&format!("d/f{n}.txt"))).collect();
    for n in 0..5 {
        e.unlink(&format!("d/f{n}.txt")).unwrap();
    }
    drained_but(&e, 5);
    rows.iter().for_each(|row| e.foreign_trash(row));
    eventually("others deleted the same", || brake(&e).is_none());
    e.unlink("o0.txt").unwrap();
    e.converged();
    assert_eq!(e.cloud.files().len(), 9);
}

#[test]
fn a_read_only_mount_decides_nothing() {
    let mut e = drive(20);
    e.remove_all("d").unwrap();
    drained_but(&e, 11);
    e.config.read_only = true;
    e.restart();
    assert!(e.fs().resume_deletes().is_err());
    assert!(e.block_on(e.fs().restore_pending()).is_err());
    assert_eq!(brake(&e).unwrap().held, 11);
}
