//! Open files: what a handle refers to, and the content an inode shows while it is open.
//!
//! One [`File`] an inode, shared by all its handles. While it is in the table, its state is newer than the
//! node's row: writes reach the row when they are journalled (flush, fsync, release, or the syncer's timer). A
//! file leaves the table with its last [`Held`], once all of it is journalled.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::readahead::Readahead;
use super::{Error, OpenFlags, Result};
use crate::store::nodes::Node;
use crate::store::{Content, ContentId};
use crate::types::{Fh, Ino, Timestamp, Urgency, Version};

/// Inodes whose kernel pages are remembered as good.
const PAGES_REMEMBERED: std::num::NonZeroUsize = std::num::NonZeroUsize::new(16_384).unwrap();

/// Where an open file's bytes are.
#[derive(Clone)]
pub(super) enum Source {
    /// No bytes.
    Empty,
    /// The confirmed version; its cached blocks are opened at the first read.
    Version(Version, Option<Arc<Content>>),
    /// Staged, or staged once and uploaded since.
    Staged(Arc<Content>),
    /// In a layout this program cannot read; only a whole rewrite changes it.
    Unreadable,
}

/// What an open inode shows.
#[derive(Clone)]
pub(super) struct State {
    pub source: Source,
    pub size: u64,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    /// Content differs from what is journalled.
    pub changed: bool,
    /// Times differ from what is journalled.
    pub touched: bool,
}

/// An inode in use.
pub(super) struct File {
    pub ino: Ino,
    /// `None` until first used. Locked before the database's writer, never within a transaction.
    pub state: Mutex<Option<State>>,
    /// Mirrors `changed || touched` for those who may not lock the state. Set by [`Held::note_unjournalled`].
    pub unjournalled: AtomicBool,
    /// Nothing may show it any more.
    doomed: AtomicBool,
    /// When its push would have been due, had it not waited for the writers (milliseconds).
    put_off: AtomicI64,
    refs: AtomicUsize,
    writers: AtomicUsize,
}

impl File {
    fn new(ino: Ino, state: Option<State>) -> File {
        File {
            ino,
            state: Mutex::new(state),
            unjournalled: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            put_off: AtomicI64::new(i64::MAX),
            refs: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
        }
    }

    /// Whether a handle may still write.
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    /// Whether a handle may still write, or wrote what is not journalled yet.
    fn is_being_written(&self) -> bool {
        self.has_writers() || self.unjournalled.load(Ordering::Acquire)
    }

    /// Whether it may be that nothing shows it any more.
    pub fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Acquire)
    }

    /// Forgets when its push would have been due.
    pub fn rest(&self) {
        self.put_off.store(i64::MAX, Ordering::Release);
    }

    /// When its push would have been due, if that waited for writers and there are none any more. Says so once.
    pub fn take_put_off(&self) -> Option<i64> {
        if self.has_writers() {
            return None;
        }
        Some(self.put_off.swap(i64::MAX, Ordering::AcqRel)).filter(|due| *due < i64::MAX)
    }
}

/// A use of an inode; it stays in the table meanwhile.
pub(super) struct Held {
    file: Arc<File>,
    files: Arc<Files>,
    writes: bool,
}

impl Held {
    /// Something of the file is to be journalled.
    pub fn note_unjournalled(&self) {
        if !self.unjournalled.swap(true, Ordering::AcqRel) {
            self.files.written.notify_one();
        }
    }

    /// The inode's state, to be looked at after this use of it.
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Whether nobody else uses the inode and nothing of it is still to be journalled.
    pub fn is_alone(&self) -> bool {
        self.refs.load(Ordering::Acquire) == 1 && !self.unjournalled.load(Ordering::Acquire)
    }
}

impl Deref for Held {
    type Target = File;
    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.files.inner.lock();
        if self.writes {
            self.file.writers.fetch_sub(1, Ordering::AcqRel);
        }
        let last = self.file.refs.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && !self.file.unjournalled.load(Ordering::Acquire) {
            inner.by_ino.remove(&self.file.ino);
        }
    }
}

