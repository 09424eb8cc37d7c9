//! Filling a cached content with what was fetched.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::content::Content;
use super::place::Loc;
use super::{Error, Result, slot};
use crate::block::{self, BLOCK};

/// Blocks that are written with one call: the system's cost of one falls by a third with eight.
pub const FILL_AT_ONCE: usize = 8;

/// A block on its way to its slot: nobody else fills it meanwhile, and the cache counts it already.
struct Filling {
    block: u64,
    loc: Loc,
    data: Bytes,
}

impl Filling {
    fn footprint(&self) -> u64 {
        slot::footprint(u32::try_from(self.data.len()).unwrap_or(u32::MAX))
    }
}

impl Content {
    /// Keeps fetched bytes of a cached content. `offset` and the end lie on block boundaries, or the end is
    /// that of the content. What is here already is not written again; what the cache's bound does not allow is
    /// not kept, and stays missing.
    pub fn fill(&self, offset: u64, data: &[u8]) -> Result<()> {
        let blocks: Vec<_> = data.chunks(block::LEN).map(Bytes::copy_from_slice).collect();
        self.fill_blocks(offset, &blocks)
    }

    /// The same of blocks that follow one another, each of which owns about as much memory as it shows: they are kept,
    /// not copied.
    pub fn fill_blocks(&self, offset: u64, blocks: &[Bytes]) -> Result<()> {
        self.may_fill(offset, blocks)?;
        let mut batch: Vec<Filling> = Vec::new();
        for (block, data) in (block::index(offset)..).zip(blocks) {
            if batch.len() == FILL_AT_ONCE || batch.last().is_some_and(|last| last.block + 1 != block) {
                self.fill_batch(std::mem::take(&mut batch))?;
            }
            batch.extend(self.begin_fill(block, data.clone()));
        }
        self.fill_batch(batch)
    }

    fn may_fill(&self, offset: u64, blocks: &[Bytes]) -> Result<()> {
        let st = self.state.lock();
        if st.staged {
            return Err(Error::State("fetched bytes do not belong to a staged content"));
        }
        let end = offset + blocks.iter().map(|b| b.len() as u64).sum::<u64>();
        let whole = blocks.iter().rev().skip(1).all(|b| b.len() == block::LEN);
        let ends = end <= st.size && (end.is_multiple_of(BLOCK) || end == st.size);
        if whole && ends && offset.is_multiple_of(BLOCK) {
            Ok(())
        } else {
            Err(Error::State("whole blocks only"))
        }
    }

    /// All that is fetched of it from now on is kept, whatever the cache's bound: an upload needs it, or it may be
    /// nowhere else soon.
    pub fn keep_all(&self) {
        self.keeps_all.store(true, Ordering::Relaxed);
    }

    /// Where to put a block: if it is not here, nobody else is about to put it there, and there is room.
    fn begin_fill(&self, block: u64, data: Bytes) -> Option<Filling> {
        let mut st = self.state.lock();
        let here = st.map.contains_key(&block) || st.present.contains(block..block + 1);
        if here || st.filling.contains(&block) {
            return None;
        }
        let filling = Filling { block, loc: st.fill_at.unwrap_or(Loc::own(block)), data };
        self.take_room(filling.footprint()).then(|| {
            st.filling.insert(block);
            filling
        })
    }

    /// Counts so many bytes more, if the cache's bound allows them.
    fn take_room(&self, more: u64) -> bool {
        let bound = self.shared.bound.load(Ordering::Relaxed);
        let all = self.keeps_all.load(Ordering::Relaxed);
        let step = |used: u64| used.checked_add(more).filter(|then| all || *then <= bound);
        self.shared.cached.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }

    /// Writes blocks that follow one another.
    fn fill_batch(&self, batch: Vec<Filling>) -> Result<()> {
        let Some(first) = batch.first() else { return Ok(()) };
        let written = self.write_slots(first.loc, &batch);
        let bytes = batch.iter().map(Filling::footprint).sum();
        let blocks = first.block..first.block + batch.len() as u64;
        let mut st = self.state.lock();
        blocks.clone().for_each(|b| _ = st.filling.remove(&b));
        if let Err(e) = written {
            self.shared.count(false, 0, bytes);
            return Err(e);
        }
        st.present.insert(blocks.clone());
        st.absent.remove(blocks.clone());
        st.touch(blocks);
        st.bytes += bytes;
        Ok(())
    }

    fn write_slots(&self, first: Loc, batch: &[Filling]) -> Result<()> {
        let file =
            if first.in_slab() { self.shared.slabs.file(first.place)?.make() } else { self.fetched.make() }?;
        let blocks: Vec<_> = batch.iter().map(|f| (self.label(f.block, 0), &f.data[..])).collect();
        slot::write_all(&file, first.offset(), &self.sealer, &blocks)?;
        for (f, (label, _)) in batch.iter().zip(&blocks) {
            self.shared.plain.put(label, f.data.clone());
        }
        Ok(())
    }
}
