//! Eviction of parts, bounds, and what a start leaves for later.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;

use super::*;

const SEGMENT: usize = 64 * B;

fn evict(store: &Store, limit: u64) {
    store.blocks().evict(limit, &HashSet::new()).unwrap();
}

/// What is here is right; says where nothing is.
fn checked(c: &Content, bytes: &[u8]) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    for piece in c.read(0..u64::MAX).unwrap() {
        match piece {
            Piece::Data(o, b) => assert_eq!(&bytes[o as usize..o as usize + b.len()], b.as_ref(), "at {o}"),
            Piece::Gap(r) => gaps.push(r),
        }
    }
    gaps
}

fn on_disk(store: &Store) -> u64 {
    let mut sum = 0;
    for dir in std::fs::read_dir(store.blocks().dir()).unwrap() {
        let dir = dir.unwrap();
        if dir.file_type().unwrap().is_dir() {
            sum += std::fs::read_dir(dir.path())
                .unwrap()
                .map(|f| f.unwrap().metadata().unwrap().blocks() * 512)
                .sum::<u64>();
        }
    }
    sum
}

#[test]
fn what_is_in_use_gives_the_parts_that_were_not_used_for_the_longest_time() {
    let (_dir, store) = store();
    let bytes = noise(1, 4 * SEGMENT + 777);
    let c = cached(&store, 1, &bytes);
    // The second part is used last.
    c.read(SEGMENT as u64..SEGMENT as u64 + 10).unwrap();
    let before = store.blocks().usage().cached;
    evict(&store, before / 2);
    assert!(store.blocks().usage().cached <= before / 2);
    assert!(on_disk(&store) <= before / 2, "the disk has it back");
    let gaps = checked(&c, &bytes);
    assert_eq!(c.missing(0..u64::MAX).unwrap(), gaps);
    assert_eq!(gaps[0].start, 0, "the oldest part went");
    assert!(gaps.iter().all(|g| g.end <= SEGMENT as u64 || g.start >= 2 * SEGMENT as u64), "{gaps:?}");
    // It can be filled again, and is counted again.
    c.fill(0, &bytes).unwrap();
    assert_eq!(checked(&c, &bytes), []);
    assert_eq!(store.blocks().usage().cached, before);
    evict(&store, 0);
    assert_eq!(store.blocks().usage().cached, 0);
    assert_eq!(checked(&c, &bytes), vec![0..bytes.len() as u64]);
}

#[test]
fn what_was_evicted_while_it_was_in_use_is_not_taken_to_be_here_when_it_is_opened_again() {
    let (_dir, store) = store();
    let bytes = noise(9, 3 * B);
    let c = cached(&store, 1, &bytes);
    evict(&store, 0);
    drop(c);
    let c = store.db().read(|c| store.blocks().find(c, &version(1))).unwrap().unwrap();
    // Its bytes may be in memory, but nobody wrote them to the disk again.
    assert_eq!(checked(&c, &bytes), vec![0..bytes.len() as u64]);
    assert_eq!(c.missing(0..u64::MAX).unwrap(), vec![0..bytes.len() as u64]);
    c.fill(0, &bytes).unwrap();
    assert!(on_disk(&store) > bytes.len() as u64);
}

#[test]
fn of_a_large_content_that_nobody_uses_no_more_goes_than_is_wanted() {
    let (_dir, store) = store();
    let bytes = vec![7; 20 << 20];
    drop(cached(&store, 1, &bytes));
    let before = store.blocks().usage().cached;
    evict(&store, before - 1);
    let left = store.blocks().usage().cached;
    assert!(left < before && left > before - (16 << 20), "{left} of {before}");
    let c = store.db().read(|c| store.blocks().find(c, &version(1))).unwrap().unwrap();
    assert_eq!(c.missing(0..u64::MAX).unwrap().iter().map(|r| r.end - r.start).sum::<u64>(), SEGMENT as u64);
    drop(c);
    evict(&store, 0);
    assert_eq!(store.blocks().usage().cached, 0);
    assert!(store.db().read(|c| store.blocks().find(c, &version(1))).unwrap().is_none());
}

