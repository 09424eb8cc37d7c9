//! Fetching blocks of a version into its cached content: one fetch a block however many readers wait.
//!
//! A [`Run`] is one ranged request. It is entered in the table before it starts; whoever needs a block of it
//! watches its progress. Runs are independent of their readers: a reader that gives up cancels nothing.

mod failure;
mod run;
mod verify;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::failure::Failure;
use self::verify::{ALONG_MAX, Along};
use super::invalidate::Note;
use super::readahead::{Found, RUNNING_MAX, Readahead};
use super::{Error, Fs, Result};
use crate::remote::Hurry;
use crate::store::{Content, ContentId};
use crate::types::{Urgency, Version};

pub(super) use self::verify::body_of;

/// The largest ranged request; longer needs are split and run in parallel.
pub(super) const RUN_MAX: u64 = 4 << 20;
/// How much is asked for at a time: longer needs are met step by step, each in parallel within itself.
const STEP: u64 = 32 << 20;

/// Files up to this size are fetched whole, and so verified before any of it is served.
const WHOLE_MAX: u64 = 1 << 20;
/// Files up to this size are verified before the last of their blocks is served; hashing a larger one takes
/// longer than a reader should wait.
const VERIFY_MAX: u64 = 256 << 20;

/// Requests of all handles that run ahead of their readers at a time.
const AHEAD_MAX: usize = 2 * RUNNING_MAX;
/// Versions that are made ready to be read at a time.
const PREPARING_MAX: usize = 8;

/// Where a run stands.
#[derive(Clone, Default)]
struct Progress {
    /// Everything below is in the cache (or the cache would not take it).
    upto: u64,
    /// How it ended.
    end: Option<std::result::Result<(), Failure>>,
}

struct Run {
    range: Range<u64>,
    urgency: Urgency,
    /// Who comes to need it may be more urgent than who asked for it.
    hurry: Hurry,
    progress: watch::Receiver<Progress>,
}

pub(super) struct Fetcher {
    runs: Mutex<HashMap<ContentId, Vec<Arc<Run>>>>,
    /// Hashes that go along with downloads.
    along: Mutex<LruCache<ContentId, Arc<Along>>>,
    /// One a request that runs ahead of its reader.
    ahead: Arc<Semaphore>,
    preparing: Arc<Semaphore>,
    /// Versions whose content does not match its hash.
    corrupt: Mutex<HashSet<Version>>,
    /// Whether there is any: spares reads the lock.
    any_corrupt: AtomicBool,
    /// Held while a run puts its last block into the cache.
    ending: Mutex<()>,
}

impl Default for Fetcher {
    fn default() -> Self {
        Fetcher {
            runs: Mutex::default(),
            along: Mutex::new(LruCache::new(ALONG_MAX)),
            ahead: Arc::new(Semaphore::new(AHEAD_MAX)),
            preparing: Arc::new(Semaphore::new(PREPARING_MAX)),
            corrupt: Mutex::default(),
            any_corrupt: AtomicBool::new(false),
            ending: Mutex::default(),
        }
    }
}

/// The runs that somebody needs.
pub(super) struct Claimed {
    runs: Vec<Arc<Run>>,
    /// Those that were started for it.
    fresh: Vec<Arc<Run>>,
    range: Range<u64>,
}

impl Claimed {
    /// What of it was here before.
    pub fn found(&self) -> Found {
        match (self.runs.is_empty(), self.fresh.is_empty()) {
            (true, _) => Found::Here,
            (false, true) => Found::Coming,
            (false, false) => Found::Absent,
        }
    }

    /// Waits until it is here, as far as the local disk takes it.
    pub async fn arrived(self) -> Result<()> {
        for run in self.runs {
            let until = self.range.end.min(run.range.end);
            let mut progress = run.progress.clone();
            let at = progress
                .wait_for(|p| p.end.is_some() || p.upto >= until)
                .await
                .map_err(|_| Error::Io("a download was abandoned".to_owned()))?;
            if let Some(Err(failure)) = &at.end
                && at.upto < until
            {
                return Err(failure.clone().into());
            }
        }
        Ok(())
    }
}

