//! Sealed blocks: read cache and staging in one.
//!
//! A *content* is a row and blocks of sealed bytes. A *cached* one holds fetched blocks of a remote version:
//! no row a block, a block that does not open is absent, to lose one costs a download. A *staged* one holds
//! what was written here and is nowhere else: byte-exact extents, a row a block, never a slot overwritten
//! that a row may name, and a slot that does not open is damage, told as such.
//!
//! Slots that a commit replaced are reused, and files of forgotten contents removed, only after the next
//! durable commit ([`super::Db::write_durable`]): until then a loss of power may bring the old rows back.
//! Whoever commits must therefore commit durably now and then (every few seconds).

mod complete;
mod content;
mod enrol;
mod evict;
mod fill;
mod life;
mod place;
mod plain;
mod read;
mod rows;
mod side;
mod slot;
mod state;
mod sweep;
mod sync;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests;
mod trim;
mod unread;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Conn, Db, Error, Result, Tx};
use crate::block;
use crate::crypto::seal::{self, Key};
use crate::types::Version;

pub use content::{Beneath, Content};
pub use fill::FILL_AT_ONCE;
pub use sweep::{Swept, Verdict};

use life::Grave;
use place::Slabs;
use plain::Plain;
use rows::ContentRow;
use slot::Cid;

/// A content's row. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ContentId(pub i64);

/// Part of what was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Bytes, from this offset.
    Data(u64, Bytes),
    /// Not here. Of a staged content: the base's byte below the limit, else zero. Of a cached one: to be
    /// fetched.
    Gap(Range<u64>),
}

/// Bytes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Of cached contents.
    pub cached: u64,
    /// Of staged contents.
    pub staged: u64,
}

/// The sealed blocks of a store. Cheap to clone.
#[derive(Clone)]
pub struct Blocks(Arc<Shared>);

/// What all contents of a store share.
struct Shared {
    db: Db,
    /// Holds the contents' own files.
    root: PathBuf,
    /// Where orphans go that might hold something.
    quarantine: PathBuf,
    /// The contents' keys derive from it.
    key: Key,
    boot: String,
    /// The machine was restarted since the store was last open: the database may have lost commits.
    rebooted: bool,
    slabs: Slabs,
    plain: Plain,
    table: Mutex<Table>,
    cached: AtomicU64,
    staged: AtomicU64,
    /// Size on disk and time of use of contents that were in use, until they are saved.
    touched: Mutex<HashMap<ContentId, (u64, i64)>>,
    /// Forgotten, and not yet buried.
    graves: Mutex<HashSet<Cid>>,
    /// Of contents to come: taken from the database, and in no row yet.
    numbers: Mutex<Range<i64>>,
    /// Buried; their `doomed` rows can go.
    buried: Mutex<Vec<Cid>>,
    open_blocks: AtomicUsize,
    /// Contents that have (or had) open blocks, the oldest first.
    hot: Mutex<VecDeque<ContentId>>,
    /// The rows' counters were not saved, and are still to be corrected.
    uncounted: AtomicBool,
    /// There are no orphans: the last user ended in order, or they were looked for.
    swept: AtomicBool,
    /// What a start leaves to be read in the background.
    unread: Mutex<Option<unread::Unread>>,
    /// No fetched block is kept that would bring the cache above this.
    bound: AtomicU64,
    /// The filesystem makes no holes: of contents in use nothing can go.
    no_holes: AtomicBool,
}

/// The rows of so many contents are read at the start, and after a disorderly end their counters are corrected, before
/// anything else is done; those of more while the store is used.
const READ_AT_ONCE: u64 = 2000;

/// The contents in use.
#[derive(Default)]
struct Table {
    live: HashMap<ContentId, Weak<Content>>,
    /// Counts contents that went out of use: rows read before may be outdated.
    epoch: u64,
}

