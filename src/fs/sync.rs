//! The syncer: journals what a close did not (memory maps, long writers), makes journalled content durable
//! within five seconds, lets go of staged content that nothing needs, and has the cache brought within its bound.
//!
//! What a loss of power leaves of the database is all commits up to some point, the last durable one at least. So
//! whatever a commit takes from view must be there in another way if the blocks of what it names are lost: content
//! that replaces something durable is on the disk before the commit ([`Fs::shows_durable`]); what replaces a
//! version that the server has, or nothing, need not be.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::read::CHAIN_MAX;
use super::{Fs, Result};
use crate::store::nodes::Node;
use crate::store::{self, Conn, Content, ContentId};
use crate::types::Ino;

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
    /// Files made since the last sync began: nothing of them was ever durable.
    young: Mutex<HashSet<Ino>>,
    /// There may be something to do.
    woken: Notify,
}

impl Syncer {
    /// A content was journalled.
    pub fn note(&self, content: Arc<Content>) {
        self.unsynced.lock().insert(content.id(), content);
        self.wake();
    }

    /// A content was replaced.
    pub fn retire(&self, id: ContentId) {
        self.retired.lock().push(id);
        self.wake();
    }

    /// Names changed.
    pub fn note_names(&self) {
        self.names.store(true, std::sync::atomic::Ordering::Release);
        self.wake();
    }

    /// The next round is to be made: something was journalled, replaced or cached.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// A file is being made.
    pub fn note_young(&self, ino: Ino) {
        self.young.lock().insert(ino);
    }

    /// Whether nothing of a file was ever durable.
    pub fn is_young(&self, ino: Ino) -> bool {
        self.young.lock().contains(&ino)
    }

    /// A file takes the place of something durable.
    pub fn grown(&self, ino: Ino) {
        self.young.lock().remove(&ino);
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
        self.sync.young.lock().clear();
        let synced = self.sync_contents(&contents, &retired);
        if synced.is_err() {
            contents.into_iter().for_each(|c| self.sync.note(c));
            self.sync.retired.lock().extend(retired);
            self.sync.note_names();
        }
        synced
    }

    fn sync_contents(&self, contents: &[Arc<Content>], retired: &[ContentId]) -> Result<()> {
        self.blocks().sync(contents).into_iter().collect::<store::Result<()>>()?;
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
        if held.as_ref().is_ok_and(|held| held.len() < candidates.len()) {
            // Their bytes go with the next durable commit, and count until then: there is to be one.
            self.sync.note_names();
        }
        *self.sync.held.lock() = held.as_ref().map_or(candidates, Clone::clone);
        held.map(|_| ()).map_err(Into::into)
    }

    /// Whether a loss of power after the next commit could take something durable: what the node shows now is on the
    /// local disk alone. What the server has comes back from there.
    pub(super) fn shows_durable(&self, conn: &Conn, node: &Node) -> store::Result<bool> {
        if self.sync.is_young(node.ino) {
            return Ok(false);
        }
        match (node.content, &node.remote) {
            (Some(id), _) => self.blocks().is_durable(conn, id),
            (None, Some(row)) if !node.emptied && row.content.is_some() => {
                // A time that was set here, the server does not know.
                Ok(node.mtime.to_millis_precision() != row.modified.to_millis_precision())
            }
            _ => Ok(true),
        }
    }

    /// Brings a content to the disk, so that it may replace what is durable.
    pub(super) fn make_durable(&self, id: ContentId) -> Result<()> {
        let content = match self.blocks().open(id) {
            Err(store::Error::Gone(_)) => return Ok(()),
            other => other?,
        };
        content.sync()?;
        if content.is_staged() {
            self.db().write(|tx| content.mark_durable(tx))?;
        }
        Ok(())
    }

    /// Brings the fetched blocks of what a content lies on to the disk.
    pub(super) fn sync_below(&self, content: &Content) -> Result<()> {
        let mut below = content.base();
        for _ in 0..CHAIN_MAX {
            let Some((id, limit)) = below.take() else { break };
            if limit > 0 {
                let base = self.blocks().open(id)?;
                base.sync_fetched()?;
                below = base.base();
            }
        }
        Ok(())
    }

    /// What an earlier process journalled and did not bring to the disk is noted to be.
    fn note_unsynced(&self) -> Result<()> {
        for id in self.db().read(|c| self.blocks().unsynced(c))? {
            match self.blocks().open(id) {
                Ok(content) => self.sync.note(content),
                Err(store::Error::Gone(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
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

    /// One round of the syncer, which the background task makes [`Config::sync_every`](super::Config::sync_every) after
    /// there was something to do:
    /// what was acknowledged before it survives a loss of power afterwards. The cache is within its bound then.
    pub fn tick(self: &Arc<Self>) {
        self.settle();
        self.bound_cache(0);
    }

    fn settle(self: &Arc<Self>) {
        if self.journal_all().is_err() {
            self.sync.wake();
        }
        if self.sync.names.load(std::sync::atomic::Ordering::Acquire) {
            // Something may have come into a pinned folder, or left it.
            self.pins.wake();
        }
        if !self.sync.is_idle()
            && let Err(e) = self.sync_all()
        {
            tracing::error!(error = %e, "syncing to the local disk failed; will be tried again");
        }
        if self.blocks().usage().cached > self.config.cache_size {
            // What is in use now may not be at the next look.
            self.sync.wake();
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
    let noting = fs.clone();
    match tokio::task::spawn_blocking(move || noting.note_unsynced()).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::error!(error = %e, "what was not synced before could not be looked up"),
        Err(e) => tracing::error!(error = %e, "what was not synced before could not be looked up"),
    }
    // The cache may be larger than this mount's bound.
    fs.sync.wake();
    loop {
        // Asleep while nothing happens; what is noted from here on is seen to after one wait.
        tokio::select! {
            () = fs.sync.woken.notified() => {}
            () = fs.files.written.notified() => {}
        }
        tokio::time::sleep(fs.config.sync_every).await;
        let fs = fs.clone();
        let round = move || {
            fs.settle();
            // In the background: the next round must not be late.
            fs.has_room(0);
        };
        if let Err(e) = tokio::task::spawn_blocking(round).await {
            tracing::error!(error = %e, "the syncer failed");
        }
    }
}
