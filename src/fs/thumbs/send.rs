//! From here to the service: a picture of each photo that was sent, made of what is here.

use std::sync::Arc;

use bytes::Bytes;

use super::{aside, extension};
use crate::fs::{Error, Fs, Result};
use crate::pictures::{FILE_MAX, Picture};
use crate::remote;
use crate::store::nodes::{self, Node};
use crate::types::{Ino, NodeId, Version};

/// Pixels of a picture, in either direction.
const PIXELS: u32 = 300;

/// Whether a name is one of something that a picture can be made of.
fn is_made_of(name: &str) -> bool {
    extension(name).is_some_and(|ext| matches!(ext.as_str(), "jpg" | "jpeg" | "jpe" | "png"))
}

/// A picture that was made.
struct Made {
    id: NodeId,
    bucket: Option<String>,
    of: Version,
    png: Bytes,
}

/// One after the other: that bounds what they take.
pub(super) async fn run(fs: Arc<Fs>) {
    loop {
        let next = fs.thumbs.sent.lock().pop_front();
        let Some(ino) = next else {
            fs.thumbs.make.notified().await;
            continue;
        };
        match send(&fs, ino).await {
            Ok(()) => {}
            Err(e) => tracing::debug!(%ino, error = %e, "a photo has no small picture on the server"),
        }
    }
}

async fn send(fs: &Arc<Fs>, ino: Ino) -> Result<()> {
    let Some(made) = aside(fs, move |fs| make(fs, ino)).await? else { return Ok(()) };
    // What was sent meanwhile comes later in the line.
    if fs.node(ino)?.version() != Some(&made.of) {
        return Ok(());
    }
    let picture = fs.remote.set_thumbnail(&made.id, made.bucket.as_deref(), made.png).await?;
    fs.db().write(|tx| nodes::note_picture(tx, ino, &made.of, &picture))?;
    Ok(())
}

/// `None`: it has one, has changed again, has gone, or is nothing that one is made of.
fn make(fs: &Arc<Fs>, ino: Ino) -> Result<Option<Made>> {
    let found = fs.db().read(|c| {
        let fits = |n: &Node| n.linked && !n.tomb && !n.content_dirty() && is_made_of(&n.name);
        let Some(node) = nodes::get(c, ino)?.filter(fits) else { return Ok(None) };
        let Some(row) = node.remote.filter(|row| row.size <= FILE_MAX) else { return Ok(None) };
        let Some(of) = row.content.clone() else { return Ok(None) };
        if nodes::picture_of(c, ino, &of)?.is_some() {
            return Ok(None);
        }
        Ok(fs.blocks().find(c, &of)?.map(|content| (row, of, content)))
    })?;
    let Some((row, of, content)) = found else { return Ok(None) };
    let bytes = fs.read_local(&content, 0..row.size)?;
    let picture = Picture::decode(&bytes, PIXELS).map_err(|e| Error::Io(e.to_string()))?;
    drop(bytes);
    let png = picture.to_png(&[]).map_err(|e| Error::Io(e.to_string()))?;
    debug_assert!(png.len() as u64 <= remote::THUMBNAIL_MAX);
    Ok(Some(Made { id: row.id, bucket: row.bucket, of, png: png.into() }))
}
