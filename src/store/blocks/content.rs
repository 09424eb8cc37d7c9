//! One content: reading, writing, sealing, committing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::place::{Lazy, Loc, own_path};
use super::rows::{self, ContentRow};
use super::slot::{self, Cid, Label};
use super::state::{Entry, Held, Open, Sent, State};
use super::{ContentId, Error, Result, Shared, Tx};
use crate::block::{self, BLOCK, Part};
use crate::crypto::seal::Sealer;
use crate::extent::ByteSet;
use crate::types::{Timestamp, Version};

/// Blocks of a content that are being written, at most.
const OPEN_BLOCKS: usize = 16;
/// The same for all contents; somebody's are sealed when there are more.
const ALL_OPEN_BLOCKS: usize = 1024;

/// A content that is in use. Keep it until [`Content::commit`]: what has not been committed goes with the
/// last reference, as it would in a crash.
///
/// Its lock is held for the sealing of a block at most. Lock order: the database's writer, this.
pub struct Content {
    pub(super) id: ContentId,
    pub(super) cid: Cid,
    pub(super) shared: Arc<Shared>,
    pub(super) sealer: Sealer,
    pub(super) own: Lazy,
    pub(super) fetched: Lazy,
    pub(super) state: Mutex<State>,
    /// See [`Content::keep_all`].
    pub(super) keeps_all: AtomicBool,
    /// One sync at a time: the second must wait for what the first has taken on.
    pub(super) syncing: Mutex<()>,
    /// What is left to bury when the last reader is gone.
    pub(super) grave: Mutex<Option<super::life::Grave>>,
}

/// What lies under the gaps of a content at one moment: an upload's end changes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Beneath {
    /// To be fetched.
    Version(Version),
    /// Another content, up to there.
    Base(ContentId, u64),
    /// Zeros.
    Nothing,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Content").field(&self.id.0).finish()
    }
}

impl Content {
    pub(super) fn new(
        shared: &Arc<Shared>,
        row: ContentRow,
        slots: Vec<(u64, Entry)>,
        fresh: bool,
    ) -> Result<Content> {
        let sealer = Sealer::new(&shared.key.derive(b"inxtfs content", &row.cid));
        let mut start = [0; 8];
        getrandom::fill(&mut start).map_err(|_| crate::crypto::seal::Error::Random)?;
        let mut state = State {
            staged: row.staged,
            enrolled: true,
            version: row.version,
            size: row.size,
            sealed_size: row.size,
            base: row.base,
            fill_at: row.fill_at,
            bytes: row.bytes,
            durable: row.durable,
            // Generations of a former life are never met again, be they committed or not.
            generation: u64::from_le_bytes(start) >> 2,
            last_used: Timestamp::now().as_millis(),
            ..State::default()
        };
        let own_slots = slots.iter().filter(|(_, e)| !e.loc.in_slab()).map(|(_, e)| e.loc.slot).collect();
        state.alloc = super::place::Alloc::new(own_slots);
        if row.staged && !row.durable && !fresh {
            state.unsynced = slots.iter().fold(0, |mask, (_, e)| mask | 1 << e.loc.place);
            (state.sealed, state.committed) = (1, 1);
        }
        state.map = slots.into_iter().collect();
        if fresh {
            state.absent.insert(0..block::count(row.size));
        }
        // Rows may name bytes behind a size that was never acknowledged; they must not come back as data.
        state.drop_behind(row.size);
        let own = Lazy::new(own_path(&shared.root, &row.cid, 's'));
        let fetched = Lazy::new(own_path(&shared.root, &row.cid, 'f'));
        Ok(Content {
            id: row.id,
            cid: row.cid,
            shared: shared.clone(),
            sealer,
            own,
            fetched,
            state: Mutex::new(state),
            keeps_all: AtomicBool::new(false),
            syncing: Mutex::new(()),
            grave: Mutex::new(None),
        })
    }

    /// The row.
    #[must_use]
    pub fn id(&self) -> ContentId {
        self.id
    }

