//! Rows as the service sends them: unknown fields ignored, missing ones tolerated.

use serde::Deserialize;

use super::super::wire::{millis, size, text};

/// The service's word on whether a row lives. The legacy flags beside it lie after a restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RowStatus {
    /// Lives.
    Exists,
    /// In the trash itself.
    Trashed,
    /// Gone.
    Deleted,
    /// A word this program does not know.
    #[serde(other)]
    Unknown,
}

/// A file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRow {
    /// Its identity.
    pub uuid: String,
    /// Its folder.
    #[serde(default, deserialize_with = "text")]
    pub folder_uuid: Option<String>,
    /// Its name without the extension.
    #[serde(default, deserialize_with = "text")]
    pub plain_name: Option<String>,
    /// Its extension; null and empty are one.
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub ext: Option<String>,
    /// Its bytes; `None` if that makes no sense.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<u64>,
    /// The bucket of its object.
    #[serde(default, deserialize_with = "text")]
    pub bucket: Option<String>,
    /// Its object.
    #[serde(default, deserialize_with = "text")]
    pub file_id: Option<String>,
    /// How its content is encrypted.
    #[serde(default, deserialize_with = "text")]
    pub encrypt_version: Option<String>,
    /// Milliseconds since 1970, like all times here.
    #[serde(default, deserialize_with = "millis")]
    pub creation_time: i64,
    /// As the last writer set it.
    #[serde(default, deserialize_with = "millis")]
    pub modification_time: i64,
    /// When the row last changed.
    #[serde(default, deserialize_with = "millis")]
    pub updated_at: i64,
    /// Whether it lives.
    #[serde(default)]
    pub status: Option<RowStatus>,
}

/// A folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FolderRow {
    /// Its identity.
    pub uuid: String,
    /// Its folder; none for a root.
    #[serde(default, deserialize_with = "text")]
    pub parent_uuid: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub plain_name: Option<String>,
    /// Milliseconds since 1970, like all times here.
    #[serde(default, deserialize_with = "millis")]
    pub creation_time: i64,
    /// As its creator set it, or when it was renamed.
    #[serde(default, deserialize_with = "millis")]
    pub modification_time: i64,
    /// When the row last changed.
    #[serde(default, deserialize_with = "millis")]
    pub updated_at: i64,
    /// Whether it lives; some answers leave it out.
    #[serde(default)]
    pub status: Option<RowStatus>,
    /// In the trash or gone; counts only where `status` is missing.
    #[serde(default)]
    pub deleted: Option<bool>,
    /// Gone; counts only where `status` is missing.
    #[serde(default)]
    pub removed: Option<bool>,
}
