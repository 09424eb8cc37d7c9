//! Small pictures of files: told by the listings of folders, and by nothing else.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::request::segment;
use super::super::wire::{millis, text};
use super::super::{Drive, Lane, Request};
use super::{FileRow, LIST_PAGE};

/// A page of a folder's files, as they come.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedFiles {
    /// The rows.
    pub files: Vec<Value>,
}

/// A file of such a page.
#[derive(Clone, Debug, Deserialize)]
pub struct PicturedFile {
    /// The row.
    #[serde(flatten)]
    pub row: FileRow,
    /// Its pictures: none or one, as a rule.
    #[serde(default)]
    pub thumbnails: Vec<ThumbnailRow>,
}

/// A picture. Where it is has two names each.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThumbnailRow {
    #[serde(default, deserialize_with = "text")]
    bucket_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    bucket_file: Option<String>,
    #[serde(default, rename = "bucket_id", deserialize_with = "text")]
    old_bucket_id: Option<String>,
    #[serde(default, rename = "bucket_file", deserialize_with = "text")]
    old_bucket_file: Option<String>,
    /// How it is encrypted.
    #[serde(default, deserialize_with = "text")]
    pub encrypt_version: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default, deserialize_with = "millis")]
    pub created_at: i64,
    /// When it last took the place of another one.
    #[serde(default, deserialize_with = "millis")]
    pub updated_at: i64,
}

impl ThumbnailRow {
    /// Its bucket and its object.
    #[must_use]
    pub fn place(self) -> Option<(String, String)> {
        let filled = |new: Option<String>, old: Option<String>| new.or(old).filter(|s| !s.is_empty());
        filled(self.bucket_id, self.old_bucket_id).zip(filled(self.bucket_file, self.old_bucket_file))
    }
}

/// A page of a folder's living files with their pictures, in the order of their creation. Nobody waits.
#[must_use]
pub fn thumbnails_in(folder: &str, offset: u64) -> Request<Drive, ListedFiles> {
    Request::json(Method::GET, format!("folders/content/{}/files", segment(folder)))
        .query("offset", offset)
        .query("limit", LIST_PAGE)
        .query("sort", "id")
        .query("order", "ASC")
        .lane(Lane::Background)
}

/// Registers an uploaded PNG of `size` bytes, no larger than `pixels` in either direction, as a file's picture. The service
/// deletes the object of the one it had, **even if it is the same**. It takes the file's own bucket for the object's.
#[must_use]
pub fn set_thumbnail(file: &str, bucket: &str, object: &str, size: u64, pixels: u32) -> Request<Drive, ()> {
    Request::empty(Method::POST, "files/thumbnail".to_owned())
        .body(json!({
            "fileUuid": file,
            "type": "png",
            "size": size,
            "maxWidth": pixels,
            "maxHeight": pixels,
            "bucketId": bucket,
            "bucketFile": object,
            "encryptVersion": "03-aes",
        }))
        .lane(Lane::Background)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request::Effect;

    fn read(json: &str) -> Option<PicturedFile> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn pictures_are_asked_for_and_registered_in_the_last_lane_and_registered_once() {
        assert_eq!(thumbnails_in("f", 50).lane, Lane::Background);
        let set = set_thumbnail("f", "b", "o", 9, 300);
        assert_eq!((set.lane, set.effect()), (Lane::Background, Effect::Once));
    }

    #[test]
    fn a_picture_is_found_under_either_name() {
        let place = |json: &str| {
            let file = format!(r#"{{"uuid":"u","plainName":"x","size":"5","thumbnails":[{json}]}}"#);
            read(&file)?.thumbnails.pop()?.place()
        };
        let both = r#"{"id":7,"type":"png","size":9,"bucketId":"b","bucketFile":"f","bucket_id":"b","bucket_file":"f",
            "updatedAt":"2026-11-22T01:09:39.676Z"}"#;
        assert_eq!(place(both), Some(("b".to_owned(), "f".to_owned())));
        assert_eq!(place(r#"{"bucket_id":"b","bucket_file":"f"}"#), Some(("b".to_owned(), "f".to_owned())));
        assert_eq!(place(r#"{"bucketId":"b","bucketFile":""}"#), None);
        assert_eq!(place(r#"{"bucketId":null}"#), None);
        assert!(read(r#"{"uuid":"u","thumbnails":[]}"#).is_some_and(|f| f.thumbnails.is_empty()));
        assert!(read(r#"{"uuid":"u"}"#).is_some());
    }
}
