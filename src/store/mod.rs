//! Local persistent state: the mirror of the drive and the sealed blocks of its content.
//!
//! Everything lies in one directory, owned by one process, sealed under a random key that the account's key
//! wraps: `store.key`, `state.db` (SQLCipher), `blocks/`. What cannot be read is put aside whole, never
//! deleted.

mod blocks;
mod db;
mod destroy;
mod dir;
mod error;
pub mod nodes;
mod schema;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use blocks::{Beneath, Blocks, Content, ContentId, FILL_AT_ONCE, Piece, Swept, Usage, Verdict};
pub use db::{Conn, Db, Tx};
pub use destroy::destroy;
pub use error::{Error, Result};

use crate::crypto::seal::Key;

/// A cache directory, opened and owned by this process. Cheap to clone; the last clone gives the directory
/// up. Contents in use must be gone by then.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: Db,
    blocks: Blocks,
    rebooted: bool,
    /// The last user did not end in order, and the database has not been read whole since.
    unchecked: AtomicBool,
    // Last: given up after everything else is closed.
    _lock: dir::Lock,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What waits for a durable commit refers to the store itself; the next start does it.
        self.db.abandon();
    }
}

/// After a disorderly end a database up to this size is read whole before it is used: it takes a tenth of a second.
const CHECK_AT_ONCE: u64 = 24 << 20;

fn is_small(dir: &Path) -> bool {
    std::fs::metadata(dir.join(dir::DB_FILE)).map_or(0, |meta| meta.len()) <= CHECK_AT_ONCE
}

/// A store, and what had to be done to open it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// For the user's eyes.
    pub notices: Vec<Notice>,
}

/// Something the user should know about the local state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The state was unreadable. It has been put aside, whole, and a fresh one made.
    Quarantined {
        /// Where it is now.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

impl Store {
    /// Opens or creates the cache directory of the account `account` (its uuid). Refuses, and touches
    /// nothing, what is in use, another account's, or too new.
    pub fn open(dir: &Path, account: &str, account_key: &Key) -> Result<Opened> {
        Self::open_booted(dir, account, account_key, dir::boot_id())
    }

    /// The same on a machine whose start has this id: for proofs of what a loss of power leaves.
    pub fn open_booted(dir: &Path, account: &str, account_key: &Key, boot: String) -> Result<Opened> {
        match Self::open_once(dir, account, account_key, boot.clone()) {
            // Met after the database was believed to be sound: the next look is a thorough one.
            Err(e) if e.is_corrupt() && dir::is_suspect(dir) => {
                Self::open_once(dir, account, account_key, boot)
            }
            other => other,
        }
    }

    fn open_once(dir: &Path, account: &str, account_key: &Key, boot: String) -> Result<Opened> {
        let mut lock = dir::Lock::take(dir)?;
        let mut notices = Vec::new();
        let found = match dir::find_key(dir, account, account_key)? {
            dir::Found::Key(key) => match Self::open_db(dir, &key) {
                Err(e) if e.is_corrupt() => Err(format!("the database cannot be read: {e}")),
                other => Ok(Some((key, other?))),
            },
            dir::Found::Nothing => Ok(None),
            dir::Found::Damaged(reason) => Err(reason.to_owned()),
        };
        let found = found.unwrap_or_else(|reason| {
            notices.push(Notice::Quarantined { path: PathBuf::new(), reason });
            None
        });
        for Notice::Quarantined { path, .. } in &mut notices {
            *path = dir::quarantine(dir)?;
        }
        let (key, (db, last)) = match found {
            Some(found) => found,
            None => {
                let key = dir::make_key(dir, account, account_key)?;
                let opened = Self::open_db(dir, &key)?;
                (key, opened)
            }
        };
        lock.sign();
        let unchecked =
            last.as_ref().is_some_and(|(_, clean)| !clean) && !is_small(dir) && !dir::is_suspect(dir);
        let rebooted = last.as_ref().is_some_and(|(b, _)| *b != boot);
        let clean = last.is_none_or(|(_, clean)| clean);
        let blocks = Blocks::start(&db, dir, &key, boot.clone(), rebooted, clean)?;
        dir::tighten(dir)?;
        dir::sync(dir)?;
        // Durable: what an earlier process committed is so from here on, and replaced slots may be reused.
        db.write_durable(|tx| {
            tx.execute("UPDATE meta SET boot = ?1, clean = 0", [&boot])?;
            Ok(())
        })?;
        dir::clear_suspicion(dir)?;
        let unchecked = AtomicBool::new(unchecked);
        let store = Store(Arc::new(Inner { db, blocks, rebooted, unchecked, _lock: lock }));
        Ok(Opened { store, notices })
    }

    /// The database, proven sound, and what its last user noted: boot id, and whether the end was orderly.
    fn open_db(dir: &Path, key: &Key) -> Result<(Db, Option<(String, bool)>)> {
        let db = Db::open(&dir.join(dir::DB_FILE), key.derive(b"inxtfs database", b""))?;
        let last = db.read(|c| {
            let row = |r: &rusqlite::Row| Ok((r.get::<_, String>(0)?, r.get::<_, bool>(1)?));
            Ok(c.query_row("SELECT boot, clean FROM meta", [], row)?)
        })?;
        let fresh = last.0.is_empty();
        if fresh && dir::has_blocks(dir) {
            return Err(Error::corrupt("it is gone, and blocks are there"));
        }
        if !fresh && (dir::is_suspect(dir) || !last.1 && is_small(dir)) {
            db.check()?;
        }
        Ok((db, (!fresh).then_some(last)))
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// The sealed blocks.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        &self.0.blocks
    }

    /// Whether the machine was restarted since the store was last open: see [`Blocks::check_after_boot`].
    #[must_use]
    pub fn rebooted(&self) -> bool {
        self.0.rebooted
    }

    /// Reads a large database whole, if [`Store::open`] left that for later: each page is authenticated, so damage is an
    /// error wherever it is met, but nobody should meet it months later. If some is found the next open puts the
    /// store aside. Takes a while.
    ///
    /// # Errors
    /// One that [`Error::is_corrupt`] means: it is damaged.
    pub fn check(&self) -> Result<()> {
        if !self.0.unchecked.load(Ordering::Acquire) {
            return Ok(());
        }
        let checked = self.0.db.check();
        if checked.is_ok() {
            self.0.unchecked.store(false, Ordering::Release);
        }
        checked
    }

    /// Writes what was put off (counters, times of use), makes all commits durable and notes that the end was
    /// orderly, unless something is left for the next start to look at. The last thing to be done with a store.
    pub fn close(&self) -> Result<()> {
        self.0.blocks.read_rest()?;
        self.0.db.write_durable(|tx| {
            self.0.blocks.save(tx)?;
            // What an earlier end left to be looked at may not have been, yet.
            let clean = self.0.blocks.is_tidy() && !self.0.unchecked.load(Ordering::Acquire);
            tx.execute("UPDATE meta SET clean = ?1", [clean])?;
            Ok(())
        })?;
        self.0.db.checkpoint()
    }
}
