//! What an operation can answer besides success, in the shape of POSIX.

use crate::remote;
use crate::store::ContentId;

/// What the operations return.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation. `fuse` maps each to one errno.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such entry.
    #[error("no such file or folder")]
    NotFound,
    /// The inode is gone for good.
    #[error("the file is gone")]
    Stale,
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// A folder was wanted.
    #[error("not a folder")]
    NotDir,
    /// A file was wanted.
    #[error("a folder")]
    IsDir,
    /// The folder has entries.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The name is over 255 bytes.
    #[error("the name is too long")]
    NameTooLong,
    /// The arguments make no sense: a folder below itself, a name the service cannot hold.
    #[error("{0}")]
    Invalid(&'static str),
    /// Not supported here: links, devices.
    #[error("not permitted on this drive")]
    NotPermitted,
    /// An attribute of a kind that is not kept here.
    #[error("not supported on this drive")]
    NotSupported,
    /// It does not have this attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// The mount, or this part of it, is read-only.
    #[error("read-only")]
    ReadOnly,
    /// The handle is not open, or not for this.
    #[error("bad handle")]
    BadHandle,
    /// The account's space or the local disk is full.
    #[error("no space: {0}")]
    NoSpace(&'static str),
    /// Over the plan's largest file.
    #[error("larger than the plan's largest file")]
    TooLarge,
    /// The root or another thing that cannot be changed now.
    #[error("busy")]
    Busy,
    /// The network is needed and not there.
    #[error("offline")]
    Offline,
    /// No answer within the deadline.
    #[error("timed out")]
    TimedOut,
    /// The session has ended.
    #[error("logged out")]
    LoggedOut,
    /// The service refuses access.
    #[error("access denied")]
    Denied,
    /// Bytes that were written here do not open any more. Never others in their place.
    #[error("what was written here is damaged on the local disk (block {block})")]
    Damaged {
        /// Whose block.
        content: ContentId,
        /// Its index.
        block: u64,
    },
    /// Content that the server does not give: gone, unlike its hash, or in a layout that is not known.
    #[error("input/output error: {0}")]
    Lost(String),
    /// Anything else that is wrong with content or with local state.
    #[error("input/output error: {0}")]
    Io(String),
}

impl From<remote::Error> for Error {
    fn from(e: remote::Error) -> Self {
        use remote::{Error as R, Refusal};
        match e {
            R::NotFound => Error::NotFound,
            R::Exists => Error::Exists,
            R::Refused(Refusal::Quota) => Error::NoSpace("the account's storage is full"),
            R::Refused(Refusal::TooLarge) => Error::TooLarge,
            R::Refused(Refusal::EmptyFile) => Error::NoSpace("the plan allows no more empty files"),
            R::Refused(Refusal::Name) => Error::Invalid("the service refuses this name"),
            R::Refused(Refusal::Forbidden) => Error::Denied,
            R::SessionLost | R::PlanAccess(_) => Error::LoggedOut,
            R::Offline(_) => Error::Offline,
            R::Busy { .. } => Error::TimedOut,
            R::Corrupt(_) | R::Unreadable(_) => Error::Lost(e.to_string()),
            R::Ambiguous(_) | R::Protocol(_) | R::Local(_) => Error::Io(e.to_string()),
        }
    }
}

impl From<crate::store::Error> for Error {
    fn from(e: crate::store::Error) -> Self {
        match e {
            crate::store::Error::Full => Error::NoSpace("the local disk is full"),
            crate::store::Error::Gone(_) => Error::Stale,
            crate::store::Error::Damaged { content, block } => Error::Damaged { content, block },
            other => Error::Io(other.to_string()),
        }
    }
}

impl From<crate::names::NameError> for Error {
    fn from(e: crate::names::NameError) -> Self {
        match e {
            crate::names::NameError::TooLong => Error::NameTooLong,
            crate::names::NameError::Unstorable => Error::Invalid("the service cannot store this name"),
        }
    }
}
