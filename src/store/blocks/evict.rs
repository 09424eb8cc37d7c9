//! Eviction: what was not used for the longest time goes first, whole contents or parts of large ones.
//!
//! A content that nobody has in use goes as a whole: its row, then its files. Of one in use, and of one that is much
//! larger than what is wanted, blocks go by segments, the longest untouched first: they are marked absent, then holes are
//! made in the file. A reader that was about to read such a slot finds it absent, since a slot opens or does not.
//!
//! What must not go is chosen within the transaction that takes it: a content cannot become another's base, or pinned, in
//! between.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use rusqlite::OptionalExtension;

use super::content::Content;
use super::trim::Hole;
use super::{Arc, Blocks, ContentId, Result, Tx, Version, rows};

/// Contents looked at before an eviction commits.
const BATCH: usize = 64;
/// Of a closed content larger than this, no more goes than is wanted.
const WHOLE_MAX: u64 = 16 << 20;
/// Bytes of one content that go in one transaction.
const STEP: u64 = 32 << 20;

/// A content that may go.
struct Candidate {
    id: ContentId,
    bytes: u64,
    last_used: i64,
}

impl Blocks {
    /// No fetched block is kept that would bring the cache above this. What a staged content lies on is
    /// ([`Content::keep_all`]): it may be nowhere else soon.
    pub fn set_bound(&self, bytes: u64) {
        self.0.bound.store(bytes, Ordering::Relaxed);
    }

    /// Makes room in the cache, the longest unused first, until at most `limit` bytes are left or nothing more can
    /// go: what is pinned, kept for the user, or another's base stays, and the contents in `but`. Returns the bytes
    /// freed. Runs short transactions of its own; nobody waits for it but a writer for one of them.
    pub fn evict(&self, limit: u64, but: &HashSet<ContentId>) -> Result<u64> {
        let before = self.usage().cached;
        if before <= limit {
            return Ok(0);
        }
        self.0.db.write(|tx| self.save(tx))?;
        let mut spent: HashSet<ContentId> = but.clone();
        loop {
            let excess = self.usage().cached.saturating_sub(limit);
            if excess == 0 {
                break;
            }
            let mut holes = Vec::new();
            // Durable, so that the bytes go at once.
            let taken = self.0.db.write_durable(|tx| self.evict_some(tx, excess, &mut spent, &mut holes));
            // However that ended: they are marked absent.
            holes.into_iter().for_each(Hole::make);
            if taken? == 0 {
                break;
            }
        }
        Ok(before.saturating_sub(self.usage().cached))
    }

    /// Returns how many contents something was taken of.
    fn evict_some(
        &self,
        tx: &Tx,
        excess: u64,
        spent: &mut HashSet<ContentId>,
        holes: &mut Vec<Hole>,
    ) -> Result<usize> {
        let (mut taken, mut sum) = (0, 0);
        for c in self.candidates(tx, excess, spent)? {
            let live = self.0.live(c.id);
            let closed = live.is_none();
            let mut freed = 0;
            if !closed || (c.bytes > WHOLE_MAX && c.bytes / 2 > excess) {
                freed = self.trim(tx, &c, live, (excess - sum.min(excess)).min(STEP), holes)?;
            }
            if freed == 0 {
                spent.insert(c.id);
                if closed {
                    // Small enough; or no part of it can go by itself.
                    self.forget(tx, c.id)?;
                    freed = c.bytes;
                }
            }
            sum += freed;
            taken += 1;
            if sum >= excess {
                break;
            }
        }
        Ok(taken)
    }

    /// The next ones to look at, the longest unused first.
    fn candidates(&self, tx: &Tx, excess: u64, spent: &HashSet<ContentId>) -> Result<Vec<Candidate>> {
        let sql = "SELECT id, bytes, last_used FROM contents AS c
                   WHERE state = 0 AND pinned = 0 AND kept = 0 AND bytes > 0
                   AND NOT EXISTS (SELECT 1 FROM contents WHERE base = c.id) ORDER BY last_used";
        let mut stmt = tx.prepare_cached(sql)?;
        let mut found = stmt.query([])?;
        let (mut out, mut sum) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let id = ContentId(row.get(0)?);
            if spent.contains(&id) {
                continue;
            }
            let bytes = rows::uint(row, 1)?;
            out.push(Candidate { id, bytes, last_used: row.get(2)? });
            sum += bytes;
            if sum >= excess || out.len() >= BATCH {
                break;
            }
        }
        Ok(out)
    }

    fn trim(
        &self,
        tx: &Tx,
        c: &Candidate,
        live: Option<Arc<Content>>,
        want: u64,
        holes: &mut Vec<Hole>,
    ) -> Result<u64> {
        let content = match live {
            Some(content) => content,
            None => {
                let content = self.open_in(tx, c.id)?;
                // To look at it here is no use of it.
                content.state.lock().last_used = c.last_used;
                content
            }
        };
        content.trim(tx, want, holes)
    }

    /// Keeps a content from eviction for the user, or no longer. `whole`: all of it is here.
    pub fn keep(&self, tx: &Tx, id: ContentId, kept: bool, whole: bool) -> Result<()> {
        let value = if kept { 1 + i64::from(whole) } else { 0 };
        tx.prepare_cached("UPDATE contents SET kept = ?2 WHERE id = ?1")?.execute((id.0, value))?;
        Ok(())
    }

    /// After a loss of power nobody knows which fetched blocks are on the disk: what was kept is looked at again.
    pub fn doubt_kept(&self, tx: &Tx) -> Result<()> {
        tx.execute("UPDATE contents SET kept = 1 WHERE kept = 2", [])?;
        Ok(())
    }

    /// The cached content of a version, if it is kept for the user.
    pub fn kept_as(&self, conn: &super::Conn, version: &Version) -> Result<Option<ContentId>> {
        let sql = "SELECT id FROM contents WHERE bucket = ?1 AND object = ?2 AND kept > 0";
        let mut stmt = conn.prepare_cached(sql)?;
        let id = stmt.query_row((&version.bucket, &version.object), |r| Ok(ContentId(r.get(0)?)));
        Ok(id.optional()?)
    }

    /// The contents that are kept for the user.
    pub fn kept(&self, conn: &super::Conn) -> Result<Vec<ContentId>> {
        let mut stmt = conn.prepare_cached("SELECT id FROM contents WHERE kept > 0")?;
        let ids = stmt.query_map([], |r| Ok(ContentId(r.get(0)?)))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }
}
