//! The trash.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Drive, Request};
use crate::types::Kind;

/// Rows of one request; the service takes no more.
pub const TRASH_BATCH: usize = 50;

/// Moves at most 50 rows to the trash. Unknown ones are skipped in silence.
#[must_use]
pub fn trash<'a>(items: impl IntoIterator<Item = (Kind, &'a str)>) -> Request<Drive, ()> {
    let items: Vec<Value> = items
        .into_iter()
        .map(|(kind, uuid)| {
            let kind = match kind {
                Kind::File => "file",
                Kind::Folder => "folder",
            };
            json!({"uuid": uuid, "type": kind})
        })
        .collect();
    Request::empty(Method::POST, "storage/trash/add".to_owned()).body(json!({ "items": items }))
}
