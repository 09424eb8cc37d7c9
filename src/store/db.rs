//! The database: one writer, a few readers, sealed with SQLCipher.
//!
//! No disk is waited for under the writer's lock: a durable commit is an ordinary one and a sync of the log after it,
//! which serves all that were committed before it began; the log is folded into the file by a thread of its own.
//!
//! Lock order: the writer comes before any lock of a content. What is to happen when a transaction ends is
//! registered while it runs ([`Db::on_end`]) and done under the writer's lock, in the order of transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use zeroize::Zeroizing;

use super::wal::{Folding, Log};
use super::{Error, Result, schema};
use crate::crypto::seal::Key;

/// A connection, for reading.
pub type Conn = rusqlite::Connection;
/// A transaction of the writer.
pub type Tx<'a> = rusqlite::Transaction<'a>;

/// Readers kept open; more than FUSE threads is never needed for long.
const READERS: usize = 4;
/// Statements a connection keeps prepared.
const STATEMENTS: usize = 128;

/// Bytes of a page: each that a commit touches is sealed and written whole, and most touch many of which little changed.
const PAGE: u32 = 2048;
/// What the files of earlier versions have.
const FORMER_PAGE: u32 = 4096;

type Late = Box<dyn FnOnce() + Send>;
type OnEnd = Box<dyn FnOnce(bool) + Send>;

/// The database of a store. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    door: Door,
    writer: Arc<Mutex<Connection>>,
    readers: Mutex<Vec<Connection>>,
    log: Log,
    /// Counts transactions that have ended.
    commits: AtomicU64,
    on_end: Mutex<Vec<OnEnd>>,
    late: Mutex<Vec<Late>>,
    /// Waiting for the next durable commit: their transaction has been committed.
    when_durable: Mutex<Vec<Late>>,
    // Ends with the database, before the directory is given up.
    _folding: Folding,
}

impl Db {
    /// Opens or creates the file. An error that [`Error::is_corrupt`] means: quarantine it.
    pub(super) fn open(path: &Path, key: Key) -> Result<Db> {
        let (door, mut conn) = Door::find(path, key)?;
        schema::version(&conn, path)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        schema::migrate(&mut conn, path)?;
        let writer = Arc::new(Mutex::new(conn));
        let folding = Folding::start(&writer, door.connect()?)?;
        Ok(Db(Arc::new(Inner {
            door,
            writer,
            readers: Mutex::new(Vec::new()),
            log: Log::of(path),
            commits: AtomicU64::new(0),
            on_end: Mutex::default(),
            late: Mutex::default(),
            when_durable: Mutex::default(),
            _folding: folding,
        })))
    }

    /// Reads one consistent state. Not to be nested in itself.
    pub fn read<T>(&self, f: impl FnOnce(&Conn) -> Result<T>) -> Result<T> {
        let pooled = self.0.readers.lock().pop();
        let mut conn = match pooled {
            Some(c) => c,
            None => self.0.door.connect()?,
        };
        // A closure that panics loses its connection and nothing else.
        let tx = conn.transaction()?;
        let out = f(&tx);
        drop(tx);
        let mut readers = self.0.readers.lock();
        if readers.len() < READERS {
            readers.push(conn);
        }
        drop(readers);
        self.remember_damage(&out);
        out
    }

    /// Reads a little. On the writer's connection where that is free: its pages outlive its own commits, while each
    /// commit makes every reader open all its pages anew. Must be short.
    pub fn glance<T>(&self, f: impl FnOnce(&Conn) -> Result<T>) -> Result<T> {
        let Some(conn) = self.0.writer.try_lock() else { return self.read(f) };
        // Nobody else writes, so what `f` reads is one state.
        let out = f(&conn);
        drop(conn);
        self.remember_damage(&out);
        out
    }

