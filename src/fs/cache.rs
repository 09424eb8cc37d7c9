//! The cache's bound: what `--cache-size` says, and never so much that less than a tenth of the disk is left free,
//! whoever fills it.
//!
//! Eviction begins before the bound is reached and goes on to well below it, in short transactions on a thread of its own.
//! A reader waits for it only where its own bytes would not fit otherwise; what does not fit even then is read past the
//! cache. Staged writes are not bounded, nor is what an upload needs of the content it lies on.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::files::Source;
use super::{Fs, Result, now_ms};
use crate::store::ContentId;
use crate::store::nodes;

/// The share of the disk that is left free: one in so many bytes.
const FREE: u64 = 10;
/// Eviction begins when no more than this much is left below the bound (or a sixteenth of it), and ends at twice that.
const MARGIN: u64 = 256 << 20;
/// After an eviction that brought too little, the next is tried this much later, in milliseconds.
const BARREN: i64 = 1000;

/// A disk at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its size.
    pub total: u64,
    /// What we may still take of it.
    pub free: u64,
}

/// Says how full the disk is that holds a folder; `None` if that cannot be found out.
#[derive(Clone)]
pub struct Gauge(Arc<Measure>);

type Measure = dyn Fn(&Path) -> Option<Disk> + Send + Sync;

impl Gauge {
    /// One that answers by `f`.
    pub fn new(f: impl Fn(&Path) -> Option<Disk> + Send + Sync + 'static) -> Self {
        Gauge(Arc::new(f))
    }
}

impl Default for Gauge {
    /// Asks the system.
    fn default() -> Self {
        Gauge::new(|dir| {
            let s = rustix::fs::statvfs(dir).ok()?;
            let bytes = |blocks: u64| blocks.saturating_mul(s.f_frsize);
            Some(Disk { total: bytes(s.f_blocks), free: bytes(s.f_bavail) })
        })
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gauge(..)")
    }
}

/// Who evicts.
#[derive(Default)]
pub(super) struct Keeper {
    /// One eviction at a time.
    one: Mutex<()>,
    /// When one last brought too little; 0: it did not.
    barren: AtomicI64,
}

/// Bytes that may be taken, of a cache that takes `used` now.
fn bound(size: u64, used: u64, disk: Option<Disk>) -> u64 {
    let room = disk.map_or(u64::MAX, |d| used.saturating_add(d.free).saturating_sub(d.total / FREE));
    size.min(room)
}

/// Where eviction begins.
fn high(bound: u64) -> u64 {
    bound - (bound / 16).min(MARGIN)
}

/// Where it ends.
fn low(bound: u64) -> u64 {
    bound - (bound / 8).min(2 * MARGIN)
}

impl Fs {
    /// What the cache may take now.
    pub(super) fn cache_bound(&self) -> u64 {
        let used = self.blocks().usage().cached;
        let bound = bound(self.config.cache_size, used, (self.config.disk.0)(self.blocks().dir()));
        self.blocks().set_bound(bound);
        bound
    }

    /// Whether so many bytes fit into the cache, without making room. Too little room is made in the background.
    pub(super) fn has_room(self: &Arc<Self>, bytes: u64) -> bool {
        let (bound, used) = (self.cache_bound(), self.blocks().usage().cached);
        let then = used.saturating_add(on_disk(bytes));
        // One that is under way goes on to well below the bound.
        if then > high(bound) && !self.is_barren() && !self.cache.one.is_locked() {
            let fs = self.clone();
            self.rt.spawn_blocking(move || fs.bound_cache(0));
        }
        then <= bound
    }

    /// Makes room for so many bytes in the cache, if they do not fit; says whether they do now.
    pub(super) async fn make_room(self: &Arc<Self>, bytes: u64) -> bool {
        if self.has_room(bytes) {
            return true;
        }
        if self.is_barren() {
            return false;
        }
        let fs = self.clone();
        let evicting = self.rt.spawn_blocking(move || fs.bound_cache(on_disk(bytes)));
        evicting.await.is_ok()
            && self.blocks().usage().cached.saturating_add(on_disk(bytes)) <= self.cache_bound()
    }

    /// Brings the cache to where `more` bytes fit, if it is above the mark. Takes a while.
    pub(super) fn bound_cache(self: &Arc<Self>, more: u64) {
        let _one = self.cache.one.lock();
        if self.cancel.is_cancelled() {
            // The store is being closed, or was.
            return;
        }
        let bound = self.cache_bound();
        if self.blocks().usage().cached.saturating_add(more) <= high(bound) {
            return;
        }
        let target = low(bound).min(bound.saturating_sub(more));
        let evicted = self.shown_of_old().and_then(|but| Ok(self.blocks().evict(target, &but)?));
        if let Err(e) = evicted {
            tracing::warn!(error = %e, "evicting from the cache failed; will be tried again");
        }
        let left = self.blocks().usage().cached > target;
        self.cache.barren.store(if left { now_ms() } else { 0 }, Ordering::Relaxed);
    }

    fn is_barren(&self) -> bool {
        let since = self.cache.barren.load(Ordering::Relaxed);
        // The clock may be set back.
        since != 0 && (0..BARREN).contains(&(now_ms() - since))
    }

