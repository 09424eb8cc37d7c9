//! Writeback: brings what differs from the server over to it, one node at a time, in parallel where independent.
//!
//! The queue is the mirror itself: dirty nodes whose time has come. Nothing here holds what is not in the
//! database, so a killed process goes on where it was. Before each request that changes something, an
//! *intent* is committed; while one is unresolved, nothing else is sent for its node.

mod backup;
pub(super) mod brake;
pub(super) mod confirm;
mod content;
mod gate;
mod legacy;
mod names;
mod purge;
mod resolve;
mod step;
mod taken;
pub(super) mod trash;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

pub(super) use content::discard as discard_object;

use super::{Fs, now_ms};
use crate::store::nodes::{self, Node};
use crate::types::Ino;

/// Due nodes looked at in one round.
const ROUND: usize = 256;
/// The longest sleep between rounds; wakes are expected long before.
const NAP: Duration = Duration::from_secs(60);
/// Waits between tries double up to this many units ([`Config::pace`](super::Config::pace)).
const BACKOFF_MAX: i64 = 300;

pub(super) struct Push {
    wake: Notify,
    /// When the queue is looked at next (milliseconds); during a look, never.
    next_look: AtomicI64,
    limit: Arc<Semaphore>,
    /// Nodes being pushed, and bytes sent of each.
    inflight: Mutex<HashMap<Ino, Arc<AtomicU64>>>,
    /// Counts finished pushes.
    finished: watch::Sender<u64>,
    /// Counts looks at the queue.
    looked: watch::Sender<u64>,
    pub trashing: tokio::sync::Mutex<()>,
    names: names::Names,
    /// A person wants nothing to be begun.
    pub(super) paused: AtomicBool,
}

impl Push {
    pub fn new(parallel: usize) -> Self {
        Push {
            wake: Notify::new(),
            next_look: AtomicI64::new(i64::MAX),
            limit: Arc::new(Semaphore::new(parallel.max(1))),
            inflight: Mutex::default(),
            finished: watch::Sender::new(0),
            looked: watch::Sender::new(0),
            trashing: tokio::sync::Mutex::new(()),
            names: names::Names::default(),
            paused: AtomicBool::new(false),
        }
    }

    pub fn looks(&self) -> watch::Receiver<u64> {
        self.looked.subscribe()
    }

    /// Something may have become due.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Something will be due at `due` (milliseconds). Usually the next look comes early enough, and a thousand closes
    /// cost no look.
    pub fn wake_by(&self, due: i64) {
        if due < self.next_look.load(Ordering::Acquire) {
            self.wake();
        }
    }

    /// Bytes sent of a node that is being pushed.
    pub fn sent(&self, ino: Ino) -> Option<u64> {
        self.inflight.lock().get(&ino).map(|s| s.load(Ordering::Relaxed))
    }

    /// How many nodes are being pushed.
    pub fn sending(&self) -> usize {
        self.inflight.lock().len()
    }

    /// Keeps deletes from being sent while it is held; `None` while some are under way.
    pub fn hold_deletes(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.trashing.try_lock().ok()
    }