#[test]
fn where_no_holes_can_be_made_what_nobody_uses_goes_whole() {
    let (_dir, store) = store();
    let bytes = vec![7; 20 << 20];
    let used = cached(&store, 1, &bytes);
    drop(cached(&store, 2, &bytes));
    store.blocks().0.no_holes.store(true, Ordering::Relaxed);
    let before = store.blocks().usage().cached;
    evict(&store, before - 1);
    assert_eq!(store.blocks().usage().cached, before / 2);
    assert!(store.db().read(|c| store.blocks().find(c, &version(2))).unwrap().is_none());
    assert_eq!(checked(&used, &bytes), []);
}

#[test]
fn what_was_taken_over_of_a_base_may_be_committed_with_the_adoption() {
    let (dir, store) = store();
    let bytes = noise(8, 3 * B);
    let base = cached(&store, 1, &bytes);
    let over = store
        .db()
        .write(|tx| store.blocks().stage(tx, Some((base.id(), bytes.len() as u64)), bytes.len() as u64))
        .unwrap();
    over.write(0, &bytes[..10]).unwrap();
    over.seal().unwrap();
    store.db().write(|tx| over.commit(tx)).unwrap();
    over.freeze();
    for b in over.incomplete() {
        let at = usize::try_from(b).unwrap() * B;
        over.complete(b, &bytes[at..at + B]).unwrap();
    }
    let adopted = store.db().write(|tx| store.blocks().adopt(tx, over.id(), &version(2)));
    assert!(adopted.is_err(), "its rows do not say so yet");
    store
        .db()
        .write(|tx| {
            over.commit(tx)?;
            store.blocks().adopt(tx, over.id(), &version(2))
        })
        .unwrap();
    drop((base, over));
    store.close().unwrap();
    drop(store);
    let store = open_at(dir.path());
    let over = store.db().read(|c| store.blocks().find(c, &version(2))).unwrap().unwrap();
    assert_eq!(checked(&over, &bytes), []);
}

#[test]
fn uploaded_blocks_go_as_fetched_ones_do_and_stay_gone() {
    let (dir, store) = store();
    let bytes = noise(3, 70 * B);
    let c = staged(&store, &bytes);
    c.freeze();
    store.db().write(|tx| store.blocks().adopt(tx, c.id(), &version(1))).unwrap();
    evict(&store, 0);
    assert_eq!(store.blocks().usage(), Usage::default());
    assert_eq!(on_disk(&store), 0);
    assert_eq!(checked(&c, &bytes), vec![0..bytes.len() as u64]);
    c.fill(0, &bytes[..10 * B]).unwrap();
    drop(c);
    store.close().unwrap();
    drop(store);
    let store = open_at(dir.path());
    let c = store.db().read(|c| store.blocks().find(c, &version(1))).unwrap().unwrap();
    assert_eq!(checked(&c, &bytes), vec![10 * B as u64..bytes.len() as u64]);
}

#[test]
fn what_is_pinned_kept_excepted_or_a_base_is_not_evicted() {
    let (_dir, store) = store();
    let bytes = noise(4, 3 * B);
    let of = |n| cached(&store, n, &bytes);
    let (pinned, kept, base, but, rest) = (of(1), of(2), of(3), of(4), of(5));
    let _over = store
        .db()
        .write(|tx| {
            store.blocks().pin(tx, pinned.id(), true)?;
            store.blocks().keep(tx, kept.id(), true, true)?;
            let over = store.blocks().stage(tx, Some((base.id(), 100)), 100)?;
            over.commit(tx)?;
            Ok(over)
        })
        .unwrap();
    store.blocks().evict(0, &HashSet::from([but.id()])).unwrap();
    for c in [&pinned, &kept, &base, &but] {
        assert_eq!(checked(c, &bytes), []);
    }
    assert_eq!(checked(&rest, &bytes).len(), 1, "{rest:?}");
    assert_eq!(store.db().read(|c| store.blocks().kept(c)).unwrap(), [kept.id()]);
    store.db().write(|tx| store.blocks().keep(tx, kept.id(), false, false)).unwrap();
    store.blocks().evict(0, &HashSet::new()).unwrap();
    assert_eq!(checked(&kept, &bytes).len(), 1);
}

