//! Why a fetch failed, for all who waited for it.

use crate::fs::Error;
use crate::remote;

/// A failure that several waiters share.
#[derive(Clone)]
pub(super) enum Failure {
    NotFound,
    Offline,
    LoggedOut,
    TimedOut,
    Lost(String),
    Io(String),
}

impl From<remote::Error> for Failure {
    fn from(e: remote::Error) -> Self {
        match Error::from(e) {
            Error::NotFound | Error::Stale => Failure::NotFound,
            Error::Offline => Failure::Offline,
            Error::LoggedOut => Failure::LoggedOut,
            Error::TimedOut => Failure::TimedOut,
            Error::Lost(why) => Failure::Lost(why),
            other => Failure::Io(other.to_string()),
        }
    }
}

impl From<Failure> for Error {
    fn from(f: Failure) -> Self {
        match f {
            Failure::NotFound => Error::Lost("the content is gone from the server".to_owned()),
            Failure::Offline => Error::Offline,
            Failure::LoggedOut => Error::LoggedOut,
            Failure::TimedOut => Error::TimedOut,
            Failure::Lost(why) => Error::Lost(why),
            Failure::Io(why) => Error::Io(why),
        }
    }
}
