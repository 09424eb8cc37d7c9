//! What a person asks of a running mount: look again, let go of the cache, pause, which conflicts there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{Fs, Result, pull};
use crate::store::nodes;
use crate::types::{Ino, Kind};

/// A file that lies beside another because two clients changed the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Its inode number.
    pub id: u64,
    /// Where it is, from the drive's root.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Seconds since 1970 of its last change.
    pub modified: i64,
}

impl Fs {
    /// Asks the service what has changed, and about a folder's children or a file's row whatever the changes say.
    ///
    /// # Errors
    /// Those of the network and the local state.
    pub async fn refresh(self: &Arc<Self>, ino: Ino) -> Result<()> {
        pull::refresh(self).await?;
        let ino = self.inward(ino);
        let node = self.node(ino)?;
        // What is here alone, nobody else can have changed.
        let Some(id) = node.id().cloned() else { return Ok(()) };
        match node.kind {
            Kind::Folder => {
                let rows = self.health.note(self.remote.list(&id).await)?;
                self.blocking(move |fs| pull::apply_listing(fs, ino, rows)).get().await
            }
            Kind::File => {
                pull::look_at(self, Kind::File, &id, pull::From::Fresh, pull::Missing::Gone).await?;
                Ok(())
            }
        }
    }

    /// Evicts what can be had again: neither what is not sent nor what is pinned goes. Returns the bytes freed. Takes a
    /// while.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn clear_cache(self: &Arc<Self>) -> Result<u64> {
        let _one = self.hold_evictions();
        if self.cancel.is_cancelled() {
            return Ok(0);
        }
        let mut but = self.shown_of_old()?;
        // What was pinned a moment ago may not be marked yet.
        self.db().read(|c| nodes::below_pins(c, None, |file| but.extend(file.content.map(|(id, ..)| id))))?;
        Ok(self.blocks().evict(0, &but)?)
    }

    /// Begins nothing more of what is to be sent, or goes on. What is under way is finished. Ends with the mount.
    pub fn pause(&self, paused: bool) {
        self.push.paused.store(paused, Ordering::Release);
        if !paused {
            self.push.wake();
        }
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.push.paused.load(Ordering::Acquire)
    }

    /// Conflict copies, in the order of numbers: up to `limit` whose number is above `after`.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn conflicts(&self, after: u64, limit: usize) -> Result<Vec<Conflict>> {
        Ok(self.db().read(|c| {
            let mut found = Vec::new();
            for node in nodes::conflicts_after(c, Ino(after), limit)? {
                let path = nodes::path_of(c, node.ino)?.unwrap_or_else(|| node.name.clone());
                found.push(Conflict { id: node.ino.0, path, size: node.size, modified: node.mtime.secs });
            }
            Ok(found)
        })?)
    }
}
