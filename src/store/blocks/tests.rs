use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::crypto::seal::Key;
use crate::store::{Error, Store};

mod evict;
mod model;
mod rot;

const B: usize = block::BLOCK as usize;

pub(super) fn account() -> Key {
    Key::from_seed(&[7; 64])
}

pub(super) fn open_at(dir: &std::path::Path) -> Store {
    let opened = Store::open(dir, "an-account", &account()).unwrap();
    assert_eq!(opened.notices, []);
    opened.store
}

pub(super) fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = open_at(dir.path());
    (dir, store)
}

pub(super) fn version(n: u32) -> Version {
    Version { bucket: "b".into(), object: format!("{n:024x}") }
}

/// Bytes that differ between seeds and blocks.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len);
    out
}

#[test]
fn a_small_new_content_has_a_row_from_its_first_commit_on() {
    let (dir, store) = store();
    let count = |s: &Store| s.db().read(|c| rows::count_up_to(c, 10)).unwrap();
    let c = store.blocks().stage_new().unwrap();
    c.reach(10).unwrap();
    c.write(0, b"small").unwrap();
    c.seal().unwrap();
    assert_eq!(count(&store), 0);
    let refused = store.db().write(|tx| {
        c.commit(tx)?;
        Err::<(), _>(Error::State("no"))
    });
    assert!(refused.is_err());
    assert_eq!(count(&store), 0);
    store.db().write(|tx| c.commit(tx)).unwrap();
    assert_eq!((count(&store), seen(&c, 0..10, b"").unwrap()), (1, b"small".to_vec()));
    // Numbers are the database's own, too: no other content gets this one.
    let other = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    let third = store.blocks().stage_new().unwrap();
    assert!(other.id() != c.id() && third.id() != c.id() && third.id() != other.id());
    let id = c.id();
    drop((c, other, third, store));
    let again = open_at(dir.path());
    assert_eq!(seen(&again.blocks().open(id).unwrap(), 0..10, b"").unwrap(), b"small");
    assert!(again.blocks().stage_new().unwrap().id() > id);
}

#[test]
fn a_new_content_of_more_than_a_block_has_its_row_before_its_file() {
    let (_dir, store) = store();
    let c = store.blocks().stage_new().unwrap();
    let long = noise(1, 2 * B);
    assert!(matches!(c.write(0, &long), Err(Error::State(_))));
    assert!(matches!(c.truncate(2 * block::BLOCK), Err(Error::State(_))));
    c.reach(2 * block::BLOCK).unwrap();
    assert_eq!(store.db().read(|c| rows::count_up_to(c, 10)).unwrap(), 1);
    c.write(0, &long).unwrap();
    c.seal().unwrap();
    store.db().write(|tx| c.commit(tx)).unwrap();
    assert_eq!(seen(&c, 0..2 * block::BLOCK, b"").unwrap(), long);
}

/// What a reader sees: pieces over the base over zeros. Checks that the pieces cover the range in order.
pub(super) fn seen(c: &Content, range: Range<u64>, base: &[u8]) -> Result<Vec<u8>> {
    let limit = c.base().map_or(0, |(_, l)| l as usize);
    let end = range.end.min(c.size());
    let mut out = Vec::new();
    for piece in c.read(range.clone())? {
        let at = range.start as usize + out.len();
        match piece {
            Piece::Data(o, b) => {
                assert_eq!(o as usize, at);
                out.extend_from_slice(&b);
            }
            Piece::Gap(r) => {
                assert_eq!(r.start as usize, at);
                out.extend((r.start..r.end).map(|i| {
                    let i = i as usize;
                    if i < limit { base[i] } else { 0 }
                }));
            }
        }
    }
    assert_eq!(out.len() as u64, end.saturating_sub(range.start));
    Ok(out)
}

pub(super) fn gaps(c: &Content) -> Vec<Range<u64>> {
    let pieces = c.read(0..u64::MAX).unwrap();
    pieces.into_iter().filter_map(|p| if let Piece::Gap(r) = p { Some(r) } else { None }).collect()
}