    /// One state, to be read later and from elsewhere. The log grows until it is dropped.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let conn = self.0.door.connect()?;
        // The state is the one at the first look.
        conn.execute_batch("BEGIN")?;
        conn.query_row("SELECT durable FROM meta", [], |r| r.get::<_, i64>(0))?;
        Ok(Snapshot(conn))
    }

    /// Damage that was met once is looked for by the next open, which puts the store aside.
    fn remember_damage<T>(&self, out: &Result<T>) {
        if out.as_ref().is_err_and(Error::is_corrupt)
            && let Some(dir) = self.0.door.path.parent()
            && let Err(e) = super::dir::suspect(dir)
        {
            tracing::warn!(error = %e, "the damage of the database could not be noted");
        }
    }

    /// One transaction. Once it returns it survives the death of the process. An error undoes everything.
    pub fn write<T>(&self, f: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        let out = self.run(f).map(|(out, _)| out);
        self.run_late();
        out
    }

    /// One transaction that, with all before it, survives a loss of power. If only the disk fails it, it is committed all
    /// the same.
    pub fn write_durable<T>(&self, f: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        let out = self.run(f).and_then(|(out, commit)| self.settle(commit).map(|()| out));
        self.run_late();
        out
    }

    /// Within a transaction: calls `f(committed)` when it ends, before the next one begins. Must be short and
    /// must not use the database.
    pub fn on_end(&self, _tx: &Tx, f: impl FnOnce(bool) + Send + 'static) {
        self.0.on_end.lock().push(Box::new(f));
    }

    /// Calls `f` once everything committed up to now would survive a loss of power.
    pub(super) fn when_durable(&self, f: impl FnOnce() + Send + 'static) {
        self.0.when_durable.lock().push(Box::new(f));
    }

    /// Returns the transaction's number, too.
    fn run<T>(&self, f: impl FnOnce(&Tx) -> Result<T>) -> Result<(T, u64)> {
        let mut conn = self.0.writer.lock();
        // A panic in `f` unwinds through the transaction (which rolls back) and this guard.
        let mut ending = Ending { db: &self.0, committed: false };
        let out = Self::transact(&mut conn, f);
        ending.committed = out.is_ok();
        drop(ending);
        let commit = self.0.commits.fetch_add(1, Ordering::AcqRel) + 1;
        drop(conn);
        self.remember_damage(&out);
        Ok((out?, commit))
    }

    fn transact<T>(conn: &mut Connection, f: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let out = f(&tx)?;
        tx.commit()?;
        Ok(out)
    }

    /// Brings the log to the disk, up to a transaction's end at least.
    fn settle(&self, commit: u64) -> Result<()> {
        self.0.log.settle(commit, || {
            let upto = self.0.commits.load(Ordering::Acquire);
            // Holds all that those transactions put off, and nothing that will be committed after this.
            let ready = std::mem::take(&mut *self.0.when_durable.lock());
            (upto, move |synced| {
                let to = if synced { &self.0.late } else { &self.0.when_durable };
                to.lock().extend(ready);
            })
        })
    }

    /// Does what was put off. Called after each transaction.
    pub(super) fn run_late(&self) {
        let late = std::mem::take(&mut *self.0.late.lock());
        late.into_iter().for_each(|f| f());
    }

    /// Folds the log into the file and truncates it. Not needed for safety.
    pub(super) fn checkpoint(&self) -> Result<()> {
        let conn = self.0.writer.lock();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Reads every page; an error that [`Error::is_corrupt`] means if one is damaged.
    pub(super) fn check(&self) -> Result<()> {
        self.read(|c| match c.query_row("PRAGMA quick_check(1)", [], |r| r.get::<_, String>(0))? {
            verdict if verdict == "ok" => Ok(()),
            verdict => Err(Error::corrupt(verdict)),
        })
    }

    /// Drops everything that was put off.
    pub(super) fn abandon(&self) {
        let late = std::mem::take(&mut *self.0.late.lock());
        let durable = std::mem::take(&mut *self.0.when_durable.lock());
        drop((late, durable));
    }
}

/// The database as it was at one moment.
pub(super) struct Snapshot(Connection);

impl Snapshot {
    pub(super) fn conn(&self) -> &Conn {
        &self.0
    }
}

/// Runs the hooks of a transaction, however it ended.
struct Ending<'a> {
    db: &'a Inner,
    committed: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut hooks = std::mem::take(&mut *self.db.on_end.lock());
        if !self.committed {
            // What came last is undone first.
            hooks.reverse();
        }
        hooks.into_iter().for_each(|f| f(self.committed));
    }
}

