//! Reading a content.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::content::Content;
use super::place::Loc;
use super::slot;
use super::state::{Entry, State};
use super::{Error, Piece, Result};
use crate::block::{self, BLOCK, Part};
use crate::extent::ByteSet;
use crate::types::Timestamp;

/// What holes of an uploaded content are read from.
static ZEROS: [u8; block::LEN] = [0; block::LEN];

/// How a part of a read is to be answered.
pub(super) enum Step {
    Done(Vec<Piece>),
    /// With what is not held of the block: gaps, or zeros. Whether it was staged when this was planned: it may be
    /// adopted at any moment.
    Sealed(Part, Entry, Holes),
    /// And how many evictions there had been by then.
    Fetched(Part, Loc, u32, u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    Gaps,
    Zeros,
}

impl Content {
    /// What is here of `range`, cut at the size: pieces in order, without a hole between them.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<Piece>> {
        self.follow(self.steps(range))
    }

    pub(super) fn steps(&self, range: Range<u64>) -> Vec<Step> {
        let mut st = self.state.lock();
        st.last_used = Timestamp::now().as_millis();
        let range = range.start..range.end.min(st.size);
        if !st.staged && range.start < range.end {
            st.touch(block::index(range.start)..block::count(range.end));
        }
        block::parts(range).map(|p| plan(&st, p)).collect()
    }

    pub(super) fn follow(&self, steps: Vec<Step>) -> Result<Vec<Piece>> {
        if let Some(piece) = self.read_side_by_side(&steps)? {
            return Ok(vec![piece]);
        }
        let mut out = Vec::with_capacity(steps.len());
        for step in steps {
            self.resolve(step, &mut out)?;
        }
        Ok(out)
    }

