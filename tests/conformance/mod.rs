//! The cases, by subject, and the worlds they run in.
//!
//! A case works in a folder of its own, on a drive that may hold other things, with replicas that do not lag
//! or are waited for by the implementation's harness.

pub mod account;
pub mod content;
pub mod create;
pub mod emulated;
pub mod feeds;
pub mod folders;
pub mod listing;
pub mod names;
pub mod relocate;
pub mod removal;
pub mod replace;
pub mod thumbnails;
pub mod worlds;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use inxtfs::names::RemoteName;
use inxtfs::remote::{Error, NewFile, Remote, Row};
use inxtfs::types::{Kind, NodeId, Timestamp, Urgency, Version};

use crate::common;

/// An implementation under test.
pub struct Harness {
    /// The client under test.
    pub remote: Arc<dyn Remote>,
    /// Another client of the same account.
    pub second: Arc<dyn Remote>,
    /// What only the world behind the trait can do.
    pub world: Arc<dyn World>,
    /// How many rows a case may create to fill the pages of a feed.
    pub affordable_rows: usize,
    /// Bytes of an upload that takes the implementation's way for large ones, where that is cheap.
    pub large_upload: Option<usize>,
}

/// Hooks into the world, which lives as long as this does: a server or directory belongs in here.
/// A hook that is not there answers `false`, and the case says that it was skipped.
#[async_trait]
pub trait World: Send + Sync {
    /// The plan: storage in all, largest file, number of empty files.
    async fn set_plan(&self, _quota: u64, _max_file: u64, _empty_files: u64) -> bool {
        false
    }
    /// Changes a byte of an object.
    async fn corrupt(&self, _version: &Version) -> bool {
        false
    }
    /// Removes an object from under its row.
    async fn lose(&self, _version: &Version) -> bool {
        false
    }
    /// Gives rows one instant of change.
    async fn bulk_stamp(&self, _ids: &[NodeId]) -> bool {
        false
    }
    /// Lets the service's late jobs run.
    async fn settle(&self) -> bool {
        false
    }
    /// A second bucket of the account that content may be put into.
    async fn other_bucket(&self) -> Option<String> {
        None
    }
    /// Panics if data was harmed.
    async fn check(&self) {}
}

/// Says that a case did not run, and why.
#[macro_export]
macro_rules! skip_without {
    ($hook:expr, $what:literal) => {
        if !$hook {
            eprintln!("skipped: this world has no hook to {}", $what);
            return;
        }
    };
}

/// A time with odd milliseconds.
pub const MTIME: Timestamp = Timestamp { secs: 981_173_106, nanos: 789_000_000 };
/// Another.
pub const BIRTH: Timestamp = Timestamp { secs: 946_684_800, nanos: 1_000_000 };

static UNIQUE: AtomicU64 = AtomicU64::new(1);

/// A name nothing has.
pub fn unique(stem: &str) -> String {
    let n = UNIQUE.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{n}", std::process::id())
}

/// An identity nothing has.
pub fn stranger() -> NodeId {
    NodeId(uuid::Uuid::new_v4().to_string())
}

impl Harness {
    /// A folder of the case's own.
    pub async fn dir(&self) -> NodeId {
        let root = self.remote.account().root;
        self.mkdir(&root, &unique("case")).await.id
    }

    pub async fn mkdir(&self, parent: &NodeId, name: &str) -> Row {
        self.remote.mkdir(parent, name, MTIME, BIRTH).await.expect("mkdir")
    }

    pub async fn put(&self, bytes: &Bytes) -> Option<Version> {
        if bytes.is_empty() {
            return None;
        }
        Some(self.remote.put(None, common::body(bytes)).await.expect("put"))
    }

    /// Uploads and registers under a name split as it is given.
    pub async fn try_file(&self, parent: &NodeId, name: RemoteName, bytes: &Bytes) -> Result<Row, Error> {
        let content = self.put(bytes).await;
        let (parent, size) = (parent.clone(), bytes.len() as u64);
        self.remote.create(&NewFile { parent, name, content, size, modified: MTIME, created: BIRTH }).await
    }

    pub async fn file(&self, parent: &NodeId, display: &str, bytes: &[u8]) -> Row {
        let bytes = Bytes::copy_from_slice(bytes);
        self.try_file(parent, RemoteName::split(display), &bytes).await.expect("create")
    }

    /// Lets the service's clock, which counts in milliseconds, move on.
    pub async fn tick(&self) {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }

    pub async fn stat(&self, row: &Row) -> Row {
        self.remote.stat(row.kind, &row.id).await.expect("stat")
    }

    pub async fn trash(&self, row: &Row) {
        self.remote.trash(&[(row.kind, row.id.clone())]).await.expect("trash");
    }

    /// The names in a folder, sorted, folders with a slash behind.
    pub async fn names(&self, folder: &NodeId) -> Vec<String> {
        let rows = self.remote.list(folder).await.expect("list");
        let slash = |r: &Row| if r.kind == Kind::Folder { "/" } else { "" };
        let mut names: Vec<String> = rows.iter().map(|r| r.name.display() + slash(r)).collect();
        names.sort();
        names
    }

    pub async fn bytes(&self, row: &Row) -> Result<Bytes, Error> {
        match &row.content {
            Some(v) => common::collect(self.remote.read(v, row.size, 0..row.size, Urgency::Now).await?).await,
            None => Ok(Bytes::new()),
        }
    }
}
