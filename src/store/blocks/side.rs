//! Reading whole blocks that lie side by side: with one call, into the memory of the answer.

use std::fs::File;
use std::sync::Arc;

use super::content::Content;
use super::place::Loc;
use super::read::Step;
use super::slot::{self, Label};
use super::{Piece, Result};
use crate::block::{self, Part};

/// A slot that holds a whole block, all of which is wanted.
struct Slot {
    label: Label,
    loc: Loc,
    /// In the file of what was fetched, not in the content's own.
    fetched: bool,
}

impl Content {
    /// What steps come to that want whole blocks, if their slots follow one another in a file and all of them open. Else
    /// `None`: each step is to be followed by itself.
    pub(super) fn read_side_by_side(&self, steps: &[Step]) -> Result<Option<Piece>> {
        let slots: Option<Vec<Slot>> = steps.iter().map(|s| self.whole(s)).collect();
        let Some(slots) = slots.filter(|s| s.len() > 1 && follow(s)) else { return Ok(None) };
        let labels: Vec<Label> = slots.iter().map(|s| s.label).collect();
        if labels.iter().any(|l| self.shared.plain.holds(l)) {
            return Ok(None);
        }
        let Some(file) = self.file_of(&slots[0])? else { return Ok(None) };
        let bytes = slot::read_all(&file, slots[0].loc.offset(), &self.sealer, &labels)?;
        if bytes.is_some() && slots[0].fetched {
            labels.iter().for_each(|l| self.note_present(l.block, None));
        }
        Ok(bytes.map(|b| Piece::Data(block::range(labels[0].block).start, b)))
    }

    fn whole(&self, step: &Step) -> Option<Slot> {
        let all = |part: &Part, len: u32| part.len() == block::LEN && len as usize == block::LEN;
        let (label, loc, fetched) = match step {
            Step::Fetched(part, loc, len, _) if all(part, *len) => (self.label(part.block, 0), *loc, true),
            Step::Sealed(part, e, _) if all(part, e.len) && e.held.partial().is_none() => {
                (self.label(part.block, e.generation), e.loc, false)
            }
            _ => return None,
        };
        (!loc.in_slab()).then_some(Slot { label, loc, fetched })
    }

    fn file_of(&self, slot: &Slot) -> Result<Option<Arc<File>>> {
        if slot.fetched { self.fetched.get() } else { self.own.get() }
    }
}

fn follow(slots: &[Slot]) -> bool {
    slots.windows(2).all(|w| w[0].fetched == w[1].fetched && w[0].loc.slot + 1 == w[1].loc.slot)
}