/// A staged content with these bytes, committed.
pub(super) fn staged(store: &Store, bytes: &[u8]) -> Arc<Content> {
    let c = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    c.write(0, bytes).unwrap();
    c.seal().unwrap();
    store.db().write(|tx| c.commit(tx)).unwrap();
    c
}

pub(super) fn cached(store: &Store, n: u32, bytes: &[u8]) -> Arc<Content> {
    let c = store.db().write(|tx| store.blocks().cached(tx, &version(n), bytes.len() as u64)).unwrap();
    c.fill(0, bytes).unwrap();
    c
}

#[test]
fn a_cached_content_is_found_and_filled() {
    for size in [1, 100, B, B + 1, 5 * B + 77] {
        let (dir, store) = store();
        let bytes = noise(1, size);
        let c = store.db().write(|tx| store.blocks().cached(tx, &version(1), size as u64)).unwrap();
        assert_eq!(c.missing(0..u64::MAX).unwrap(), vec![0..size as u64]);
        assert_eq!(gaps(&c), vec![0..size as u64]);
        let tail = size / B * B;
        if tail < size {
            c.fill(tail as u64, &bytes[tail..]).unwrap();
            assert_eq!(
                c.read(tail as u64..u64::MAX).unwrap()[0],
                Piece::Data(tail as u64, bytes[tail..].to_vec().into())
            );
        }
        c.fill(0, &bytes).unwrap();
        assert_eq!(c.missing(0..u64::MAX).unwrap(), vec![]);
        assert_eq!(seen(&c, 0..u64::MAX, &[]).unwrap(), bytes);
        let used = store.blocks().usage();
        assert!(used.cached >= size as u64 && used.staged == 0);
        assert!(c.write(0, b"x").is_err() && c.truncate(0).is_err());
        drop(c);
        store.close().unwrap();
        drop(store);
        let store = open_at(dir.path());
        assert_eq!(store.blocks().usage(), used);
        let c = store.db().read(|conn| store.blocks().find(conn, &version(1))).unwrap().unwrap();
        assert_eq!(c.missing(0..u64::MAX).unwrap(), vec![]);
        assert_eq!(seen(&c, 0..u64::MAX, &[]).unwrap(), bytes);
        assert!(store.db().read(|conn| store.blocks().find(conn, &version(2))).unwrap().is_none());
    }
}

#[test]
fn fill_takes_whole_blocks_only() {
    let (_dir, store) = store();
    let c = store.db().write(|tx| store.blocks().cached(tx, &version(1), B as u64 + 10)).unwrap();
    for (offset, len) in [(1, 5), (0, 5), (B as u64, 9), (B as u64, 11)] {
        assert!(matches!(c.fill(offset, &vec![0; len]), Err(Error::State(_))), "{offset} {len}");
    }
    c.fill(B as u64, &[3; 10]).unwrap();
    assert_eq!(c.missing(0..5).unwrap(), vec![0..B as u64]);
    let s = staged(&store, b"s");
    assert!(s.fill(0, b"s").is_err());
}

