//! What can go wrong with local state.

use std::io;
use std::path::PathBuf;

use super::blocks::ContentId;
use crate::crypto::seal;

/// What the calls of this room return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why local state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the directory.
    #[error("{} is in use by {}; stop it, or choose another cache directory", dir.display(), owner(*pid))]
    InUse {
        /// The cache directory.
        dir: PathBuf,
        /// The owner, if it said so.
        pid: Option<u32>,
    },
    /// The directory was sealed by another account (or by this one before its mnemonic was reset).
    #[error("{} belongs to another account; choose another cache directory", .0.display())]
    ForeignAccount(PathBuf),
    /// Written by a newer version of this program.
    #[error("{} was written by a newer version (format {found}, this one knows {known}); update inxtfs", path.display())]
    TooNew {
        /// The file that is too new.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// No space on the local disk, or over its quota.
    #[error("the local disk is full")]
    Full,
    /// A staged block does not open: changed on disk, or torn by a power loss. Its bytes are not replaced by
    /// others.
    #[error("staged block {block} of content {} is damaged on the local disk", content.0)]
    Damaged {
        /// Whose block.
        content: ContentId,
        /// Its index.
        block: u64,
    },
    /// No such content.
    #[error("content {} is not in the store", .0.0)]
    Gone(ContentId),
    /// Not in the state that the call needs: a write to a frozen or cached content, a fill of a staged one.
    #[error("the content cannot be changed this way: {0}")]
    State(&'static str),
    /// The local disk fails.
    #[error("the local disk fails: {0}")]
    Io(#[source] io::Error),
    /// The database fails.
    #[error("the local database fails: {0}")]
    Db(#[source] rusqlite::Error),
    /// No random bytes.
    #[error(transparent)]
    Seal(#[from] seal::Error),
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |p| format!("process {p}"))
}

impl Error {
    /// As the database would say it.
    pub(super) fn corrupt(what: impl Into<String>) -> Error {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Error::Db(rusqlite::Error::SqliteFailure(code, Some(what.into())))
    }

    /// Whether the database itself says that it is damaged.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(self, Error::Db(e) if matches!(e.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::Full
            }
            _ => Error::Io(e),
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(e: rustix::io::Errno) -> Self {
        io::Error::from(e).into()
    }
}

impl From<rusqlite::Error> for Error {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Error::Full,
            _ => Error::Db(e),
        }
    }
}
