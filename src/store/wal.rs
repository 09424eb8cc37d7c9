//! The database's log: brought to the disk, and folded into the file, without the writer waiting for either.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::Result;

/// Each time the log has grown by so many pages it is folded into the file: two syncs.
const FOLD: i32 = 8_000;
/// From so many on the writer waits for that: under constant writing the log would never begin anew.
const TOO_LONG: i64 = 32_000;

/// Brings the log to the disk. One sync serves all transactions that ended before it began.
///
/// That is what SQLite does at a commit with `synchronous=FULL`, but under the writer's lock. If the log began anew
/// meanwhile, what was in it has been folded, and a folding syncs.
pub(super) struct Log {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Once it was needed.
    file: Option<File>,
    /// Its name is on the disk.
    named: bool,
    /// The number of the last transaction on the disk.
    synced: u64,
    /// A sync has failed: the kernel may have dropped what it could not write, and a later sync would lie.
    failed: bool,
}

impl Log {
    /// The log of the database at `path`.
    pub(super) fn of(path: &Path) -> Log {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        Log { path: name.into(), state: Mutex::default() }
    }

    /// Returns once transaction `commit` is on the disk. `begin` tells, right before a sync, the last transaction that
    /// it will serve, and what to do after it.
    pub(super) fn settle<F: FnOnce(bool)>(
        &self,
        commit: u64,
        begin: impl FnOnce() -> (u64, F),
    ) -> Result<()> {
        let mut state = self.state.lock();
        if state.synced >= commit {
            return Ok(());
        }
        if state.failed {
            return Err(io::Error::other("an earlier sync of the database's log failed").into());
        }
        let file = match state.file.take() {
            Some(file) => file,
            // It is there as long as a connection is. It is closed after all of them, and nobody locks it.
            None => File::options().read(true).write(true).open(&self.path)?,
        };
        let (upto, done) = begin();
        let synced = file.sync_data().and_then(|()| if state.named { Ok(()) } else { self.sync_name() });
        done(synced.is_ok());
        state.file = Some(file);
        state.failed = synced.is_err();
        synced?;
        (state.synced, state.named) = (upto, true);
        Ok(())
    }

    fn sync_name(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

/// Says when the log is to be folded. Not at each commit while that is under way, or the writer is faster.
struct Growth {
    seen: i32,
    due: i32,
}

impl Growth {
    fn new() -> Growth {
        Growth { seen: 0, due: FOLD }
    }

    /// The log has so many pages after a commit.
    fn is_due(&mut self, pages: i32) -> bool {
        if pages < self.seen {
            // It has begun anew.
            self.due = FOLD;
        }
        self.seen = pages;
        let due = pages >= self.due;
        if due {
            self.due = pages.saturating_add(FOLD);
        }
        due
    }
}

/// The thread that folds the log into the file. It ends with this.
pub(super) struct Folding {
    ask: SyncSender<()>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Folding {
    /// From now on the log of `writer` is folded by way of `conn`, a connection to the same file.
    pub(super) fn start(writer: &Arc<Mutex<Connection>>, conn: Connection) -> Result<Folding> {
        let (ask, asked) = sync_channel(1);
        let asking = ask.clone();
        let mut growth = Growth::new();
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            if growth.is_due(pages) {
                // Full: it is asked for already.
                let _ = asking.try_send(());
            }
            Ok(())
        };
        // In place of SQLite's own, which folds in the middle of somebody's commit.
        writer.lock().wal_hook(Some(hook))?;
        let ended = Arc::new(AtomicBool::new(false));
        let (writer, over) = (writer.clone(), ended.clone());
        let fold = move || {
            while asked.recv().is_ok() && !over.load(Ordering::Acquire) {
                if let Err(e) = fold(&conn, &writer) {
                    tracing::debug!(error = %e, "the database's log could not be folded; it grows on");
                }
            }
        };
        let thread = std::thread::Builder::new().name("inxtfs-fold".to_owned()).spawn(fold)?;
        Ok(Folding { ask, ended, thread: Some(thread) })
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Full: it wakes anyhow.
        let _ = self.ask.try_send(());
        if let Some(thread) = self.thread.take() {
            // It holds a connection, and the directory is about to be given up.
            let _ = thread.join();
        }
    }
}

/// Folds what is in the log; once all of it is, the next commit begins it anew.
fn fold(conn: &Connection, writer: &Mutex<Connection>) -> Result<()> {
    if passive(conn)? >= TOO_LONG {
        let held = writer.lock();
        passive(conn)?;
        drop(held);
    }
    Ok(())
}

/// Returns the length of the log, unless all of it was folded.
fn passive(conn: &Connection) -> Result<i64> {
    let (log, folded) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| {
        Ok((r.get::<_, i64>(1)?, r.get::<_, i64>(2)?))
    })?;
    Ok(if folded < log { log } else { 0 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn one_sync_serves_all_that_were_committed_before_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("db-wal"), b"log").unwrap();
        let log = Log::of(&dir.path().join("db"));
        let syncs = std::cell::Cell::new(0);
        let settle = |commit, upto| {
            log.settle(commit, || {
                syncs.set(syncs.get() + 1);
                (upto, |synced| assert!(synced))
            })
        };
        settle(1, 5).unwrap();
        (2..=5).for_each(|n| settle(n, 9).unwrap());
        assert_eq!(syncs.get(), 1);
        settle(6, 6).unwrap();
        assert_eq!(syncs.get(), 2);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_called_durable_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::of(&dir.path().join("db"));
        assert!(log.settle(1, || (1, |_| panic!("there is nothing to sync"))).is_err());
        // Of a pipe the kernel syncs nothing, and says so.
        let path = dir.path().join("db-wal");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let told = std::cell::Cell::new(None);
        assert!(log.settle(1, || (1, |synced| told.set(Some(synced)))).is_err());
        assert_eq!(told.get(), Some(false));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"log").unwrap();
        assert!(log.settle(2, || (2, |_| panic!("no sync is tried"))).is_err());
    }

    #[test]
    fn a_log_that_grows_while_it_is_folded_is_not_folded_at_each_commit() {
        let mut growth = Growth::new();
        let asked = (1..=3 * FOLD).filter(|pages| growth.is_due(*pages)).collect::<Vec<_>>();
        assert_eq!(asked, [FOLD, 2 * FOLD, 3 * FOLD]);
        // It has begun anew.
        assert!(!growth.is_due(5) && !growth.is_due(FOLD - 1) && growth.is_due(FOLD));
    }

    #[test]
    fn a_long_log_is_folded_while_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.execute_batch("PRAGMA synchronous = NORMAL; CREATE TABLE t (x BLOB)").unwrap();
        let writer = Arc::new(Mutex::new(conn));
        let folding = Folding::start(&writer, Connection::open(&path).unwrap()).unwrap();
        let size = || std::fs::metadata(&path).unwrap().len();
        let deadline = Instant::now() + Duration::from_secs(60);
        while size() < 1 << 20 {
            assert!(Instant::now() < deadline, "the log was never folded");
            writer.lock().execute("INSERT INTO t VALUES (zeroblob(400000))", []).unwrap();
        }
        drop(folding);
        assert_eq!(Arc::strong_count(&writer), 1, "the thread has ended");
    }
}
