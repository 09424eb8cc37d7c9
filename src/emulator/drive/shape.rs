//! Rows as the answers show them. Every route has its own idea of which keys belong to a file.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::thumbnails::listed;
use crate::emulator::secret;
use crate::emulator::world::clock::iso;
use crate::emulator::world::rows::{FileRow, FolderRow, VersionRow};

/// Bytes around an encrypted name: salt, IV and tag.
const NAME_OVERHEAD: usize = 96;

/// Longest name whose encrypted form fits the column.
pub(crate) const MAX_FOLDER_NAME: usize = 288;

/// The longest names the columns of files take, in characters.
pub(crate) const MAX_FILE_NAME: usize = 650;
pub(crate) const MAX_FILE_TYPE: usize = 255;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A blank string is shown as an empty one, whatever is stored.
fn shown(name: &str) -> &str {
    if name.trim().is_empty() { "" } else { name }
}

fn encrypted(name: &str, seed: u64) -> String {
    if name.is_empty() { String::new() } else { secret::noise(seed, NAME_OVERHEAD + name.len()) }
}

/// A file's name is encrypted anew for every answer.
fn file_name(row: &FileRow) -> String {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    let nonce = ANSWERS.fetch_add(1, Ordering::Relaxed);
    encrypted(&row.plain_name, nonce.wrapping_mul(0xd134_2543_de82_ef95) ^ row.id)
}

/// What the feeds show, and the base of every other form.
pub(crate) fn feed_file(row: &FileRow) -> Map<String, Value> {
    object(json!({
        "id": row.id,
        "uuid": row.uuid,
        "fileId": row.object,
        "name": file_name(row),
        "type": row.kind.as_deref().filter(|kind| !kind.trim().is_empty()),
        "size": row.size.to_string(),
        "bucket": row.bucket,
        "folderId": row.folder_id,
        "folder": null,
        "folderUuid": row.folder,
        "encryptVersion": row.encrypt_version,
        "userId": row.account + 1,
        "creationTime": iso(row.creation),
        "modificationTime": iso(row.modification),
        "createdAt": iso(row.created),
        "updatedAt": iso(row.updated),
        "plainName": shown(&row.plain_name),
        "status": row.status.name(),
    }))
}

/// What rename and replace answer: the legacy flags, but no `user`.
pub(crate) fn updated_file(row: &FileRow) -> Map<String, Value> {
    let mut file = feed_file(row);
    file.insert("deleted".to_owned(), json!(row.trashed.is_some()));
    file.insert("deletedAt".to_owned(), json!(row.trashed.map(iso)));
    file.insert("removed".to_owned(), json!(row.removed.is_some()));
    file.insert("removedAt".to_owned(), json!(row.removed.map(iso)));
    file
}

/// The full form.
pub(crate) fn file(row: &FileRow) -> Map<String, Value> {
    let mut file = updated_file(row);
    file.insert("user".to_owned(), Value::Null);
    file
}

/// The form of listings.
pub(crate) fn listed_file(row: &FileRow, thumbnails: &[Value]) -> Value {
    let mut file = file(row);
    file.insert("thumbnails".to_owned(), thumbnails.iter().map(listed).collect());
    file.insert("sharings".to_owned(), json!([]));
    file.insert("isFavorite".to_owned(), json!(false));
    Value::Object(file)
}

/// The form of `GET /files/{uuid}/meta`: the one place where `name` is plain.
pub(crate) fn meta_file(row: &FileRow) -> Value {
    let mut file = file(row);
    file.insert("name".to_owned(), json!(shown(&row.plain_name)));
    Value::Object(file)
}

/// A folder.
pub(crate) fn folder(row: &FolderRow) -> Map<String, Value> {
    object(json!({
        "type": "folder",
        "id": row.id,
        "uuid": row.uuid,
        "parentId": row.parent_id,
        "parentUuid": row.parent,
        "parent": null,
        "name": encrypted(&row.plain_name, row.name_seed),
        "plainName": row.plain_name,
        "bucket": row.bucket,
        "userId": row.account + 1,
        "user": null,
        "encryptVersion": "03-aes",
        "size": 0,
        "createdAt": iso(row.created),
        "updatedAt": iso(row.updated),
        "creationTime": iso(row.creation),
        "modificationTime": iso(row.modification),
        "deleted": row.trashed.is_some(),
        "deletedAt": row.trashed.map(iso),
        "removed": row.removed.is_some(),
        "removedAt": row.removed.map(iso),
        "status": row.status.name(),
    }))
}

/// A folder in a listing.
pub(crate) fn listed_folder(row: &FolderRow) -> Value {
    let mut folder = folder(row);
    folder.insert("sharings".to_owned(), json!([]));
    folder.insert("isFavorite".to_owned(), json!(false));
    Value::Object(folder)
}

/// A folder found by path comes as the bare row of the database.
pub(crate) fn raw_folder(row: &FolderRow) -> Value {
    json!({
        "id": row.id,
        "uuid": row.uuid,
        "parent_id": row.parent_id,
        "parent_uuid": row.parent,
        "plain_name": row.plain_name,
        "name": encrypted(&row.plain_name, row.name_seed),
        "bucket": row.bucket,
        "user_id": row.account + 1,
        "created_at": iso(row.created),
        "updated_at": iso(row.updated),
        "creation_time": iso(row.creation),
        "modification_time": iso(row.modification),
        "encrypt_version": "03-aes",
        "deleted": row.trashed.is_some(),
        "deleted_at": row.trashed.map(iso),
        "removed": row.removed.is_some(),
        "removed_at": row.removed.map(iso),
    })
}

/// A kept version.
pub(crate) fn version(file: uuid::Uuid, row: &VersionRow, owner: &str) -> Value {
    json!({
        "id": row.id,
        "fileId": file,
        "userId": owner,
        "networkFileId": row.object,
        "size": row.size.to_string(),
        "status": "EXISTS",
        "modificationTime": iso(row.modification),
        "createdAt": iso(row.created),
        "updatedAt": iso(row.created),
        "expiresAt": iso(row.expires),
    })
}