    /// Nothing is evicted until what this returns is dropped; after [`Fs::stop`] began, never more.
    pub(super) fn hold_evictions(&self) -> MutexGuard<'_, ()> {
        self.cache.one.lock()
    }

    /// Cached contents that open files show and the server may not have any more: what goes of them is lost.
    pub(super) fn shown_of_old(&self) -> Result<HashSet<ContentId>> {
        let mut old = HashSet::new();
        for (ino, source) in self.files.sources() {
            let (version, content) = match source {
                Source::Version(version, Some(content)) => (version, content),
                Source::Staged(content) => match content.version() {
                    Some(version) => (version, content),
                    None => continue,
                },
                _ => continue,
            };
            let node = self.db().read(|c| nodes::get(c, ino))?;
            if node.as_ref().and_then(|n| n.version()) != Some(&version) {
                old.insert(content.id());
            }
        }
        Ok(old)
    }
}

/// About what fetched bytes take on the disk: blocks have heads, and end with a page.
fn on_disk(bytes: u64) -> u64 {
    if bytes == 0 { 0 } else { bytes + bytes / 16 + 4096 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::crypto::seal::Key;
    use crate::fs::{Config, OpenFlags};
    use crate::names::RemoteName;
    use crate::remote::memory::Memory;
    use crate::store::Store;
    use crate::types::Ino;

    const DATA: &[u8] = b"bytes of a file";

    fn started(dir: &Path, key: &Key, cloud: &Memory, config: Config) -> (Arc<Fs>, tokio::runtime::Runtime) {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = Store::open(dir, &cloud.account().id, key).unwrap().store;
        (Fs::start(config, store, cloud.client("here"), rt.handle().clone()).unwrap(), rt)
    }

    fn with_file() -> (tempfile::TempDir, Key, Memory) {
        let cloud = Memory::new();
        cloud.add_file(&cloud.account().root, RemoteName::split("f"), DATA);
        (tempfile::tempdir().unwrap(), Key::random().unwrap(), cloud)
    }

    async fn file(fs: &Arc<Fs>) -> Ino {
        fs.lookup(Ino::ROOT, b"f").get().await.unwrap().ino
    }

    async fn read(fs: &Arc<Fs>, ino: Ino) -> bytes::Bytes {
        let fh = fs.open(ino, OpenFlags::default()).get().await.unwrap().fh;
        let bytes = fs.read(fh, 0, 100).get().await.unwrap();
        fs.release(fh);
        bytes
    }

    #[test]
    fn no_read_waits_long_for_an_eviction() {
        let (dir, key, cloud) = with_file();
        let full = Gauge::new(|_| Some(Disk { total: 1000, free: 0 }));
        let (fs, rt) = started(dir.path(), &key, &cloud, Config { disk: full, ..Config::default() });
        // One that takes as long as it likes.
        let evicting = fs.hold_evictions();
        let began = Instant::now();
        rt.block_on(async { assert_eq!(read(&fs, file(&fs).await).await, DATA) });
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        drop(evicting);
        rt.block_on(fs.stop());
    }

    #[test]
    fn nothing_is_evicted_once_the_store_is_closed() {
        let (dir, key, cloud) = with_file();
        let free = Arc::new(AtomicU64::new(1000));
        let gauge = {
            let free = free.clone();
            Gauge::new(move |_| Some(Disk { total: 1000, free: free.load(Ordering::Relaxed) << 20 }))
        };
        let (fs, rt) = started(dir.path(), &key, &cloud, Config { disk: gauge, ..Config::default() });
        rt.block_on(async { read(&fs, file(&fs).await).await });
        let used = fs.blocks().usage().cached;
        assert!(used > 0);
        rt.block_on(fs.stop());
        free.store(0, Ordering::Relaxed);
        fs.bound_cache(0);
        assert_eq!(fs.blocks().usage().cached, used);
    }

    #[test]
    fn what_was_unpinned_just_before_a_crash_is_not_kept_for_ever() {
        let (dir, key, cloud) = with_file();
        let kept = |fs: &Fs| fs.db().read(|c| fs.blocks().kept(c)).unwrap().len();
        let (fs, rt) = started(dir.path(), &key, &cloud, Config::default());
        let ino = rt.block_on(async {
            let ino = file(&fs).await;
            read(&fs, ino).await;
            ino
        });
        fs.pin(ino).unwrap();
        assert_eq!(kept(&fs), 1);
        fs.db().write(|tx| nodes::unpin(tx, ino)).unwrap();
        rt.block_on(fs.stop());
        drop((fs, rt));
        let (fs, rt) = started(dir.path(), &key, &cloud, Config::default());
        let begun = Instant::now();
        while kept(&fs) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
        rt.block_on(fs.stop());
    }

    #[test]
    fn a_tenth_of_the_disk_stays_free_whoever_fills_it() {
        let disk = |free| Some(Disk { total: 1000, free });
        assert_eq!(bound(300, 200, disk(800)), 300);
        assert_eq!(bound(300, 200, disk(150)), 250);
        assert_eq!(bound(300, 200, disk(100)), 200, "what is there may stay");
        assert_eq!(bound(300, 200, disk(40)), 140, "it makes way for others");
        assert_eq!(bound(300, 20, disk(0)), 0);
        assert_eq!(bound(300, 200, None), 300);
    }

    #[test]
    fn eviction_begins_below_the_bound_and_ends_further_below() {
        for bound in [0, 1, 100, 64 << 20, 10 << 30, u64::MAX] {
            assert!(low(bound) <= high(bound) && high(bound) <= bound);
        }
        assert_eq!((high(10 << 30), low(10 << 30)), ((10 << 30) - MARGIN, (10 << 30) - 2 * MARGIN));
    }
}
