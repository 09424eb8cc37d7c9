//! Comparing a version that is here as a whole with its hash.
//!
//! Hashing at the end of a download would make a reader wait there. So where one reads from the beginning on, an
//! [`Along`] hashes what has arrived while the rest is under way, and the end has little left to do.

use std::future::ready;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Fetcher, WHOLE_MAX};
use crate::fs::Fs;
use crate::remote::{self, Body};
use crate::store::{Content, ContentId};
use crate::types::Version;

/// Looks at a download whose blocks are still being put into the cache.
const LOOKS: u32 = 10;
/// Time between them.
const LOOK: Duration = Duration::from_millis(20);
/// Downloads that are hashed while they run; of more, the one longest without news is hashed at its end.
pub(super) const ALONG_MAX: std::num::NonZeroUsize = std::num::NonZeroUsize::new(8).unwrap();

/// Bytes of a version that are not in the cache yet, and where they belong.
type Held = (u64, Bytes);

/// A hash on its way through a download.
#[derive(Default)]
pub(super) struct Along {
    /// What it waits for: all below is hashed, or being hashed.
    from: AtomicU64,
    to: AtomicU64,
    held: Mutex<Option<Held>>,
    /// Nothing is missing any more: what is not here now is gone again.
    complete: AtomicBool,
    over: AtomicBool,
    news: Notify,
    verdict: watch::Sender<Option<Verdict>>,
}

#[derive(Clone, PartialEq, Eq)]
enum Verdict {
    Sound,
    Corrupt(String),
    /// It could not be followed to its end.
    Unknown,
}

impl Fetcher {
    /// Blocks are in the cache.
    pub(super) fn arrived(&self, id: ContentId, blocks: Range<u64>) {
        let Some(along) = self.along.lock().get(&id).cloned() else { return };
        if blocks.start < along.to.load(Ordering::Acquire) && along.from.load(Ordering::Acquire) < blocks.end
        {
            along.news.notify_one();
        }
    }

    /// A block is fetched: if it was hashed already, that is worth nothing any more.
    pub(super) fn starts_at(&self, id: ContentId, start: u64) {
        let mut all = self.along.lock();
        if all.peek(&id).is_some_and(|a| start < a.from.load(Ordering::Acquire))
            && let Some(along) = all.pop(&id)
        {
            along.give_up();
        }
    }
}

