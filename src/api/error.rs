//! A failed request, and what its failure proves.

use std::fmt;
use std::time::Duration;

/// An answer that is not success, cut down to what may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The service's own words (an object store's error code), bounded.
    pub message: String,
    /// The drive API's machine-readable `error`, e.g. `FILE_UPLOAD_SIZE_EXCEEDED`.
    pub code: String,
    /// The service's name for the request, for its support.
    pub request_id: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// Why a request failed. Never holds a URL with a signature, a token or a key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Name resolution, connection or TLS failed: nothing was sent.
    #[error("no connection ({0})")]
    NotSent(String),
    /// A web page or a redirect stands where the service should be.
    #[error("something else answers in place of the service (a login page of this network?): {0}")]
    Captive(String),
    /// The service asks to wait: nothing was done.
    #[error("the service asks to wait {} s", after.as_secs())]
    Busy {
        /// How long.
        after: Duration,
    },
    /// Any other answer that is not success.
    #[error("{0}")]
    Status(Answer),
    /// The connection broke or stalled after the request went out: it may have been done.
    #[error("the connection was lost ({0})")]
    Lost(String),
    /// An answer that cannot be understood: whatever was asked may have been done.
    #[error("an answer that makes no sense ({0})")]
    Malformed(String),
}

/// What a failure proves about the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Nothing was done; the way to the service is the problem.
    NotSent,
    /// Nothing was done; the service wants a pause.
    Busy,
    /// Nothing was done; the credentials are not accepted.
    Session,
    /// It may have been done.
    Ambiguous,
    /// Nothing was done, and repeating changes nothing.
    Permanent,
}

impl Error {
    /// What may be concluded.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Error::NotSent(_) | Error::Captive(_) => Class::NotSent,
            Error::Busy { .. } => Class::Busy,
            Error::Lost(_) | Error::Malformed(_) => Class::Ambiguous,
            Error::Status(answer) => match answer.status {
                401 => Class::Session,
                408 | 500.. => Class::Ambiguous,
                _ => Class::Permanent,
            },
        }
    }

    /// The HTTP status, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Status(answer) => Some(answer.status),
            _ => None,
        }
    }

    /// The service's words, or nothing.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Error::Status(answer) => &answer.message,
            _ => "",
        }
    }
}

/// The innermost cause of a transport error, without its URL.
pub(super) fn cause(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut innermost: &dyn std::error::Error = &e;
    while let Some(next) = innermost.source() {
        innermost = next;
    }
    let mut text = innermost.to_string();
    text.truncate(text.floor_char_boundary(200));
    text
}

/// A certificate that nobody vouches for has a next step of its own.
fn distrusted(mut why: String) -> String {
    if why.contains("invalid peer certificate") {
        why.push_str("; if the service has its own authority, name that one's file in SSL_CERT_FILE");
    }
    why
}

/// Sorts a transport error by whether the request can have arrived.
pub(super) fn transport(e: reqwest::Error) -> Error {
    if e.is_connect() || e.is_builder() {
        Error::NotSent(distrusted(cause(e)))
    } else if e.is_redirect() {
        Error::Captive(cause(e))
    } else {
        Error::Lost(cause(e))
    }
}
