//! Making the blocks of a staged content whole: once it is uploaded, what showed through from its base would be absent.

use std::sync::Arc;

use super::content::Content;
use super::place::Loc;
use super::slot;
use super::state::{Entry, Held};
use super::{Error, Result};
use crate::block::{self, BLOCK};

impl Content {
    /// The blocks that are not wholly the content's own, of a staged one: what lies under them is its base's, or zeros.
    #[must_use]
    pub fn incomplete(&self) -> Vec<u64> {
        let st = self.state.lock();
        (0..block::count(st.size)).filter(|b| st.map.get(b).is_none_or(|e| !st.is_complete(*b, e))).collect()
    }

    /// Takes a block's bytes, as a reader sees them, for the content's own. What a reader sees does not change, so a
    /// frozen content takes them too. To be synced, then committed: until then the rows name what they did.
    pub fn complete(self: &Arc<Self>, block: u64, bytes: &[u8]) -> Result<()> {
        let mut st = self.state.lock();
        if !st.staged || !st.frozen || !st.open.is_empty() || bytes.len() != block::len(block, st.size) {
            return Err(Error::State("only whole blocks of a frozen staged content are completed"));
        }
        st.generation += 1;
        let label = self.label(block, st.generation);
        let small = st.size <= BLOCK;
        let loc = if small { self.shared.slabs.take(st.size)? } else { Loc::own(st.alloc.take()) };
        let file = if small { self.shared.slabs.file(loc.place)?.make() } else { self.own.make() };
        if let Err(e) = file.and_then(|f| slot::write(&f, loc.offset(), &self.sealer, &label, bytes)) {
            self.give(&mut st, loc);
            return Err(e);
        }
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        st.unsynced |= 1 << loc.place;
        st.sealed += 1;
        self.account(&mut st, slot::footprint(len), 0);
        let entry = Entry { loc, generation: label.generation, len, held: Held::all() };
        if let Some(old) = st.replace(block, Some(entry)) {
            self.free(&mut st, &old);
        }
        Ok(())
    }
}