#[test]
fn eviction_takes_the_longest_unused_and_leaves_what_is_needed() {
    let (dir, store) = store();
    let bytes = noise(3, 3 * B);
    for n in 0..6 {
        drop(cached(&store, n, &bytes));
    }
    drop(cached(&store, 9, b"small"));
    let ids: Vec<ContentId> = (0..6)
        .map(|n| store.db().read(|c| Ok(rows::by_version(c, &version(n))?.unwrap().id)).unwrap())
        .collect();
    let keep = staged(&store, &bytes);
    // 0 is pinned, 1 a base, 2 in use and excepted; of 3, 4, 5 the order of use is 4, 3, 5.
    store.db().write(|tx| store.blocks().pin(tx, ids[0], true)).unwrap();
    let over = store.db().write(|tx| store.blocks().stage(tx, Some((ids[1], 10)), 10)).unwrap();
    let used = store.blocks().open(ids[2]).unwrap();
    store.db().write(|tx| store.blocks().save(tx)).unwrap();
    for (n, t) in [(4, 1), (3, 2), (5, 3)] {
        let sql = "UPDATE contents SET last_used = ?2 WHERE id = ?1";
        store.db().write(|tx| Ok(tx.execute(sql, (ids[n].0, t))?)).unwrap();
    }
    let before = store.blocks().usage();
    let but = HashSet::from([ids[2]]);
    assert!(store.blocks().evict(before.cached - 1, &but).unwrap() > 0);
    let alive = |n: usize| store.blocks().open(ids[n]).is_ok();
    assert_eq!((0..6).map(alive).collect::<Vec<_>>(), [true, true, true, true, false, true]);
    store.blocks().evict(0, &but).unwrap();
    assert_eq!((0..6).map(alive).collect::<Vec<_>>(), [true, true, true, false, false, false]);
    assert_eq!(store.blocks().usage().staged, before.staged);
    assert_eq!(seen(&keep, 0..u64::MAX, &[]).unwrap(), bytes);
    assert_eq!(seen(&used, 0..u64::MAX, &[]).unwrap(), bytes);
    drop((keep, used, over));
    let du = own_bytes(dir.path());
    assert!(du < before.cached + before.staged, "{du}");
}

/// Bytes that the content files really take.
fn own_bytes(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for d in std::fs::read_dir(dir.join("blocks")).unwrap().map(|e| e.unwrap().path()) {
        if d.is_dir() {
            sum += std::fs::read_dir(d)
                .unwrap()
                .map(|e| e.unwrap().metadata().unwrap().blocks() * 512)
                .sum::<u64>();
        } else {
            sum += std::fs::metadata(d).unwrap().blocks() * 512;
        }
    }
    sum
}

#[test]
fn forgotten_bytes_leave_the_disk_and_open_readers_go_on() {
    let (dir, store) = store();
    let bytes = noise(3, 3 * B + 5);
    let (big, small) = (staged(&store, &bytes), staged(&store, &bytes[..3000]));
    let ids = [big.id(), small.id()];
    store.db().write(|tx| ids.iter().try_for_each(|id| store.blocks().forget(tx, *id))).unwrap();
    assert!(matches!(store.db().write(|tx| store.blocks().forget(tx, ids[0])), Err(Error::Gone(_))));
    store.db().write_durable(|_| Ok(())).unwrap();
    store.blocks().0.plain.clear();
    assert_eq!(seen(&big, 0..u64::MAX, &[]).unwrap(), bytes);
    assert_eq!(seen(&small, 0..u64::MAX, &[]).unwrap(), bytes[..3000]);
    // An unlinked open file is still written to.
    big.write(0, b"xx").unwrap();
    big.seal().unwrap();
    assert!(matches!(store.db().write(|tx| big.commit(tx)), Err(Error::Gone(_))));
    drop((big, small));
    assert!(own_bytes(dir.path()) > 0);
    store.db().write_durable(|_| Ok(())).unwrap();
    assert_eq!(own_bytes(dir.path()), 0);
    assert_eq!(store.blocks().usage(), Usage::default());
    // The notes about it go with the next one forgotten.
    let c = staged(&store, b"more").id();
    store.db().write(|tx| store.blocks().forget(tx, c)).unwrap();
    let doomed: i64 =
        store.db().read(|c| Ok(c.query_row("SELECT count(*) FROM doomed", [], |r| r.get(0))?)).unwrap();
    assert_eq!(doomed, 1);
}

#[test]
fn a_base_is_forgotten_with_the_last_that_needs_it() {
    let (_dir, store) = store();
    let base = cached(&store, 1, b"base bytes").id();
    let over = store.db().write(|tx| store.blocks().stage(tx, Some((base, 99)), 10)).unwrap();
    assert_eq!(over.base(), Some((base, 10)));
    store.db().write(|tx| store.blocks().forget(tx, base)).unwrap();
    assert!(store.blocks().open(base).is_ok());
    store.db().write(|tx| store.blocks().forget(tx, over.id())).unwrap();
    assert!(matches!(store.blocks().open(base), Err(Error::Gone(_))));
}

