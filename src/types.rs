//! Newtypes shared by all floors.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::names::RemoteName;

/// Our number for a node: stable over remounts, never reused. The root is [`Ino::ROOT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ino(pub u64);

impl Ino {
    /// The root folder, as the kernel numbers it.
    pub const ROOT: Ino = Ino(1);
    /// The virtual folder that shows what lies in a ring on the server. It is there only while it has entries.
    pub const RECOVERY: Ino = Ino(3);
    /// No node has a higher number.
    pub const ANY: Ino = Ino(i64::MAX as u64);
    /// The trash of file managers (`.Trash-UID`). None of what follows is a node.
    pub const TRASH: Ino = Ino(4);
    /// What is in it.
    pub const TRASH_FILES: Ino = Ino(5);
    /// What is told of each.
    pub const TRASH_INFO: Ino = Ino(6);
    /// Where file managers put what they are about to delete for good.
    pub const TRASH_EXPUNGED: Ino = Ino(7);
    /// What file managers call the drive.
    pub const VOLUME_INFO: Ino = Ino(8);
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One `open(2)`. Holds flags and a read cursor, no data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fh(pub u64);

/// Who waits for a call. What is more urgent goes first where calls compete.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Urgency {
    /// A program waits for the answer.
    Now,
    /// One is expected to want it soon.
    Soon,
    /// Nobody waits.
    Someday,
}

/// The remote identity of a node: a uuid, kept over rename, move and replace.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl NodeId {
    /// The uuid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(s: &str) -> Self {
        NodeId(s.to_owned())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Immutable remote content: one upload. `object` is what the service calls `fileId`
/// (24 hex digits); it belongs to one row, ever.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Version {
    /// The bucket that holds the object and takes part in its key.
    pub bucket: String,
    /// The object's id within the network.
    pub object: String,
}

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// The truth about a row; nothing but this decides whether it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Lives, though an ancestor may not.
    Exists,
    /// In the trash itself; the children of a trashed folder stay [`Status::Exists`].
    Trashed,
    /// Gone for good.
    Deleted,
}

/// A node as the service reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its identity.
    pub id: NodeId,
    /// Its folder; `None` for a root.
    pub parent: Option<NodeId>,
    /// File or folder.
    pub kind: Kind,
    /// Its name, untrusted: see [`names::is_showable`](crate::names::is_showable).
    pub name: RemoteName,
    /// Whether it lives.
    pub status: Status,
    /// Where a file's objects are; `None` for folders.
    pub bucket: Option<String>,
    /// A file's content; `None` exactly if it is empty (or a folder).
    pub content: Option<Version>,
    /// Bytes of a file; 0 for folders.
    pub size: u64,
    /// Whether this program can read the content (`encryptVersion` is known).
    pub readable: bool,
    /// As the creating client set it, to the millisecond.
    pub created: Timestamp,
    /// As the last writer of the content set it, to the millisecond.
    pub modified: Timestamp,
    /// When the service last changed the row; the feeds' order. **Stale in the answers to
    /// a replace or a move**: never a checkpoint.
    pub updated: Timestamp,
}

impl Row {
    /// One of which nothing is known but that it was there, and is not found.
    #[must_use]
    pub fn unheard_of(kind: Kind, id: NodeId) -> Self {
        Row {
            id,
            parent: None,
            kind,
            name: RemoteName::whole("recovered"),
            status: Status::Deleted,
            bucket: None,
            content: None,
            size: 0,
            readable: true,
            created: Timestamp::default(),
            modified: Timestamp::default(),
            updated: Timestamp::UNKNOWN,
        }
    }

    /// The same row, which is not found any more: it is deleted, and only a feed knows since when.
    #[must_use]
    pub fn vanished(self) -> Self {
        Row { status: Status::Deleted, updated: Timestamp::UNKNOWN, ..self }
    }
}

/// An instant, to the nanosecond, years 0001 to 9999. The service keeps milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp {
    /// Whole seconds since 1970, negative before.
    pub secs: i64,
    /// Nanoseconds since `secs`, below 1 000 000 000.
    pub nanos: u32,
}

impl Timestamp {
    /// Stands for an instant that nobody has told: the last second there is, so nothing came after it.
    pub const UNKNOWN: Timestamp = Timestamp { secs: 253_402_300_799, nanos: 0 };

    /// The clock's present reading.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From milliseconds since 1970.
    #[must_use]
    pub fn from_millis(ms: i64) -> Self {
        let nanos = u32::try_from(ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Timestamp { secs: ms.div_euclid(1000), nanos }
    }

    /// Milliseconds since 1970, rounded down: what the service stores.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.secs.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// The same instant as the service would give it back.
    #[must_use]
    pub fn to_millis_precision(self) -> Self {
        Self::from_millis(self.as_millis())
    }
}

impl From<SystemTime> for Timestamp {
    fn from(t: SystemTime) -> Self {
        let secs_of = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        match t.duration_since(UNIX_EPOCH) {
            Ok(d) => Timestamp { secs: secs_of(d), nanos: d.subsec_nanos() },
            Err(e) => {
                let d = e.duration();
                match d.subsec_nanos() {
                    0 => Timestamp { secs: -secs_of(d), nanos: 0 },
                    n => Timestamp { secs: -secs_of(d) - 1, nanos: 1_000_000_000 - n },
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(t: Timestamp) -> Self {
        let nanos = Duration::from_nanos(u64::from(t.nanos));
        let whole = Duration::from_secs(t.secs.unsigned_abs());
        let base = if t.secs >= 0 { UNIX_EPOCH.checked_add(whole) } else { UNIX_EPOCH.checked_sub(whole) };
        base.and_then(|b| b.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_round_down_to_the_millisecond() {
        let t = Timestamp { secs: -1, nanos: 999_999_999 };
        assert_eq!(t.as_millis(), -1);
        assert_eq!(Timestamp::from_millis(-1), Timestamp { secs: -1, nanos: 999_000_000 });
        assert_eq!(Timestamp::from(SystemTime::from(t)), t);
    }
}
