//! What goes in and out of the operations.

use std::future::Future;
use std::pin::Pin;

use super::Result;
use crate::types::{Fh, Ino, Kind, Timestamp};

/// An operation's answer.
pub enum Answer<T> {
    /// Answered from memory or local disk.
    Now(Result<T>),
    /// Needs the network or a long local operation. Run it under a deadline; dropping it cancels nothing
    /// that others wait for, and loses nothing.
    Later(Pin<Box<dyn Future<Output = Result<T>> + Send>>),
}

impl<T: Send + 'static> Answer<T> {
    /// Wraps a future.
    pub fn later(f: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Answer::Later(Box::pin(f))
    }

    /// Waits for either kind.
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn get(self) -> Result<T> {
        match self {
            Answer::Now(r) => r,
            Answer::Later(f) => f.await,
        }
    }
}

/// A node's attributes. Mode, owner and group are the mount's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Its number.
    pub ino: Ino,
    /// File or folder.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of anything, by the local clock.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
    /// Whether its owner may write (false for what can only be read, such as recovery folders).
    pub writable: bool,
    /// Whether it has a name; false for what lives on only because it is open.
    pub linked: bool,
    /// Whether it is its owner's alone, whatever the mount allows others.
    pub private: bool,
}

/// One entry of a listing.
#[derive(Clone, Debug)]
pub struct DirEntry {
    /// Resumes the listing behind this entry.
    pub cookie: u64,
    /// The name shown.
    pub name: String,
    /// Its attributes.
    pub attr: Attr,
}

/// Attributes to change; `None` leaves one alone. Mode, owner and access times are accepted by
/// the caller and not kept.
#[derive(Clone, Debug, Default)]
pub struct SetAttr {
    /// Through which handle, if through one.
    pub fh: Option<Fh>,
    /// Truncate or extend.
    pub size: Option<u64>,
    /// Modification time.
    pub mtime: Option<Timestamp>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// For writing (reading is always allowed).
    pub write: bool,
    /// Truncate to nothing.
    pub truncate: bool,
    /// Fail if it exists (`create` only).
    pub exclusive: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// For a program that nobody waits for, such as an indexer: its reads come last, and nothing is read ahead.
    pub background: bool,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Its handle.
    pub fh: Fh,
    /// The kernel's pages of this file are still good.
    pub keep_cache: bool,
}

/// Space and files, in bytes and counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatFs {
    /// The quota.
    pub total: u64,
    /// Quota minus usage minus what is staged.
    pub free: u64,
    /// Nodes known.
    pub files: u64,
}

/// The kernel's caches, as seen from the filesystem. Calls may block on locked pages: they are made from a thread
/// of their own, never within an operation or under a lock.
pub trait Kernel: Send + Sync {
    /// Attributes of `ino` changed; with `data` its pages too.
    fn inval_inode(&self, ino: Ino, data: bool);
    /// The name appeared or vanished: it, the folder's listing and its attributes are to be asked for again.
    fn inval_entry(&self, parent: Ino, name: &str);
    /// Whether changes by others are heard of, so that what was answered may be kept until the calls above say
    /// otherwise. Does not block.
    fn set_live(&self, live: bool);
}
