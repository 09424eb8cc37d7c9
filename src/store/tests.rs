use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::types::Version;

const ACCOUNT: &str = "4c5a-account";

fn key(n: u8) -> Key {
    Key::from_seed(&[n; 64])
}

fn open(dir: &Path) -> Result<Opened> {
    Store::open(dir, ACCOUNT, &key(1))
}

/// Every file below, with its bytes.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for e in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        if e.file_type().unwrap().is_dir() {
            out.extend(tree(&e.path()));
        } else {
            out.insert(e.path(), std::fs::read(e.path()).unwrap());
        }
    }
    out
}

fn content(store: &Store, bytes: &[u8]) -> ContentId {
    let c = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    c.write(0, bytes).unwrap();
    c.seal().unwrap();
    store.db().write(|tx| c.commit(tx)).unwrap();
    c.id()
}

fn bytes(store: &Store, id: ContentId) -> Vec<u8> {
    let pieces = store.blocks().open(id).unwrap().read(0..u64::MAX).unwrap();
    pieces.iter().flat_map(|p| if let Piece::Data(_, b) = p { b.to_vec() } else { panic!("{p:?}") }).collect()
}

#[test]
fn one_owner_at_a_time() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).unwrap();
    let e = open(dir.path()).err().unwrap();
    assert!(matches!(&e, Error::InUse { pid: Some(p), .. } if *p == std::process::id()), "{e}");
    assert!(e.to_string().contains(&format!("process {}", std::process::id())));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn another_accounts_directory_is_refused_and_untouched() {
    let dir = TempDir::new().unwrap();
    content(&open(dir.path()).unwrap().store, b"mine");
    let before = tree(dir.path());
    for (account, k) in [("other", key(1)), (ACCOUNT, key(2)), ("other", key(2))] {
        assert!(matches!(Store::open(dir.path(), account, &k), Err(Error::ForeignAccount(_))));
    }
    assert_eq!(tree(dir.path()), before);
    assert_eq!(bytes(&open(dir.path()).unwrap().store, ContentId(1)), b"mine");
}

#[test]
fn a_newer_format_is_refused_and_untouched() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap().store;
    store.db().write(|tx| Ok(tx.pragma_update(None, "user_version", 999)?)).unwrap();
    store.close().unwrap();
    drop(store);
    let before = tree(dir.path());
    let e = open(dir.path()).err().unwrap();
    assert!(matches!(e, Error::TooNew { found: 999, known: 6, .. }), "{e}");
    assert_eq!(tree(dir.path()), before);
    let path = dir.path().join("store.key");
    std::fs::write(&path, br#"{"version":2,"else":"unknown"}"#).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::TooNew { found: 2, .. })));
}

#[test]
fn what_cannot_be_read_is_put_aside_whole() {
    type Harm = (&'static str, fn(&Path));
    fn flip_in(dir: &Path, name: &str, at: usize) {
        let p = dir.join(name);
        let mut b = std::fs::read(&p).unwrap();
        b[at] ^= 1;
        std::fs::write(&p, b).unwrap();
    }
    let harms: [Harm; 9] = [
        ("key file: a bit of the fingerprint", |d| {
            let text = std::fs::read_to_string(d.join("store.key")).unwrap();
            flip_in(d, "store.key", text.find("account").unwrap() + 12);
        }),
        ("key file: a bit of the key", |d| {
            let text = std::fs::read_to_string(d.join("store.key")).unwrap();
            flip_in(d, "store.key", text.find("wrapped").unwrap() + 12);
        }),
        ("key file: empty", |d| std::fs::write(d.join("store.key"), b"").unwrap()),
        ("key file: gone", |d| std::fs::remove_file(d.join("store.key")).unwrap()),
        ("database: first page", |d| flip_in(d, "state.db", 100)),
        ("database: another page", |d| flip_in(d, "state.db", 3 * 4096 + 100)),
        ("database: cut off", |d| {
            let file = std::fs::OpenOptions::new().write(true).open(d.join("state.db")).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2 / 4096 * 4096).unwrap();
        }),
        ("database: empty", |d| std::fs::write(d.join("state.db"), b"").unwrap()),
        ("database: gone", |d| std::fs::remove_file(d.join("state.db")).unwrap()),
    ];
    for (name, harm) in harms {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path()).unwrap().store;
        content(&store, &[5; 100_000]);
        store.close().unwrap();
        // Not closed in order, as far as the next start can see.
        store.db().write_durable(|tx| Ok(tx.execute_batch("UPDATE meta SET clean = 0")?)).unwrap();
        drop(store);
        harm(dir.path());
        let mut before = tree(dir.path());
        before.remove(&dir.path().join("lock"));
        let Opened { store, notices } = open(dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let [Notice::Quarantined { path, .. }] = &notices[..] else { panic!("{name}: {notices:?}") };
        let after = tree(path);
        for (file, bytes) in before {
            let moved = path.join(file.strip_prefix(dir.path()).unwrap());
            // SQLite tidies its own log away when it closes.
            if !moved.to_string_lossy().contains("-wal") && !moved.to_string_lossy().contains("-shm") {
                let kept = after.get(&moved).unwrap_or_else(|| panic!("{name}: {moved:?}"));
                assert!(*kept == bytes || name == "database: empty", "{name}: {moved:?}");
            }
        }
        let id = content(&store, b"fresh");
        drop(store);
        let again = open(dir.path()).unwrap();
        assert_eq!((again.notices.len(), bytes(&again.store, id)), (0, b"fresh".to_vec()), "{name}");
    }
}