impl Along {
    fn give_up(&self) {
        self.over.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// The rest, as far as it is not in the cache: what the hash says then.
    async fn finish(&self, held: Option<Held>) -> Verdict {
        *self.held.lock() = held;
        self.complete.store(true, Ordering::Release);
        self.news.notify_one();
        let mut verdict = self.verdict.subscribe();
        verdict
            .wait_for(Option::is_some)
            .await
            .map_or(Verdict::Unknown, |v| v.clone().unwrap_or(Verdict::Unknown))
    }

    /// Waits until a range is here, and reads it, on this thread.
    async fn read(&self, fs: &Arc<Fs>, content: &Weak<Content>, range: Range<u64>) -> std::io::Result<Bytes> {
        self.from.store(range.start, Ordering::Release);
        self.to.store(range.end, Ordering::Release);
        let gone = || std::io::Error::other("the download is not followed any more");
        let mut looks = 0;
        loop {
            if self.over.load(Ordering::Acquire) {
                return Err(gone());
            }
            let complete = self.complete.load(Ordering::Acquire);
            let held = self.held.lock().clone();
            let here = content.upgrade().ok_or_else(gone)?;
            let (left, right) = around(&range, held.as_ref());
            let lacks = |r: Range<u64>| !r.is_empty() && !here.missing(r).is_ok_and(|m| m.is_empty());
            if !lacks(left) && !lacks(right) {
                self.from.store(range.end, Ordering::Release);
                let read = |r| ready(read_here(fs, &here, r));
                match with_held(read, range.clone(), held).await {
                    Ok(bytes) => return Ok(bytes),
                    // A block shows before it opens.
                    Err(_) if looks < LOOKS => looks += 1,
                    Err(e) => return Err(e),
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
            if complete {
                return Err(gone());
            }
            drop(here);
            self.news.notified().await;
        }
    }
}

impl Fs {
    /// Hashes a version along with its download, of which the beginning is here or under way.
    pub(in crate::fs) fn verify_along(self: &Arc<Self>, content: &Arc<Content>, version: &Version) {
        let (id, size) = (content.id(), content.size());
        let along = Arc::new(Along::default());
        {
            let mut all = self.fetcher.along.lock();
            if size <= WHOLE_MAX || all.contains(&id) {
                return;
            }
            if let Some((_, oldest)) = all.push(id, along.clone()) {
                oldest.give_up();
            }
        }
        let (fs, version, content) = (self.clone(), version.clone(), Arc::downgrade(content));
        self.spawn(async move {
            let (reader, followed) = (fs.clone(), along.clone());
            let read = move |range: Range<u64>| {
                let (fs, along, content) = (reader.clone(), followed.clone(), content.clone());
                Box::pin(async move { along.read(&fs, &content, range).await })
                    as futures_util::future::BoxFuture<_>
            };
            let body = Body { size, read: Arc::new(read), progress: Arc::new(|_| {}) };
            let verdict = match fs.compare(&version, body).await {
                Ok(()) => Verdict::Sound,
                Err(remote::Error::Corrupt(why)) => Verdict::Corrupt(why),
                Err(_) => Verdict::Unknown,
            };
            along.verdict.send_replace(Some(verdict));
        });
    }

    /// Compares a version with a body, on a thread of its own: it keeps a processor busy, and where it takes turns with
    /// downloads it falls ever further behind them. The body may block. Ends when nobody waits for it any more.
    async fn compare(self: &Arc<Self>, version: &Version, body: Body) -> remote::Result<()> {
        let (fs, version, unwanted) = (self.clone(), version.clone(), CancellationToken::new());
        let _wanted = unwanted.clone().drop_guard();
        // What is here is read without a pause in which it could be stopped.
        let (read, over) = (body.read, unwanted.clone());
        let read = move |range| {
            if over.is_cancelled() { Box::pin(ready(Err(nobody_waits()))) } else { read(range) }
        };
        let body = Body { read: Arc::new(read), ..body };
        let hashing = move || {
            let compared = fs.remote.verify(&version, body);
            let compared = fs.rt.block_on(unwanted.run_until_cancelled(compared));
            compared.unwrap_or_else(|| Err(nobody_waits().into()))
        };
        let hashed = self.tasks.spawn_blocking_on(hashing, &self.rt).await;
        hashed.unwrap_or_else(|e| Err(std::io::Error::other(e).into()))
    }
}

fn nobody_waits() -> std::io::Error {
    std::io::Error::other("nobody waits for the hash any more")
}

/// What of a range lies before, and what behind, the bytes that are held.
fn around(range: &Range<u64>, held: Option<&Held>) -> (Range<u64>, Range<u64>) {
    let Some((at, bytes)) = held else { return (range.clone(), range.end..range.end) };
    let end = at + bytes.len() as u64;
    (range.start.min(*at)..range.end.min(*at), range.start.max(end)..range.end.max(end))
}

/// A range, of which `held` is not read but given.
async fn with_held<F>(
    read: impl Fn(Range<u64>) -> F,
    range: Range<u64>,
    held: Option<Held>,
) -> std::io::Result<Bytes>
where
    F: Future<Output = std::io::Result<Bytes>>,
{
    let (before, behind) = around(&range, held.as_ref());
    let Some((at, held)) = held else { return read(range).await };
    let end = at + held.len() as u64;
    let within = |n: u64| usize::try_from(n.clamp(at, end) - at).unwrap_or(usize::MAX).min(held.len());
    let own = held.slice(within(range.start)..within(range.end));
    if own.is_empty() {
        return read(range).await;
    }
    let mut all = BytesMut::new();
    if before.start < before.end {
        all.extend_from_slice(&read(before).await?);
    }
    all.extend_from_slice(&own);
    if behind.start < behind.end {
        all.extend_from_slice(&read(behind).await?);
    }
    Ok(all.freeze())
}

/// A body of which the bytes `held` are not in the cache yet.
fn holding(body: Body, held: Held) -> Body {
    let inner = body.read.clone();
    let read = move |range: Range<u64>| {
        let (inner, held) = (inner.clone(), held.clone());
        Box::pin(async move { with_held(|r| inner(r), range, Some(held)).await })
            as futures_util::future::BoxFuture<_>
    };
    Body { read: Arc::new(read), ..body }
}

/// Compares a version that is now here as a whole with its hash. Fails only if it differs.
pub(super) async fn verify(
    fs: &Arc<Fs>,
    content: &Arc<Content>,
    version: &Version,
    held: Option<Held>,
) -> remote::Result<()> {
    let along = fs.fetcher.along.lock().pop(&content.id());
    if let Some(along) = along {
        match along.finish(held.clone()).await {
            Verdict::Sound => return Ok(()),
            Verdict::Corrupt(why) => {
                fs.condemn(content, version);
                return Err(remote::Error::Corrupt(why));
            }
            Verdict::Unknown => {}
        }
    }
    let mut body = body_here(fs, content);
    if let Some(held) = held {
        body = holding(body, held);
    }
    for _ in 0..LOOKS {
        match fs.health.note(fs.compare(version, body.clone()).await) {
            Err(e @ remote::Error::Corrupt(_)) => {
                fs.condemn(content, version);
                return Err(e);
            }
            // A block that another run is putting into the cache shows before it opens.
            Err(remote::Error::Local(e)) => {
                tracing::debug!(error = %e, "a download is looked at again");
                tokio::time::sleep(LOOK).await;
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
pub(in crate::fs) fn body_of(
    fs: &Arc<Fs>,
    content: &Arc<Content>,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
) -> Body {
    let (fs, content) = (fs.clone(), content.clone());
    let size = content.size();
    let read = move |range: Range<u64>| {
        let (fs, content) = (fs.clone(), content.clone());
        Box::pin(async move { read_blocking(&fs, &content, range).await })
            as futures_util::future::BoxFuture<_>
    };
    Body { size, read: Arc::new(read), progress }
}

/// The same for who may block.
fn body_here(fs: &Arc<Fs>, content: &Arc<Content>) -> Body {
    let (fs, content) = (fs.clone(), content.clone());
    let size = content.size();
    let read = move |range: Range<u64>| {
        Box::pin(ready(read_here(&fs, &content, range))) as futures_util::future::BoxFuture<_>
    };
    Body { size, read: Arc::new(read), progress: Arc::new(|_| {}) }
}

fn read_here(fs: &Arc<Fs>, content: &Arc<Content>, range: Range<u64>) -> std::io::Result<Bytes> {
    fs.read_local(content, range).map_err(std::io::Error::other)
}

async fn read_blocking(fs: &Arc<Fs>, content: &Arc<Content>, range: Range<u64>) -> std::io::Result<Bytes> {
    let (own, content) = (fs.clone(), content.clone());
    let read = fs.rt.spawn_blocking(move || read_here(&own, &content, range));
    read.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::crypto::seal::Key;
    use crate::fs::Config;
    use crate::names::RemoteName;
    use crate::remote::memory::Memory;
    use crate::store::Store;

    /// A download that ends in the middle of a file was once compared with nothing behind it, and so not at all.
    #[tokio::test]
    async fn held_bytes_stand_in_wherever_they_are() {
        let all: Vec<u8> = (0..100).collect();
        // What is held is wrong in the cache, to show who was asked.
        let mut cached = all.clone();
        cached[30..50].fill(255);
        for (start, end) in [(0, 100), (0, 30), (10, 40), (30, 50), (35, 45), (40, 60), (50, 100), (29, 51)] {
            let held = (30, Bytes::from(all[30..50].to_vec()));
            let body = holding(Body::from_bytes(Bytes::from(cached.clone())), held);
            let got = (body.read)(start..end).await.unwrap();
            let (start, end) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
            assert_eq!(got.as_ref(), &all[start..end], "{start}..{end}");
        }
    }

    /// A mount that ends would wait for it.
    #[tokio::test]
    async fn a_hash_that_nobody_waits_for_any_more_reads_no_further() {
        const SIZE: usize = 4 << 20;
        let (dir, cloud, data) = (tempfile::tempdir().unwrap(), Memory::new(), vec![1; SIZE]);
        let row = cloud.add_file(&cloud.account().root, RemoteName::split("f"), &data);
        let store = Store::open(dir.path(), &cloud.account().id, &Key::random().unwrap()).unwrap().store;
        let fs = Fs::start(Config::default(), store, cloud.client("here"), Handle::current()).unwrap();
        let (begun, began) = tokio::sync::oneshot::channel();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let first = Mutex::new(Some((begun, gone)));
        let reads = Arc::new(AtomicU64::new(0));
        let counted = reads.clone();
        let read = move |range: Range<u64>| {
            counted.fetch_add(1, Ordering::Relaxed);
            if let Some((begun, gone)) = first.lock().take() {
                begun.send(()).unwrap();
                gone.recv().unwrap();
            }
            let bytes = vec![1; usize::try_from(range.end - range.start).unwrap()];
            Box::pin(ready(Ok(Bytes::from(bytes)))) as futures_util::future::BoxFuture<_>
        };
        let body = Body { size: SIZE as u64, read: Arc::new(read), progress: Arc::new(|_| {}) };
        let version = row.content.unwrap();
        let hashing = tokio::spawn({
            let fs = fs.clone();
            async move { fs.compare(&version, body).await }
        });
        began.await.unwrap();
        hashing.abort();
        assert!(hashing.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        fs.stop().await;
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }
}