impl Blocks {
    /// `dir`: the cache directory. `key`: the store's key.
    pub(super) fn start(
        db: &Db,
        dir: &Path,
        key: &Key,
        boot: String,
        rebooted: bool,
        clean: bool,
    ) -> Result<Blocks> {
        let root = dir.join("blocks");
        std::fs::create_dir_all(&root)?;
        let (few, next) =
            db.read(|c| Ok((rows::count_up_to(c, READ_AT_ONCE)? < READ_AT_ONCE, rows::slab_ends(c)?)))?;
        let blocks = Blocks(Arc::new(Shared {
            db: db.clone(),
            slabs: Slabs::new(&root, &next),
            root,
            quarantine: dir.to_owned(),
            key: key.clone(),
            boot,
            rebooted,
            plain: Plain::new(),
            table: Mutex::default(),
            cached: AtomicU64::new(0),
            staged: AtomicU64::new(0),
            touched: Mutex::default(),
            graves: Mutex::default(),
            numbers: Mutex::new(0..0),
            buried: Mutex::default(),
            open_blocks: AtomicUsize::new(0),
            hot: Mutex::default(),
            uncounted: AtomicBool::new(!clean),
            swept: AtomicBool::new(clean),
            unread: Mutex::default(),
            bound: AtomicU64::new(u64::MAX),
            no_holes: AtomicBool::new(false),
        }));
        blocks.begin_reading(few)?;
        if few && !clean {
            blocks.recount()?;
        }
        Ok(blocks)
    }

    /// A new staged content of `size` bytes: those of `base` below `limit`, then zeros.
    pub fn stage(&self, tx: &Tx, base: Option<(ContentId, u64)>, size: u64) -> Result<Arc<Content>> {
        let base = base.map(|(id, limit)| (id, limit.min(size)));
        self.create(tx, ContentRow { staged: true, base, ..blank(size)? })
    }

    /// The cached content of a version, found or made.
    pub fn cached(&self, tx: &Tx, version: &Version, size: u64) -> Result<Arc<Content>> {
        if let Some(row) = rows::by_version(tx, version)? {
            tx.prepare_cached("UPDATE contents SET condemned = 0 WHERE id = ?1")?.execute([row.id.0])?;
            return self.open_in(tx, row.id);
        }
        // A small content keeps its slab slot from the start, so that filling it needs no transaction.
        let fill_at = if block::count(size) == 1 { Some(self.0.slabs.take(size)?) } else { None };
        self.create(tx, ContentRow { version: Some(version.clone()), fill_at, ..blank(size)? })
    }

    fn create(&self, tx: &Tx, mut row: ContentRow) -> Result<Arc<Content>> {
        let fill_at = row.fill_at;
        let made = rows::insert(tx, &row, &self.0.boot).and_then(|id| {
            row.id = id;
            Ok(Arc::new(Content::new(&self.0, row, Vec::new(), true)?))
        });
        let content = match made {
            Ok(c) => c,
            Err(e) => {
                fill_at.into_iter().for_each(|l| self.0.slabs.give(l));
                return Err(e);
            }
        };
        self.0.table.lock().live.insert(content.id, Arc::downgrade(&content));
        let (shared, id, cid) = (self.0.clone(), content.id, content.cid);
        let (weak, staged) = (Arc::downgrade(&content), content.is_staged());
        self.0.db.on_end(tx, move |committed| {
            if committed {
                return;
            }
            // The number may be given again: nobody may find this content under it.
            shared.table.lock().live.remove(&id);
            let bytes = shared.touched.lock().remove(&id).map_or(0, |(bytes, _)| bytes);
            let grave = Grave { cid, slots: fill_at.into_iter().collect(), bytes, staged };
            match weak.upgrade() {
                Some(c) => *c.grave.lock() = Some(grave),
                None => shared.bury(grave),
            }
        });
        Ok(content)
    }

    /// The cached content of a version, if there is one.
    pub fn find(&self, conn: &Conn, version: &Version) -> Result<Option<Arc<Content>>> {
        let Some(row) = rows::by_version(conn, version)? else { return Ok(None) };
        match self.open(row.id) {
            // Made by the transaction that asks.
            Err(Error::Gone(id)) => self.load(conn, id, None).map(Some),
            other => other.map(Some),
        }
    }

    /// A content by its row. Not within a transaction that made it: see [`Blocks::open_in`].
    pub fn open(&self, id: ContentId) -> Result<Arc<Content>> {
        loop {
            let epoch = {
                let table = self.0.table.lock();
                if let Some(c) = table.live.get(&id).and_then(Weak::upgrade) {
                    return Ok(c);
                }
                table.epoch
            };
            match self.0.db.read(|conn| self.load(conn, id, Some(epoch))) {
                // Somebody had it in use meanwhile.
                Err(Error::State(STALE)) => (),
                other => return other,
            }
        }
    }

