//! Small pictures of files.

use std::sync::Arc;

use bytes::Bytes;

use super::errors::{of_change, of_read};
use super::{Core, rows, upload};
use crate::api::Lane;
use crate::api::drive::{self, LIST_PAGE, PicturedFile};
use crate::remote::{Body, Class, Result, Row, Status, Thumbnail, Thumbnails};
use crate::types::{NodeId, Timestamp, Version};

/// Pictures are no larger than this, in either direction.
const PIXELS: u32 = 300;

impl Core {
    pub(super) async fn thumbnails(&self, folder: &NodeId, skip: u64) -> Result<Thumbnails> {
        let page = self.session.drive(&drive::thumbnails_in(folder.as_str(), skip)).await.map_err(of_read)?;
        let next = (page.files.len() as u64 >= LIST_PAGE).then_some(skip + LIST_PAGE);
        // An odd row spoils nothing: the listing that somebody waits for tells of it.
        let files =
            page.files.into_iter().filter_map(|file| serde_json::from_value::<PicturedFile>(file).ok());
        Ok(Thumbnails { found: files.filter_map(pictured).collect(), next })
    }
}

/// A living file with the latest of its pictures that this program can read.
fn pictured(file: PicturedFile) -> Option<(Row, Thumbnail)> {
    let thumbnails = file.thumbnails.into_iter().filter_map(|thumbnail| {
        let known = thumbnail.encrypt_version.as_deref().is_none_or(|v| v == rows::KNOWN_ENCRYPTION);
        let registered = Timestamp::from_millis(thumbnail.created_at.max(thumbnail.updated_at));
        let (bucket, object) = thumbnail.place().filter(|_| known)?;
        Some(Thumbnail { version: Version { bucket, object }, registered })
    });
    let latest = thumbnails.max_by_key(|t| t.registered)?;
    let row = rows::file(file.row);
    (row.status == Status::Exists).then_some((row, latest))
}

/// After a refusal the object is deleted again; after an unclear answer it may be the row's picture.
pub(super) async fn set(core: &Arc<Core>, id: &NodeId, bucket: Option<&str>, png: Bytes) -> Result<Version> {
    let size = png.len() as u64;
    let version = upload::put(core, bucket, Body::from_bytes(png), Lane::Background).await?;
    let request = drive::set_thumbnail(id.as_str(), &version.bucket, &version.object, size, PIXELS);
    let Err(failure) = core.session.drive(&request).await else { return Ok(version) };
    let error = of_change(failure);
    if error.class() != Class::Ambiguous
        && let Err(e) = core.discard(&version).await
    {
        tracing::debug!(error = %e, "an unused picture stays on the server");
    }
    Err(error)
}
