//! A program that would make a picture of a photo waits for the one that is on its way, and then finds it made.

use std::sync::Arc;
use std::time::Duration;

use super::{Shown, is_pictured};
use crate::fs::{Answer, Fs, OpenFlags, Opened, Result};
use crate::store::nodes;
use crate::types::Ino;

/// So long at most: it may be a program that wants something else of the file.
const PATIENCE: Duration = Duration::from_secs(20);

impl Fs {
    /// Opens a file for a program that nobody waits for: not before its picture has been looked for, where that is about
    /// to be done.
    pub(in crate::fs) fn open_unhurried(self: &Arc<Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        match self.picture_coming(ino) {
            Ok(Some(_)) => {}
            Ok(None) => return Answer::Now(self.open_now(ino, flags)),
            Err(e) => return Answer::Now(Err(e)),
        }
        let fs = self.clone();
        Answer::later(async move {
            let _ = tokio::time::timeout(PATIENCE, fs.picture_came(ino)).await;
            fs.open_now(ino, flags)
        })
    }

    /// Comes back when a file's picture is not to be waited for any more.
    async fn picture_came(&self, ino: Ino) {
        let mut news = self.thumbs.news.subscribe();
        while let Ok(Some(shown)) = self.picture_coming(ino) {
            // Neither its own nor the end of the folder's: most news are of others.
            while self.thumbs.waits_for(&shown) {
                if news.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// What a file's picture will show, if one is being looked for.
    fn picture_coming(&self, ino: Ino) -> Result<Option<Coming>> {
        if !self.shows_pictures() {
            return Ok(None);
        }
        let coming = self.db().read(|c| {
            let Some(node) = nodes::get(c, ino)? else { return Ok(None) };
            let (true, Some(folder)) = (is_pictured(&node.name), node.parent) else { return Ok(None) };
            if !self.thumbs.is_filling(folder) {
                return Ok(None);
            }
            Ok(self.shown(c, &node, None)?.map(|shown| Coming { folder, shown }))
        })?;
        Ok(coming.filter(|coming| self.thumbs.waits_for(coming)))
    }
}

/// A picture that is being looked for.
struct Coming {
    folder: Ino,
    shown: Shown,
}

impl super::Thumbs {
    fn waits_for(&self, coming: &Coming) -> bool {
        self.is_filling(coming.folder) && !self.has_looked(&coming.shown)
    }
}
