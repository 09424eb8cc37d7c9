//! From the service to the desktop: the pictures of a folder that somebody looks into.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{Shown, Thumbnails, aside, is_pictured};
use crate::fs::{Error, Fs, Result};
use crate::pictures::{Desktop, Picture};
use crate::remote::{self, Class, Thumbnail};
use crate::store::nodes;
use crate::types::{Ino, NodeId, Row, Version};

/// Pictures on their way at a time.
const PARALLEL: usize = 8;
/// Files of one folder that are looked at, and how many at a time.
const FILES_MAX: usize = 20_000;
const PAGE: usize = 256;
/// How often a folder is tried, if the line fails.
const TRIES: u32 = 3;
/// Pixels of a picture of a picture, in either direction: the largest that desktops keep.
const PIXELS: u32 = 512;

/// A file that lacks its picture.
struct Wanted {
    shown: Shown,
    /// The object that is known to be the picture of what it holds.
    known: Option<String>,
}

impl Wanted {
    /// Whether a picture is one of what the file holds. A file keeps its picture when its content changes: one that is older
    /// than the last change of the row is believed only if it is known.
    fn is_of(&self, row: &Row, thumbnail: &Thumbnail) -> bool {
        let known = self.known.as_ref() == Some(&thumbnail.version.object);
        row.content.as_ref() == Some(&self.shown.version) && (known || thumbnail.registered >= row.updated)
    }
}

pub(super) async fn run(fs: Arc<Fs>, to: Thumbnails) {
    let desktop = Desktop::below(&to.cache);
    loop {
        let Some(folder) = fs.thumbs.next_folder() else {
            fs.thumbs.look.notified().await;
            continue;
        };
        // Somebody may wait for them, and would fetch each photo: what passes by is waited for.
        for left in (0..TRIES).rev() {
            let Err(e) = fill(&fs, &desktop, folder).await else { break };
            tracing::debug!(%folder, error = %e, "not all small pictures of a folder are shown");
            if left > 0 {
                tokio::time::sleep(fs.config.pace / 2).await;
            }
        }
    }
}

async fn fill(fs: &Arc<Fs>, desktop: &Desktop, folder: Ino) -> Result<()> {
    fs.ensure_listed(folder).await?;
    let Some(id) = fs.node(folder)?.id().cloned() else { return Ok(()) };
    let looking = desktop.clone();
    let mut wanted = aside(fs, move |fs| lacking(fs, &looking, folder)).await?;
    let mut from = Some(0);
    while let Some(skip) = from.filter(|_| !wanted.is_empty()) {
        let page = fs.remote.thumbnails(&id, skip).await?;
        let found: Vec<_> = page
            .found
            .into_iter()
            .filter_map(|(row, thumbnail)| {
                let fits = wanted.get(&row.id).is_some_and(|w| w.is_of(&row, &thumbnail));
                wanted.remove(&row.id).filter(|_| fits).map(|w| (w.shown, thumbnail))
            })
            .collect();
        let mut bringing = futures_util::stream::iter(found)
            .map(|(shown, thumbnail)| bring(fs, desktop, shown, thumbnail.version))
            .buffer_unordered(PARALLEL);
        while let Some(brought) = bringing.next().await {
            brought?;
        }
        from = page.next;
    }
    for left in wanted.values() {
        fs.thumbs.note_looked(&left.shown, false);
    }
    Ok(())
}

/// The files of a folder whose pictures the desktop lacks, by their identity.
fn lacking(fs: &Arc<Fs>, desktop: &Desktop, folder: Ino) -> Result<HashMap<NodeId, Wanted>> {
    let (mut wanted, mut after, mut seen) = (HashMap::new(), Ino(0), 0);
    loop {
        let (some, last) = fs.db().read(|c| {
            let page = nodes::entries(c, folder, after, PAGE)?;
            let last = page.last().map(|entry| entry.ino);
            let shelf = fs.shelf(c, folder)?;
            let mut some = Vec::new();
            for entry in page.iter().filter(|entry| is_pictured(&entry.name)) {
                let Some(node) = nodes::get(c, entry.ino)? else { continue };
                if let (Some(shown), Some(id)) = (fs.shown(c, &node, shelf.as_ref())?, node.id()) {
                    let known = nodes::picture_of(c, node.ino, &shown.version)?;
                    some.push((id.clone(), Wanted { shown, known }));
                }
            }
            Ok((some, last))
        })?;
        // The desktop's files are looked at while no reader of the database is held.
        wanted.extend(
            some.into_iter().filter(|(_, w)| {
                !fs.thumbs.has_looked(&w.shown) && desktop.lacks(&w.shown.uri, w.shown.mtime)
            }),
        );
        seen += PAGE;
        match last {
            Some(last) if seen < FILES_MAX => after = last,
            _ => return Ok(wanted),
        }
    }
}

/// Fetches a picture and puts it there. `Err`: there is no use in asking for others now.
async fn bring(fs: &Arc<Fs>, desktop: &Desktop, shown: Shown, picture: Version) -> Result<()> {
    let bytes = match fs.remote.thumbnail(&picture).await {
        Ok(bytes) => bytes,
        Err(e) if is_of_the_line(&e) => return Err(e.into()),
        Err(e) => {
            tracing::debug!(ino = %shown.ino, error = %e, "a small picture cannot be had");
            fs.thumbs.note_looked(&shown, true);
            return Ok(());
        }
    };
    let (desktop, showing) = (desktop.clone(), shown.clone());
    if let Err(e) = aside(fs, move |fs| put(fs, &desktop, &showing, &picture, &bytes)).await {
        tracing::debug!(ino = %shown.ino, error = %e, "a small picture cannot be shown");
    }
    // Not before it is there: somebody may wait for it.
    fs.thumbs.note_looked(&shown, true);
    Ok(())
}

fn is_of_the_line(e: &remote::Error) -> bool {
    matches!(e.class(), Class::Transient | Class::Session)
}

fn put(fs: &Arc<Fs>, desktop: &Desktop, shown: &Shown, picture: &Version, bytes: &Bytes) -> Result<()> {
    let small = Picture::decode(bytes, PIXELS).map_err(|e| Error::Io(e.to_string()))?;
    // It took a while: the file may have changed, or moved.
    let now = fs.db().read(|c| match nodes::get(c, shown.ino)? {
        Some(node) => fs.shown(c, &node, None),
        None => Ok(None),
    })?;
    let Some(now) = now.filter(|now| now.version == shown.version) else { return Ok(()) };
    desktop.put(&now.uri, now.mtime, &small).map_err(|e| Error::Io(e.to_string()))?;
    fs.db().write(|tx| nodes::note_picture(tx, shown.ino, &shown.version, picture))?;
    Ok(())
}
