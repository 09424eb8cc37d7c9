//! The cloud as a filesystem sees it: plaintext names, plaintext bytes.
//!
//! [`Remote`] is the seam: `internxt` speaks to the service, `memory` is its executable
//! specification, `fault` injects failures around another. One conformance suite
//! (`tests/remote_conformance.rs`) runs over all of them.
//!
//! The service has no transactions, no preconditions on writes, separate namespaces for files and
//! folders, and lagging replicas. The trait does not hide that: it reports what one call did, and
//! [`Error::class`] says what may be concluded when it failed. Policy (retry, look, conflict) is the
//! caller's, but for what is safe to repeat within one call.

mod error;
pub mod fault;
pub mod internxt;
pub mod memory;
mod method;
pub mod session;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;

pub use error::{Class, Error, Refusal};
pub use method::Method;

pub use crate::api::{Bandwidth, Budget, Held, Hurry, Throttle, Traffic};
use crate::names::RemoteName;
use crate::types::{Kind, NodeId, Timestamp, Version};
pub use crate::types::{Row, Status, Urgency};

/// What the calls of this floor return.
pub type Result<T> = std::result::Result<T, Error>;

/// Plaintext as it arrives, in order.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Things worth a look, as they are announced. Ends when the connection is lost.
pub type EventStream = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Whose drive this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's uuid.
    pub id: String,
    /// For people.
    pub email: String,
    /// The drive's root folder. Never appears in the feeds.
    pub root: NodeId,
    /// Where new files go.
    pub bucket: String,
}

/// Which rows a feed reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Living rows only: for the first hydration.
    Live,
    /// Rows of every status: for deltas.
    All,
}

/// A place in a feed. `Cursor::default()` is the beginning; [`Cursor::since`] starts behind an instant. The service
/// counts finer than the milliseconds it tells: rows that show the very instant may come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// Rows changed strictly after this.
    pub after: Option<Timestamp>,
    /// Rows to skip from there (crosses a stretch of equal instants longer than a page).
    pub skip: u64,
}

impl Cursor {
    /// Rows changed strictly after `after`.
    #[must_use]
    pub fn since(after: Timestamp) -> Self {
        Cursor { after: Some(after), skip: 0 }
    }
}

/// Part of a feed, in the order of [`Row::updated`]. Pages overlap: a row may come twice.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on; `None` at the end. Always lies ahead: a loop over pages ends.
    pub next: Option<Cursor>,
}

/// A file to register.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its folder.
    pub parent: NodeId,
    /// Its name.
    pub name: RemoteName,
    /// Its uploaded content; `None` exactly if `size` is 0.
    pub content: Option<Version>,
    /// Its bytes.
    pub size: u64,
    /// Modification time to store (milliseconds are kept).
    pub modified: Timestamp,
    /// Creation time to store; unique enough to know our own row again.
    pub created: Timestamp,
}

/// New content for a row. The service deletes the old object after a replace, and does so even if it is the new one:
/// there is no value of this type that would ask for that.
#[derive(Clone, Debug)]
pub struct Replacement {
    base: Option<Version>,
    content: Option<Version>,
    size: u64,
    modified: Timestamp,
}

impl Replacement {
    /// `content` instead of `base`, which is what the row was last read to hold.
    ///
    /// # Errors
    /// [`Error::Protocol`] if both are one object, or if there is content and no size or the other way round.
    pub fn new(
        base: Option<Version>,
        content: Option<Version>,
        size: u64,
        modified: Timestamp,
    ) -> Result<Self> {
        if content.is_some() && content.as_ref().map(|v| &v.object) == base.as_ref().map(|v| &v.object) {
            return Err(Error::Protocol("a replace by the content the file has would destroy it".to_owned()));
        }
        if content.is_some() != (size > 0) {
            return Err(Error::Protocol("a file has content exactly if it has bytes".to_owned()));
        }
        Ok(Replacement { base, content, size, modified })
    }

    /// What the row holds now, as last read.
    #[must_use]
    pub fn base(&self) -> Option<&Version> {
        self.base.as_ref()
    }

    /// The uploaded content; `None` exactly if the size is 0.
    #[must_use]
    pub fn content(&self) -> Option<&Version> {
        self.content.as_ref()
    }

    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Modification time to store.
    #[must_use]
    pub fn modified(&self) -> Timestamp {
        self.modified
    }
}

/// Bytes to upload. Read more than once, out of order and concurrently, and **the same every time**:
/// a frozen generation.
#[derive(Clone)]
pub struct Body {
    /// Total bytes, above 0.
    pub size: u64,
    /// Reads exactly the given range.
    pub read: Arc<dyn Fn(Range<u64>) -> BoxFuture<'static, std::io::Result<Bytes>> + Send + Sync>,
    /// Told how many more bytes have been sent.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Body {
    /// A body that lies in memory.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        let slice = move |r: Range<u64>| -> std::io::Result<Bytes> {
            let start = usize::try_from(r.start).map_err(std::io::Error::other)?;
            let end = usize::try_from(r.end).map_err(std::io::Error::other)?;
            if start > end || end > bytes.len() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            Ok(bytes.slice(start..end))
        };
        Body {
            size,
            read: Arc::new(move |r| Box::pin(std::future::ready(slice(r)))),
            progress: Arc::new(|_| {}),
        }
    }
}

/// Space, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Taken, backups and trash included.
    pub used: u64,
    /// The plan's quota.
    pub total: u64,
}

/// What the plan allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// The largest file; `None`: no limit known.
    pub max_file: Option<u64>,
}

