//! The trash.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::wire::text;
use super::super::{Drive, Lane, Request};
use super::LIST_PAGE;
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

/// A page of the trash.
#[derive(Clone, Debug, Deserialize)]
pub struct TrashPage {
    /// The rows, as they come: [`Trashed`].
    pub result: Vec<Value>,
}

/// Something in the trash.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trashed<R> {
    /// The row itself.
    #[serde(flatten)]
    pub row: R,
    /// When the service deletes it, as text.
    #[serde(default, deserialize_with = "text")]
    pub expires_at: Option<String>,
    /// The folder it was in, if that is still known.
    #[serde(default)]
    pub parent: Option<TrashedFrom>,
}

/// The folder that something was trashed from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrashedFrom {
    /// Its identity.
    #[serde(default, deserialize_with = "text")]
    pub uuid: Option<String>,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub plain_name: Option<String>,
}

/// At most 50 rows of what lies in the trash of itself: `files` or `folders`.
#[must_use]
pub fn trashed(kind: &str, offset: u64) -> Request<Drive, TrashPage> {
    Request::json(Method::GET, "storage/trash/paginated".to_owned())
        .query("type", kind)
        .query("limit", LIST_PAGE)
        .query("offset", offset)
        .lane(Lane::Look)
}

/// Deletes all that is in the trash, for good.
#[must_use]
pub fn empty_trash() -> Request<Drive, ()> {
    Request::empty(Method::DELETE, "storage/trash/all".to_owned()).lane(Lane::Look)
}
