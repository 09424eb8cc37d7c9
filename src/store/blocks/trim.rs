//! Taking blocks out of a cached content that may be in use.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::content::Content;
use super::place::{self, Loc};
use super::slot::{self, STRIDE};
use super::state::{Entry, State};
use super::{Result, Tx, rows};
use crate::block::{self, BLOCK};

/// Blocks that are of one age.
const SEGMENT: u64 = 64;

/// Fetched blocks that were marked absent, and whose pages are to go. No fill touches them meanwhile.
pub(super) struct Hole {
    content: Arc<Content>,
    file: Arc<File>,
    blocks: Vec<u64>,
}

impl State {
    /// Blocks of a segment are in use now.
    pub(super) fn touch(&mut self, blocks: Range<u64>) {
        if blocks.start < blocks.end {
            for segment in blocks.start / SEGMENT..=(blocks.end - 1) / SEGMENT {
                self.clock += 1;
                self.used.insert(segment, self.clock);
            }
        }
    }
}

impl Content {
    /// Marks blocks absent, of the segments that were not used for the longest time, until about `want` bytes will be free:
    /// adopted ones with the transaction, fetched ones at once (their holes are the caller's to make). Nothing of a
    /// content that shares a slab: it is too small. Returns the bytes that will be free.
    pub(super) fn trim(self: &Arc<Self>, tx: &Tx, want: u64, holes: &mut Vec<Hole>) -> Result<u64> {
        let size = self.size();
        if block::count(size) <= 1 || self.shared.no_holes.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let fetched = self.fetched.get()?;
        let mut freed = 0;
        for segment in self.segments_by_age(fetched.as_deref()) {
            if freed >= want {
                break;
            }
            let blocks = segment * SEGMENT..((segment + 1) * SEGMENT).min(block::count(size));
            let missing = self.missing(blocks.start * BLOCK..(blocks.end * BLOCK).min(size))?;
            let missing: HashSet<u64> =
                missing.into_iter().flat_map(|r| block::index(r.start)..block::count(r.end)).collect();
            let here: Vec<u64> = blocks.filter(|b| !missing.contains(b)).collect();
            let (gone, adopted, bytes) = self.mark(segment, &here);
            freed += bytes;
            if let Some(file) = fetched.clone().filter(|_| !gone.is_empty()) {
                holes.push(Hole { content: self.clone(), file, blocks: gone });
            }
            self.give_up(tx, adopted)?;
        }
        Ok(freed)
    }

    /// Segments that may hold something: those of which nothing is known first, then the longest unused.
    fn segments_by_age(&self, fetched: Option<&File>) -> Vec<u64> {
        let (known, mapped, count) = {
            let st = self.state.lock();
            let mapped: BTreeSet<u64> = st.map.keys().map(|b| b / SEGMENT).collect();
            (st.used.clone(), mapped, block::count(st.size))
        };
        let mut found = mapped;
        let mut at = 0;
        while at < count
            && let Some(data) = fetched.and_then(|f| place::next_data(f, at * STRIDE))
        {
            let segment = data / STRIDE / SEGMENT;
            found.insert(segment);
            at = (segment + 1) * SEGMENT;
        }
        let mut order: Vec<u64> = found.into_iter().collect();
        order.sort_by_key(|s| known.get(s).copied().unwrap_or(0));
        order
    }

    /// Takes the blocks that are `here` out of use: fetched ones now; adopted ones are for the transaction.
    fn mark(&self, segment: u64, here: &[u64]) -> (Vec<u64>, Vec<(u64, Entry)>, u64) {
        let mut st = self.state.lock();
        let (mut gone, mut adopted, mut bytes) = (Vec::new(), Vec::new(), 0);
        if st.staged {
            return (gone, adopted, bytes);
        }
        for &b in here {
            if let Some(e) = st.map.get(&b) {
                bytes += slot::footprint(e.len);
                adopted.push((b, e.clone()));
            } else if st.filling.insert(b) {
                st.present.remove(b..b + 1);
                st.absent.insert(b..b + 1);
                bytes += self.footprint_of(&st, b);
                gone.push(b);
            }
        }
        st.used.remove(&segment);
        st.trims += 1;
        (gone, adopted, bytes)
    }

    fn footprint_of(&self, st: &State, block: u64) -> u64 {
        slot::footprint(u32::try_from(block::len(block, st.size)).unwrap_or(u32::MAX))
    }

    /// Adopted blocks leave their rows with the transaction, and the disk once that is durable.
    fn give_up(self: &Arc<Self>, tx: &Tx, blocks: Vec<(u64, Entry)>) -> Result<()> {
        if blocks.is_empty() {
            return Ok(());
        }
        for (b, _) in &blocks {
            rows::delete_slot(tx, self.id, *b)?;
        }
        let content = self.clone();
        self.shared.db.on_end(tx, move |committed| {
            if !committed {
                return;
            }
            let mut st = content.state.lock();
            for (b, e) in &blocks {
                if st.map.get(b).is_some_and(|now| now.loc == e.loc) {
                    st.map.remove(b);
                }
                st.absent.insert(*b..*b + 1);
            }
            drop(st);
            let entries: Vec<Entry> = blocks.into_iter().map(|(_, e)| e).collect();
            let shared = content.shared.clone();
            shared.db.when_durable(move || content.vacate(&entries));
        });
        Ok(())
    }
}

impl Hole {
    /// Gives the pages to the disk. Where that cannot be done, the blocks are as they were.
    pub(super) fn make(self) {
        for run in runs(&self.blocks) {
            let pages = (run.end - run.start) * STRIDE;
            let made = place::punch(&self.file, Loc::own(run.start).offset(), pages);
            run.clone().for_each(|b| self.content.shared.plain.remove(&self.content.label(b, 0)));
            let mut st = self.content.state.lock();
            let bytes: u64 = run.clone().map(|b| self.content.footprint_of(&st, b)).sum();
            run.clone().for_each(|b| _ = st.filling.remove(&b));
            if made {
                self.content.account(&mut st, 0, bytes);
            } else {
                // What is here shows when it is read.
                st.absent.remove(run);
                self.content.shared.no_holes.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Ascending numbers as ranges.
fn runs(blocks: &[u64]) -> impl Iterator<Item = Range<u64>> {
    blocks.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]..run[0] + run.len() as u64)
}