#[test]
fn nothing_beyond_the_bound_is_kept_but_what_an_upload_needs() {
    let (_dir, store) = store();
    let bytes = noise(5, 8 * B);
    let c = store.db().write(|tx| store.blocks().cached(tx, &version(1), bytes.len() as u64)).unwrap();
    store.blocks().set_bound(3 * slot::footprint(B as u32));
    c.fill(0, &bytes).unwrap();
    assert_eq!(store.blocks().usage().cached, 3 * slot::footprint(B as u32));
    assert_eq!(checked(&c, &bytes), vec![3 * B as u64..8 * B as u64]);
    c.keep_all();
    c.fill(0, &bytes).unwrap();
    assert_eq!(checked(&c, &bytes), []);
}

#[test]
fn who_reads_and_fills_while_blocks_go_meets_right_bytes_or_none() {
    let (_dir, store) = store();
    let bytes = noise(6, 3 * SEGMENT);
    let c = cached(&store, 1, &bytes);
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    checked(&c, &bytes);
                }
            });
        }
        s.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                c.fill(0, &bytes).unwrap();
            }
        });
        for _ in 0..30 {
            store.blocks().0.plain.clear();
            evict(&store, 0);
        }
        done.store(true, Ordering::Relaxed);
    });
    c.fill(0, &bytes).unwrap();
    assert_eq!(checked(&c, &bytes), []);
    let used = store.blocks().usage().cached;
    assert_eq!(used, 3 * 64 * slot::footprint(B as u32), "each block is counted once");
    assert!(on_disk(&store) >= used);
}

/// More contents than a start reads at once.
fn many(store: &Store) -> Vec<Arc<Content>> {
    let made = store.db().write(|tx| (0..2100).map(|n| store.blocks().cached(tx, &version(n), 10)).collect());
    let made: Vec<Arc<Content>> = made.unwrap();
    made.iter().for_each(|c| c.fill(0, b"0123456789").unwrap());
    made
}

#[test]
fn a_start_reads_no_more_of_a_large_cache_and_still_gives_no_slot_twice() {
    for orderly in [true, false] {
        let (dir, store) = store();
        let made = many(&store);
        store
            .db()
            .write_durable(|tx| made[..100].iter().try_for_each(|c| store.blocks().forget(tx, c.id())))
            .unwrap();
        drop(made);
        if orderly {
            store.close().unwrap();
        } else {
            store.db().write(|tx| store.blocks().save(tx)).unwrap();
        }
        drop(store);
        let store = open_at(dir.path());
        let used = |n: u64| n * slot::footprint(10);
        assert!(store.blocks().0.unread.lock().is_some(), "left for later");
        // What is freed and taken in between is nobody's twice.
        store
            .db()
            .write_durable(|tx| {
                let old = store.blocks().cached(tx, &version(200), 10)?.id();
                store.blocks().forget(tx, old)?;
                store.blocks().cached(tx, &version(9000), 10)
            })
            .unwrap();
        store.db().write_durable(|_| Ok(())).unwrap();
        store.db().write(|tx| store.blocks().cached(tx, &version(9001), 10)).unwrap();
        store.blocks().sweep().unwrap();
        assert!(store.blocks().0.unread.lock().is_none());
        store
            .db()
            .write(|tx| (9100..9250).try_for_each(|n| store.blocks().cached(tx, &version(n), 10).map(|_| ())))
            .unwrap();
        let slots = store.db().read(rows::slab_slots).unwrap();
        let distinct: HashSet<_> = slots.iter().collect();
        assert_eq!((slots.len(), distinct.len()), (2000 - 1 + 2 + 150, slots.len()));
        assert!(slots.iter().all(|l| l.slot < 2100 + 60), "the gaps are used again");
        assert_eq!(store.blocks().usage().cached, used(1999), "{orderly}");
    }
}
