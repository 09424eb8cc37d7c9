//! The end of a content's staging, and of a content.

use rusqlite::OptionalExtension;

use super::place::{self, Loc, own_path};
use super::rows;
use super::slot::{self, Cid};
use super::state::Entry;
use super::{Arc, Blocks, Content, ContentId, Error, Result, Shared, Tx, Weak};
use crate::block;
use crate::types::Version;

/// What a forgotten content leaves on disk.
#[derive(Debug)]
pub(super) struct Grave {
    pub cid: Cid,
    /// In slabs.
    pub slots: Vec<Loc>,
    pub bytes: u64,
    pub staged: bool,
}

/// `doomed` rows deleted by the way.
const BURIED_BATCH: usize = 64;

impl Blocks {
    /// A staged content that has been uploaded becomes the cached content of its version, once the
    /// transaction commits. It must be frozen, sealed and committed (in this transaction, at the latest). Its
    /// link to the base goes; blocks that were not wholly its own are absent from then on.
    pub fn adopt(&self, tx: &Tx, id: ContentId, version: &Version) -> Result<()> {
        let content = self.open_in(tx, id)?;
        if let Some(other) = rows::by_version(tx, version)?
            && other.id != id
        {
            // What was fetched of it meanwhile is the same bytes; whoever reads there may go on. What lies on it lies on
            // this one from now on: of the other it is not known any more where its bytes can be had.
            self.rebase(tx, other.id, id)?;
            tx.execute(
                "UPDATE contents SET bucket = NULL, object = NULL, last_used = 0 WHERE id = ?1",
                [other.id.0],
            )?;
        }
        let (gone, base, whole, size, frozen) = {
            let mut st = content.state.lock();
            if !st.staged || !st.is_clean() {
                return Err(Error::State("only a sealed and committed staged content is adopted"));
            }
            let frozen = std::mem::replace(&mut st.frozen, true);
            let gone: Vec<u64> =
                st.map.iter().filter(|(b, e)| !st.is_complete(**b, e)).map(|(b, _)| *b).collect();
            (gone, st.base, st.map.contains_key(&0), st.size, frozen)
        };
        for block in &gone {
            rows::delete_slot(tx, id, *block)?;
        }
        let small_and_absent = block::count(size) == 1 && (!whole || !gone.is_empty());
        let fill_at = if small_and_absent { Some(self.0.slabs.take(size)?) } else { None };
        let (shared, version_now) = (self.0.clone(), version.clone());
        self.0.db.on_end(tx, move |committed| {
            if committed {
                content.adopted(version_now, &gone, fill_at);
            } else {
                content.state.lock().frozen = frozen;
                fill_at.into_iter().for_each(|l| shared.slabs.give(l));
            }
        });
        rows::adopt(tx, id, version, fill_at)?;
        if let Some((base, _)) = base {
            self.release_base(tx, base)?;
        }
        Ok(())
    }

    /// Removes a content. Its row goes with the transaction; its bytes when that is durable and nobody has it
    /// in use any more. The base of another content waits for that one.
    pub fn forget(&self, tx: &Tx, id: ContentId) -> Result<()> {
        let row = rows::get(tx, id)?.ok_or(Error::Gone(id))?;
        if is_base(tx, id)? {
            tx.prepare_cached("UPDATE contents SET condemned = 1 WHERE id = ?1")?.execute([id.0])?;
            return Ok(());
        }
        let mut slots: Vec<Loc> =
            rows::slots(tx, id)?.into_iter().map(|(_, e)| e.loc).filter(|l| l.in_slab()).collect();
        slots.extend(row.fill_at);
        tx.prepare_cached("DELETE FROM contents WHERE id = ?1")?.execute([id.0])?;
        tx.prepare_cached("INSERT OR IGNORE INTO doomed (cid) VALUES (?1)")?.execute([row.cid])?;
        self.clear_buried(tx)?;
        let shared = self.0.clone();
        self.0.db.on_end(tx, move |committed| {
            if committed {
                shared.condemn(id, Grave { cid: row.cid, slots, bytes: row.bytes, staged: row.staged });
            }
        });
        if let Some((base, _)) = row.base {
            self.release_base(tx, base)?;
        }
        Ok(())
    }

