//! Fetching blocks of a version into its cached content: one fetch a block however many readers wait.
//!
//! A [`Run`] is one ranged request. It is entered in the table before it starts; whoever needs a block of it
//! watches its progress. Runs are independent of their readers: a reader that gives up cancels nothing.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::invalidate::Note;
use super::{Error, Fs, Result};
use crate::block::BLOCK;
use crate::remote::{self, Body};
use crate::store::{Content, ContentId};
use crate::types::{Urgency, Version};

/// The largest ranged request; longer needs are split and run in parallel.
const RUN_MAX: u64 = 4 << 20;
/// How much is asked for at a time: longer needs are met step by step, each in parallel within itself.
const STEP: u64 = 32 << 20;

/// Files up to this size are fetched whole, and so verified before any of it is served.
const WHOLE_MAX: u64 = 1 << 20;
/// Files up to this size are verified before the last of their blocks is served; hashing a larger one takes
/// longer than a reader should wait.
const VERIFY_MAX: u64 = 256 << 20;

/// Bytes of a run that wait for its end.
const HELD: usize = 64 * 1024;

/// Looks at a download whose blocks are still being put into the cache.
const VERIFY_LOOKS: u32 = 10;

/// Where a run stands.
#[derive(Clone, Default)]
struct Progress {
    /// Everything below is in the cache (or the cache would not take it).
    upto: u64,
    /// How it ended.
    end: Option<std::result::Result<(), Failure>>,
}

/// A failure that several waiters share.
#[derive(Clone)]
enum Failure {
    NotFound,
    Offline,
    LoggedOut,
    TimedOut,
    Lost(String),
    Io(String),
}

struct Run {
    range: Range<u64>,
    urgency: Urgency,
    progress: watch::Receiver<Progress>,
}

#[derive(Default)]
pub(super) struct Fetcher {
    runs: Mutex<HashMap<ContentId, Vec<Arc<Run>>>>,
    /// Versions whose content does not match its hash.
    corrupt: Mutex<HashSet<Version>>,
    /// Whether there is any: spares reads the lock.
    any_corrupt: AtomicBool,
    /// Held while a run puts its last block into the cache.
    ending: Mutex<()>,
}

