//! Seeing and ending: status, drain, stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Fs, ItemState, QueueItem, Result, SessionState, Status, Totals, now_ms};
use crate::store::nodes::{self, Node};
use crate::types::Kind;

/// Items a status names.
const SHOWN: usize = 100;
/// Of longer queues it is not found out whether all of them waits for a person.
const STUCK_MAX: usize = 10_000;
/// While draining, what waits is looked at again this often.
const REWAKE: Duration = Duration::from_secs(5);
/// Looks, a quarter of a second apart, before files that are open count as staying so.
const STUCK_LOOKS: u32 = 4;
/// How long a stop waits for the background tasks.
const STOP: Duration = Duration::from_secs(10);

impl Fs {
    /// Everything a person or a script may want to know.
    pub fn status(&self) -> Status {
        let local = self.db().read(|c| {
            let (mut items, mut paths) = (Vec::new(), nodes::Paths::default());
            for node in nodes::queue(c, SHOWN)? {
                let path = paths.of(c, node.ino)?;
                items.push((node, path));
            }
            Ok((nodes::recount(c)?, items, nodes::count(c)?))
        });
        let (queue, items, count) = local.unwrap_or_else(|e| {
            tracing::error!(error = %e, "the queue cannot be read");
            Default::default()
        });
        let usage = self.blocks().usage();
        let quota = self.quota.usage();
        Status {
            account: self.remote.account().email,
            session: self.health.state(),
            warning: self.health.warning().or_else(|| self.pull.trouble()),
            totals: Totals {
                items: queue.items,
                sending: self.push.sending() as u64,
                blocked: queue.blocked,
                bytes: queue.bytes,
            },
            queue: items.into_iter().map(|(n, path)| self.item(&n, path)).collect(),
            cache_used: usage.cached,
            cache_size: self.config.cache_size,
            staged: usage.staged,
            quota_used: quota.map(|q| q.used),
            quota_total: quota.map(|q| q.total),
            hydrated: self.is_hydrated().unwrap_or(false),
            last_sync: self.pull.last_sync(),
            nodes: count,
        }
    }

    fn item(&self, node: &Node, path: Option<String>) -> QueueItem {
        let sent = self.push.sent(node.ino);
        let state = match sent {
            _ if node.blocked => ItemState::Blocked,
            Some(_) => ItemState::Sending,
            None if node.error.is_some() => ItemState::Retrying,
            None => ItemState::Waiting,
        };
        let what = match (&node.remote, node.kind) {
            _ if node.tomb => "delete",
            (None, Kind::Folder) => "mkdir",
            (None, Kind::File) => "create",
            _ if node.content_dirty() => "upload",
            _ => "move",
        };
        QueueItem {
            ino: node.ino.0,
            path: path.unwrap_or_else(|| node.name.clone()),
            what: what.to_owned(),
            state,
            size: if node.tomb || node.content.is_none() { 0 } else { node.size },
            sent: sent.unwrap_or(0),
            tries: node.tries,
            error: node.error.clone(),
        }
    }

    /// Uploads everything now, without the quiet period. Ends when nothing is left to send, or with the first
    /// state that only a person can resolve (blocked items, files still being written, session lost): the status
    /// then says which.
    pub async fn drain(self: &Arc<Self>) -> Status {
        let mut rewake = tokio::time::Instant::now();
        let mut stuck_looks = 0;
        loop {
            if tokio::time::Instant::now() >= rewake {
                if let Err(e) = self.make_all_due().await {
                    tracing::error!(error = %e, "draining failed on local state");
                }
                rewake = tokio::time::Instant::now() + REWAKE;
            }
            let status = self.status();
            let lost = matches!(status.session, SessionState::LoggedOut { .. });
            // The kernel tells the end of a writer a moment after its close has returned.
            stuck_looks = if self.is_stuck(&status) { stuck_looks + 1 } else { 0 };
            if status.totals.items == status.totals.blocked || lost || stuck_looks > STUCK_LOOKS {
                return status;
            }
            self.push.any_finished(Duration::from_millis(250)).await;
        }
    }

    async fn make_all_due(self: &Arc<Self>) -> Result<()> {
        let fs = self.clone();
        let synced = self.rt.spawn_blocking(move || {
            fs.journal_all()?;
            fs.sync_all()?;
            fs.db().write(|tx| nodes::wake_all(tx))?;
            Result::Ok(())
        });
        synced.await.map_err(|e| super::Error::Io(e.to_string()))??;
        self.push.wake();
        Ok(())
    }

    /// Whether all that is left waits for a person: blocked items, files that are being written, and what cannot go
    /// before those.
    fn is_stuck(&self, status: &Status) -> bool {
        if status.totals.sending > 0 || status.totals.items > STUCK_MAX as u64 {
            return false;
        }
        let Ok(mut rest) = self.db().read(|c| nodes::queue(c, STUCK_MAX)) else { return false };
        if rest.len() as u64 != status.totals.items {
            return false;
        }
        let (mut inos, mut unborn, mut folders) = (HashSet::new(), HashSet::new(), HashSet::new());
        loop {
            let before = rest.len();
            rest.retain(|n| {
                let open = !n.tomb && self.files.is_being_written(n.ino);
                let first = n.waits_for.is_some_and(|w| inos.contains(&w));
                let below = !n.tomb && n.parent.is_some_and(|p| unborn.contains(&p));
                let above = n.tomb && n.id().is_some_and(|id| folders.contains(id));
                let stuck = n.blocked || open || first || below || above;
                if stuck {
                    inos.insert(n.ino);
                    unborn.extend(n.remote.is_none().then_some(n.ino));
                    folders.extend(n.remote.as_ref().and_then(|r| r.parent.clone()));
                }
                !stuck
            });
            if rest.is_empty() || rest.len() == before {
                return rest.is_empty();
            }
        }
    }

    /// Everything that was blocked is tried again.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn retry_blocked(&self) -> Result<()> {
        if self.db().read(nodes::recount)?.blocked > 0 {
            self.db().write(|tx| nodes::unblock_all(tx))?;
            self.push.wake();
        }
        Ok(())
    }

    /// Looks for remote changes now.
    pub fn refresh_soon(&self) {
        self.pull.wake();
    }

    /// Stops the background tasks, makes everything durable and closes the store. Idempotent. What was not sent
    /// is sent by the next start.
    pub async fn stop(self: &Arc<Self>) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!("some background tasks did not end in time");
        }
        let fs = self.clone();
        let closed = self.rt.spawn_blocking(move || {
            fs.journal_all()?;
            fs.sync_all()?;
            fs.store.close()?;
            Ok::<(), super::Error>(())
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!(error = %e, at = now_ms(), "closing the local state failed"),
            Err(e) => tracing::error!(error = %e, "closing the local state failed"),
        }
    }
}