/// A small picture of a file's content, as some client made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Where it is.
    pub version: Version,
    /// When it was registered. A file keeps it when its content changes: what is older than the last change of the row may
    /// be of former content.
    pub registered: Timestamp,
}

/// Part of the pictures of a folder's files.
#[derive(Clone, Debug, Default)]
pub struct Thumbnails {
    /// The living files that have one.
    pub found: Vec<(Row, Thumbnail)>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// Bytes of a small picture, at most.
pub const THUMBNAIL_MAX: u64 = 1 << 20;

/// An announcement by the service: a hint to look, never data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection stands; anything may have happened before.
    Connected,
    /// Another client changed something.
    Changed,
    /// The plan changed: ask usage and limits again.
    Plan,
}

/// The cloud. Every call ends: stalls are errors. Calls that only read retry transient failures
/// themselves within reason; calls that change something are sent **once**, unless the failure proves
/// that the service never saw them.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Whose drive this is. Known from the session, no request.
    fn account(&self) -> Account;

    /// All living children of a living folder, files and folders, without doubles. An unknown or
    /// trashed folder is [`Error::NotFound`] (the service itself lists it as empty).
    async fn list(&self, folder: &NodeId) -> Result<Vec<Row>>;

    /// A page of the account's change feed of one kind.
    async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page>;

    /// The most recently changed row of a feed, of any status: the cheap probe.
    async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>>;

    /// The stamp of the living row of a feed that `skip` others are before, if there are so many: tells how long a
    /// feed is and where it can be cut. A hint, like any counting in a list that changes.
    async fn stamp_at(&self, kind: Kind, skip: u64) -> Result<Option<Timestamp>>;

    /// One row, whatever its status. Deleted folders, unknown and foreign rows are [`Error::NotFound`].
    async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row>;

    /// How many former contents the service keeps of a file. It does so for few kinds of files, and on some plans.
    async fn versions(&self, id: &NodeId) -> Result<u64>;

    /// What lies in the trash of itself, of either kind, the latest first; not what lies below
    /// it, and not what has lain there for longer than the plan keeps it. No more than a few thousand rows.
    async fn trashed(&self) -> Result<Vec<Row>>;

    /// The living rows of either kind that show as one of `displays` in a folder, however their names are split.
    async fn find_all(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>>;

    /// The same for one name.
    async fn find(&self, folder: &NodeId, display: &str) -> Result<Vec<Row>> {
        self.find_all(folder, &[display.to_owned()]).await
    }

    /// The bytes `range` of a version of `size` bytes, decrypted. A range that spans the whole version is
    /// verified against the content hash (and HMAC where there is one): the stream then ends with
    /// [`Error::Corrupt`] on a mismatch. An empty or inverted range yields nothing.
    async fn read(&self, of: &Version, size: u64, range: Range<u64>, urgency: Urgency) -> Result<ByteStream>;

    /// Looks up what the first [`Remote::read`] of a version needs, so that it need not. Cheap where that is known;
    /// reading works the same without it.
    async fn prepare(&self, of: &Version, urgency: Urgency) -> Result<()>;

    /// Compares a version's content hash with plaintext at hand. [`Error::Corrupt`] if it differs.
    async fn verify(&self, of: &Version, body: Body) -> Result<()>;

    /// Uploads content into `bucket` (the account's if `None`) under a key never used before. The
    /// result belongs to no row yet: register it with `create` or `replace`, or [`Remote::discard`] it.
    /// After any failure nothing usable remains.
    async fn put(&self, bucket: Option<&str>, body: Body) -> Result<Version>;

    /// Deletes an object that no row refers to. Never call it for one that was registered.
    async fn discard(&self, version: &Version) -> Result<()>;

    /// The pictures of a folder's files, some rows at a time, `skip` rows on. Feeds do not tell of them. Nobody waits for
    /// this, nor for the next two calls.
    async fn thumbnails(&self, folder: &NodeId, skip: u64) -> Result<Thumbnails>;

    /// The bytes of a picture, which are whatever its maker put there; [`THUMBNAIL_MAX`] at most.
    async fn thumbnail(&self, of: &Version) -> Result<Bytes>;

    /// Uploads a picture (a PNG) of what a file holds into its bucket, and registers it. One that it had is deleted. The row
    /// stays as it is.
    async fn set_thumbnail(&self, id: &NodeId, bucket: Option<&str>, png: Bytes) -> Result<Version>;

    /// Registers a file. [`Error::Exists`] if a living file has its name and extension.
    async fn create(&self, file: &NewFile) -> Result<Row>;

    /// Gives a living file new content. The answer's `modified` and `updated` are stale.
    async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row>;

    /// Creates a folder. [`Error::Exists`] if a living sibling folder has the name.
    async fn mkdir(
        &self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row>;

    /// Moves and renames in one step; restores a trashed row. Keeps the modification time. Being there
    /// already is success. The service accepts a folder below itself: check ancestors first.
    async fn relocate(&self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row>;

    /// Moves rows to the trash, up to 50 a request. **Success proves nothing** about any one of them.
    async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()>;

    /// Deletes for good; a folder with all below it. Gone already is success.
    async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()>;

    /// Space taken and quota; minutes old at times.
    async fn usage(&self) -> Result<Usage>;

    /// The plan's limits.
    async fn limits(&self) -> Result<Limits>;

    /// Announcements, or an error where the service offers none. Polling must do without them.
    async fn events(&self) -> Result<EventStream>;
}