    fn resolve(&self, mut step: Step, out: &mut Vec<Piece>) -> Result<()> {
        loop {
            match step {
                Step::Done(pieces) => {
                    pieces.into_iter().for_each(|p| push(out, p));
                    return Ok(());
                }
                Step::Sealed(part, entry, holes) => {
                    match self.unseal(part.block, &entry, is_part(part, entry.len))? {
                        Some(bytes) => {
                            cut(part, &entry.set(), &bytes, holes, out);
                            return Ok(());
                        }
                        None => step = self.not_opened(part, &entry)?,
                    }
                }
                Step::Fetched(part, loc, len, trims) => {
                    let label = self.label(part.block, 0);
                    let known = self.shared.plain.get(&label);
                    let on_disk = known.is_none();
                    let bytes = match known {
                        None => self.open_slot(&label, len, self.fetched_at(loc)?)?,
                        known => known,
                    };
                    match bytes {
                        Some(bytes) => {
                            if on_disk {
                                let again = is_part(part, len).then_some(&bytes);
                                self.note_present(part.block, again);
                            }
                            push(out, Piece::Data(part.offset(), bytes.slice(part.start..part.end)));
                        }
                        None => {
                            let mut st = self.state.lock();
                            // What was evicted since is known to be absent, or here again.
                            if st.trims == trims && !st.filling.contains(&part.block) {
                                st.present.remove(part.block..part.block + 1);
                                st.absent.insert(part.block..part.block + 1);
                            }
                            drop(st);
                            push(out, gap(part));
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    /// A fetched block was read from the disk; of what will be wanted again soon, the bytes.
    pub(super) fn note_present(&self, block: u64, again: Option<&Bytes>) {
        let mut st = self.state.lock();
        let one = block..block + 1;
        // Evicted meanwhile: absent, though these bytes were still there.
        if st.absent.contains(one.clone()) {
            return;
        }
        st.present.insert(one);
        if let Some(bytes) = again {
            self.shared.plain.put(&self.label(block, 0), bytes.clone());
        }
    }

    /// A slot did not open. It may have been replaced since it was looked up; else it is damaged.
    fn not_opened(&self, part: Part, entry: &Entry) -> Result<Step> {
        let mut st = self.state.lock();
        let same =
            st.map.get(&part.block).is_some_and(|e| (e.loc, e.generation) == (entry.loc, entry.generation));
        if !same || st.open.contains_key(&part.block) {
            return Ok(plan(&st, part));
        }
        if st.staged {
            return Err(Error::Damaged { content: self.id, block: part.block });
        }
        // Uploaded bytes can be fetched again.
        st.map.remove(&part.block);
        st.absent.insert(part.block..part.block + 1);
        Ok(Step::Done(vec![gap(part)]))
    }

    fn fetched_at(&self, loc: Loc) -> Result<Option<(Arc<File>, u64)>> {
        let file = if loc.in_slab() { self.file(loc)? } else { self.fetched.get()? };
        Ok(file.map(|f| (f, loc.offset())))
    }

    /// Whether all blocks are likely to be here, by the space they take: costs no look at the disk.
    #[must_use]
    pub fn looks_whole(&self) -> bool {
        let st = self.state.lock();
        let Some(last) = block::count(st.size).checked_sub(1) else { return true };
        let print = |block| slot::footprint(u32::try_from(block::len(block, st.size)).unwrap_or(u32::MAX));
        st.bytes >= last * print(0) + print(last)
    }

    /// The blocks of `range` that are not here, of a cached content (a staged one has gaps, see
    /// [`Content::read`]). A block may be found damaged, and so missing, only by reading it.
    pub fn missing(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let (blocks, unknown, size, fill_at) = {
            let st = self.state.lock();
            let range = block::align(range, st.size);
            let blocks = block::index(range.start)..block::count(range.end);
            let mut here = st.present.clone();
            for (b, _) in st.map.range(blocks.clone()) {
                here.insert(*b..*b + 1);
            }
            let lacking: ByteSet = here.gaps(blocks.clone()).collect();
            let unknown: Vec<u64> =
                lacking.iter().flatten().filter(|b| !st.absent.contains(*b..*b + 1)).collect();
            (lacking, unknown, st.size, st.fill_at)
        };
        let mut missing = blocks;
        for block in unknown {
            let loc = fill_at.unwrap_or(Loc::own(block));
            let len = u32::try_from(block::len(block, size)).unwrap_or(u32::MAX);
            if let Some((file, offset)) = self.fetched_at(loc)?
                && slot::peek(&file, offset, &self.label(block, 0), len)?
            {
                missing.remove(block..block + 1);
            }
        }
        Ok(missing.iter().map(|r| r.start * BLOCK..(r.end * BLOCK).min(size)).collect())
    }
}

/// Where a part is to be read. What is open is copied here, under the lock.
fn plan(st: &State, part: Part) -> Step {
    if let Some(open) = st.open.get(&part.block) {
        let mut pieces = Vec::new();
        let end = part.end.min(open.data.len());
        if open.held.contains(part.start as u64..part.end as u64) {
            pieces.push(Piece::Data(part.offset(), Bytes::copy_from_slice(&open.data[part.start..part.end])));
        } else {
            let bytes = Bytes::copy_from_slice(open.data.get(..end).unwrap_or_default());
            cut(part, &open.held, &bytes, Holes::Gaps, &mut pieces);
        }
        return Step::Done(pieces);
    }
    if let Some(entry) = st.map.get(&part.block) {
        return Step::Sealed(part, entry.clone(), if st.staged { Holes::Gaps } else { Holes::Zeros });
    }
    if st.staged || st.absent.contains(part.block..part.block + 1) {
        return Step::Done(vec![gap(part)]);
    }
    let loc = st.fill_at.unwrap_or(Loc::own(part.block));
    let len = block::len(part.block, st.size);
    Step::Fetched(part, loc, u32::try_from(len).unwrap_or(u32::MAX), st.trims)
}

/// Whether the rest of a block is likely to be wanted next. Who reads whole blocks would only push those of others out,
/// and use ever new memory.
fn is_part(part: Part, len: u32) -> bool {
    part.len() < len as usize
}

fn gap(part: Part) -> Piece {
    Piece::Gap(part.offset()..part.offset() + part.len() as u64)
}

/// The part of a block whose plaintext is `bytes`, of which `held` counts; the rest are zeros or gaps.
#[allow(clippy::cast_possible_truncation)] // Offsets within a block.
fn cut(part: Part, held: &ByteSet, bytes: &Bytes, holes: Holes, out: &mut Vec<Piece>) {
    let base = part.block * BLOCK;
    let hole = |r: Range<u64>, out: &mut Vec<Piece>| {
        if r.start >= r.end {
            return;
        }
        if holes == Holes::Zeros {
            push(out, Piece::Data(base + r.start, Bytes::from_static(&ZEROS[..(r.end - r.start) as usize])));
        } else {
            push(out, Piece::Gap(base + r.start..base + r.end));
        }
    };
    let mut at = part.start as u64;
    for r in held.within(part.start as u64..part.end as u64) {
        hole(at..r.start, out);
        push(out, Piece::Data(base + r.start, bytes.slice(r.start as usize..r.end as usize)));
        at = r.end;
    }
    hole(at..part.end as u64, out);
}

/// Appends; gaps that meet become one.
fn push(out: &mut Vec<Piece>, piece: Piece) {
    if let (Some(Piece::Gap(last)), Piece::Gap(next)) = (out.last_mut(), &piece)
        && last.end == next.start
    {
        last.end = next.end;
        return;
    }
    out.push(piece);
}
