//! Local persistent state: the mirror of the drive and the sealed blocks of its content.

use std::path::Path;

use crate::crypto::seal::Key;

/// A cache directory, opened and owned by this process.
pub struct Store {}

/// What opening found.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What people should know.
    pub notices: Vec<String>,
}

/// Local state that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process.
    #[error("in use")]
    InUse,
}

impl Store {
    /// Opens or makes it.
    ///
    /// # Errors
    /// In use, foreign, damaged.
    pub fn open(_dir: &Path, _account: &str, _key: &Key) -> Result<Opened, Error> {
        Err(Error::InUse)
    }
}
