//! Durability: which contents would survive a loss of power.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::{Blocks, Conn, Content, ContentId, Error, Result, Tx};

impl Blocks {
    /// Brings what has been sealed of these contents to the disk: each file once, however many contents share
    /// it. Slow: never under a lock of the caller's. Tells of each whether it worked.
    pub fn sync(&self, contents: &[Arc<Content>]) -> Vec<Result<()>> {
        let mut order: Vec<usize> = (0..contents.len()).collect();
        // Two callers meet in one order.
        order.sort_unstable_by_key(|i| contents[*i].id);
        order.dedup_by_key(|i| contents[*i].id);
        let ones: Vec<_> = order.iter().map(|i| contents[*i].syncing.lock()).collect();
        let taken: BTreeMap<usize, (u8, u64)> =
            order.iter().map(|i| (*i, contents[*i].take_unsynced())).collect();
        let slabs = taken.values().fold(0, |all, (mask, _)| all | mask);
        let mut failed = 0u8;
        let mut why = None;
        for place in (1..8u8).filter(|p| slabs & 1 << p != 0) {
            if let Err(e) = self.0.slabs.file(place).and_then(super::place::Lazy::sync) {
                failed |= 1 << place;
                why = Some(e);
            }
        }
        let again = || match &why {
            Some(Error::Full) => Error::Full,
            other => {
                std::io::Error::other(other.as_ref().map(ToString::to_string).unwrap_or_default()).into()
            }
        };
        let mut out: Vec<Result<()>> = contents.iter().map(|_| Ok(())).collect();
        for (i, (mask, sealed)) in taken {
            let content = &contents[i];
            let slab = if mask & failed == 0 { Ok(()) } else { Err(again()) };
            let done = slab.and_then(|()| if mask & 1 == 0 { Ok(()) } else { content.own.sync() });
            content.synced(mask, sealed, done.is_ok());
            out[i] = done;
        }
        drop(ones);
        out
    }

    /// Whether all of a content that is committed would survive a loss of power, as `conn` sees it.
    pub fn is_durable(&self, conn: &Conn, id: ContentId) -> Result<bool> {
        let sql = "SELECT durable FROM contents WHERE id = ?1";
        Ok(conn.prepare_cached(sql)?.query_row([id.0], |r| r.get(0)).optional()?.unwrap_or(false))
    }

    /// Staged contents that were committed since the machine started, and are not known to be durable.
    pub fn unsynced(&self, conn: &Conn) -> Result<Vec<ContentId>> {
        let sql = "SELECT id FROM contents WHERE state = 1 AND durable = 0 AND boot = ?1";
        let mut stmt = conn.prepare_cached(sql)?;
        let ids = stmt.query_map([&self.0.boot], |r| Ok(ContentId(r.get(0)?)))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// What [`Blocks::check_after_boot`] found whole counts as committed since the machine started.
    pub fn vouch(&self, tx: &Tx, id: ContentId) -> Result<()> {
        tx.prepare_cached("UPDATE contents SET boot = ?2 WHERE id = ?1")?.execute((id.0, &self.0.boot))?;
        Ok(())
    }
}

impl Content {
    /// Brings what has been sealed to the disk (fdatasync). Slow: never under a lock of the caller's.
    pub fn sync(self: &Arc<Self>) -> Result<()> {
        Blocks(self.shared.clone()).sync(std::slice::from_ref(self)).pop().unwrap_or(Ok(()))
    }

    /// Brings the fetched blocks of a cached content to the disk: when they cannot be fetched again.
    pub fn sync_fetched(&self) -> Result<()> {
        let fill_at = self.state.lock().fill_at;
        match fill_at {
            Some(loc) if loc.in_slab() => self.shared.slabs.file(loc.place)?.sync(),
            _ => self.fetched.sync(),
        }
    }

    /// Whether all that has been sealed is on the disk.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let st = self.state.lock();
        st.synced >= st.sealed
    }

    fn take_unsynced(&self) -> (u8, u64) {
        let mut st = self.state.lock();
        (std::mem::take(&mut st.unsynced), st.sealed)
    }

    fn synced(&self, mask: u8, sealed: u64, done: bool) {
        let mut st = self.state.lock();
        if done {
            st.synced = sealed;
        } else {
            st.unsynced |= mask;
        }
    }

    /// Marks the content durable if [`Content::sync`] came after the sealing of all that is committed; says
    /// whether it did.
    pub fn mark_durable(self: &Arc<Self>, tx: &Tx) -> Result<bool> {
        {
            let st = self.state.lock();
            if st.synced < st.committed {
                return Ok(false);
            }
        }
        tx.prepare_cached("UPDATE contents SET durable = 1 WHERE id = ?1")?.execute([self.id.0])?;
        let content = self.clone();
        self.shared.db.on_end(tx, move |committed| {
            if committed {
                content.state.lock().durable = true;
            }
        });
        Ok(true)
    }
}