#[test]
fn what_is_rolled_back_never_was() {
    let (dir, store) = store();
    let mut kept = None;
    let out: Result<()> = store.db().write(|tx| {
        let c = store.blocks().stage(tx, None, 0)?;
        c.write(0, &noise(1, 2 * B))?;
        c.seal()?;
        c.commit(tx)?;
        kept = Some(c);
        store.blocks().cached(tx, &version(1), 5)?.fill(0, b"12345")?;
        Err(Error::Full)
    });
    assert!(matches!(out, Err(Error::Full)));
    let lost = kept.unwrap();
    let next = staged(&store, b"next");
    assert_eq!(next.id(), lost.id(), "the number is given again");
    assert!(Arc::ptr_eq(&store.blocks().open(next.id()).unwrap(), &next));
    drop(lost);
    store.db().write_durable(|_| Ok(())).unwrap();
    assert_eq!(store.blocks().usage().cached, 0);
    assert_eq!(store.blocks().usage().staged, 4096);
    assert_eq!(own_bytes(dir.path()), 4096);
    assert!(store.db().read(|c| store.blocks().find(c, &version(1))).unwrap().is_none());
}

#[test]
fn a_frozen_content_takes_no_writes_and_its_successor_reads_through() {
    let (_dir, store) = store();
    let bytes = noise(5, B + 9);
    let first = staged(&store, &bytes);
    first.freeze();
    assert!(first.write(0, b"x").is_err() && first.truncate(1).is_err());
    let limit = first.size();
    let next = store.db().write(|tx| store.blocks().stage(tx, Some((first.id(), limit)), limit)).unwrap();
    next.write(3, b"new").unwrap();
    assert_eq!(next.written().iter().collect::<Vec<_>>(), vec![3..6]);
    store.db().write(|tx| store.blocks().adopt(tx, first.id(), &version(4))).unwrap();
    assert_eq!(first.version(), Some(version(4)));
    assert!(!first.is_staged() && next.base() == Some((first.id(), limit)));
    let mut want = bytes.clone();
    want[3..6].copy_from_slice(b"new");
    assert_eq!(seen(&next, 0..u64::MAX, &bytes).unwrap(), want);
}

#[test]
fn what_lies_on_a_version_lies_on_the_upload_that_becomes_its_cached_content() {
    let (dir, store) = store();
    let bytes = noise(5, 3 * B);
    let size = bytes.len() as u64;
    let fetched = store.db().write(|tx| store.blocks().cached(tx, &version(4), size)).unwrap();
    let top = store.db().write(|tx| store.blocks().stage(tx, Some((fetched.id(), size)), size)).unwrap();
    top.write(3, b"new").unwrap();
    top.seal().unwrap();
    store.db().write(|tx| top.commit(tx)).unwrap();
    let upload = staged(&store, &bytes);
    store.db().write(|tx| store.blocks().adopt(tx, upload.id(), &version(4))).unwrap();
    assert_eq!(top.base(), Some((upload.id(), size)));
    let (top, upload) = (top.id(), upload.id());
    drop((fetched, store));
    let store = open_at(dir.path());
    assert_eq!(store.blocks().open(top).unwrap().base(), Some((upload, size)));
    assert_eq!(store.blocks().open(upload).unwrap().version(), Some(version(4)));
}