/// Fills a table of its own with so many pages, closes, and damages one of them.
fn with_a_damaged_page(dir: &Path, pages: i64, clean: bool) {
    let store = open(dir).unwrap().store;
    store
        .db()
        .write(|tx| {
            tx.execute_batch("CREATE TABLE t (b BLOB)")?;
            let mut row = tx.prepare("INSERT INTO t VALUES (randomblob(4000))")?;
            (0..pages).try_for_each(|_| row.execute([]).map(|_| ()))?;
            Ok(())
        })
        .unwrap();
    store.close().unwrap();
    if !clean {
        store.db().write_durable(|tx| Ok(tx.execute_batch("UPDATE meta SET clean = 0")?)).unwrap();
    }
    drop(store);
    let path = dir.join("state.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 100 * 4096;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn put_aside(opened: &Opened) -> bool {
    matches!(opened.notices[..], [Notice::Quarantined { .. }])
}

#[test]
fn a_large_database_is_checked_while_it_is_used_and_put_aside_by_the_next_start() {
    let dir = TempDir::new().unwrap();
    with_a_damaged_page(dir.path(), 7000, false);
    for _ in 0..2 {
        // Not closed in order, nor looked at whole: the next start has it still to do.
        let opened = open(dir.path()).unwrap();
        assert_eq!(opened.notices, []);
        opened.store.close().unwrap();
    }
    let store = open(dir.path()).unwrap().store;
    assert!(store.check().unwrap_err().is_corrupt());
    drop(store);
    assert!(put_aside(&open(dir.path()).unwrap()));
    assert!(!put_aside(&open(dir.path()).unwrap()));
}

#[test]
fn damage_that_was_met_is_put_aside_by_the_next_start() {
    let dir = TempDir::new().unwrap();
    with_a_damaged_page(dir.path(), 200, true);
    let opened = open(dir.path()).unwrap();
    assert_eq!(opened.notices, []);
    let all =
        opened.store.db().read(|c| Ok(c.query_row("SELECT max(b) FROM t", [], |r| r.get::<_, Vec<u8>>(0))?));
    assert!(all.unwrap_err().is_corrupt());
    opened.store.close().unwrap();
    drop(opened);
    assert!(put_aside(&open(dir.path()).unwrap()));
}

#[test]
fn nothing_is_readable_at_rest() {
    let dir = TempDir::new().unwrap();
    let marker = b"PLAINTEXT-MARKER".repeat(5000);
    let store = open(dir.path()).unwrap().store;
    content(&store, &marker[..100]);
    content(&store, &marker);
    let v = Version { bucket: "bucket-name-here".into(), object: "object-name-here".into() };
    let c = store.db().write(|tx| store.blocks().cached(tx, &v, marker.len() as u64)).unwrap();
    c.fill(0, &marker).unwrap();
    store
        .db()
        .write(|tx| {
            Ok(tx.execute_batch("CREATE TABLE t (name TEXT); INSERT INTO t VALUES ('secret-name.pdf')")?)
        })
        .unwrap();
    let all = tree(dir.path());
    assert!(all.values().map(Vec::len).sum::<usize>() > 2 * marker.len());
    for (path, bytes) in all {
        for word in [
            "PLAINTEXT",
            "bucket-name-here",
            "object-name",
            "secret-name",
            "CREATE TABLE",
            "SQLite format",
            ACCOUNT,
        ] {
            assert!(!bytes.windows(word.len()).any(|w| w == word.as_bytes()), "{word} in {path:?}");
        }
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{path:?} {mode:o}");
    }
    assert_eq!(dir.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_panic_or_an_error_undoes_and_poisons_nothing() {
    let dir = TempDir::new().unwrap();
    let db = open(dir.path()).unwrap().store.db().clone();
    db.write(|tx| Ok(tx.execute_batch("CREATE TABLE t (n INTEGER)")?)).unwrap();
    let count =
        || db.read(|c| Ok(c.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))?)).unwrap();
    let insert = |tx: &Tx| Ok(tx.execute_batch("INSERT INTO t VALUES (1)")?);
    let ended = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let note = |tx: &Tx| {
        let ended = ended.clone();
        db.on_end(tx, move |ok| ended.lock().push(ok));
    };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.write(|tx| -> Result<()> {
            note(tx);
            insert(tx)?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err() && count() == 0);
    let failed: Result<()> = db.write(|tx| insert(tx).and(Err(Error::Full)));
    assert!(failed.is_err() && count() == 0);
    db.write(|tx| {
        note(tx);
        insert(tx)
    })
    .unwrap();
    assert_eq!((count(), &*ended.lock()), (1, &vec![false, true]));
    // Readers see what was committed, while a writer is at work.
    db.write(|tx| {
        insert(tx)?;
        assert_eq!(count(), 1);
        Ok(())
    })
    .unwrap();
    db.write_durable(insert).unwrap();
    assert_eq!(count(), 3);
}

/// A mount of its own, gone when dropped.
struct Tiny(TempDir);

impl Tiny {
    fn new() -> Option<Tiny> {
        let dir = TempDir::new().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(dir.path()).status();
        mounted.is_ok_and(|s| s.success()).then_some(Tiny(dir))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let Some(disk) = Tiny::new() else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let dir = disk.0.path().join("cache");
    let store = open(&dir).unwrap().store;
    let block = vec![9; 65536];
    let safe = content(&store, &block);
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 512 << 10]).unwrap();
    let c = store.db().write(|tx| store.blocks().stage(tx, None, 0)).unwrap();
    let mut written = 0u64;
    let e = loop {
        match c.write(written, &block) {
            Ok(()) => written += block.len() as u64,
            Err(e) => break e,
        }
        assert!(written < 8 << 20);
    };
    assert!(matches!(e, Error::Full), "{e}");
    assert_eq!(c.size(), written);
    assert!(matches!(c.seal(), Err(Error::Full)));
    // What was written can still be read, and what was committed too.
    let sum: usize =
        c.read(0..written).unwrap().iter().map(|p| if let Piece::Data(_, b) = p { b.len() } else { 0 }).sum();
    assert_eq!(sum as u64, written);
    assert_eq!(bytes(&store, safe), block);
    // Somebody makes room; the open blocks are still there to be sealed.
    std::fs::remove_file(&ballast).unwrap();
    c.truncate(written / 2).unwrap();
    c.seal().unwrap();
    store.db().write(|tx| c.commit(tx)).unwrap();
    let (id, half) = (c.id(), written / 2);
    drop((c, store));
    let opened = open(&dir).unwrap();
    assert_eq!(opened.notices, []);
    assert_eq!(bytes(&opened.store, safe), block);
    assert!(bytes(&opened.store, id) == vec![9; half as usize]);
}

#[test]
fn a_log_of_garbage_takes_nothing_from_the_database() {
    for garbage in [vec![7; 100_000], vec![0; 32], b"no log".to_vec()] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path()).unwrap().store;
        let id = content(&store, b"kept");
        store.close().unwrap();
        drop(store);
        std::fs::write(dir.path().join("state.db-wal"), garbage).unwrap();
        std::fs::write(dir.path().join("state.db-shm"), [9; 40_000]).unwrap();
        let Opened { store, notices } = open(dir.path()).unwrap();
        assert_eq!((notices, bytes(&store, id)), (vec![], b"kept".to_vec()));
    }
}

#[test]
fn removals_add_up_within_a_window_and_survive_a_restart() {
    use crate::store::nodes::{forget_removals, note_removals, removals_since};
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).unwrap().store;
    for now in [1_000, 1_999, 2_000, 61_000, 61_500] {
        first.db().write(|tx| note_removals(tx, now, 1)).unwrap();
    }
    first.close().unwrap();
    drop(first);
    let store = open(dir.path()).unwrap().store;
    let since = |ms| store.db().read(|c| removals_since(c, ms)).unwrap();
    assert_eq!((since(0), since(2_000), since(61_999), since(62_000)), (5, 3, 2, 0));
    store.db().write(|tx| forget_removals(tx, 61_000)).unwrap();
    assert_eq!(since(0), 2);
}