/// One `open(2)`.
pub(super) struct Handle {
    pub file: Held,
    pub flags: OpenFlags,
    /// Apart from the handle, which is gone when it is closed, whatever still runs for it.
    pub ahead: Arc<Mutex<Readahead>>,
}

impl Handle {
    /// Who waits for its reads.
    pub fn urgency(&self) -> Urgency {
        if self.flags.background { Urgency::Someday } else { Urgency::Now }
    }
}

/// The tables. Leaves of the lock order.
pub(super) struct Files {
    inner: Mutex<Inner>,
    /// A file has something to be journalled.
    pub written: Notify,
}

struct Inner {
    by_ino: HashMap<Ino, Arc<File>>,
    handles: HashMap<Fh, Arc<Handle>>,
    next: u64,
    pages: LruCache<Ino, ()>,
}

impl Default for Files {
    fn default() -> Self {
        Files {
            inner: Mutex::new(Inner {
                by_ino: HashMap::new(),
                handles: HashMap::new(),
                next: 1,
                pages: LruCache::new(PAGES_REMEMBERED),
            }),
            written: Notify::new(),
        }
    }
}

impl Files {
    /// A use of the inode, for writing or not.
    pub fn acquire(self: &Arc<Self>, ino: Ino, writes: bool) -> Held {
        let mut inner = self.inner.lock();
        let new = || Arc::new(File::new(ino, None));
        let file = inner.by_ino.entry(ino).or_insert_with(new).clone();
        file.refs.fetch_add(1, Ordering::AcqRel);
        if writes {
            file.writers.fetch_add(1, Ordering::AcqRel);
        }
        Held { file, files: self.clone(), writes }
    }

    /// A use of a file that is being made, of which nobody else can know yet: its row need not be read.
    pub fn acquire_new(self: &Arc<Self>, node: &Node, writes: bool) -> Held {
        let state = State {
            source: Source::Empty,
            size: 0,
            mtime: node.mtime,
            ctime: node.ctime,
            changed: false,
            touched: false,
        };
        let file = Arc::new(File::new(node.ino, Some(state)));
        file.refs.fetch_add(1, Ordering::AcqRel);
        if writes {
            file.writers.fetch_add(1, Ordering::AcqRel);
        }
        self.inner.lock().by_ino.insert(node.ino, file.clone());
        Held { file, files: self.clone(), writes }
    }

    /// A use of the inode, if it is in use already.
    pub fn acquire_known(self: &Arc<Self>, ino: Ino) -> Option<Held> {
        let inner = self.inner.lock();
        let file = inner.by_ino.get(&ino)?.clone();
        file.refs.fetch_add(1, Ordering::AcqRel);
        Some(Held { file, files: self.clone(), writes: false })
    }

    /// All inodes with something to journal.
    pub fn unjournalled(self: &Arc<Self>) -> Vec<Held> {
        let inner = self.inner.lock();
        let pending = inner.by_ino.values().filter(|f| f.unjournalled.load(Ordering::Acquire));
        pending
            .map(|file| {
                file.refs.fetch_add(1, Ordering::AcqRel);
                Held { file: file.clone(), files: self.clone(), writes: false }
            })
            .collect()
    }

    /// Open files that show a version.
    pub fn showing(&self, version: &Version) -> Vec<Ino> {
        let files: Vec<_> = self.inner.lock().by_ino.values().cloned().collect();
        let shows = |f: &&Arc<File>| match f.state.lock().as_ref().map(|s| &s.source) {
            Some(Source::Version(v, _)) => v == version,
            _ => false,
        };
        files.iter().filter(shows).map(|f| f.ino).collect()
    }

