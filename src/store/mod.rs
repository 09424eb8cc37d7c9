//! Local persistent state: the mirror of the drive and the sealed blocks of its content.

mod blocks;
mod db;
mod error;
mod schema;

use std::path::{Path, PathBuf};

pub use blocks::{Blocks, Content, ContentId, Piece, Swept, Usage, Verdict};
pub use db::{Conn, Db, Tx};
pub use error::{Error, Result};

use crate::crypto::seal::Key;

/// A cache directory, opened and owned by this process. Cheap to clone; the last clone gives the directory
/// up.
#[derive(Clone)]
pub struct Store {}

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

#[allow(unused_variables, missing_docs)]
impl Store {
    /// Opens or creates the cache directory of the account `account` (its uuid).
    pub fn open(dir: &Path, account: &str, account_key: &Key) -> Result<Opened> {
        unimplemented!()
    }
    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        unimplemented!()
    }
    /// The sealed blocks.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        unimplemented!()
    }
    /// Writes what was put off (counters, times of use) and notes that the end was orderly.
    pub fn close(&self) -> Result<()> {
        unimplemented!()
    }
}
