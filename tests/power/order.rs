//! What a loss of power may take, one promise at a time.

use bytes::Bytes;
use inxtfs::fs::Error;
use inxtfs::remote::Method;
use inxtfs::types::Timestamp;

use super::harness::{APPEND, TRUNCATE, eager, eventually, noise, patient};
use super::machine::{Machine, Shown};

/// Losses tried of each situation.
const LOSSES: u64 = 8;
/// The same, until each outcome was seen.
const MANY: u64 = 80;

fn bytes(shown: &Shown) -> &Bytes {
    shown.bytes.as_ref().unwrap()
}

/// A machine on which `prepare` was done, cut in several ways, each time looked at.
fn after_cuts(prepare: impl Fn(&mut Machine), look: impl Fn(&Machine, u64)) {
    for seed in 0..LOSSES {
        let mut m = Machine::new(patient());
        prepare(&mut m);
        m.cut(seed);
        look(&m, seed);
    }
}

#[test]
fn what_was_fsynced_survives_a_loss_of_power() {
    let time = Timestamp { secs: 1_500_000_000, nanos: 123_456_789 };
    after_cuts(
        |m| {
            m.engine.mkdir("folder").unwrap();
            m.engine.put("folder/f", &noise(200_000, 1)).unwrap();
            m.engine.put("small", b"small").unwrap();
            m.engine.set_mtime("folder/f", time).unwrap();
            m.engine.rename("folder/f", "g").unwrap();
            m.fsync("g").unwrap();
        },
        |m, _| {
            let shown = m.shown("g").unwrap();
            assert!(*bytes(&shown) == noise(200_000, 1));
            assert_eq!(shown.mtime, time);
            assert_eq!(bytes(&m.shown("small").unwrap()), "small");
            assert_eq!(m.engine.ls(""), ["folder", "g", "small"]);
            assert!(m.told().is_empty());
        },
    );
}

#[test]
fn what_was_closed_survives_a_loss_of_power_after_the_syncers_next_round() {
    let time = Timestamp { secs: 1_400_000_000, nanos: 5 };
    after_cuts(
        |m| {
            let root = m.engine.cloud_root();
            m.engine.foreign_file(&root, "theirs", b"from the server");
            m.engine.polls(1);
            m.tick();
            m.engine.put("f", &noise(100_000, 1)).unwrap();
            m.engine.truncate("theirs", 0).unwrap();
            m.tick();
            // Each of these alone makes a round necessary.
            m.engine.set_mtime("f", time).unwrap();
            m.tick();
            m.engine.mkdir("folder").unwrap();
            m.engine.set_mtime("folder", time).unwrap();
            m.tick();
        },
        |m, _| {
            let shown = m.shown("f").unwrap();
            assert!(*bytes(&shown) == noise(100_000, 1));
            assert_eq!((shown.mtime, m.engine.stat("folder").unwrap().mtime), (time, time));
            assert_eq!(m.engine.stat("theirs").unwrap().size, 0);
        },
    );
}

#[test]
fn what_a_killed_process_journalled_is_made_durable_by_the_next_one() {
    after_cuts(
        |m| {
            m.engine.put("f", &noise(100_000, 1)).unwrap();
            m.die();
            // What the last one left is noted in the background.
            let (blocks, _) = m.plug.syncs();
            eventually("its blocks are synced", || {
                m.tick();
                m.plug.syncs().0 > blocks
            });
            eventually("it is durable", || {
                m.tick();
                let before = m.plug.syncs();
                m.tick();
                m.plug.syncs() == before
            });
        },
        |m, _| assert!(*bytes(&m.shown("f").unwrap()) == noise(100_000, 1)),
    );
}

#[test]
fn creating_a_thousand_small_files_syncs_no_content_until_the_syncers_round() {
    let mut m = Machine::new(patient());
    m.engine.put("first", b"1").unwrap();
    m.tick();
    let (blocks, others) = m.plug.syncs();
    for i in 0..1000 {
        m.engine.put(&format!("f{i}"), format!("content {i}").as_bytes()).unwrap();
    }
    let (blocks_now, others_now) = m.plug.syncs();
    assert_eq!(blocks_now, blocks);
    // The log is folded into the database now and then.
    assert!(others_now - others < 250, "{}", others_now - others);
    m.tick();
    let (after, _) = m.plug.syncs();
    assert!(after > blocks && after - blocks < 10, "one round syncs each file once: {}", after - blocks);
}

