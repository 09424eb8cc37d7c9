//! What a start does not read, since it grows with the cache: which slab slots are free, and the sums over the rows.
//! Until it is read in the background, slabs grow at their ends and the sums are those saved last.
//!
//! It is read from the state that the store was opened with: what changes since then is counted as it changes, and a slot
//! that was free then is in nobody's hands.

use std::sync::atomic::Ordering;

use super::{Blocks, Result, rows};
use crate::store::db::Snapshot;

pub(super) struct Unread {
    then: Snapshot,
    /// The sums that were believed: cached, staged.
    believed: (u64, u64),
}

impl Blocks {
    /// At the start, before anything changes. `now`: there is little to read.
    pub(super) fn begin_reading(&self, now: bool) -> Result<()> {
        let (cached, staged) = self.0.db.read(rows::totals)?;
        self.0.cached.store(cached, Ordering::Relaxed);
        self.0.staged.store(staged, Ordering::Relaxed);
        *self.0.unread.lock() = Some(Unread { then: self.0.db.snapshot()?, believed: (cached, staged) });
        if now { self.read_rest() } else { Ok(()) }
    }

    /// Reads it, if that was not done.
    pub(in crate::store) fn read_rest(&self) -> Result<()> {
        let mut waiting = self.0.unread.lock();
        let Some(unread) = waiting.as_ref() else { return Ok(()) };
        let used = rows::slab_slots(unread.then.conn())?;
        let (cached, staged) = rows::sums(unread.then.conn())?;
        self.0.count(false, cached, unread.believed.0);
        self.0.count(true, staged, unread.believed.1);
        self.0.slabs.fill_gaps(used);
        *waiting = None;
        Ok(())
    }
}