#[test]
fn durable_only_after_a_sync_of_what_is_committed() {
    let (_dir, store) = store();
    let c = staged(&store, b"one");
    assert!(!store.db().write(|tx| c.mark_durable(tx)).unwrap());
    c.sync().unwrap();
    assert!(store.db().write_durable(|tx| c.mark_durable(tx)).unwrap() && c.is_durable());
    c.write(0, b"two").unwrap();
    c.seal().unwrap();
    store.db().write(|tx| c.commit(tx)).unwrap();
    assert!(!c.is_durable());
    assert!(!store.db().write(|tx| c.mark_durable(tx)).unwrap());
    // The order of an fsync: sealed, synced, committed in one.
    c.write(0, b"three").unwrap();
    c.seal().unwrap();
    c.sync().unwrap();
    store.db().write_durable(|tx| c.commit(tx)).unwrap();
    assert!(c.is_durable() && !c.is_changed());
}

#[test]
fn open_blocks_are_bounded() {
    let (_dir, store) = store();
    let c = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    let mut want = BTreeMap::new();
    for n in 0..100u64 {
        let at = n * 7 % 100 * block::BLOCK + 11;
        c.write(at, &n.to_le_bytes()).unwrap();
        want.insert(at, n);
        assert!(c.state.lock().open.len() <= 16);
    }
    assert_eq!(store.blocks().0.open_blocks.load(Ordering::Relaxed), 16);
    for (at, n) in want {
        assert_eq!(
            c.read(at..at + 8).unwrap(),
            vec![Piece::Data(at, Bytes::copy_from_slice(&n.to_le_bytes()))]
        );
    }
    c.truncate(0).unwrap();
    assert_eq!(store.blocks().0.open_blocks.load(Ordering::Relaxed), 0);
}

#[test]
fn many_contents_share_one_bound_of_open_blocks() {
    let (_dir, store) = store();
    let all: Vec<_> = (0..1100)
        .map(|n: u64| {
            let c = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
            c.write(0, &n.to_le_bytes()).unwrap();
            c
        })
        .collect();
    assert!(store.blocks().0.open_blocks.load(Ordering::Relaxed) <= 1025);
    for (n, c) in all.iter().enumerate() {
        assert_eq!(seen(c, 0..8, &[]).unwrap(), (n as u64).to_le_bytes());
    }
}

/// A read once took the holes of a block for those of an upload that ended in its middle, and answered zeros.
#[test]
fn a_read_that_meets_the_end_of_an_upload_shows_no_zeros() {
    let (_dir, store) = store();
    let base = noise(1, 20);
    let b = cached(&store, 1, &base);
    let c = store.db().write(|tx| store.blocks().stage(tx, Some((b.id(), 20)), 20)).unwrap();
    c.write(16, &noise(2, 5000)).unwrap();
    c.seal().unwrap();
    store.db().write(|tx| c.commit(tx)).unwrap();
    c.freeze();
    assert_eq!(c.beneath(), Beneath::Base(b.id(), 20));
    let steps = c.steps(0..100);
    store.db().write(|tx| store.blocks().adopt(tx, c.id(), &version(2))).unwrap();
    let pieces = c.follow(steps).unwrap();
    assert_eq!(pieces[0], Piece::Gap(0..16));
    assert_eq!(c.beneath(), Beneath::Version(version(2)));
}

#[test]
fn blocks_that_lie_side_by_side_are_what_they_are_one_by_one() {
    let (_dir, store) = store();
    let bytes: Vec<u8> = (0..4 * B + 100).map(|n| (n / 7 % 251) as u8).collect();
    for c in [cached(&store, 1, &bytes), staged(&store, &bytes)] {
        for range in [0..2 * B, B..4 * B, 0..4 * B + 100, B / 2..3 * B, B..2 * B + 1] {
            store.blocks().0.plain.clear();
            let pieces = c.read(range.start as u64..range.end as u64).unwrap();
            if range == (B..4 * B) {
                assert_eq!(pieces.len(), 1, "with one call");
            }
            let mut at = range.start;
            for piece in pieces {
                let Piece::Data(from, data) = piece else { panic!("{piece:?}") };
                assert_eq!((from, &data[..]), (at as u64, &bytes[at..at + data.len()]));
                at += data.len();
            }
            assert_eq!(at, range.end);
        }
    }
}
