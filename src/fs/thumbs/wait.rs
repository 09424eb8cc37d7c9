//! A program that would make a picture of a photo waits for the one that is on its way, and then finds it made.
//!
//! It asks for a file's attributes, looks for a picture of that time, and then opens the file, whatever has become of the
//! picture since. So it has to wait with the first of these; for that the kernel asks for them as long as pictures come.

use std::sync::Arc;
use std::time::Duration;

use super::{Shown, is_pictured};
use crate::fs::desk::Place;
use crate::fs::{Answer, Attr, Fs, OpenFlags, Opened, Result};
use crate::store::nodes;
use crate::types::Ino;

/// So long at most: it may be a program that wants something else of the file. Less than a request may take.
const PATIENCE: Duration = Duration::from_secs(15);

impl Fs {
    /// Opens a file for a program that nobody waits for: not before its picture has been looked for, where that is about
    /// to be done.
    pub(in crate::fs) fn open_unhurried(self: &Arc<Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        self.pictured(ino, move |fs| fs.open_now(ino, flags))
    }

    /// The attributes of a file for a program that nobody waits for: not before its picture has been looked for, either.
    pub fn getattr_unhurried(self: &Arc<Self>, ino: Ino) -> Answer<Attr> {
        if Place::of(ino).is_some() {
            return Answer::Now(self.getattr(ino));
        }
        self.pictured(self.inward(ino), move |fs| fs.getattr(ino))
    }

    /// Whether the kernel is not to keep what it knows of a file: its picture comes, and who asks is to wait for that.
    pub fn awaits_picture(&self, ino: Ino) -> bool {
        Place::of(ino).is_none() && matches!(self.picture_coming(self.inward(ino)), Ok(Some(_)))
    }

    /// The same of a name that is listed in a folder, more or less.
    pub fn awaits_pictures(&self, folder: Ino, name: &str) -> bool {
        self.shows_pictures() && is_pictured(name) && self.thumbs.is_filling(self.inward(folder))
    }

    /// Does something when a file's picture is not to be waited for any more.
    fn pictured<T: Send + 'static>(
        self: &Arc<Self>,
        ino: Ino,
        call: impl FnOnce(&Arc<Fs>) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        match self.picture_coming(ino) {
            Ok(Some(_)) => {}
            Ok(None) => return Answer::Now(call(self)),
            Err(e) => return Answer::Now(Err(e)),
        }
        let fs = self.clone();
        Answer::later(async move {
            let _ = tokio::time::timeout(PATIENCE, fs.picture_came(ino)).await;
            call(&fs)
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
        if !self.shows_pictures() || self.thumbs.is_idle() {
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
