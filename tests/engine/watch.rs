//! Replaces that raced: two clients, one row, neither saw the other.

use std::time::Duration;

use inxtfs::fs::Config;
use inxtfs::names::RemoteName;
use inxtfs::remote::Method as M;
use inxtfs::remote::memory::Memory;
use inxtfs::types::NodeId;

use super::harness::{Engine, READ, WRITE, eventually, noise, patient};

/// Others' changes are heard of when a test says so. What is a race is one however slow the machine is.
fn deaf() -> Config {
    Config { poll_interval: Duration::from_secs(3600), pace: Duration::from_secs(10), ..patient() }
}

/// A drive with a file that was there before and is replaced here, just now.
fn replaced(config: Config, before: &[u8], change: impl FnOnce(&Engine)) -> (Engine, NodeId) {
    let cloud = Memory::new();
    let row = cloud.add_file(&cloud.account().root, RemoteName::split("f.txt"), before);
    let e = Engine::over(cloud, config);
    e.cloud.set_events(false);
    e.polls(1);
    change(&e);
    e.drain();
    (e, row.id)
}

fn copies(e: &Engine) -> Vec<String> {
    e.ls("").into_iter().filter(|n| n.contains(" (conflict here ")).collect()
}

/// Theirs has the name, ours is beside it, on both sides.
fn both(e: &Engine, id: &NodeId, ours: &[u8]) {
    e.polls(1);
    let copies = copies(e);
    assert_eq!(copies.len(), 1, "{:?}", e.ls(""));
    assert_eq!(e.read("f.txt").unwrap(), "theirs");
    assert_eq!(e.read(&copies[0]).unwrap(), ours);
    e.converged();
    assert_eq!(e.row("f.txt").id, *id);
    assert_eq!(e.cloud.files()[&copies[0]], ours);
    assert_eq!(e.ls("").len(), 2);
}

