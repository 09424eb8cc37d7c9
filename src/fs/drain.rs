//! Seeing and ending: status, drain, stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::push::brake;
use super::{Fs, ItemState, QueueItem, Result, SessionState, Status, Totals, failed, now_ms};
use crate::store::nodes::{self, Node};
use crate::types::{Ino, Kind};

/// Items a status names.
const SHOWN: usize = 100;
/// Of longer queues it is not found out whether all of them waits for a person.
const STUCK_MAX: usize = 10_000;
/// While draining, what waits is looked at again this often.
const REWAKE: Duration = Duration::from_secs(5);
/// While draining, the end is looked for at each end of a push, and this often.
const LOOK: Duration = Duration::from_millis(250);
/// Looks, a quarter of a second apart, before files that are open count as staying so.
const STUCK_LOOKS: u32 = 4;
/// At the end of a mount a service that is away is waited for this long.
const OFFLINE: Duration = Duration::from_secs(3);
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
            let brake = brake::hold(c)?;
            let mut queue = nodes::recount(c)?;
            if brake.is_some() {
                let (tombs, blocked) = nodes::count_tombs(c)?;
                queue.blocked += tombs - blocked + nodes::count_purges(c)?;
            }
            Ok((queue, items, nodes::count(c)?, brake))
        });
        let (queue, items, count, brake) = local.unwrap_or_else(|e| {
            tracing::error!(error = %e, "the queue cannot be read");
            Default::default()
        });
        let usage = self.blocks().usage();
        let quota = self.quota.usage();
        Status {
            account: self.remote.account().email,
            session: self.health.state(),
            warning: self.health.warning().or_else(|| self.pull.trouble()),
            brake,
            lost: self.lost.lock().clone(),
            conflicts: self.pull.conflicts(),
            totals: Totals {
                items: queue.items,
                sending: self.push.sending() as u64,
                blocked: queue.blocked,
                bytes: queue.bytes,
            },
            queue: items.into_iter().map(|(n, path)| self.item(&n, path, brake.is_some())).collect(),
            bandwidth: self.config.throttle.get(),
            paused: self.is_paused(),
            traffic: self.config.throttle.passed(),
            cache_used: usage.cached,
            cache_size: self.cache_bound(),
            pinned: self.pins.told(),
            staged: usage.staged,
            quota_used: quota.map(|q| q.used),
            quota_total: quota.map(|q| q.total),
            hydrated: self.is_hydrated().unwrap_or(false),
            last_sync: self.pull.last_sync(),
            nodes: count,
        }
    }

    fn item(&self, node: &Node, path: Option<String>, braked: bool) -> QueueItem {
        let sent = self.push.sent(node.ino);
        let held = node.tomb && braked && sent.is_none();
        let state = match sent {
            _ if node.blocked.is_some() || held => ItemState::Blocked,
            Some(_) => ItemState::Sending,
            None if node.error.is_some() => ItemState::Retrying,
            None => ItemState::Waiting,
        };
        QueueItem {
            ino: node.ino.0,
            path: path.unwrap_or_else(|| node.name.clone()),
            what: what_of(node).to_owned(),
            state,
            size: if node.tomb || node.content.is_none() { 0 } else { node.size },
            sent: sent.unwrap_or(0),
            tries: node.tries,
            error: if held { Some("held back with all deletes".to_owned()) } else { node.error.clone() },
            reason: node.blocked.map(|b| failed::word(b).to_owned()),
            remedy: node.blocked.map(|b| failed::remedy(b).to_owned()),
        }
    }

    /// Uploads everything now, without the quiet period. Ends when nothing is left to send, or with the first
    /// state that only a person can resolve (blocked items, files still being written, session lost): the status
    /// then says which.
    pub async fn drain(self: &Arc<Self>) -> Status {
        // Whoever is to wait for it, or to send it, does not want the pause any more: that is said before.
        if self.is_paused() {
            return self.status();
        }
        let mut rewake = tokio::time::Instant::now();
        let mut stuck_looks = 0;
        loop {
            if tokio::time::Instant::now() >= rewake {
                if let Err(e) = self.make_all_due().await {
                    tracing::error!(error = %e, "draining failed on local state");
                }
                rewake = tokio::time::Instant::now() + REWAKE;
            }
            // Before the look: what ends during it counts.
            let finished = self.push.any_finished(LOOK);
            let lost = matches!(self.health.state(), SessionState::LoggedOut { .. });
            let left = self.is_anything_left();
            // The kernel tells the end of a writer a moment after its close has returned.
            stuck_looks = if left && self.is_stuck() { stuck_looks + 1 } else { 0 };
            if !left || lost || stuck_looks > STUCK_LOOKS {
                return self.status();
            }
            finished.await;
        }
    }

    /// Drains for at most `limit`, and for a moment only while the service is away: the end of a mount. What is left
    /// is sent by the next start.
    pub async fn flush_within(self: &Arc<Self>, limit: Duration) -> Status {
        if limit.is_zero() {
            return self.status();
        }
        tokio::select! {
            status = self.drain() => status,
            () = tokio::time::sleep(limit) => self.status(),
            () = self.health.stays_away(OFFLINE) => self.status(),
        }
    }

    /// Changes with each look at the queue: whenever something in it has, may have, or should have begun or ended.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.push.looks()
    }

    /// Whether something is left that the service would be sent now.
    pub fn would_send(&self) -> bool {
        !self.is_paused() && self.health.state() == SessionState::Online && self.is_anything_left()
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

    /// Whether the queue holds something that does not wait for a person.
    fn is_anything_left(&self) -> bool {
        let left = self.db().read(|c| {
            let purges = brake::hold(c)?.is_none() && nodes::count_purges(c)? > 0;
            Ok(purges || nodes::any_unblocked(c, !brake::holds_any(c)?)?)
        });
        left.unwrap_or_else(|e| {
            tracing::error!(error = %e, "the queue cannot be read");
            false
        })
    }

    /// Whether all that is left waits for a person: blocked items, files that are being written, and what cannot go
    /// before those.
    fn is_stuck(&self) -> bool {
        if self.push.sending() > 0 {
            return false;
        }
        let looked = self.db().read(|c| {
            let held = brake::hold(c)?.map_or(0, |b| b.held);
            let items = nodes::recount(c)?.items.saturating_sub(held);
            if items > STUCK_MAX as u64 {
                return Ok(None);
            }
            let queue = if held > 0 { nodes::queue_but_tombs } else { nodes::queue };
            let rest = queue(c, STUCK_MAX)?;
            // What was sent and is in doubt is an item, and not in the queue.
            Ok((rest.len() as u64 == items).then_some((held, rest)))
        });
        let Ok(Some((held, mut rest))) = looked else { return false };
        let held = |ino: Ino| held > 0 && self.node(ino).is_ok_and(|n| n.tomb && n.is_dirty());
        let (mut inos, mut unborn, mut folders) = (HashSet::new(), HashSet::new(), HashSet::new());
        loop {
            let before = rest.len();
            rest.retain(|n| {
                let open = !n.tomb && self.files.is_being_written(n.ino);
                let first = n.waits_for.is_some_and(|w| inos.contains(&w) || held(w));
                let below = !n.tomb && n.parent.is_some_and(|p| unborn.contains(&p));
                let above = n.tomb && n.id().is_some_and(|id| folders.contains(id));
                let stuck = n.blocked.is_some() || open || first || below || above;
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
            let _none = fs.hold_evictions();
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

/// What is to be done for a node that is in the queue.
pub(super) fn what_of(node: &Node) -> &'static str {
    match (&node.remote, node.kind) {
        _ if node.tomb => "delete",
        (None, Kind::Folder) => "mkdir",
        (None, Kind::File) => "create",
        _ if node.content_dirty() => "upload",
        _ => "move",
    }
}
