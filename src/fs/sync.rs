//! The syncer: journals what a close did not (memory maps, long writers), makes journalled content durable
//! within five seconds, lets go of staged content that nothing needs, and keeps the cache within its bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Fs, Result};
use crate::store::{Content, ContentId};

/// An acknowledged close survives a loss of power after this long.
const EVERY: Duration = Duration::from_secs(4);

#[derive(Default)]
pub(super) struct Syncer {
    /// Journalled, not known to be durable.
    unsynced: Mutex<HashMap<ContentId, Arc<Content>>>,
    /// Replaced by newer content; forgotten once that is durable and nothing lies on them.
    retired: Mutex<Vec<ContentId>>,
    /// Of them, those that something still lay on at the last look.
    held: Mutex<Vec<ContentId>>,
    /// One sync at a time: a second caller's data may be the first one's.
    one: Mutex<()>,
    names: std::sync::atomic::AtomicBool,
}

impl Syncer {
    /// A content was journalled.
    pub fn note(&self, content: Arc<Content>) {
        self.unsynced.lock().insert(content.id(), content);
    }

    /// A content was replaced.
    pub fn retire(&self, id: ContentId) {
        self.retired.lock().push(id);
    }

    /// Names changed.
    pub fn note_names(&self) {
        self.names.store(true, std::sync::atomic::Ordering::Release);
    }

    fn is_idle(&self) -> bool {
        let names = self.names.load(std::sync::atomic::Ordering::Acquire);
        !names && self.unsynced.lock().is_empty() && self.retired.lock().is_empty()
    }
}

impl Fs {
    /// Makes everything journalled so far durable: first the blocks, then the rows that name them.
    pub(super) fn sync_all(self: &Arc<Self>) -> Result<()> {
        let _one = self.sync.one.lock();
        let contents: Vec<_> = self.sync.unsynced.lock().drain().map(|(_, c)| c).collect();
        let retired = std::mem::take(&mut *self.sync.retired.lock());
        self.sync.names.store(false, std::sync::atomic::Ordering::Release);
        let synced = self.sync_contents(&contents, &retired);
        if synced.is_err() {
            contents.into_iter().for_each(|c| self.sync.note(c));
            self.sync.retired.lock().extend(retired);
            self.sync.note_names();
        }
        synced
    }

    fn sync_contents(&self, contents: &[Arc<Content>], retired: &[ContentId]) -> Result<()> {
        for c in contents {
            c.sync()?;
        }
        let behind = self.db().write_durable(|tx| {
            let mut behind = Vec::new();
            for c in contents {
                if c.is_staged() && !c.mark_durable(tx)? {
                    behind.push(c.clone());
                }
            }
            Ok(behind)
        })?;
        behind.into_iter().for_each(|c| self.sync.note(c));
        let candidates = [retired, &std::mem::take(&mut *self.sync.held.lock())].concat();
        let open = self.files.contents();
        let held = self.db().write(|tx| {
            let mut held = Vec::new();
            for &id in &candidates {
                if open.contains(&id) || !self.forget_if_stray(tx, id)? {
                    held.push(id);
                }
            }
            Ok(held)
        });
        *self.sync.held.lock() = held.as_ref().map_or(candidates, Clone::clone);
        held.map(|_| ()).map_err(Into::into)
    }

    /// Journals every open file that has something to journal.
    pub(super) fn journal_all(self: &Arc<Self>) -> Result<()> {
        let mut outcome = Ok(());
        for file in self.files.unjournalled() {
            if let Err(e) = self.journal(&file) {
                tracing::error!(ino = %file.ino, error = %e, "journalling failed; will be tried again");
                outcome = Err(e);
            }
        }
        outcome
    }

    fn tick(self: &Arc<Self>) {
        let _ = self.journal_all();
        if !self.sync.is_idle()
            && let Err(e) = self.sync_all()
        {
            tracing::error!(error = %e, "syncing to the local disk failed; will be tried again");
        }
        if self.blocks().usage().cached > self.config.cache_size
            && let Err(e) = self.blocks().evict(self.config.cache_size)
        {
            tracing::warn!(error = %e, "evicting from the cache failed");
        }
    }
}

/// What a start leaves for later: remains of the last life, and the look at a large database that was not closed.
pub(super) async fn tidy(fs: Arc<Fs>) {
    let sweeping = fs.clone();
    match tokio::task::spawn_blocking(move || sweeping.blocks().sweep()).await {
        Ok(Ok(swept)) if !swept.quarantined.is_empty() => {
            tracing::warn!(files = ?swept.quarantined, "staged blocks that nothing names were put aside");
        }
        Ok(Ok(_)) => {}
        Ok(Err(e)) => tracing::warn!(error = %e, "sweeping the cache directory failed"),
        Err(e) => tracing::error!(error = %e, "sweeping the cache directory failed"),
    }
    let checking = fs.clone();
    match tokio::task::spawn_blocking(move || checking.store.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) if e.is_corrupt() => {
            tracing::error!(error = %e, "the local database is damaged; the next mount puts it aside and makes a new one");
        }
        Ok(Err(e)) => tracing::warn!(error = %e, "the local database could not be checked"),
        Err(e) => tracing::error!(error = %e, "checking the local database failed"),
    }
}

pub(super) async fn run(fs: Arc<Fs>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let fs = fs.clone();
        if let Err(e) = tokio::task::spawn_blocking(move || fs.tick()).await {
            tracing::error!(error = %e, "the syncer failed");
        }
    }
}