#[test]
fn a_rewrite_of_what_is_durable_here_alone_never_loses_both() {
    for in_place in [false, true] {
        after_cuts(
            |m| {
                m.engine.put("f", &noise(150_000, 1)).unwrap();
                m.fsync("f").unwrap();
                if in_place {
                    m.engine.patch("f", 0, &noise(150_000, 2)).unwrap();
                } else {
                    m.engine.put("f", &noise(150_000, 2)).unwrap();
                }
            },
            |m, seed| {
                let shown = m.shown("f").unwrap();
                let is = |n| *bytes(&shown) == noise(150_000, n);
                assert!(is(1) || is(2), "seed {seed}");
                assert!(m.told().is_empty());
            },
        );
    }
}

#[test]
fn renaming_over_what_is_durable_here_alone_never_loses_both() {
    // The source is closed; open still; and the backup is removed as vim does.
    for way in 0..3 {
        after_cuts(
            |m| {
                let e = &m.engine;
                e.put("f", &noise(150_000, 1)).unwrap();
                m.fsync("f").unwrap();
                match way {
                    0 => {
                        e.put("tmp", &noise(150_000, 2)).unwrap();
                        e.rename("tmp", "f").unwrap();
                    }
                    1 => {
                        let fh = e.create("tmp", TRUNCATE).unwrap();
                        e.write_fh(fh, 0, &noise(150_000, 2)).unwrap();
                        e.rename("tmp", "f").unwrap();
                        e.fs().release(fh);
                    }
                    _ => {
                        e.drain();
                        e.patch("f", 10, b"here alone").unwrap();
                        m.fsync("f").unwrap();
                        e.rename("f", "f~").unwrap();
                        e.put("f", &noise(150_000, 2)).unwrap();
                        e.unlink("f~").unwrap();
                    }
                }
            },
            |m, seed| {
                let tree = m.tree();
                let mut old = noise(150_000, 1);
                if way == 2 {
                    old[10..20].copy_from_slice(b"here alone");
                }
                let all: Vec<_> = tree.values().filter(|s| s.bytes.is_ok()).map(bytes).collect();
                assert!(
                    all.iter().any(|b| **b == old) || all.iter().any(|b| **b == noise(150_000, 2)),
                    "way {way}, seed {seed}: {:?}",
                    tree.keys()
                );
                assert!(tree.contains_key("f") || tree.contains_key("f~"), "way {way}, seed {seed}");
            },
        );
    }
}

#[test]
fn an_object_that_was_deleted_unused_is_given_to_no_row_after_a_loss_of_power() {
    for seed in 0..LOSSES {
        let mut m = Machine::new(patient());
        let e = &m.engine;
        e.put("f", &noise(1000, 1)).unwrap();
        let (looked, go) = m.fault().hold_at(Method::Find, 1);
        let (_again, _never) = m.fault().hold_at(Method::Put, 2);
        e.begin_drain();
        e.block_on(looked).unwrap();
        eventually("it is uploaded", || m.cloud().count(Method::Put) == 1);
        // By then it is known which object it was, and durably.
        std::thread::sleep(std::time::Duration::from_millis(30));
        e.put("g", b"g").unwrap();
        m.fsync("g").unwrap();
        e.put("f", &noise(1000, 2)).unwrap();
        go.send(()).unwrap();
        eventually("the object is deleted", || m.cloud().count(Method::Discard) == 1);
        m.cut(seed);
        m.fault().clear();
        m.engine.drain();
        let sent = m.cloud().files()["f"].clone();
        assert!(sent == noise(1000, 1) || sent == noise(1000, 2), "seed {seed}");
    }
}

#[test]
fn a_torn_change_of_what_the_server_has_falls_back_to_it_and_is_told() {
    let (mut fell, mut kept) = (0, 0);
    for seed in 0..MANY {
        if seed > 4 && fell > 0 && kept > 0 {
            break;
        }
        let mut m = Machine::new(patient());
        let row = m.engine.foreign_file(&m.engine.cloud_root(), "f", &noise(150_000, 1));
        m.engine.polls(1);
        m.fsync("f").unwrap();
        m.engine.put("f", &noise(140_000, 2)).unwrap();
        m.cut(seed);
        let shown = m.shown("f").unwrap();
        if m.told().is_empty() {
            kept += usize::from(*bytes(&shown) == noise(140_000, 2));
            assert!([noise(150_000, 1), noise(140_000, 2)].iter().any(|b| bytes(&shown) == b), "seed {seed}");
        } else {
            assert_eq!(m.told().into_iter().collect::<Vec<_>>(), [("f".to_owned(), false)]);
            assert!(*bytes(&shown) == noise(150_000, 1), "seed {seed}");
            assert_eq!(shown.mtime, row.modified);
            fell += 1;
        }
        m.engine.drain();
        assert!(m.sent().iter().all(|b| b == bytes(&shown)));
        // It is a file like any other.
        m.engine.put("f", b"after").unwrap();
        m.engine.drain();
        assert_eq!(m.sent(), ["after"]);
    }
    assert!(fell > 0 && kept > 0, "{fell} {kept}");
}