/// SQLCipher refuses a key now and then, as if it were empty, while other connections of the process are being set up
/// (seen under load); the same key is taken a moment later. Its own error quotes the statement, and so the
/// key: it goes no further.
fn set_key(conn: &Connection, pragma: &str) -> Result<()> {
    for pause in [1, 5, 25, 125] {
        if conn.execute_batch(pragma).is_ok() {
            return Ok(());
        }
        tracing::debug!("the database did not take its key; again");
        std::thread::sleep(Duration::from_millis(pause));
    }
    Err(Error::Io(std::io::Error::other("the database does not take its key")))
}

/// How connections come about.
struct Door {
    path: PathBuf,
    key: Key,
    /// Bytes of a page of the file.
    page: u32,
}

impl Door {
    /// With the first connection. A file that an earlier version made stays divided as it is.
    fn find(path: &Path, key: Key) -> Result<(Door, Connection)> {
        let mut door = Door { path: path.to_owned(), key, page: PAGE };
        let other = match door.connect() {
            Ok(conn) => return Ok((door, conn)),
            Err(e) if e.is_corrupt() => e,
            Err(e) => return Err(e),
        };
        door.page = FORMER_PAGE;
        match door.connect() {
            Ok(conn) => Ok((door, conn)),
            Err(_) => Err(other),
        }
    }

    fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        conn.busy_timeout(Duration::from_secs(10))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        // Plans are made once: without this, SQLite makes those of statements with a bound LIMIT, or a parameter that is
        // compared with the condition of a partial index, anew at every execution.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let hex = Zeroizing::new(hex::encode(self.key.expose()));
        let pragma = Zeroizing::new(format!("PRAGMA key = \"x'{}'\";", hex.as_str()));
        // It would write to stderr; errors come as errors.
        conn.execute_batch("PRAGMA cipher_log_level = NONE;")?;
        set_key(&conn, &pragma)?;
        conn.pragma_update(None, "cipher_page_size", self.page)?;
        conn.execute_batch(
            "PRAGMA cipher_memory_security = OFF;
             PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -8192;
             PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY;
             PRAGMA journal_size_limit = 16777216;",
        )?;
        // The first page is read (and the key proven) here, not in somebody's first query.
        conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get::<_, i64>(0))
            .map_err(Error::from)?;
        Ok(conn)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// As a killed process leaves it: the log is not folded.
    fn leave(door: &Door, to: &Path) {
        let mut conn = door.connect().unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        schema::migrate(&mut conn, &door.path).unwrap();
        conn.execute_batch("CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (7)").unwrap();
        for ending in ["", "-wal"] {
            let of = |path: &Path| format!("{}{ending}", path.display());
            std::fs::copy(of(&door.path), of(to)).unwrap();
        }
    }

    #[test]
    fn a_file_of_either_division_opens_with_all_that_is_in_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::random().unwrap();
        for page in [PAGE, FORMER_PAGE] {
            let path = dir.path().join(page.to_string());
            let made = dir.path().join(format!("{page}.made"));
            leave(&Door { path: made, key: key.clone(), page }, &path);
            for round in 1..=2 {
                let db = Db::open(&path, key.clone()).unwrap();
                assert_eq!(db.0.door.page, page);
                let sum =
                    || db.read(|c| Ok(c.query_row("SELECT sum(x) FROM t", [], |r| r.get::<_, i64>(0))?));
                assert_eq!(sum().unwrap(), 7 * round);
                db.write(|tx| Ok(tx.execute_batch("INSERT INTO t VALUES (7)")?)).unwrap();
                assert_eq!(sum().unwrap(), 7 * (round + 1));
            }
            assert!(Db::open(&path, Key::random().unwrap()).is_err_and(|e| e.is_corrupt()));
        }
    }

    #[test]
    fn no_plan_is_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (_, conn) = Door::find(&dir.path().join("db"), Key::random().unwrap()).unwrap();
        conn.execute_batch("CREATE TABLE t (a, b); CREATE INDEX t_b ON t (b) WHERE a = 1").unwrap();
        let mut stmt = conn.prepare("SELECT b FROM t WHERE a = ?1 ORDER BY b LIMIT ?2").unwrap();
        for n in 0..3 {
            assert!(stmt.query_row([n, n], |_| Ok(())).is_err());
        }
        assert_eq!(stmt.get_status(StatementStatus::RePrepare), 0);
    }
}