    /// Ends with the push of a node that is under way.
    pub async fn settled(&self, ino: Ino) {
        let mut finished = self.finished.subscribe();
        while self.inflight.lock().contains_key(&ino) {
            if finished.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends with the next push that ends after the call.
    pub fn any_finished(&self, patience: Duration) -> impl Future<Output = ()> + use<> {
        let mut finished = self.finished.subscribe();
        async move {
            let _ = tokio::time::timeout(patience, finished.changed()).await;
        }
    }

    fn begin(&self, ino: Ino) -> Option<Arc<AtomicU64>> {
        let mut inflight = self.inflight.lock();
        if inflight.contains_key(&ino) {
            return None;
        }
        let sent = Arc::new(AtomicU64::new(0));
        inflight.insert(ino, sent.clone());
        Some(sent)
    }

    fn end(&self, ino: Ino) {
        self.inflight.lock().remove(&ino);
        self.finished.send_modify(|n| *n += 1);
        self.wake();
    }
}

/// A node being pushed; gives its place up however that ends.
struct Turn {
    fs: Arc<Fs>,
    ino: Ino,
    sent: Arc<AtomicU64>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.fs.push.end(self.ino);
        // What was sent has become cached content.
        self.fs.sync.wake();
        self.fs.pins.wake();
    }
}

pub(super) async fn run(fs: Arc<Fs>) {
    loop {
        // What is committed from here on may be too late for this look.
        fs.push.next_look.store(i64::MAX, Ordering::Release);
        let pause = match round(&fs).await {
            Ok(pause) => pause,
            Err(e) => {
                tracing::error!(error = %e, "the queue cannot be read; will be tried again");
                Duration::from_secs(5)
            }
        };
        let next = now_ms().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        fs.push.next_look.store(next, Ordering::Release);
        fs.push.looked.send_modify(|n| *n += 1);
        tokio::select! {
            () = fs.push.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Starts what is due and can be started. Returns how long nothing else will be due.
async fn round(fs: &Arc<Fs>) -> super::Result<Duration> {
    if fs.is_paused() {
        return Ok(NAP);
    }
    let now = now_ms();
    let (due, deletes) = fs.db().read(|c| {
        let tombs = !brake::holds_any(c)? && !nodes::due_tombs(c, now, 1)?.is_empty();
        let deletes = tombs || (!nodes::due_purges(c, now, 1)?.is_empty() && brake::hold(c)?.is_none());
        Ok((nodes::due(c, now, ROUND)?, deletes))
    })?;
    for node in due {
        if node.content_dirty() && fs.files.is_being_written(node.ino) {
            // Its last release brings it back; until then it is looked at from time to time.
            put_off(fs, &node, fs.config.due(now).max(now + 1000))?;
            if !fs.files.put_off_push(node.ino, node.due) {
                fs.resume_push(node.ino, node.due)?;
            }
            continue;
        }
        let Some(sent) = fs.push.begin(node.ino) else { continue };
        let turn = Turn { fs: fs.clone(), ino: node.ino, sent };
        let Ok(permit) = fs.push.limit.clone().acquire_owned().await else { return Ok(NAP) };
        fs.spawn(async move {
            step::push_node(&turn.fs.clone(), &turn).await;
            drop(permit);
        });
    }
    if deletes && let Ok(running) = fs.push.trashing.try_lock() {
        drop(running);
        let fs = fs.clone();
        fs.clone().spawn(async move {
            let running = fs.push.trashing.lock().await;
            trash::push_tombs(&fs).await;
            purge::push_purges(&fs).await;
            fs.push.finished.send_modify(|n| *n += 1);
            drop(running);
            // What became due meanwhile found this one running and was passed over.
            fs.push.wake();
        });
    }
    let next =
        fs.db().read(|c| Ok(nodes::next_due(c, now)?.into_iter().chain(nodes::next_purge(c, now)?).min()))?;
    let wait = next.map_or(NAP, |at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0)));
    Ok(wait.clamp(Duration::from_millis(20), NAP))
}

/// Not before `due`; the node's own changes make it due again.
fn put_off(fs: &Fs, node: &Node, due: i64) -> super::Result<()> {
    fs.db().write(|tx| nodes::defer(tx, node.ino, due))?;
    Ok(())
}

/// How long to wait after so many failures.
fn backoff(fs: &Fs, tries: u32) -> i64 {
    fs.config.paced((1 << tries.min(20)).min(BACKOFF_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_due_after_the_next_look_wakes_nobody() {
        let push = Push::new(1);
        let woken = async || tokio::time::timeout(Duration::ZERO, push.wake.notified()).await.is_ok();
        push.next_look.store(1000, Ordering::Release);
        push.wake_by(1000);
        assert!(!woken().await);
        push.wake_by(999);
        assert!(woken().await);
        // During a look, whatever comes may come too late for it.
        push.next_look.store(i64::MAX, Ordering::Release);
        push.wake_by(1000);
        assert!(woken().await);
    }
}