    /// What open files show.
    pub fn sources(&self) -> Vec<(Ino, Source)> {
        let files: Vec<_> = self.inner.lock().by_ino.values().cloned().collect();
        let source = |f: &Arc<File>| f.state.lock().as_ref().map(|s| (f.ino, s.source.clone()));
        files.iter().filter_map(source).collect()
    }

    /// Staged contents that open files show.
    pub fn contents(&self) -> HashSet<ContentId> {
        let files: Vec<_> = self.inner.lock().by_ino.values().cloned().collect();
        let shown = files.iter().filter_map(|f| match f.state.lock().as_ref().map(|s| &s.source) {
            Some(Source::Staged(c)) => Some(c.id()),
            _ => None,
        });
        shown.collect()
    }

    /// Whether an inode other than `but` shows a version; such keep its cached content from now on.
    pub fn hold_version(&self, version: &Version, but: Ino, content: &Arc<Content>) -> bool {
        let files: Vec<_> = self.inner.lock().by_ino.values().filter(|f| f.ino != but).cloned().collect();
        let mut shown = false;
        for file in files {
            if let Some(Source::Version(v, cached)) = file.state.lock().as_mut().map(|s| &mut s.source)
                && v == version
            {
                cached.get_or_insert_with(|| content.clone());
                shown = true;
            }
        }
        shown
    }

    pub fn add_handle(&self, file: Held, flags: OpenFlags) -> Fh {
        let mut inner = self.inner.lock();
        let fh = Fh(inner.next);
        inner.next += 1;
        inner.handles.insert(fh, Arc::new(Handle { file, flags, ahead: Arc::default() }));
        fh
    }

    pub fn handle(&self, fh: Fh) -> Result<Arc<Handle>> {
        self.inner.lock().handles.get(&fh).cloned().ok_or(Error::BadHandle)
    }

    pub fn handles(&self) -> Vec<Fh> {
        self.inner.lock().handles.keys().copied().collect()
    }

    pub fn remove_handle(&self, fh: Fh) -> Option<Arc<Handle>> {
        self.inner.lock().handles.remove(&fh)
    }

    /// Whether no inode is in use.
    pub fn is_idle(&self) -> bool {
        self.inner.lock().by_ino.is_empty()
    }

    /// Whether the inode is in use.
    pub fn is_open(&self, ino: Ino) -> bool {
        self.inner.lock().by_ino.contains_key(&ino)
    }

    /// Whether something that was written to the inode is not journalled yet.
    pub fn is_unjournalled(&self, ino: Ino) -> bool {
        self.inner.lock().by_ino.get(&ino).is_some_and(|f| f.unjournalled.load(Ordering::Acquire))
    }

    /// Whether the inode is in use. If so, it is noted that nothing shows it any more: its release drops it.
    pub fn doom_open(&self, ino: Ino) -> bool {
        let inner = self.inner.lock();
        let file = inner.by_ino.get(&ino);
        file.map(|f| f.doomed.store(true, Ordering::Release)).is_some()
    }

    /// Notes that the push of an inode, due at `due`, waits for its writers; `false` if there are none (any more).
    pub fn put_off_push(&self, ino: Ino, due: i64) -> bool {
        let inner = self.inner.lock();
        let file = inner.by_ino.get(&ino).filter(|f| f.is_being_written());
        file.map(|f| f.put_off.fetch_min(due, Ordering::AcqRel)).is_some()
    }

    /// Whether a handle may still write to the inode, or wrote what is not journalled yet.
    pub fn is_being_written(&self, ino: Ino) -> bool {
        self.inner.lock().by_ino.get(&ino).is_some_and(|f| f.is_being_written())
    }

    /// Whether the kernel's pages of the inode are still good; they count as good from now on.
    pub fn keep_pages(&self, ino: Ino) -> bool {
        self.inner.lock().pages.put(ino, ()).is_some()
    }

    /// The inode shows other content from now on.
    pub fn drop_pages(&self, ino: Ino) {
        self.inner.lock().pages.pop(&ino);
    }
}
