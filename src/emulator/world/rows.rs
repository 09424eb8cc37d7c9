//! The rows of the database: files, folders, kept versions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a row stands. Folders of the service compute it from two flags; here both kinds store it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Status {
    #[serde(rename = "EXISTS")]
    Exists,
    #[serde(rename = "TRASHED")]
    Trashed,
    #[serde(rename = "DELETED")]
    Deleted,
}

impl Status {
    pub(crate) const ALL: [Self; 3] = [Self::Exists, Self::Trashed, Self::Deleted];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exists => "EXISTS",
            Self::Trashed => "TRASHED",
            Self::Deleted => "DELETED",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A file row. Names and types are as sent; how a blank one is shown is the answer's business.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FileRow {
    pub id: u64,
    pub uuid: Uuid,
    pub account: u32,
    pub folder: Uuid,
    pub folder_id: u64,
    pub plain_name: String,
    pub kind: Option<String>,
    pub size: u64,
    pub bucket: String,
    /// `None` exactly when the size is zero.
    pub object: Option<String>,
    pub encrypt_version: String,
    pub status: Status,
    /// The legacy flag and time of the trash; both outlive a restore.
    pub trashed: Option<i64>,
    pub removed: Option<i64>,
    pub creation: i64,
    pub modification: i64,
    pub created: i64,
    pub updated: i64,
}

/// A folder row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FolderRow {
    pub id: u64,
    pub uuid: Uuid,
    pub account: u32,
    pub parent: Option<Uuid>,
    pub parent_id: Option<u64>,
    pub plain_name: String,
    /// Grows the encrypted `name`, which stays the same until the next rename.
    pub name_seed: u64,
    pub bucket: Option<String>,
    pub status: Status,
    pub trashed: Option<i64>,
    pub removed: Option<i64>,
    pub creation: i64,
    pub modification: i64,
    pub created: i64,
    pub updated: i64,
}

/// An old content kept for a versionable file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    pub id: Uuid,
    pub account: u32,
    pub object: String,
    pub size: u64,
    pub modification: i64,
    pub created: i64,
    pub expires: i64,
}

/// What the tables index a row by.
pub(crate) trait Row {
    fn id(&self) -> u64;
    fn uuid(&self) -> Uuid;
    fn account(&self) -> u32;
    fn parent(&self) -> Option<Uuid>;
    fn status(&self) -> Status;
    fn updated(&self) -> i64;
    fn name(&self) -> &str;
    fn kind(&self) -> Option<&str>;
    fn bytes(&self) -> u64;
}

impl Row for FileRow {
    fn id(&self) -> u64 {
        self.id
    }
    fn uuid(&self) -> Uuid {
        self.uuid
    }
    fn account(&self) -> u32 {
        self.account
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.folder)
    }
    fn status(&self) -> Status {
        self.status
    }
    fn updated(&self) -> i64 {
        self.updated
    }
    fn name(&self) -> &str {
        &self.plain_name
    }
    fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }
    fn bytes(&self) -> u64 {
        self.size
    }
}

impl Row for FolderRow {
    fn id(&self) -> u64 {
        self.id
    }
    fn uuid(&self) -> Uuid {
        self.uuid
    }
    fn account(&self) -> u32 {
        self.account
    }
    fn parent(&self) -> Option<Uuid> {
        self.parent
    }
    fn status(&self) -> Status {
        self.status
    }
    fn updated(&self) -> i64 {
        self.updated
    }
    fn name(&self) -> &str {
        &self.plain_name
    }
    fn kind(&self) -> Option<&str> {
        None
    }
    fn bytes(&self) -> u64 {
        0
    }
}