    /// Staged contents that lie on `from` lie on `to`, which has the same bytes.
    fn rebase(&self, tx: &Tx, from: ContentId, to: ContentId) -> Result<()> {
        let sql = "UPDATE contents SET base = ?2 WHERE base = ?1 AND id <> ?2";
        if tx.prepare_cached(sql)?.execute((from.0, to.0))? == 0 {
            return Ok(());
        }
        let shared = self.0.clone();
        self.0.db.on_end(tx, move |committed| {
            if !committed {
                return;
            }
            let live: Vec<_> = shared.table.lock().live.values().filter_map(Weak::upgrade).collect();
            for content in live.iter().filter(|c| c.id != to) {
                if let Some((base, _)) = &mut content.state.lock().base
                    && *base == from
                {
                    *base = to;
                }
            }
        });
        Ok(())
    }

    /// A link to `base` has gone.
    fn release_base(&self, tx: &Tx, base: ContentId) -> Result<()> {
        let sql = "SELECT 1 FROM contents WHERE id = ?1 AND condemned = 1";
        let condemned = tx.prepare_cached(sql)?.query_row([base.0], |_| Ok(())).optional()?;
        if condemned.is_some() && !is_base(tx, base)? {
            self.forget(tx, base)?;
        }
        Ok(())
    }

    fn clear_buried(&self, tx: &Tx) -> Result<()> {
        let done: Vec<Cid> = {
            let mut buried = self.0.buried.lock();
            let n = buried.len().min(BURIED_BATCH);
            buried.drain(..n).collect()
        };
        let mut stmt = tx.prepare_cached("DELETE FROM doomed WHERE cid = ?1")?;
        for cid in done {
            stmt.execute([cid])?;
        }
        Ok(())
    }
}

fn is_base(tx: &Tx, id: ContentId) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM contents WHERE base = ?1)";
    Ok(tx.prepare_cached(sql)?.query_row([id.0], |r| r.get(0))?)
}

impl Content {
    /// Whether every byte of a staged content is its own, none of them its base's or a hole's.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let st = self.state.lock();
        (0..block::count(st.size)).all(|b| st.map.get(&b).is_some_and(|e| st.is_complete(b, e)))
    }

    fn adopted(self: &Arc<Self>, version: Version, gone: &[u64], fill_at: Option<Loc>) {
        let mut st = self.state.lock();
        let free: Vec<Entry> = gone.iter().filter_map(|b| st.map.remove(b)).collect();
        let blocks = block::count(st.size);
        let absent: Vec<u64> = (0..blocks).filter(|b| !st.map.contains_key(b)).collect();
        absent.into_iter().for_each(|b| st.absent.insert(b..b + 1));
        st.staged = false;
        st.frozen = false;
        st.version = Some(version);
        st.base = None;
        st.fill_at = fill_at;
        // The bytes change sides.
        self.shared.count(true, 0, st.bytes);
        self.shared.count(false, st.bytes, 0);
        drop(st);
        if !free.is_empty() {
            let content = self.clone();
            self.shared.db.when_durable(move || content.vacate(&free));
        }
    }

    /// Gives slots of a cached content back, and their pages to the disk.
    pub(super) fn vacate(&self, entries: &[Entry]) {
        let own = self.own.get().ok().flatten();
        for e in entries {
            // Before the slot is free for somebody else.
            if let Some(file) = own.as_ref().filter(|_| !e.loc.in_slab()) {
                place::punch(file, e.loc.offset(), e.loc.stride());
            }
            self.free(&mut self.state.lock(), e);
        }
    }
}

impl Shared {
    /// The row is gone: the bytes go as soon as nobody needs them.
    fn condemn(self: &Arc<Self>, id: ContentId, mut grave: Grave) {
        self.graves.lock().insert(grave.cid);
        match self.live(id) {
            Some(c) => *c.grave.lock() = Some(grave),
            None => {
                if let Some((bytes, _)) = self.touched.lock().remove(&id) {
                    grave.bytes = bytes;
                }
                self.bury(grave);
            }
        }
    }

    /// Removes what a content left, after the next durable commit.
    pub(super) fn bury(self: &Arc<Self>, grave: Grave) {
        let shared = self.clone();
        self.db.when_durable(move || {
            for kind in ['s', 'f'] {
                // If it cannot be removed now, the next start will: its `doomed` row stays.
                let path = own_path(&shared.root, &grave.cid, kind);
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return,
                    _ => (),
                }
            }
            grave.slots.iter().for_each(|l| shared.slabs.give(*l));
            shared.count(grave.staged, 0, grave.bytes);
            shared.graves.lock().remove(&grave.cid);
            shared.buried.lock().push(grave.cid);
        });
    }
}

/// Bytes on disk of a content's slots.
pub(super) fn footprint<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    entries.map(|e| slot::footprint(e.len)).sum()
}