    /// Bytes, as a reader sees it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.state.lock().size
    }

    /// Whether it holds local bytes that are in no version yet.
    #[must_use]
    pub fn is_staged(&self) -> bool {
        self.state.lock().staged
    }

    /// Whose bytes a cached content holds.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.state.lock().version.clone()
    }

    /// What shows through the gaps of a staged content, and up to where.
    #[must_use]
    pub fn base(&self) -> Option<(ContentId, u64)> {
        self.state.lock().base
    }

    /// What is to be read where this content has a gap: the version's bytes, or what shows through.
    #[must_use]
    pub fn beneath(&self) -> Beneath {
        let st = self.state.lock();
        match (&st.version, st.base) {
            (Some(version), _) if !st.staged => Beneath::Version(version.clone()),
            (_, Some((base, limit))) => Beneath::Base(base, limit),
            _ => Beneath::Nothing,
        }
    }

    /// From now on no writes: an upload reads it. For as long as somebody holds the content.
    pub fn freeze(&self) {
        self.state.lock().frozen = true;
    }

    /// Whether [`Content::freeze`] was called.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.state.lock().frozen
    }

    /// The bytes that were written, of a staged content.
    #[must_use]
    pub fn written(&self) -> ByteSet {
        self.state.lock().written()
    }

    /// Whether there is anything to seal or to commit.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.state.lock().is_clean()
    }

    /// Whether all that is committed would survive a loss of power.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.state.lock().durable
    }

    pub(super) fn label(&self, block: u64, generation: u64) -> Label {
        Label { cid: self.cid, block, generation }
    }

    /// The file of a place, if it exists.
    pub(super) fn file(&self, loc: Loc) -> Result<Option<Arc<std::fs::File>>> {
        if loc.in_slab() { self.shared.slabs.file(loc.place)?.get() } else { self.own.get() }
    }

    /// The plaintext of a sealed block; `None` if it does not open. `again`: it will be wanted again soon.
    pub(super) fn unseal(&self, block: u64, e: &Entry, again: bool) -> Result<Option<Bytes>> {
        let label = self.label(block, e.generation);
        if let Some(b) = self.shared.plain.get(&label) {
            return Ok(Some(b));
        }
        let slot = self.file(e.loc)?.map(|f| (f, e.loc.offset()));
        let bytes = self.open_slot(&label, e.len, slot)?;
        if let Some(b) = bytes.as_ref().filter(|_| again) {
            self.shared.plain.put(&label, b.clone());
        }
        Ok(bytes)
    }

    /// What a slot holds, if there is one and it opens as this block.
    pub(super) fn open_slot(
        &self,
        label: &Label,
        len: u32,
        slot: Option<(Arc<std::fs::File>, u64)>,
    ) -> Result<Option<Bytes>> {
        let Some((file, offset)) = slot else { return Ok(None) };
        slot::read(&file, offset, &self.sealer, label, len)
    }

    /// Writes to a staged content; the bytes may stay in memory until [`Content::seal`]. If it fails, a part
    /// may have been written.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let end = offset.checked_add(data.len() as u64).filter(|e| i64::try_from(*e).is_ok());
        let end = end.ok_or(Error::State("a file cannot be that large"))?;
        let mut st = self.state.lock();
        writable(&st, end)?;
        let before = st.open.len();
        let done = block::parts(offset..end).try_for_each(|part| {
            let from = usize::try_from(part.offset() - offset).unwrap_or(usize::MAX);
            self.write_part(&mut st, part, &data[from..from + part.len()])
        });
        self.count_open(&st, before);
        done
    }

    fn write_part(&self, st: &mut State, part: Part, data: &[u8]) -> Result<()> {
        if !st.open.contains_key(&part.block) {
            self.make_room(st)?;
            let open = match st.map.get(&part.block) {
                Some(e) if !covers(part, e) => {
                    let bytes = self.unseal(part.block, e, true)?;
                    let bytes = bytes.ok_or(Error::Damaged { content: self.id, block: part.block })?;
                    let held = e.set();
                    let end = usize::try_from(held.end()).unwrap_or(usize::MAX).min(bytes.len());
                    Open { data: bytes[..end].to_vec(), held, tick: 0 }
                }
                _ => Open::default(),
            };
            st.open.insert(part.block, open);
        }
        st.tick += 1;
        let tick = st.tick;
        if let Some(open) = st.open.get_mut(&part.block) {
            if open.data.len() <= part.start {
                open.data.resize(part.start, 0);
                open.data.extend_from_slice(data);
            } else {
                open.data.resize(open.data.len().max(part.end), 0);
                open.data[part.start..part.end].copy_from_slice(data);
            }
            open.held.insert(part.start as u64..part.end as u64);
            open.tick = tick;
        }
        st.size = st.size.max(part.offset() + data.len() as u64);
        st.meta_changed = true;
        Ok(())
    }

    /// Room for one more open block.
    fn make_room(&self, st: &mut State) -> Result<()> {
        while st.open.len() >= OPEN_BLOCKS {
            let Some(oldest) = st.open.iter().min_by_key(|(_, o)| o.tick).map(|(b, _)| *b) else { break };
            self.seal_block(st, oldest)?;
        }
        if self.shared.open_blocks.load(Ordering::Relaxed) >= ALL_OPEN_BLOCKS {
            self.seal_all(st)?;
            self.shared.cool_one();
        }
        Ok(())
    }

    /// Keeps the count of all open blocks.
    fn count_open(&self, st: &State, before: usize) {
        let now = st.open.len();
        if now > before {
            self.shared.open_blocks.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.shared.open_blocks.fetch_sub(before - now, Ordering::Relaxed);
        }
        if before == 0 && now > 0 {
            self.shared.hot.lock().push_back(self.id);
        }
    }

    /// Seals what is open, unless somebody is at work on it.
    pub(super) fn cool(&self) {
        if let Some(mut st) = self.state.try_lock() {
            let before = st.open.len();
            // What cannot be sealed stays open, and its own writer will hear of it.
            let _ = self.seal_all(&mut st);
            self.count_open(&st, before);
        }
    }

    /// Sets the size of a staged content. Bytes beyond it are gone for good, the base's too.
    pub fn truncate(&self, size: u64) -> Result<()> {
        i64::try_from(size).map_err(|_| Error::State("a file cannot be that large"))?;
        let mut st = self.state.lock();
        writable(&st, size)?;
        if size == st.size {
            return Ok(());
        }
        let before = st.open.len();
        let free = st.resize(size);
        self.count_open(&st, before);
        free.iter().for_each(|e| self.free(&mut st, e));
        Ok(())
    }

    /// Brings everything in memory to slots. Nothing is committed, nothing that is committed is touched.
    pub fn seal(&self) -> Result<()> {
        let mut st = self.state.lock();
        let before = st.open.len();
        let done = self.seal_all(&mut st);
        self.count_open(&st, before);
        done
    }

    fn seal_all(&self, st: &mut State) -> Result<()> {
        while let Some(block) = st.open.keys().next().copied() {
            self.seal_block(st, block)?;
        }
        Ok(())
    }

    fn seal_block(&self, st: &mut State, block: u64) -> Result<()> {
        let Some(open) = st.open.get(&block) else { return Ok(()) };
        if open.held.is_empty() {
            st.open.remove(&block);
        } else {
            let len = u32::try_from(open.data.len()).unwrap_or(u32::MAX);
            st.generation += 1;
            let label = self.label(block, st.generation);
            let small = block == 0 && st.size <= BLOCK;
            let loc = if small { self.shared.slabs.take(u64::from(len))? } else { Loc::own(st.alloc.take()) };
            let file = if small { self.shared.slabs.file(loc.place)?.make() } else { self.own.make() };
            let put = file.and_then(|f| slot::write(&f, loc.offset(), &self.sealer, &label, &open.data));
            if let Err(e) = put {
                self.give(st, loc);
                return Err(e);
            }
            let open = st.open.remove(&block).unwrap_or_default();
            let entry = Entry { loc, generation: label.generation, len, held: Held::of(open.held, len) };
            st.unsynced |= 1 << loc.place;
            st.sealed += 1;
            self.account(st, slot::footprint(len), 0);
            if let Some(old) = st.replace(block, Some(entry)) {
                self.free(st, &old);
            }
            self.shared.plain.put(&label, Bytes::from(open.data));
        }
        if st.open.is_empty() {
            st.sealed_size = st.size;
        }
        Ok(())
    }

    /// Takes a slot out of use.
    pub(super) fn free(&self, st: &mut State, e: &Entry) {
        self.account(st, 0, slot::footprint(e.len));
        self.give(st, e.loc);
    }

    pub(super) fn give(&self, st: &mut State, loc: Loc) {
        if loc.in_slab() { self.shared.slabs.give(loc) } else { st.alloc.give(loc.slot) }
    }

    pub(super) fn account(&self, st: &mut State, more: u64, less: u64) {
        let before = st.bytes;
        st.bytes = (before + more).saturating_sub(less);
        self.shared.count(st.staged, st.bytes, before);
    }

    /// Writes what has been sealed to the rows. What follows from the end of the transaction (slots that were
    /// replaced are freed, or the changes wait for the next commit) happens by itself.
    pub fn commit(self: &Arc<Self>, tx: &Tx) -> Result<()> {
        let (row, changes, sent) = {
            let mut st = self.state.lock();
            if st.changed.is_empty() && !st.meta_changed {
                return Ok(());
            }
            if !st.staged {
                return Err(Error::State("only a staged content is committed"));
            }
            let changes: Vec<_> = st.changed.keys().map(|b| (*b, st.map.get(b).cloned())).collect();
            st.committed = st.sealed;
            let open = !st.open.is_empty();
            let sent = st.send();
            // What is still open is left for a later commit.
            st.meta_changed = open;
            (self.row(&st), changes, sent)
        };
        let (content, durable) = (self.clone(), row.durable);
        self.shared.db.on_end(tx, move |committed| content.ended(sent, committed, durable));
        self.enrol_in(tx, &row)?;
        if !rows::update(tx, &row, &self.shared.boot)? {
            return Err(Error::Gone(self.id));
        }
        for (block, entry) in &changes {
            match entry {
                Some(e) => rows::put_slot(tx, self.id, *block, e)?,
                None => rows::delete_slot(tx, self.id, *block)?,
            }
        }
        Ok(())
    }

    pub(super) fn row(&self, st: &State) -> ContentRow {
        ContentRow {
            id: self.id,
            cid: self.cid,
            staged: st.staged,
            version: st.version.clone(),
            size: st.sealed_size,
            base: st.base,
            fill_at: st.fill_at,
            durable: st.synced >= st.sealed,
            bytes: st.bytes,
        }
    }

    fn ended(self: Arc<Self>, sent: Sent, committed: bool, durable: bool) {
        let mut st = self.state.lock();
        if !committed {
            let free = st.undo(sent);
            free.iter().for_each(|e| self.free(&mut st, e));
            return;
        }
        st.durable = durable;
        let free = State::confirm(sent);
        drop(st);
        if !free.is_empty() {
            // Until then a loss of power may bring back the rows that name these slots.
            let db = self.shared.db.clone();
            db.when_durable(move || {
                let mut st = self.state.lock();
                free.iter().for_each(|e| self.free(&mut st, e));
            });
        }
    }
}

/// Whether bytes may come, and the content reach `size`.
fn writable(st: &State, size: u64) -> Result<()> {
    if size > BLOCK && !st.enrolled {
        return Err(Error::State("a content of more than a block needs a row first"));
    }
    match (st.staged, st.frozen) {
        (false, _) => Err(Error::State("a cached content is never written")),
        (true, true) => Err(Error::State("it is being uploaded")),
        (true, false) => Ok(()),
    }
}

/// Whether a write of `part` leaves nothing of what the block holds.
fn covers(part: Part, e: &Entry) -> bool {
    let set = e.set();
    set.iter().next().is_none_or(|r| part.start as u64 <= r.start) && set.end() <= part.end as u64
}

impl Drop for Content {
    fn drop(&mut self) {
        let grave = self.grave.lock().take();
        let mut st = self.state.lock();
        self.shared.open_blocks.fetch_sub(st.open.len(), Ordering::Relaxed);
        for e in st.uncommitted() {
            self.free(&mut st, &e);
        }
        self.shared.closed(self.id, (st.bytes, st.last_used), grave.is_some());
        if let Some(mut grave) = grave {
            (grave.bytes, grave.staged) = (st.bytes, st.staged);
            self.shared.bury(grave);
        }
    }
}