impl Fs {
    /// Makes `range` of a version present in its cached content, as far as the local disk takes it.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
    ) -> Result<()> {
        self.fetch_for(content, version, range, Urgency::Now).await
    }

    /// The same for somebody who can wait.
    pub(super) async fn fetch_for(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
        urgency: Urgency,
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + STEP);
            self.fetch_step(content, version, at..end, urgency).await?;
            at = end;
        }
        Ok(())
    }

    async fn fetch_step(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
        urgency: Urgency,
    ) -> Result<()> {
        let waits = self.claim(content, version, range.clone(), urgency)?;
        for run in waits {
            let until = range.end.min(run.range.end);
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

    /// Makes `range` present, and what is known of its soundness known: bytes that go into another upload must
    /// not be damaged ones.
    pub(super) async fn fetch_verified(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
    ) -> Result<()> {
        content.keep_all();
        self.fetch(content, version, range).await?;
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
                        if let Err(e) = fs.fetch(&m.content, &m.version, m.range).await {
                            tracing::debug!(error = %e, "what a partly written file lacks is fetched later");
                            return;
                        }
                    }
                });
            }
            Err(e) => tracing::debug!(error = %e, "what a partly written file lacks is not known"),
        }
    }

    /// Starts fetching in the background.
    pub(super) fn fetch_soon(self: &Arc<Self>, content: &Arc<Content>, version: &Version, range: Range<u64>) {
        if let Err(e) = self.claim(content, version, range, Urgency::Soon) {
            tracing::debug!(error = %e, "reading ahead failed");
        }
    }

    /// Fetches past the cache: the local disk would not take the blocks.
    pub(super) async fn fetch_past_cache(
        &self,
        version: &Version,
        size: u64,
        range: Range<u64>,
    ) -> Result<Bytes> {
        if self.fetcher.corrupt.lock().contains(version) {
            return Err(Error::Lost("the content does not match its hash".to_owned()));
        }
        let read = self.remote.read(version, size, range.clone(), Urgency::Now);
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

    /// The runs that cover what is missing of `range`: those under way, and new ones for the rest.
    fn claim(
        self: &Arc<Self>,
        content: &Arc<Content>,
        version: &Version,
        range: Range<u64>,
        urgency: Urgency,
    ) -> Result<Vec<Arc<Run>>> {
        self.check_sound(version)?;
        let whole = 0..content.size();
        let mut missing = content.missing(range)?;
        if content.size() <= WHOLE_MAX && !missing.is_empty() {
            let all = content.missing(whole.clone())?;
            if all.len() == 1 && all[0] == whole {
                missing = all;
            }
        }
        let mut waits = Vec::new();
        let mut runs = self.fetcher.runs.lock();
        let running = runs.entry(content.id()).or_default();
        for need in missing {
            let mut at = need.start;
            while at < need.end {
                if let Some(run) = running.iter().find(|r| r.range.contains(&at)) {
                    at = run.range.end;
                    waits.push(run.clone());
                    continue;
                }
                let next =
                    running.iter().map(|r| r.range.start).filter(|s| *s > at).min().unwrap_or(u64::MAX);
                let end = need.end.min(next).min(at + RUN_MAX);
                let (tx, progress) = watch::channel(Progress { upto: at, end: None });
                let run = Arc::new(Run { range: at..end, urgency, progress });
                running.push(run.clone());
                waits.push(run.clone());
                self.spawn(run_to_end(self.clone(), content.clone(), version.clone(), run, tx));
                at = end;
            }
        }
        if running.is_empty() {
            runs.remove(&content.id());
        }
        Ok(waits)
    }

    fn end_run(&self, content: &Content, run: &Arc<Run>) {
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

/// Runs one request to its end, whoever still waits for it.
async fn run_to_end(
    fs: Arc<Fs>,
    content: Arc<Content>,
    version: Version,
    run: Arc<Run>,
    progress: watch::Sender<Progress>,
) {
    let outcome = stream_into(&fs, &content, &version, &run, &progress).await;
    if let Err(remote::Error::Corrupt(_)) = &outcome
        && !fs.fetcher.corrupt.lock().contains(&version)
    {
        fs.condemn(&content, &version);
    }
    let unverified = matches!(outcome, Ok(false));
    let end = outcome.map(|_| ()).map_err(Failure::from);
    if end.is_err() {
        // Whoever asks from now on begins anew.
        fs.end_run(&content, &run);
    }
    progress.send_modify(|p| p.end = Some(end));
    // Too large to wait for, or one of several that ended at once: found out late, but found out.
    if unverified && completes(&content, &run.range) {
        let _ = verify(&fs, &content, &version, None).await;
    }
    // Only now: who must not build on damaged bytes waits for the table to be empty.
    fs.end_run(&content, &run);
    drop(progress);
}

/// Whether a version that was fetched in parts is here as a whole now.
fn completes(content: &Content, range: &Range<u64>) -> bool {
    let whole = 0..content.size();
    *range != whole && content.missing(whole).is_ok_and(|m| m.is_empty())
}

/// Says whether what the run completed was verified.
async fn stream_into(
    fs: &Arc<Fs>,
    content: &Arc<Content>,
    version: &Version,
    run: &Run,
    progress: &watch::Sender<Progress>,
) -> remote::Result<bool> {
    let (size, range) = (content.size(), &run.range);
    // Verified as a whole at its end: nothing of it counts before.
    let whole = *range == (0..size);
    let mut stream = fs.health.note(fs.remote.read(version, size, range.clone(), run.urgency).await)?;
    let mut pending = BytesMut::new();
    let mut at = range.start;
    while let Some(chunk) = stream.next().await {
        pending.extend_from_slice(&fs.health.note(chunk)?);
        // The last block waits: it may be the one that makes the version whole, to be verified first.
        let ready = if whole { 0 } else { whole_blocks(pending.len().saturating_sub(HELD), at) };
        if ready > 0 {
            fill(content, at, &pending.split_to(ready));
            at += ready as u64;
            progress.send_modify(|p| p.upto = at);
        }
    }
    if at + pending.len() as u64 != range.end {
        return Err(remote::Error::Protocol("fewer bytes than the file has".to_owned()));
    }
    let tail = at..range.end;
    let last = {
        // Of several runs that end at once, one sees that it has the last of the version.
        let _turn = fs.fetcher.ending.lock();
        let last = !whole
            && size <= VERIFY_MAX
            && content.missing(0..size).is_ok_and(|m| matches!(m.as_slice(), [only] if *only == tail));
        if !last {
            fill(content, at, &pending);
        }
        last
    };
    if last {
        // Nobody can have read the whole version before this.
        let pending = pending.freeze();
        verify(fs, content, version, Some((at, pending.clone()))).await?;
        fill(content, at, &pending);
    }
    progress.send_modify(|p| p.upto = range.end);
    Ok(whole || last)
}

/// How many of `len` bytes from `at` make whole blocks.
fn whole_blocks(len: usize, at: u64) -> usize {
    let end = at + len as u64;
    usize::try_from((end - end % BLOCK).saturating_sub(at)).unwrap_or(0)
}

/// A cache that is full or failing is no reason to fail a read.
fn fill(content: &Content, at: u64, data: &[u8]) {
    if !data.is_empty()
        && let Err(e) = content.fill(at, data)
    {
        tracing::warn!(error = %e, "the cache did not take a block");
    }
}

/// A body of which the bytes `held`, from `at` on, are not in the cache yet.
fn holding(body: Body, at: u64, held: Bytes) -> Body {
    let inner = body.read.clone();
    let end = at + held.len() as u64;
    let read = move |range: Range<u64>| {
        let before = range.start.min(at)..range.end.min(at);
        let behind = range.start.max(end)..range.end.max(end);
        let within = |n: u64| usize::try_from(n.clamp(at, end) - at).unwrap_or(usize::MAX).min(held.len());
        let own = held.slice(within(range.start)..within(range.end));
        let inner = inner.clone();
        Box::pin(async move {
            let mut all = BytesMut::new();
            if before.start < before.end {
                all.extend_from_slice(&inner(before).await?);
            }
            all.extend_from_slice(&own);
            if behind.start < behind.end {
                all.extend_from_slice(&inner(behind).await?);
            }
            Ok(all.freeze())
        }) as futures_util::future::BoxFuture<_>
    };
    Body { read: Arc::new(read), ..body }
}

/// Compares a version that is now here as a whole with its hash. Fails only if it differs.
async fn verify(
    fs: &Arc<Fs>,
    content: &Arc<Content>,
    version: &Version,
    held: Option<(u64, Bytes)>,
) -> remote::Result<()> {
    let mut body = body_of(fs, content, Arc::new(|_| {}));
    if let Some((at, bytes)) = held {
        body = holding(body, at, bytes);
    }
    for _ in 0..VERIFY_LOOKS {
        match fs.health.note(fs.remote.verify(version, body.clone()).await) {
            Err(e @ remote::Error::Corrupt(_)) => {
                fs.condemn(content, version);
                return Err(e);
            }
            // A block that another run is putting into the cache shows before it opens.
            Err(remote::Error::Local(e)) => {
                tracing::debug!(error = %e, "a download is looked at again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(e) => {
                tracing::debug!(error = %e, "a complete download could not be verified");
                return Ok(());
            }
            Ok(()) => return Ok(()),
        }
    }
    tracing::warn!(object = %version.object, "a complete download could not be verified: blocks of it are gone");
    Ok(())
}

/// A content as a body to send or to hash, read from local state.
pub(super) fn body_of(
    fs: &Arc<Fs>,
    content: &Arc<Content>,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
) -> Body {
    let (fs, content) = (fs.clone(), content.clone());
    let size = content.size();
    let read = move |range: Range<u64>| {
        let (fs, content) = (fs.clone(), content.clone());
        let rt = fs.rt.clone();
        let read = rt.spawn_blocking(move || fs.read_local(&content, range).map_err(std::io::Error::other));
        Box::pin(async move { read.await.map_err(std::io::Error::other)? })
            as futures_util::future::BoxFuture<_>
    };
    Body { size, read: Arc::new(read), progress }
}

impl From<remote::Error> for Failure {
    fn from(e: remote::Error) -> Self {
        match Error::from(e) {
            Error::NotFound | Error::Stale => Failure::NotFound,
            Error::Offline => Failure::Offline,
            Error::LoggedOut => Failure::LoggedOut,
            Error::TimedOut => Failure::TimedOut,
            Error::Lost(why) => Failure::Lost(why),
            other => Failure::Io(other.to_string()),
        }
    }
}

impl From<Failure> for Error {
    fn from(f: Failure) -> Self {
        match f {
            Failure::NotFound => Error::Lost("the content is gone from the server".to_owned()),
            Failure::Offline => Error::Offline,
            Failure::LoggedOut => Error::LoggedOut,
            Failure::TimedOut => Error::TimedOut,
            Failure::Lost(why) => Error::Lost(why),
            Failure::Io(why) => Error::Io(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A download that ends in the middle of a file was once compared with nothing behind it, and so not at all.
    #[tokio::test]
    async fn held_bytes_stand_in_wherever_they_are() {
        let all: Vec<u8> = (0..100).collect();
        // What is held is wrong in the cache, to show who was asked.
        let mut cached = all.clone();
        cached[30..50].fill(255);
        for (start, end) in [(0, 100), (0, 30), (10, 40), (30, 50), (35, 45), (40, 60), (50, 100), (29, 51)] {
            let body =
                holding(Body::from_bytes(Bytes::from(cached.clone())), 30, Bytes::from(all[30..50].to_vec()));
            let got = (body.read)(start..end).await.unwrap();
            let (start, end) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
            assert_eq!(got.as_ref(), &all[start..end], "{start}..{end}");
        }
    }
}
