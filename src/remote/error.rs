//! What can go wrong with the cloud, and what may be concluded from it.

use std::time::Duration;

/// Why the service will not take something, until a person or a plan changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The account's space is used up.
    #[error("the account's storage is full")]
    Quota,
    /// Larger than the plan's largest file.
    #[error("the file is larger than the plan allows")]
    TooLarge,
    /// The plan has no (or no more) empty files.
    #[error("the plan allows no (more) empty files")]
    EmptyFile,
    /// The name breaks a rule of the service.
    #[error("the service refuses this name")]
    Name,
    /// Not ours to change.
    #[error("the service refuses access to this item")]
    Forbidden,
}

/// A failed call. Messages never hold secrets or presigned URLs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row, parent or object; or not any more. Right after a create it may be replica lag.
    #[error("not found on the server")]
    NotFound,
    /// Something living has that name there.
    #[error("the name is taken on the server")]
    Exists,
    /// The service understood and declined.
    #[error("{0}")]
    Refused(Refusal),
    /// The session is over or was revoked; only a login helps.
    #[error("the session has ended; run `inxtfs login`")]
    SessionLost,
    /// The plan does not include third-party access. The credentials were right.
    #[error(
        "the plan does not include access for third-party clients ({0}); upgrade it, then run `inxtfs login`"
    )]
    PlanAccess(String),
    /// The service was not reached: nothing was done.
    #[error("the service cannot be reached: {0}")]
    Offline(String),
    /// The service asks to wait: nothing was done.
    #[error("the service asks to slow down")]
    Busy {
        /// How long, as it said or as we guess.
        after: Duration,
    },
    /// The answer was lost or an internal error: **the request may have been done**. Look before repeating.
    #[error("no clear answer from the service: {0}")]
    Ambiguous(String),
    /// The bytes are not those that were uploaded.
    #[error("the content is damaged: {0}")]
    Corrupt(String),
    /// An encryption version or storage layout this program does not know.
    #[error("the content is stored in a way this version cannot read: {0}")]
    Unreadable(String),
    /// An answer that makes no sense, or a call that would do harm.
    #[error("unexpected answer from the service: {0}")]
    Protocol(String),
    /// Reading the bytes to upload failed.
    #[error("reading local data failed: {0}")]
    Local(#[from] std::io::Error),
}

/// What a failure means for what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Nothing was done; try again later.
    Transient,
    /// It may have been done; look first.
    Ambiguous,
    /// Nothing was done, and repeating will not help until something else changes.
    Permanent,
    /// Nothing was done; waits for a login.
    Session,
}

impl Error {
    /// What may be concluded.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Error::Offline(_) | Error::Busy { .. } | Error::Local(_) => Class::Transient,
            Error::Ambiguous(_) | Error::Protocol(_) => Class::Ambiguous,
            Error::SessionLost | Error::PlanAccess(_) => Class::Session,
            Error::NotFound
            | Error::Exists
            | Error::Refused(_)
            | Error::Corrupt(_)
            | Error::Unreadable(_) => Class::Permanent,
        }
    }
}