#[test]
fn a_torn_new_file_is_blocked_and_told_and_never_sent() {
    let mut torn = 0;
    for seed in 0..MANY {
        if seed > 4 && torn > 0 {
            break;
        }
        let mut m = Machine::new(patient());
        m.engine.put("f", &noise(250_000, 1)).unwrap();
        m.cut(seed);
        if let Some(blocked) = m.told().get("f") {
            assert!(*blocked);
            torn += 1;
            assert!(m.engine.read("f").is_err(), "neither zeros nor a part of it");
            // The next start tells it, too.
            m.die();
            let why = m.engine.fs().status().queue.remove(0).error.unwrap();
            assert!(why.contains("machine stopped") || why.contains("damaged"), "{why}");
            // Nor is it sent when somebody insists; a rewrite mends it.
            m.engine.fs().retry_blocked().unwrap();
            assert_eq!(m.engine.drained().totals.blocked, 1);
            assert!(m.sent().is_empty());
            m.engine.put("f", b"again").unwrap();
            m.engine.drain();
            assert_eq!(m.sent(), ["again"]);
        } else {
            m.engine.drain();
            // The name alone may have come through, without what was written under it since.
            let sent = m.sent();
            let whole = sent.iter().all(|b| b.is_empty() || *b == noise(250_000, 1));
            assert!(whole, "seed {seed}: {:?}", sent.iter().map(Bytes::len).collect::<Vec<_>>());
        }
    }
    assert!(torn > 0);
}

#[test]
fn what_is_being_uploaded_when_the_power_goes_arrives_whole() {
    for seed in 0..LOSSES {
        let mut m = Machine::new(eager());
        for i in 0..4 {
            m.engine.put(&format!("f{i}"), &noise(100_000, i)).unwrap();
        }
        m.plug.goes_after(seed * 7);
        for i in 0..4 {
            let _ = m.engine.patch(&format!("f{i}"), 0, b"changed");
        }
        m.cut(seed);
        for (path, blocked) in m.told() {
            if blocked {
                m.engine.unlink(&path).unwrap();
            }
        }
        let here = m.tree();
        m.engine.drain();
        for (path, shown) in here {
            assert_eq!(m.engine.cloud_tree().get(&path), Some(&Some(bytes(&shown).clone())), "seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_work_goes_on_when_there_is_room() {
    let mut m = Machine::new(patient());
    m.engine.put("safe", &noise(100_000, 1)).unwrap();
    m.tick();
    m.plug.capacity(0);
    let fh = m.engine.open("safe", APPEND).unwrap();
    let mut at = 100_000;
    let refused = loop {
        match m.engine.write_fh(fh, at, &noise(65_536, 9)) {
            Ok(()) => at += 65_536,
            Err(e) => break e,
        }
        assert!(at < 8 << 20, "a full disk is never told");
    };
    assert!(matches!(refused, Error::NoSpace(_)), "{refused}");
    assert!(matches!(m.engine.flush(fh), Err(Error::NoSpace(_))), "a close does not acknowledge it");
    assert!(matches!(m.engine.create("new", TRUNCATE), Err(Error::NoSpace(_))));
    m.tick();
    m.plug.capacity(u64::MAX);
    m.engine.close(fh).unwrap();
    m.engine.put("new", b"there is room").unwrap();
    m.tick();
    m.cut(3);
    let shown = m.shown("safe").unwrap();
    assert_eq!(bytes(&shown).len() as u64, at);
    assert!(bytes(&shown)[..100_000] == noise(100_000, 1));
    assert_eq!(bytes(&m.shown("new").unwrap()), "there is room");
    m.engine.drain();
    assert_eq!(m.sent().len(), 2);
}
