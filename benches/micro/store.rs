//! The local store: sealed blocks, and the questions the mirror is asked.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use inxtfs::crypto::seal::Key;
use inxtfs::store::nodes::{self, Node};
use inxtfs::store::{Content, Store};
use inxtfs::types::{Ino, Kind, Timestamp, Version};
use tempfile::TempDir;

use crate::noise;

const NOW: i64 = 1_700_000_000_000;

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), "an-account", &Key::from_seed(&[7; 64])).unwrap().store;
    (dir, store)
}

/// More than is kept opened, so that reading opens seals.
const CACHED: usize = 64 << 20;

fn cached(store: &Store) -> Arc<Content> {
    let version = Version { bucket: "b".to_owned(), object: "0".repeat(24) };
    let content = store.db().write(|tx| store.blocks().cached(tx, &version, CACHED as u64)).unwrap();
    content.fill(0, &noise(CACHED)).unwrap();
    content
}

/// As the kernel reads on: so much after so much.
#[divan::bench(args = [4096, 128 << 10, 1 << 20])]
fn read_cached(bencher: Bencher, len: u64) {
    let (_dir, store) = store();
    let content = cached(&store);
    let mut at = 0;
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        let pieces = content.read(at..at + len).unwrap();
        at = (at + len) % (CACHED as u64 - len);
        pieces
    });
}

#[divan::bench(args = [4096, 1 << 20])]
fn write_staged(bencher: Bencher, len: usize) {
    let (_dir, store) = store();
    let content = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    let bytes = noise(len);
    let mut at = 0;
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        content.write(at, &bytes).unwrap();
        at = (at + len as u64) % (CACHED as u64);
    });
}

/// What arrives, sealed into the cache.
#[divan::bench]
fn fill(bencher: Bencher) {
    const PIECE: usize = 1 << 20;
    let (_dir, store) = store();
    let bytes = noise(PIECE);
    let mut n = 0;
    bencher
        .counter(BytesCount::new(PIECE))
        .with_inputs(|| {
            n += 1;
            let version = Version { bucket: "b".to_owned(), object: format!("{n:024x}") };
            store.db().write(|tx| store.blocks().cached(tx, &version, PIECE as u64)).unwrap()
        })
        .bench_local_values(|content| content.fill(0, &bytes).unwrap());
}

const FILES: usize = 10_000;

/// A folder of many files that wait to be sent.
fn folder(store: &Store) -> Ino {
    let now = Timestamp::from_millis(NOW);
    store
        .db()
        .write(|tx| {
            let root = Node { parent: None, ..Node::new_local(Kind::Folder, Ino(0), "", now, 0) };
            let root = nodes::insert(tx, &root)?.ino;
            let folder = nodes::insert(tx, &Node::new_local(Kind::Folder, root, "folder", now, 0))?.ino;
            for i in 0..FILES {
                let file = Node::new_local(Kind::File, folder, &format!("file {i}.txt"), now, NOW + i as i64);
                nodes::insert(tx, &file)?;
            }
            Ok(folder)
        })
        .unwrap()
}

#[divan::bench]
fn child_by_name(bencher: Bencher) {
    let (_dir, store) = store();
    let folder = folder(&store);
    let mut i = 0;
    bencher.bench_local(|| {
        i = (i + 7919) % FILES;
        let found = store.db().read(|c| nodes::child(c, folder, &format!("file {i}.txt"))).unwrap();
        assert!(found.is_some());
    });
}

#[divan::bench]
fn no_such_child(bencher: Bencher) {
    let (_dir, store) = store();
    let folder = folder(&store);
    bencher.bench_local(|| {
        assert!(store.db().read(|c| nodes::child(c, folder, ".gitignore")).unwrap().is_none());
    });
}

#[divan::bench]
fn by_number(bencher: Bencher) {
    let (_dir, store) = store();
    let folder = folder(&store);
    let mut i = 0;
    bencher.bench_local(|| {
        i = (i + 7919) % FILES as u64;
        assert!(store.db().read(|c| nodes::get(c, Ino(folder.0 + 1 + i))).unwrap().is_some());
    });
}

#[divan::bench(args = [32, 1000])]
fn page_of_a_folder(bencher: Bencher, limit: usize) {
    let (_dir, store) = store();
    let folder = folder(&store);
    let mut after = 0;
    bencher.counter(ItemsCount::new(limit)).bench_local(|| {
        after = (after + limit as u64) % (FILES - limit) as u64;
        let page = store.db().read(|c| nodes::children(c, folder, Ino(folder.0 + after), limit)).unwrap();
        assert_eq!(page.len(), limit);
    });
}

#[divan::bench]
fn due(bencher: Bencher) {
    let (_dir, store) = store();
    folder(&store);
    bencher.counter(ItemsCount::new(64_u32)).bench_local(|| {
        let due = store.db().read(|c| nodes::due(c, NOW + FILES as i64, 64)).unwrap();
        assert_eq!(due.len(), 64);
    });
}

/// One transaction, as every create is one.
#[divan::bench]
fn insert(bencher: Bencher) {
    let (_dir, store) = store();
    let folder = folder(&store);
    let now = Timestamp::from_millis(NOW);
    let mut i = 0;
    bencher.bench_local(|| {
        i += 1;
        let file = Node::new_local(Kind::File, folder, &format!("new {i}.txt"), now, NOW);
        store.db().write(|tx| nodes::insert(tx, &file)).unwrap()
    });
}