#[test]
fn a_replace_of_theirs_that_raced_ours_leaves_both() {
    let (e, id) = replaced(deaf(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    e.foreign_write(&id, b"theirs");
    both(&e, &id, b"ours");
}

#[test]
fn a_race_is_found_after_a_restart_and_a_kill() {
    for kill in [false, true] {
        let (mut e, id) = replaced(deaf(), b"before", |e| e.put("f.txt", b"ours").unwrap());
        e.foreign_write(&id, b"theirs");
        if kill {
            e.kill();
            e.start();
        } else {
            e.restart();
        }
        eventually("theirs shows", || e.read("f.txt").unwrap() == "theirs");
        both(&e, &id, b"ours");
    }
}

#[test]
fn a_partial_write_that_was_raced_is_there_whole() {
    let before = noise(300_000, 1);
    let (e, id) = replaced(deaf(), &before, |e| e.patch("f.txt", 100_000, b"ours").unwrap());
    e.foreign_write(&id, b"theirs");
    let mut ours = before;
    ours[100_000..100_004].copy_from_slice(b"ours");
    both(&e, &id, &ours);
}

#[test]
fn a_race_that_theirs_ended_in_the_trash_leaves_ours() {
    let (e, id) = replaced(deaf(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    e.foreign_write(&id, b"theirs");
    e.foreign_trash(&e.cloud.row(&id).unwrap());
    e.polls(1);
    assert_eq!(e.ls(""), copies(&e));
    e.converged();
    assert_eq!(e.cloud.files().into_values().collect::<Vec<_>>(), ["ours"]);
}

#[test]
fn newer_writes_on_top_of_what_was_raced_are_one_conflict_copy() {
    let (e, id) = replaced(deaf(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    e.put("f.txt", b"ours, newer").unwrap();
    e.foreign_write(&id, b"theirs");
    both(&e, &id, b"ours, newer");
}

#[test]
fn a_reader_of_what_was_raced_reads_on() {
    let (e, id) = replaced(deaf(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    let fh = e.open("f.txt", READ).unwrap();
    e.foreign_write(&id, b"theirs");
    e.polls(1);
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "ours");
    e.fs().release(fh);
    both(&e, &id, b"ours");
}

#[test]
fn a_writer_of_what_was_raced_writes_to_the_copy() {
    let (e, id) = replaced(deaf(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    let fh = e.open("f.txt", WRITE).unwrap();
    e.foreign_write(&id, b"theirs");
    e.polls(1);
    e.write_fh(fh, 0, b"OURS").unwrap();
    e.close(fh).unwrap();
    both(&e, &id, b"OURS");
}

#[test]
fn what_is_watched_is_not_evicted() {
    let config = Config { cache_size: 1, ..deaf() };
    let (e, id) = replaced(config, b"before", |e| e.put("f.txt", b"ours").unwrap());
    e.cloud.add_file(&e.cloud_root(), RemoteName::whole("large"), &noise(200_000, 1));
    e.polls(1);
    e.read("large").unwrap();
    eventually("the cache is brought within its bound", || e.fs().status().cache_used < 200_000);
    e.unlink("large").unwrap();
    e.drain();
    e.foreign_write(&id, b"theirs");
    both(&e, &id, b"ours");
}

#[test]
fn content_that_came_after_ours_had_lasted_is_newer_and_no_conflict() {
    let (e, id) = replaced(patient(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    eventually("ours is seen to last", || e.fs().watched().unwrap() == 0);
    e.foreign_write(&id, b"theirs");
    e.fs().refresh_soon();
    eventually("theirs shows", || e.read("f.txt").unwrap() == "theirs");
    e.converged();
    assert_eq!(e.ls(""), ["f.txt"]);
}

#[test]
fn watching_asks_for_no_row_that_the_feeds_show() {
    let (e, _) = replaced(patient(), b"before", |e| {
        e.put("f.txt", b"ours").unwrap();
        for n in 0..20 {
            e.cloud.add_file(&e.cloud_root(), RemoteName::whole(&format!("g{n}")), b"before");
        }
        eventually("all are there", || e.ls("").len() == 21);
        for n in 0..20 {
            e.put(&format!("g{n}"), b"ours").unwrap();
        }
    });
    eventually("all are seen to last", || e.fs().watched().unwrap() == 0);
    // Each is read before it is replaced, and never again.
    assert_eq!((e.cloud.count(M::Replace), e.cloud.count(M::Stat)), (21, 21));
}

#[test]
fn a_file_that_is_replaced_again_and_again_has_one_watch_and_no_conflict() {
    let (e, id) = replaced(patient(), b"before", |e| e.put("f.txt", b"0").unwrap());
    for n in 1..6 {
        e.patch("f.txt", 1, format!("{n}").as_bytes()).unwrap();
        e.drain();
        assert!(e.fs().watched().unwrap() <= 1);
        e.polls(1);
    }
    eventually("it is seen to last", || e.fs().watched().unwrap() == 0);
    // What was kept for that goes with the next sync.
    e.put("other", b"x").unwrap();
    e.drain();
    eventually("nothing stays staged", || e.fs().status().staged == 0);
    e.converged();
    assert_eq!((e.ls("").len(), e.row("f.txt").id), (2, id));
    assert_eq!(e.read("f.txt").unwrap(), "05");
}

#[test]
fn a_watched_file_that_we_delete_stays_deleted() {
    let (e, _) = replaced(patient(), b"before", |e| e.put("f.txt", b"ours").unwrap());
    e.unlink("f.txt").unwrap();
    e.drain();
    eventually("it is watched no longer", || e.fs().watched().unwrap() == 0);
    e.converged();
    assert_eq!(e.cloud.files().len(), 0);
}

#[test]
fn our_delete_does_not_beat_an_edit_that_it_did_not_see() {
    let e = Engine::over(Memory::new(), Config { poll_interval: Duration::from_secs(3600), ..patient() });
    e.cloud.set_events(false);
    e.put("f.txt", b"before").unwrap();
    e.drain();
    e.polls(1);
    let id = e.row("f.txt").id;
    e.foreign_write(&id, b"theirs");
    e.unlink("f.txt").unwrap();
    e.drain();
    eventually("it is back", || e.exists("f.txt"));
    e.converged();
    assert_eq!((&e.cloud.files()["f.txt"][..], e.row("f.txt").id), (&b"theirs"[..], id));
}

#[test]
fn our_delete_of_a_folder_does_not_beat_an_edit_in_it_that_it_did_not_see() {
    let e = Engine::over(Memory::new(), Config { poll_interval: Duration::from_secs(3600), ..patient() });
    e.cloud.set_events(false);
    e.mkdir("d").unwrap();
    e.put("d/f.txt", b"before").unwrap();
    e.put("d/g.txt", b"before").unwrap();
    e.drain();
    e.polls(1);
    let id = e.row("d/f.txt").id;
    e.foreign_write(&id, b"theirs");
    e.remove_all("d").unwrap();
    e.converged();
    assert_eq!(e.cloud.files().into_iter().collect::<Vec<_>>(), [("d/f.txt".to_owned(), "theirs".into())]);
}

#[test]
fn what_we_replaced_and_deleted_stays_deleted_however_the_answers_went() {
    use inxtfs::remote::fault::Action;
    for action in [Action::Lost, Action::Offline] {
        let (e, _) = replaced(patient(), b"before", |e| {
            e.put("f.txt", b"ours").unwrap();
            e.fault.script(M::Replace, 1, action);
        });
        e.unlink("f.txt").unwrap();
        e.converged();
        assert_eq!(e.cloud.files().len(), 0);
    }
}

#[test]
fn a_folder_that_we_deleted_and_they_restore_comes_back_with_all_in_it() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.mkdir("d/e").unwrap();
    for name in ["d/f", "d/e/g"] {
        e.put(name, name.as_bytes()).unwrap();
    }
    e.converged();
    let row = e.row("d");
    e.remove_all("d").unwrap();
    e.converged();
    e.foreign_move(&row, &e.cloud_root(), "d");
    eventually("all of it shows", || e.exists("d/f") && e.exists("d/e/g"));
    e.converged();
    assert_eq!(e.read("d/e/g").unwrap(), "d/e/g");
}

#[test]
fn an_answer_that_our_next_write_overtook_is_no_edit_of_theirs() {
    let e = Engine::new();
    e.put("f.txt", b"one").unwrap();
    e.drain();
    e.put("f.txt", b"two").unwrap();
    e.fault.script(M::Replace, 1, inxtfs::remote::fault::Action::Lost);
    e.drain();
    // What the feeds said meanwhile was not merged, so the row is read by itself.
    let (reached, answer) = e.fault.hold_answer(M::Stat, 1);
    e.block_on(reached).unwrap();
    e.put("f.txt", b"three").unwrap();
    e.drain();
    answer.send(()).unwrap();
    e.polls(2);
    e.converged();
    assert_eq!(e.ls(""), ["f.txt"]);
    assert_eq!(e.cloud.files()["f.txt"], "three");
}
