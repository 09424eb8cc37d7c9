//! What is damaged on disk, or put there by somebody else, must not open.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::blocks::slot::{HEADER, STRIDE};

/// The content files that are there, slabs included, largest first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for d in std::fs::read_dir(dir.join("blocks")).unwrap().map(|e| e.unwrap().path()) {
        if d.is_dir() {
            out.extend(std::fs::read_dir(d).unwrap().map(|e| e.unwrap().path()));
        } else {
            out.push(d);
        }
    }
    out.sort_by_key(|p| std::cmp::Reverse(p.metadata().unwrap().len()));
    out
}

fn change(path: &Path, f: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    f(&mut bytes);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

const S: usize = STRIDE as usize;

/// Damages to a file of two full slots, and which blocks they spoil.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static [u64]);
const DAMAGES: &[Damage] = &[
    ("bit of the body", |b| b[S + HEADER + 40_000] ^= 4, &[1]),
    ("bit of the tag", |b| b[36] ^= 1, &[0]),
    ("bit of the nonce", |b| b[24] ^= 1, &[0]),
    ("length", |b| b[4] ^= 1, &[0]),
    ("torn: the second half is zeros", |b| b[S + 20_000..].fill(0), &[1]),
    ("cut off", |b| b.truncate(S + 100), &[1]),
    ("swapped slots", |b| b.rotate_left(S), &[0, 1]),
    ("a copy in another's place", |b| b.copy_within(S..2 * S, 0), &[0]),
];

#[test]
fn staged_damage_is_told_and_never_covered_up() {
    for (name, damage, spoilt) in DAMAGES {
        let (dir, store) = store();
        let base = noise(8, 2 * B);
        let b = cached(&store, 1, &base).id();
        let len = 2 * block::BLOCK;
        let c = store.db().write(|tx| store.blocks().stage(tx, Some((b, len)), len)).unwrap();
        let bytes = noise(2, 2 * B);
        c.write(0, &bytes).unwrap();
        c.seal().unwrap();
        store.db().write(|tx| c.commit(tx)).unwrap();
        let file = files(dir.path()).into_iter().find(|f| f.extension().is_some_and(|e| e == "s")).unwrap();
        change(&file, |v| {
            v.resize(2 * S, 0);
            damage(v);
        });
        store.blocks().0.plain.clear();
        for block in 0..2u64 {
            let range = block * block::BLOCK..(block + 1) * block::BLOCK;
            let got = c.read(range.clone());
            if spoilt.contains(&block) {
                let e = got.unwrap_err();
                assert!(
                    matches!(e, Error::Damaged { content, block: b } if content == c.id() && b == block),
                    "{name}: {e}"
                );
                assert!(matches!(c.write(range.start + 5, b"x"), Err(Error::Damaged { .. })), "{name}");
                // Its writer may replace it, whole.
                c.write(range.start, &bytes[..B]).unwrap();
                assert_eq!(seen(&c, range, &base).unwrap(), &bytes[..B]);
            } else {
                assert_eq!(
                    seen(&c, range.clone(), &base).unwrap(),
                    &bytes[range.start as usize..range.end as usize]
                );
            }
        }
    }
}

#[test]
fn cached_damage_is_absence() {
    for (name, damage, spoilt) in DAMAGES {
        let (dir, store) = store();
        let bytes = noise(2, 2 * B);
        let c = cached(&store, 1, &bytes);
        let file = files(dir.path()).remove(0);
        change(&file, |v| {
            v.resize(2 * S, 0);
            damage(v);
        });
        store.blocks().0.plain.clear();
        let want: Vec<_> = spoilt.iter().map(|b| b * block::BLOCK..(b + 1) * block::BLOCK).collect();
        let got: crate::extent::ByteSet = gaps(&c).into_iter().collect();
        assert_eq!(got, want.iter().cloned().collect(), "{name}");
        let missing: crate::extent::ByteSet = c.missing(0..u64::MAX).unwrap().into_iter().collect();
        assert_eq!(missing, got, "{name}");
        c.fill(0, &bytes).unwrap();
        store.blocks().0.plain.clear();
        assert_eq!(seen(&c, 0..u64::MAX, &[]).unwrap(), bytes, "{name}");
    }
}

#[test]
fn an_uploaded_block_that_rots_is_fetched_again() {
    let (dir, store) = store();
    let bytes = noise(2, 2 * B);
    let c = staged(&store, &bytes);
    c.freeze();
    store.db().write(|tx| store.blocks().adopt(tx, c.id(), &version(1))).unwrap();
    change(&files(dir.path())[0], |b| b[S + 500] ^= 1);
    store.blocks().0.plain.clear();
    let block1 = block::BLOCK..2 * block::BLOCK;
    assert_eq!(gaps(&c), vec![block1.clone()]);
    assert_eq!(c.missing(0..u64::MAX).unwrap(), vec![block1]);
    c.fill(block::BLOCK, &bytes[B..]).unwrap();
    store.blocks().0.plain.clear();
    assert_eq!(seen(&c, 0..u64::MAX, &[]).unwrap(), bytes);
}

#[test]
fn another_contents_slot_does_not_open() {
    let (dir, store) = store();
    let bytes = noise(2, 2 * B);
    let (a, b) = (staged(&store, &bytes), staged(&store, &noise(3, 2 * B)));
    let found = files(dir.path());
    assert_eq!(found.len(), 2);
    let other = std::fs::read(&found[1]).unwrap();
    change(&found[0], |v| *v = other);
    store.blocks().0.plain.clear();
    let read = [a.read(0..10), b.read(0..10)];
    assert_eq!(read.iter().filter(|r| matches!(r, Err(Error::Damaged { .. }))).count(), 1);
    // The same in a slab, for small ones.
    let (a, b) = (staged(&store, b"first"), staged(&store, b"other"));
    let slab = files(dir.path()).into_iter().find(|p| p.ends_with("slab-01")).unwrap();
    change(&slab, |v| v.copy_within(0..HEADER + 5, 4096));
    store.blocks().0.plain.clear();
    assert_eq!(seen(&a, 0..5, &[]).unwrap(), b"first");
    assert!(matches!(b.read(0..5), Err(Error::Damaged { block: 0, .. })));
}

#[test]
fn after_a_reboot_what_was_not_durable_is_checked() {
    let (dir, store) = store();
    let (good, bad) = (staged(&store, &noise(1, 3000)), staged(&store, &noise(2, 2 * B)));
    let durable = staged(&store, b"durable");
    durable.sync().unwrap();
    store.db().write(|tx| durable.mark_durable(tx)).unwrap();
    let ids = (good.id(), bad.id());
    let check = |s: &Store| s.db().read(|c| s.blocks().check_after_boot(c)).unwrap();
    assert_eq!(check(&store), vec![]);
    store
        .db()
        .write(|tx| Ok(tx.execute_batch("UPDATE contents SET boot = 'x'; UPDATE meta SET boot = 'x'")?))
        .unwrap();
    drop((good, bad, durable, store));
    let file = files(dir.path()).into_iter().find(|f| f.extension().is_some_and(|e| e == "s")).unwrap();
    change(&file, |b| b[S + 9000..].fill(0));
    let orphan = file.with_file_name(format!("{}.s", "ab".repeat(16)));
    std::fs::copy(&file, &orphan).unwrap();
    let store = open_at(dir.path());
    assert!(store.rebooted());
    assert_eq!(check(&store), vec![(ids.0, Verdict::Intact), (ids.1, Verdict::Damaged(vec![1]))]);
    let swept = store.blocks().sweep().unwrap();
    assert_eq!((swept.removed, swept.quarantined.len()), (0, 1));
    assert!(
        !orphan.exists() && std::fs::read(&swept.quarantined[0]).unwrap() == std::fs::read(&file).unwrap()
    );
}

#[test]
fn a_sweep_removes_what_nobody_names() {
    let (dir, store) = store();
    let c = staged(&store, &noise(1, 3 * B));
    let lost = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    store.db().write(|tx| store.blocks().forget(tx, c.id())).unwrap();
    let kept = staged(&store, &noise(4, 2 * B));
    let id = kept.id();
    drop((c, lost, kept, store));
    let name = files(dir.path())[0].with_file_name(format!("{}.f", "cd".repeat(16)));
    std::fs::write(&name, b"?").unwrap();
    let store = open_at(dir.path());
    assert_eq!(store.blocks().sweep().unwrap(), Swept { removed: 2, quarantined: vec![] });
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(seen(&store.blocks().open(id).unwrap(), 0..u64::MAX, &[]).unwrap(), noise(4, 2 * B));
}

/// A slot that a commit has replaced is not used again before that commit is durable.
#[test]
fn replaced_slots_wait_for_durability() {
    let (dir, store) = store();
    let c = staged(&store, &noise(1, 2 * B));
    let first = std::fs::read(&files(dir.path())[0]).unwrap();
    let rewrite = |seed| {
        c.write(0, &noise(seed, 2 * B)).unwrap();
        c.seal().unwrap();
        store.db().write(|tx| c.commit(tx)).unwrap();
    };
    (2..5).for_each(rewrite);
    let now = std::fs::read(&files(dir.path())[0]).unwrap();
    assert_eq!(now[..first.len()], first);
    assert!(now.len() > 7 * S);
    store.db().write_durable(|_| Ok(())).unwrap();
    (5..8).for_each(rewrite);
    assert_eq!(std::fs::read(&files(dir.path())[0]).unwrap().len(), now.len());
    assert_eq!(seen(&c, 0..u64::MAX, &[]).unwrap(), noise(7, 2 * B));
}
