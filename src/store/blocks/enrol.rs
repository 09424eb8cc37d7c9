//! The beginning of a new content: small ones get their row from the transaction that first has something to say in it.

use std::sync::Arc;

use super::rows::{self, ContentRow};
use super::{Blocks, Content, ContentId, Error, Result, Tx, blank};
use crate::block::BLOCK;

impl Blocks {
    /// A new staged content of no bytes, on top of nothing. Its row is made by its first commit; see
    /// [`Content::reach`] for more than a block.
    pub fn stage_new(&self) -> Result<Arc<Content>> {
        let id = match self.reserved() {
            Some(id) => id,
            None => {
                let numbers = self.0.db.write(rows::reserve)?;
                let mut left = self.0.numbers.lock();
                // Another's are as good; these are then nobody's.
                if left.is_empty() {
                    *left = numbers;
                }
                left.next().map(ContentId).ok_or(Error::State("no numbers for new contents"))?
            }
        };
        let row = ContentRow { id, staged: true, ..blank(0)? };
        let content = Arc::new(Content::new(&self.0, row, Vec::new(), true)?);
        content.state.lock().enrolled = false;
        self.0.table.lock().live.insert(content.id, Arc::downgrade(&content));
        Ok(content)
    }

    fn reserved(&self) -> Option<ContentId> {
        self.0.numbers.lock().next().map(ContentId)
    }
}

impl Content {
    /// Makes ready for a size of `size`: what does not fit into a slab has a file of its own, and that wants a row, lest
    /// nobody know of it after a crash. A transaction of its own, once.
    pub fn reach(self: &Arc<Self>, size: u64) -> Result<()> {
        if size <= BLOCK || self.state.lock().enrolled {
            return Ok(());
        }
        let db = self.shared.db.clone();
        db.write(|tx| {
            let row = self.row(&self.state.lock());
            self.enrol_in(tx, &row)
        })
    }

    /// Makes the row of a content of [`Blocks::stage_new`](super::Blocks::stage_new) that has none yet.
    pub(super) fn enrol_in(self: &Arc<Self>, tx: &Tx, row: &ContentRow) -> Result<()> {
        let enrolled = std::mem::replace(&mut self.state.lock().enrolled, true);
        if enrolled {
            return Ok(());
        }
        let content = self.clone();
        self.shared.db.on_end(tx, move |committed| content.state.lock().enrolled = committed);
        rows::insert(tx, row, &self.shared.boot)?;
        Ok(())
    }
}