    /// A content by its row, as the transaction sees it.
    pub fn open_in(&self, tx: &Tx, id: ContentId) -> Result<Arc<Content>> {
        let live = self.0.table.lock().live.get(&id).and_then(Weak::upgrade);
        match live {
            Some(c) => Ok(c),
            None => self.load(tx, id, None),
        }
    }

    fn load(&self, conn: &Conn, id: ContentId, epoch: Option<u64>) -> Result<Arc<Content>> {
        let mut row = rows::get(conn, id)?.ok_or(Error::Gone(id))?;
        if let Some((bytes, _)) = self.0.touched.lock().get(&id) {
            row.bytes = *bytes;
        }
        let slots = rows::slots(conn, id)?;
        let content = Arc::new(Content::new(&self.0, row, slots, false)?);
        let mut table = self.0.table.lock();
        if let Some(c) = table.live.get(&id).and_then(Weak::upgrade) {
            drop(table);
            return Ok(c);
        }
        if epoch.is_some_and(|e| e != table.epoch) {
            drop(table);
            return Err(Error::State(STALE));
        }
        table.live.insert(id, Arc::downgrade(&content));
        Ok(content)
    }

    /// A pinned content is not evicted.
    pub fn pin(&self, tx: &Tx, id: ContentId, pinned: bool) -> Result<()> {
        let n =
            tx.prepare_cached("UPDATE contents SET pinned = ?2 WHERE id = ?1")?.execute((id.0, pinned))?;
        if n == 1 { Ok(()) } else { Err(Error::Gone(id)) }
    }

    /// Where the sealed files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.root
    }

    /// Bytes on disk, as counted (not looked up).
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage { cached: self.0.cached.load(Ordering::Relaxed), staged: self.0.staged.load(Ordering::Relaxed) }
    }

    /// Whether the counters are right and no orphans are left, a disorderly end notwithstanding.
    pub(super) fn is_tidy(&self) -> bool {
        !self.0.uncounted.load(Ordering::Acquire) && self.0.swept.load(Ordering::Acquire)
    }

    /// Saves counters and times of use that were put off.
    pub(super) fn save(&self, tx: &Tx) -> Result<()> {
        let live: Vec<_> = self.0.table.lock().live.values().filter_map(Weak::upgrade).collect();
        let mut touched = std::mem::take(&mut *self.0.touched.lock());
        for c in live {
            let st = c.state.lock();
            touched.insert(c.id, (st.bytes, st.last_used));
        }
        let mut stmt = tx.prepare_cached("UPDATE contents SET bytes = ?2, last_used = ?3 WHERE id = ?1")?;
        for (id, (bytes, used)) in touched {
            stmt.execute((id.0, rows::int(bytes), used))?;
        }
        let Usage { cached, staged } = self.usage();
        rows::save_totals(tx, cached, staged)
    }
}

const STALE: &str = "read before a change";

/// A row to be filled in.
fn blank(size: u64) -> Result<ContentRow> {
    let mut cid = Cid::default();
    getrandom::fill(&mut cid).map_err(|_| seal::Error::Random)?;
    Ok(ContentRow {
        id: ContentId(0),
        cid,
        staged: false,
        version: None,
        size,
        base: None,
        fill_at: None,
        durable: false,
        bytes: 0,
    })
}

impl Shared {
    /// The content, if it is in use.
    fn live(&self, id: ContentId) -> Option<Arc<Content>> {
        self.table.lock().live.get(&id).and_then(Weak::upgrade)
    }

    /// A content takes `now` bytes on disk; it was `before`.
    fn count(&self, staged: bool, now: u64, before: u64) {
        let counter = if staged { &self.staged } else { &self.cached };
        let step = |n: u64| Some((n + now).saturating_sub(before));
        let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    /// A content has gone out of use.
    fn closed(&self, id: ContentId, touched: (u64, i64), forgotten: bool) {
        let mut table = self.table.lock();
        table.epoch += 1;
        if table.live.get(&id).is_some_and(|w| w.strong_count() == 0) {
            table.live.remove(&id);
        }
        drop(table);
        if forgotten {
            self.touched.lock().remove(&id);
        } else {
            self.touched.lock().insert(id, touched);
        }
    }

    /// Seals the open blocks of the content that has had them for the longest time.
    fn cool_one(&self) {
        let id = self.hot.lock().pop_front();
        if let Some(c) = id.and_then(|id| self.live(id)) {
            c.cool();
            if c.state.try_lock().is_none_or(|st| !st.open.is_empty()) {
                self.hot.lock().push_back(c.id);
            }
        }
    }
}
