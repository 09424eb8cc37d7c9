//! The control socket of a running mount.
//!
//! Each mount listens on a Unix socket of its own, and answers to its own user and to root only. The
//! language ([`wire`]) is one line of JSON a message. [`place`] says where the sockets are, so that
//! a command without an argument finds every mount; a socket whose process died is recognised (nobody accepts) and
//! removed.
//!
//! A connection lasts as long as its request. Two things follow: a client that hangs up stops waiting and
//! changes nothing else, and the end of the connection after [`wire::Reply::Unmounting`] means that the
//! mount's process has closed its local state.

mod acts;
pub mod client;
pub mod place;
pub mod server;
pub mod wire;

/// Why a mount could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No process listens for this mountpoint.
    #[error("no inxtfs mount is running at {0}")]
    NotRunning(String),
    /// The mount's process did not answer in time.
    #[error("the mount does not answer")]
    Silent,
    /// It speaks another version of the language.
    #[error(
        "the running mount speaks version {theirs} of the control language, this program {}; use the program that mounted it",
        wire::VERSION
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// Files are open below the mountpoint.
    #[error("{0}")]
    Busy(String),
    /// Nothing of that number is there.
    #[error("{0}")]
    Unknown(String),
    /// What was exported could not be written down.
    #[error("writing the export failed: {0}")]
    Target(#[source] std::io::Error),
    /// It refused, and said why.
    #[error("{0}")]
    Refused(String),
    /// A message that makes no sense, or is too long.
    #[error("unexpected answer on the control socket: {0}")]
    Protocol(String),
    /// The directory of the sockets cannot be trusted or made.
    #[error("the control directory {0} {1}")]
    Place(String, &'static str),
    /// The socket itself failed.
    #[error("control socket: {0}")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
