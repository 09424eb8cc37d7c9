//! Requests about folders.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::request::segment;
use super::super::wire::iso;
use super::super::{Drive, Lane, Request};
use super::{FeedQuery, FolderRow, LIST_PAGE};

/// A page of a folder's folders.
#[derive(Clone, Debug, Deserialize)]
pub struct FoldersPage {
    /// The rows.
    pub folders: Vec<FolderRow>,
}

/// The folders that exist among those asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct ExistingFolders {
    /// The rows.
    #[serde(rename = "existentFolders")]
    pub folders: Vec<FolderRow>,
}

/// A page of a folder's living folders, in the order of their creation.
#[must_use]
pub fn folders_in(folder: &str, offset: u64) -> Request<Drive, FoldersPage> {
    Request::json(Method::GET, format!("folders/content/{}/folders", segment(folder)))
        .query("offset", offset)
        .query("limit", LIST_PAGE)
        .query("sort", "id")
        .query("order", "ASC")
        .lane(Lane::Look)
}

/// A page of the account's folders by their last change. The root is never among them.
#[must_use]
pub fn folder_feed(query: FeedQuery) -> Request<Drive, Vec<Value>> {
    super::files::feed("folders", query)
}

/// One folder that lives or is in the trash.
#[must_use]
pub fn folder_meta(uuid: &str) -> Request<Drive, FolderRow> {
    Request::json(Method::GET, format!("folders/{}/meta", segment(uuid)))
}

/// Which of at most 200 names a folder's living folders have. Never ask for none: that matches all.
#[must_use]
pub fn folders_existing(folder: &str, names: &[&str]) -> Request<Drive, ExistingFolders> {
    Request::json(Method::POST, format!("folders/content/{}/folders/existence", segment(folder)))
        .body(json!({ "plainNames": names }))
        .repeatable()
}

/// Creates a folder; times in milliseconds since 1970.
#[must_use]
pub fn create_folder(parent: &str, name: &str, modified: i64, created: i64) -> Request<Drive, FolderRow> {
    Request::json(Method::POST, "folders".to_owned()).body(json!({
        "plainName": name,
        "parentFolderUuid": parent,
        "modificationTime": iso(modified),
        "creationTime": iso(created),
    }))
}

/// Moves, renames, restores. Keeps the modification time, which the rename endpoint does not.
#[must_use]
pub fn patch_folder(uuid: &str, parent: &str, name: &str) -> Request<Drive, FolderRow> {
    Request::json(Method::PATCH, format!("folders/{}", segment(uuid)))
        .body(json!({"destinationFolder": parent, "name": name}))
}

/// Deletes a folder with everything below it for good.
#[must_use]
pub fn delete_folder(uuid: &str) -> Request<Drive, ()> {
    Request::empty(Method::DELETE, format!("folders/{}", segment(uuid)))
}
