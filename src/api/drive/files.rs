//! Requests about files.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::request::segment;
use super::super::wire::{iso, millis, size};
use super::super::{Drive, Lane, Request};
use super::{FeedQuery, FileRow, LIST_PAGE};

/// A page of a folder's files.
#[derive(Clone, Debug, Deserialize)]
pub struct FilesPage {
    /// The rows.
    pub files: Vec<FileRow>,
}

/// The files that exist among those asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct ExistingFiles {
    /// The rows; a question without an extension matches every extension.
    #[serde(rename = "existentFiles")]
    pub files: Vec<FileRow>,
}

/// A file to register.
#[derive(Clone, Debug)]
pub struct FileEntry<'a> {
    /// Its folder.
    pub folder: &'a str,
    /// Its name without the extension.
    pub plain_name: &'a str,
    /// Its extension.
    pub ext: Option<&'a str>,
    /// The bucket of its object.
    pub bucket: &'a str,
    /// Its object; `None` exactly if it is empty.
    pub object: Option<&'a str>,
    /// Its bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified: i64,
    /// Milliseconds since 1970.
    pub created: i64,
}

/// Content for a row that is proven not to be the content it has. The service deletes a row's
/// old object after a replace even if it is the new one; without this type no replace can be sent.
#[derive(Clone, Debug)]
pub struct NewContent {
    object: Option<String>,
    size: u64,
    modified: i64,
}

/// The content offered is the content the row has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the row holds this very object already; sending it again would delete it")]
pub struct SameObject;

impl NewContent {
    /// Compares with what the row holds now.
    ///
    /// # Errors
    /// [`SameObject`].
    pub fn new(
        held: Option<&str>,
        object: Option<&str>,
        size: u64,
        modified: i64,
    ) -> Result<Self, SameObject> {
        if object.is_some() && held == object {
            return Err(SameObject);
        }
        Ok(NewContent { object: object.map(str::to_owned), size, modified })
    }
}

/// A page of a folder's living files, in the order of their creation.
#[must_use]
pub fn files_in(folder: &str, offset: u64) -> Request<Drive, FilesPage> {
    Request::json(Method::GET, format!("folders/content/{}/files", segment(folder)))
        .query("offset", offset)
        .query("limit", LIST_PAGE)
        .query("sort", "id")
        .query("order", "ASC")
        .lane(Lane::Look)
}

/// A page of the account's files by their last change; rows are read one by one later, so that an odd
/// one does not spoil the page.
#[must_use]
pub fn file_feed(query: FeedQuery) -> Request<Drive, Vec<Value>> {
    feed("files", query)
}

pub(super) fn feed(path: &str, query: FeedQuery) -> Request<Drive, Vec<Value>> {
    let request = Request::json(Method::GET, path.to_owned())
        .lane(Lane::Background)
        .query("status", if query.live_only { "EXISTS" } else { "ALL" })
        .query("limit", query.limit)
        .query("offset", query.offset)
        .query("sort", "updatedAt")
        .query("order", if query.descending { "DESC" } else { "ASC" });
    match query.after {
        Some(after) => request.query("updatedAt", iso(after)),
        None => request,
    }
}

/// One file, of any status. Asked for by what sends, as a rule.
#[must_use]
pub fn file_meta(uuid: &str) -> Request<Drive, FileRow> {
    Request::json(Method::GET, format!("files/{}/meta", segment(uuid)))
}

/// A former content of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptVersion {
    /// Its identity.
    #[serde(default)]
    pub id: String,
    /// Its bytes.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<u64>,
    /// Milliseconds since 1970 of its last change.
    #[serde(default, deserialize_with = "millis")]
    pub modification_time: i64,
    /// Milliseconds since 1970 of the moment it was replaced.
    #[serde(default, deserialize_with = "millis")]
    pub created_at: i64,
}

/// The former contents that are kept of a file.
#[must_use]
pub fn file_versions(uuid: &str) -> Request<Drive, Vec<KeptVersion>> {
    Request::json(Method::GET, format!("files/{}/versions", segment(uuid)))
}

/// Makes a former content the present one. The service deletes all that are newer.
#[must_use]
pub fn restore_version(uuid: &str, version: &str) -> Request<Drive, FileRow> {
    let path = format!("files/{}/versions/{}/restore", segment(uuid), segment(version));
    Request::json(Method::POST, path).lane(Lane::Look)
}

/// Which of at most 200 names (name, extension) a folder's living files have.
#[must_use]
pub fn files_existing(folder: &str, names: &[(&str, Option<&str>)]) -> Request<Drive, ExistingFiles> {
    let files: Vec<Value> =
        names.iter().map(|(name, ext)| json!({"plainName": name, "type": ext.unwrap_or_default()})).collect();
    Request::json(Method::POST, format!("folders/content/{}/files/existence", segment(folder)))
        .body(json!({ "files": files }))
        .repeatable()
}

/// Registers a file.
#[must_use]
pub fn create_file(entry: &FileEntry<'_>) -> Request<Drive, FileRow> {
    let mut body = json!({
        "bucket": entry.bucket,
        "encryptVersion": "03-aes",
        "folderUuid": entry.folder,
        "size": entry.size,
        "plainName": entry.plain_name,
        "modificationTime": iso(entry.modified),
        "creationTime": iso(entry.created),
    });
    if let Some(object) = entry.object {
        body["fileId"] = object.into();
    }
    if let Some(ext) = entry.ext {
        body["type"] = ext.into();
    }
    Request::json(Method::POST, "files".to_owned()).body(body)
}

/// Gives a file new content. The answer's times are stale, its size is a number.
#[must_use]
pub fn replace_file(uuid: &str, content: &NewContent) -> Request<Drive, FileRow> {
    // Without content the object must be an explicit null: left out or "" is a 500.
    Request::json(Method::PUT, format!("files/{}", segment(uuid))).body(json!({
        "fileId": content.object,
        "size": content.size,
        "modificationTime": iso(content.modified),
    }))
}

/// Moves, renames, restores. The extension is always sent: left out, the old one would stay.
#[must_use]
pub fn patch_file(uuid: &str, folder: &str, name: &str, ext: Option<&str>) -> Request<Drive, FileRow> {
    Request::json(Method::PATCH, format!("files/{}", segment(uuid)))
        .body(json!({"destinationFolder": folder, "name": name, "type": ext.unwrap_or_default()}))
}

/// Deletes a file for good.
#[must_use]
pub fn delete_file(uuid: &str) -> Request<Drive, ()> {
    Request::empty(Method::DELETE, format!("files/{}", segment(uuid)))
}