impl Fs {
    /// Makes `range` of a version present in its cached content, as far as the local disk takes it.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
        urgency: Urgency,
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + STEP);
            self.claim(content, version, at..end, at..end, urgency)?.arrived().await?;
            at = end;
        }
        Ok(())
    }

    /// Makes `range` present, and what is known of its soundness known: bytes that go into another upload must
    /// not be damaged ones.
    pub(super) async fn fetch_verified(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
    ) -> Result<()> {
        content.keep_all();
        self.fetch(content, version, range, Urgency::Now).await?;
        let running = self.fetcher.runs.lock().get(&content.id()).cloned().unwrap_or_default();
        for run in running {
            // Ends when the sender is dropped, after the run and the check it may have led to.
            let mut progress = run.progress.clone();
            while progress.changed().await.is_ok() {}
        }
        self.check_sound(version)
    }

    /// Refuses versions that turned out not to match their hash.
    pub(super) fn check_sound(&self, version: &Version) -> Result<()> {
        if self.fetcher.any_corrupt.load(Ordering::Acquire) && self.fetcher.corrupt.lock().contains(version) {
            return Err(Error::Lost("the content does not match its hash".to_owned()));
        }
        Ok(())
    }

    /// Starts fetching what a staged content lacks of its base: once somebody replaces that, it is gone.
    pub(super) fn fetch_rest_soon(self: &Arc<Self>, content: &Arc<Content>) {
        match self.misses(content, 0..content.size()) {
            Ok(misses) if misses.is_empty() => {}
            Ok(misses) => {
                let fs = self.clone();
                self.spawn(async move {
                    for m in misses {
                        m.content.keep_all();
                        // Once another client replaces that version its bytes are nowhere: nothing is more urgent.
                        if let Err(e) = fs.fetch(&m.content, &m.version, m.range, Urgency::Now).await {
                            tracing::debug!(error = %e, "what a partly written file lacks is fetched later");
                            return;
                        }
                    }
                });
            }
            Err(e) => tracing::debug!(error = %e, "what a partly written file lacks is not known"),
        }
    }

    /// Starts fetching `range`, which somebody is likely to want.
    pub(super) fn fetch_soon(self: &Arc<Self>, content: &Arc<Content>, version: &Version, range: Range<u64>) {
        if let Err(e) = self.claim(content, version, range.clone(), range, Urgency::Soon) {
            tracing::debug!(error = %e, "what may be wanted is fetched later");
        }
    }

    /// Asks for what a reader will want next, as far as it may run ahead now. As requests end it goes on, unless the
    /// reader has gone.
    pub(super) fn run_ahead(
        self: &Arc<Self>,
        reader: &Arc<Mutex<Readahead>>,
        content: &Arc<Content>,
        version: &Version,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let mut permit = permit;
        loop {
            let free = permit.take().or_else(|| self.fetcher.ahead.clone().try_acquire_owned().ok());
            let Some(free) = free else { return self.queue_ahead(reader, content, version) };
            let Some(range) = reader.lock().next() else { return };
            if !self.has_room(range.end - range.start) {
                let mut reader = reader.lock();
                reader.ended();
                return reader.drop_unstarted();
            }
            let fresh = match self.claim(content, version, range.clone(), range, Urgency::Soon) {
                Ok(claimed) => claimed.fresh,
                Err(e) => {
                    tracing::debug!(error = %e, "reading ahead failed");
                    reader.lock().drop_unstarted();
                    Vec::new()
                }
            };
            if fresh.is_empty() {
                reader.lock().ended();
                permit = Some(free);
                continue;
            }
            let (fs, reader) = (self.clone(), Arc::downgrade(reader));
            let (content, version) = (content.clone(), version.clone());
            self.spawn(async move {
                let (mut failed, began) = (false, Instant::now());
                for run in fresh {
                    let mut progress = run.progress.clone();
                    // The next one is asked for while the second half comes: else all that run side by side end side by
                    // side, and the line is idle for a round trip.
                    let half = run.range.start.midpoint(run.range.end);
                    let ended = progress.wait_for(|p| p.end.is_some() || p.upto >= half).await;
                    failed |= ended.map_or(true, |p| matches!(&p.end, Some(Err(_))));
                }
                drop(free);
                let Some(reader) = reader.upgrade() else { return };
                {
                    let mut reader = reader.lock();
                    if failed {
                        reader.ended();
                        reader.drop_unstarted();
                    } else {
                        reader.half_came(began.elapsed());
                    }
                }
                fs.run_ahead(&reader, &content, &version, None);
            });
        }
    }

    /// Too many run ahead: in turn with other readers.
    fn queue_ahead(
        self: &Arc<Self>,
        reader: &Arc<Mutex<Readahead>>,
        content: &Arc<Content>,
        version: &Version,
    ) {
        if !reader.lock().queue() {
            return;
        }
        let (fs, reader) = (self.clone(), Arc::downgrade(reader));
        let (content, version) = (content.clone(), version.clone());
        self.spawn(async move {
            let permit = fs.fetcher.ahead.clone().acquire_owned().await.ok();
            let Some(reader) = reader.upgrade() else { return };
            reader.lock().dequeue();
            fs.run_ahead(&reader, &content, &version, permit);
        });
    }

    /// Has the cloud's side of a version looked up, so that the first read need not wait for that.
    pub(super) fn prepare_soon(self: &Arc<Self>, version: Version) {
        let Ok(permit) = self.fetcher.preparing.clone().try_acquire_owned() else { return };
        let fs = self.clone();
        self.spawn(async move {
            if let Err(e) = fs.remote.prepare(&version, Urgency::Now).await {
                tracing::debug!(error = %e, "a version could not be made ready to be read");
            }
            drop(permit);
        });
    }

    /// Fetches past the cache: the local disk would not take the blocks.
    pub(super) async fn fetch_past_cache(
        &self,
        version: &Version,
        size: u64,
        range: Range<u64>,
        urgency: Urgency,
    ) -> Result<Bytes> {
        if self.fetcher.corrupt.lock().contains(version) {
            return Err(Error::Lost("the content does not match its hash".to_owned()));
        }
        let read = self.remote.read(version, size, range.clone(), urgency);
        let mut stream = self.health.note(read.await)?;
        let mut all = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            all.extend_from_slice(&self.health.note(chunk)?);
        }
        if all.len() as u64 != range.end - range.start {
            return Err(Error::Io("the server sent fewer bytes than the file has".to_owned()));
        }
        Ok(all.freeze())
    }

    /// The runs that cover what is missing of `range`: those under way, and new ones for the rest. If any are needed,
    /// they go up to the end of `reach`.
    pub(super) fn claim(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
        reach: Range<u64>,
        urgency: Urgency,
    ) -> Result<Claimed> {
        self.check_sound(version)?;
        let mut missing = content.missing(range.clone())?;
        if !missing.is_empty() {
            let whole = 0..content.size();
            if content.size() <= WHOLE_MAX {
                let all = content.missing(whole.clone())?;
                if all.len() == 1 && all[0] == whole {
                    missing = all;
                }
            } else if reach.end > range.end {
                missing = content.missing(reach)?;
            }
        }
        let mut claimed = Claimed { runs: Vec::new(), fresh: Vec::new(), range };
        let mut runs = self.fetcher.runs.lock();
        let running = runs.entry(content.id()).or_default();
        for need in missing {
            let mut at = need.start;
            while at < need.end {
                if let Some(run) = running.iter().find(|r| r.range.contains(&at)) {
                    at = run.range.end;
                    run.hurry.raise(urgency);
                    claimed.runs.push(run.clone());
                    continue;
                }
                let next =
                    running.iter().map(|r| r.range.start).filter(|s| *s > at).min().unwrap_or(u64::MAX);
                let end = need.end.min(next).min(at + RUN_MAX);
                let (tx, progress) = watch::channel(Progress { upto: at, end: None });
                let hurry = Hurry::new(urgency);
                let run = Arc::new(Run { range: at..end, urgency, hurry, progress });
                running.push(run.clone());
                claimed.runs.push(run.clone());
                claimed.fresh.push(run.clone());
                self.spawn(run::run_to_end(self.clone(), content.clone(), version.clone(), run, tx));
                at = end;
            }
        }
        if running.is_empty() {
            runs.remove(&content.id());
        }
        drop(runs);
        claimed.fresh.iter().for_each(|r| self.fetcher.starts_at(content.id(), r.range.start));
        // What lies beyond the range itself is not waited for.
        let end = claimed.range.end;
        claimed.runs.retain(|r| r.range.start < end);
        Ok(claimed)
    }

    fn end_run(&self, content: &Content, run: &Arc<Run>) {
        // The cache has grown.
        self.sync.wake();
        let mut runs = self.fetcher.runs.lock();
        if let Some(running) = runs.get_mut(&content.id()) {
            running.retain(|r| !Arc::ptr_eq(r, run));
            if running.is_empty() {
                runs.remove(&content.id());
            }
        }
    }

    /// A version turned out not to match its hash: its cached blocks go, and it is not served again.
    fn condemn(&self, content: &Content, version: &Version) {
        tracing::error!(object = %version.object, "content does not match its hash; it is not served");
        self.fetcher.corrupt.lock().insert(version.clone());
        self.fetcher.any_corrupt.store(true, Ordering::Release);
        if let Err(e) = self.db().write(|tx| self.blocks().forget(tx, content.id())) {
            tracing::warn!(error = %e, "could not drop a damaged content from the cache");
        }
        // What the kernel was given before goes, too.
        let shown = self.files.showing(version);
        shown.iter().for_each(|ino| self.files.drop_pages(*ino));
        self.invalidate.tell(shown.into_iter().map(Note::Data).collect(), |ino| self.outward(ino));
    }
}
