//! What a mount tells about itself.

use serde::{Deserialize, Serialize};

pub use crate::remote::{Bandwidth, Traffic};

/// A node that differs from the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueItem {
    /// Identifies it towards `inxtfs`.
    pub ino: u64,
    /// Where it is, from the mount's root.
    pub path: String,
    /// `upload`, `create`, `mkdir`, `move`, `delete`.
    pub what: String,
    /// Where it stands.
    pub state: ItemState,
    /// Bytes to send.
    pub size: u64,
    /// Bytes sent so far.
    pub sent: u64,
    /// Failed tries so far.
    pub tries: u32,
    /// The last failure.
    pub error: Option<String>,
    /// Why it is blocked, in one word (see [`FailedItem::reason`](super::FailedItem::reason)).
    #[serde(default)]
    pub reason: Option<String>,
    /// What would help, if it is blocked.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// Where a queued item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemState {
    /// Still being written, or in its quiet period.
    Waiting,
    /// Being sent.
    Sending,
    /// Failed, will be tried again by itself.
    Retrying,
    /// Waits for a person or a change of plan; readable locally meanwhile.
    Blocked,
}

/// Whether the service can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum SessionState {
    /// The last request was answered.
    Online,
    /// The network is away.
    Offline {
        /// Seconds since 1970 of the first failure in a row.
        since: i64,
        /// Why.
        why: String,
    },
    /// Only a login helps.
    LoggedOut {
        /// Why.
        why: String,
    },
}

/// Sums over the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Items that differ from the server.
    pub items: u64,
    /// Of them, being sent.
    pub sending: u64,
    /// Of them, waiting for a person.
    pub blocked: u64,
    /// Bytes still to be sent.
    pub bytes: u64,
}

/// A mass of deletes that is held back until a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// Seconds since 1970 of the moment it was noticed.
    pub since: i64,
    /// Deletes within the window by then.
    pub removed: u64,
    /// Of so many files and folders.
    pub of: u64,
    /// Deletes that wait now.
    pub held: u64,
}

/// What the user pinned, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Files and folders that are pinned themselves.
    pub pins: u64,
    /// Files that are, or lie below one.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of them, here.
    pub here: u64,
    /// Why not all of it is or can be here, and what would help.
    pub problem: Option<String>,
}

/// What was kept beside another version since the mount began, because this machine and another changed the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    /// How many copies.
    pub made: u64,
    /// The name of the last one.
    pub last: Option<String>,
}

/// A mount at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The account's email.
    pub account: String,
    /// Network and session.
    pub session: SessionState,
    /// What a person should know about the session before it ends.
    #[serde(default)]
    pub warning: Option<String>,
    /// Set while deletes are held back; those count as blocked.
    #[serde(default)]
    pub brake: Option<Brake>,
    /// What a loss of power took before this start, in words.
    #[serde(default)]
    pub lost: Vec<String>,
    /// Conflict copies of this mount's making.
    #[serde(default)]
    pub conflicts: Conflicts,
    /// Sums over the whole queue.
    pub totals: Totals,
    /// The queue's first hundred items, blocked ones first.
    pub queue: Vec<QueueItem>,
    /// Bounds on the bytes a second.
    #[serde(default)]
    pub bandwidth: Bandwidth,
    /// A person wants nothing to be sent for now.
    #[serde(default)]
    pub paused: bool,
    /// Bytes of contents sent and fetched since the mount began.
    #[serde(default)]
    pub traffic: Traffic,
    /// Bytes of cached content on disk.
    pub cache_used: u64,
    /// Its bound: what was asked for, less while the disk is nearly full.
    pub cache_size: u64,
    /// What is to be here always.
    #[serde(default)]
    pub pinned: Pinned,
    /// Bytes of staged writes on disk.
    pub staged: u64,
    /// The account's used bytes, if known.
    pub quota_used: Option<u64>,
    /// The account's quota, if known.
    pub quota_total: Option<u64>,
    /// Whether the whole tree is known locally.
    pub hydrated: bool,
    /// Seconds since 1970 of the last complete look at the feeds.
    pub last_sync: Option<i64>,
    /// Nodes known.
    pub nodes: u64,
}
