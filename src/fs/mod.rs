//! The drive as the user sees it.
//!
//! Every operation is a method of [`Fs`] named after the request it serves. What local state can
//! answer is answered at once ([`Answer::Now`]); what may touch the network or block for long comes
//! as a future ([`Answer::Later`]), which the caller runs under a deadline.

mod error;
mod ops;
mod status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

pub use error::{Error, Result};
pub use ops::{Answer, Attr, DirEntry, Kernel, OpenFlags, Opened, SetAttr, StatFs};
pub use status::{ItemState, QueueItem, SessionState, Status, Totals};

use crate::remote::Remote;
use crate::store::Store;
use crate::types::{Fh, Ino};

/// How a mount behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Refuse every change with [`Error::ReadOnly`].
    pub read_only: bool,
    /// Quiet time after the last change of a file before it is uploaded.
    pub writeback_delay: Duration,
    /// Time between looks at the change feeds.
    pub poll_interval: Duration,
    /// Bytes the block cache may take; staged writes are not counted and never evicted.
    pub cache_size: u64,
    /// Show this folder of the drive (`/a/b`) instead of its root.
    pub folder: Option<String>,
    /// This machine's name, for conflict copies.
    pub host: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            read_only: false,
            writeback_delay: Duration::from_secs(5),
            poll_interval: Duration::from_secs(30),
            cache_size: 10 << 30,
            folder: None,
            host: "localhost".to_owned(),
        }
    }
}

/// A mounted drive, without the kernel.
pub struct Fs {}

#[allow(unused_variables, missing_docs)]
impl Fs {
    /// Opens the drive over its local state and starts the background tasks (push, pull, sync). Needs no
    /// network: what is not known locally is asked for when it is wanted.
    pub fn start(config: Config, store: Store, remote: Arc<dyn Remote>, rt: Handle) -> Result<Arc<Fs>> {
        unimplemented!()
    }

    /// Tells the kernel about remote changes from now on. Called once, after the mount stands.
    pub fn attach_kernel(&self, kernel: Arc<dyn Kernel>) {}

    pub fn lookup(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        unimplemented!()
    }
    pub fn getattr(self: &Arc<Self>, ino: Ino) -> Result<Attr> {
        unimplemented!()
    }
    pub fn setattr(self: &Arc<Self>, ino: Ino, set: SetAttr) -> Answer<Attr> {
        unimplemented!()
    }
    /// Entries whose cookie is above `after`, in the order of cookies, `.` and `..` first; about `limit` of
    /// them. An empty answer is the end.
    pub fn readdir(self: &Arc<Self>, ino: Ino, after: u64, limit: usize) -> Answer<Vec<DirEntry>> {
        unimplemented!()
    }
    pub fn open(self: &Arc<Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        unimplemented!()
    }
    pub fn create(self: &Arc<Self>, parent: Ino, name: &[u8], flags: OpenFlags) -> Answer<(Attr, Opened)> {
        unimplemented!()
    }
    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    pub fn read(self: &Arc<Self>, fh: Fh, offset: u64, len: u32) -> Answer<Bytes> {
        unimplemented!()
    }
    pub fn write(self: &Arc<Self>, fh: Fh, offset: u64, data: &[u8]) -> Answer<u32> {
        unimplemented!()
    }
    pub fn flush(self: &Arc<Self>, fh: Fh) -> Answer<()> {
        unimplemented!()
    }
    pub fn release(self: &Arc<Self>, fh: Fh) {
        unimplemented!()
    }
    pub fn fsync(self: &Arc<Self>, fh: Fh) -> Answer<()> {
        unimplemented!()
    }
    pub fn fsyncdir(self: &Arc<Self>, ino: Ino) -> Answer<()> {
        unimplemented!()
    }
    pub fn mkdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        unimplemented!()
    }
    pub fn unlink(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<()> {
        unimplemented!()
    }
    pub fn rmdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<()> {
        unimplemented!()
    }
    pub fn rename(
        self: &Arc<Self>,
        parent: Ino,
        name: &[u8],
        to: Ino,
        to_name: &[u8],
        noreplace: bool,
    ) -> Answer<()> {
        unimplemented!()
    }
    pub fn statfs(self: &Arc<Self>) -> StatFs {
        unimplemented!()
    }

    /// Everything a person or a script may want to know.
    pub fn status(&self) -> Status {
        unimplemented!()
    }
    /// Uploads everything now, without the quiet period. Ends when nothing is left to send, or with
    /// the first state that only a person can resolve (blocked items; session lost): the status then says which.
    pub async fn drain(self: &Arc<Self>) -> Status {
        unimplemented!()
    }
    /// Stops the background tasks, makes everything durable and closes the store. Idempotent.
    pub async fn stop(self: &Arc<Self>) {
        unimplemented!()
    }
}
