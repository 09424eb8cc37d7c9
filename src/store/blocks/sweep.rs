//! After a crash: orphans, counters, and staged contents that may be torn.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rusqlite::OptionalExtension;

use super::life::footprint;
use super::place::{Alloc, own_path};
use super::rows::{self, ContentRow};
use super::slot::{self, Cid};
use super::{Blocks, Conn, ContentId, Error, Result, Tx};
use crate::block;

/// What a verification of a staged content found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every block opens.
    Intact,
    /// These blocks do not open.
    Damaged(Vec<u64>),
}

/// What a sweep did with files that no row names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Files removed.
    pub removed: u64,
    /// Files put aside, because they may hold bytes that were acknowledged.
    pub quarantined: Vec<PathBuf>,
}

/// Files looked at in one transaction.
const CHUNK: usize = 64;
/// Contents counted in one transaction.
const COUNTED: u32 = 256;

impl Blocks {
    /// Removes the files of forgotten contents, and files that no row names. Of the latter, staged blocks are
    /// put aside if the machine was restarted (the database may have lost its last commits), and removed if
    /// not (nobody was ever told that they were safe). Corrects counters that a disorderly end left wrong. After an
    /// orderly end there is nothing to look for.
    pub fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        self.read_rest()?;
        self.0.db.write(|tx| self.sweep_doomed(tx, &mut swept))?;
        if self.0.swept.load(Ordering::Acquire) {
            return Ok(swept);
        }
        for dir in std::fs::read_dir(&self.0.root)? {
            let dir = dir?;
            let files = if dir.file_type()?.is_dir() { own_files(&dir.path())? } else { Vec::new() };
            // In short transactions: others want to write.
            for some in files.chunks(CHUNK) {
                self.0.db.write(|tx| {
                    some.iter().try_for_each(|(cid, path)| self.sweep_file(tx, cid, path, &mut swept))
                })?;
            }
        }
        self.0.slabs.trim()?;
        if self.0.uncounted.load(Ordering::Acquire) {
            self.recount()?;
        }
        self.0.swept.store(true, Ordering::Release);
        Ok(swept)
    }

    fn sweep_doomed(&self, tx: &Tx, swept: &mut Swept) -> Result<()> {
        let mut stmt = tx.prepare("SELECT cid FROM doomed")?;
        let all: Vec<Cid> = stmt.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        for cid in all {
            if self.0.graves.lock().contains(&cid) {
                continue;
            }
            for kind in ['s', 'f'] {
                match std::fs::remove_file(own_path(&self.0.root, &cid, kind)) {
                    Ok(()) => swept.removed += 1,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => (),
                    Err(e) => return Err(e.into()),
                }
            }
            tx.execute("DELETE FROM doomed WHERE cid = ?1", [cid])?;
        }
        self.0.buried.lock().clear();
        Ok(())
    }

    fn sweep_file(&self, tx: &Tx, cid: &Cid, path: &Path, swept: &mut Swept) -> Result<()> {
        let sql = "SELECT id FROM contents WHERE cid = ?1";
        let named = tx.prepare_cached(sql)?.query_row([cid], |r| r.get(0)).optional()?.map(ContentId);
        if let Some(id) = named
            && self.0.live(id).is_none()
            && path.extension().is_some_and(|e| e == "s")
        {
            // Slots that were replaced before the crash, or never committed.
            let own = rows::slots(tx, id)?.into_iter().filter(|(_, e)| !e.loc.in_slab());
            Alloc::new(own.map(|(_, e)| e.loc.slot).collect()).trim(path)?;
        }
        if named.is_some() || self.0.graves.lock().contains(cid) || !path.exists() {
            return Ok(());
        }
        if path.extension().is_some_and(|e| e == "s") && self.0.rebooted {
            let dir = self.0.quarantine.join("quarantine-orphans");
            crate::store::dir::private(&dir)?;
            let to = dir.join(path.file_name().unwrap_or_default());
            std::fs::rename(path, &to)?;
            swept.quarantined.push(to);
        } else {
            std::fs::remove_file(path)?;
            swept.removed += 1;
        }
        Ok(())
    }

    /// Opens every block of the staged contents that were not durable when the machine was restarted.
    pub fn check_after_boot(&self, conn: &Conn) -> Result<Vec<(ContentId, Verdict)>> {
        let doubtful = rows::select(conn, "state = 1 AND durable = 0")?;
        let mut out = Vec::new();
        for row in doubtful {
            let sql = "SELECT boot FROM contents WHERE id = ?1";
            let boot: String = conn.prepare_cached(sql)?.query_row([row.id.0], |r| r.get(0))?;
            if boot == self.0.boot {
                continue;
            }
            let content = self.open(row.id)?;
            let mut damaged = Vec::new();
            for (block, entry) in rows::slots(conn, row.id)? {
                match content.unseal(block, &entry, false) {
                    Ok(Some(_)) => {}
                    // A sector that cannot be read is no reason not to start.
                    Ok(None) | Err(Error::Io(_)) => damaged.push(block),
                    Err(e) => return Err(e),
                }
            }
            let verdict = if damaged.is_empty() { Verdict::Intact } else { Verdict::Damaged(damaged) };
            out.push((row.id, verdict));
        }
        Ok(out)
    }

    /// Corrects the counters in the rows, which were not saved, and the sums.
    pub(super) fn recount(&self) -> Result<()> {
        let mut after = ContentId(0);
        while let Some(last) = self.0.db.write(|tx| self.recount_some(tx, after))? {
            after = last;
        }
        self.0.uncounted.store(false, Ordering::Release);
        Ok(())
    }

    /// The last content that was looked at; `None` at the end.
    fn recount_some(&self, tx: &Tx, after: ContentId) -> Result<Option<ContentId>> {
        let some = rows::following(tx, after, COUNTED)?;
        for row in &some {
            // Who has it in use knows better.
            if self.0.live(row.id).is_some() || self.0.touched.lock().contains_key(&row.id) {
                continue;
            }
            let (bytes, before, staged) = (self.measure(tx, row)?, row.bytes, row.staged);
            if bytes == before {
                continue;
            }
            let sql = "UPDATE contents SET bytes = ?2 WHERE id = ?1";
            tx.prepare_cached(sql)?.execute((row.id.0, rows::int(bytes)))?;
            let shared = self.0.clone();
            self.0.db.on_end(tx, move |committed| {
                if committed {
                    shared.count(staged, bytes, before);
                }
            });
        }
        Ok(some.last().map(|row| row.id))
    }

    fn measure(&self, conn: &Conn, row: &ContentRow) -> Result<u64> {
        let slots = rows::slots(conn, row.id)?;
        let mut bytes = footprint(slots.iter().map(|(_, e)| e));
        if row.fill_at.is_some() {
            bytes += slot::footprint(u32::try_from(row.size).unwrap_or(u32::MAX));
        } else if block::count(row.size) > 1 && !row.staged {
            let meta = std::fs::metadata(own_path(&self.0.root, &row.cid, 'f'));
            bytes += meta.map_or(0, |m| m.blocks() * 512);
        }
        Ok(bytes)
    }
}

/// The contents' own files in one of their directories.
fn own_files(dir: &Path) -> Result<Vec<(Cid, PathBuf)>> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let path = file?.path();
        let mut cid = Cid::default();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if hex::decode_to_slice(stem, &mut cid).is_ok() {
            files.push((cid, path));
        }
    }
    Ok(files)
}
