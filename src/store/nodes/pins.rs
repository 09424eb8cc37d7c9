//! What the user wants to be here always: files, and folders with all below them.

use rusqlite::{Connection, OptionalExtension, params};

use super::{int, kind_of, uint, version_at};
use crate::store::{ContentId, Error};
use crate::types::{Ino, Kind, Version};

/// A file that is pinned, or lies below a folder that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedFile {
    /// Its number.
    pub ino: Ino,
    /// Bytes as the user sees them.
    pub size: u64,
    /// What is to be here; `None`: what the user sees lies here anyway.
    pub version: Option<Version>,
    /// Its cached content, if there is one; whether that is kept from eviction, and known to be wholly here; its bytes on
    /// disk at the last save.
    pub content: Option<(ContentId, bool, bool, u64)>,
}

/// Pins a node; says whether it was not.
///
/// # Errors
/// The database's, here and below.
pub fn pin(conn: &Connection, ino: Ino) -> Result<bool, Error> {
    let sql = "INSERT OR IGNORE INTO pins (ino) VALUES (?1)";
    Ok(conn.prepare_cached(sql)?.execute([int(ino.0)])? > 0)
}

/// Takes a node's own pin away; says whether it had one.
pub fn unpin(conn: &Connection, ino: Ino) -> Result<bool, Error> {
    Ok(conn.prepare_cached("DELETE FROM pins WHERE ino=?1")?.execute([int(ino.0)])? > 0)
}

/// Whether a node has a pin of its own.
pub fn has_pin(conn: &Connection, ino: Ino) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pins WHERE ino=?1)";
    Ok(conn.prepare_cached(sql)?.query_row([int(ino.0)], |r| r.get(0))?)
}

/// The pin of a file that another takes the place of goes with the place.
pub fn hand_pin_over(conn: &Connection, from: Ino, to: Ino) -> Result<(), Error> {
    if unpin(conn, from)? {
        pin(conn, to)?;
    }
    Ok(())
}

/// The nearest node above one that is pinned.
pub fn pin_above(conn: &Connection, ino: Ino) -> Result<Option<Ino>, Error> {
    // UNION ends at a ring, if there ever were one.
    let sql = "WITH RECURSIVE above(ino, step) AS (
                   SELECT parent, 1 FROM nodes WHERE ino=?1
                   UNION SELECT n.parent, step + 1 FROM above a JOIN nodes n ON n.ino=a.ino
                   WHERE n.parent IS NOT NULL AND step < 100000)
               SELECT a.ino FROM above a JOIN pins p ON p.ino=a.ino ORDER BY step LIMIT 1";
    let found = conn.prepare_cached(sql)?.query_row([int(ino.0)], |r| r.get::<_, i64>(0)).optional()?;
    Ok(found.map(|n| Ino(uint(n))))
}

/// Whether anything is pinned.
pub fn any_pin(conn: &Connection) -> Result<bool, Error> {
    Ok(conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM pins)")?.query_row([], |r| r.get(0))?)
}

/// Up to `limit` pinned nodes whose number is above `after`, in the order of numbers.
pub fn pins(conn: &Connection, after: Ino, limit: usize) -> Result<Vec<Ino>, Error> {
    let mut stmt = conn.prepare_cached("SELECT ino FROM pins WHERE ino>?1 ORDER BY ino LIMIT ?2")?;
    let rows = stmt.query_map(params![int(after.0), int(limit as u64)], |r| Ok(Ino(uint(r.get(0)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Tells of each file that `of` (all pins if left out) or a folder above it makes a pinned one, once.
pub fn below_pins(conn: &Connection, of: Option<Ino>, mut tell: impl FnMut(PinnedFile)) -> Result<(), Error> {
    let sql = "WITH RECURSIVE below(ino) AS (
                   SELECT p.ino FROM pins p JOIN nodes n ON n.ino=p.ino WHERE n.linked=1 AND ?1 IS NULL
                   UNION SELECT ?1 WHERE ?1 IS NOT NULL
                   UNION SELECT n.ino FROM below b JOIN nodes n ON n.parent=b.ino AND n.linked=1)
               SELECT n.ino, n.kind, n.size, n.content IS NOT NULL OR n.emptied OR n.r_readable IS NOT 1,
                      n.r_vbucket, n.r_object, c.id, c.kept, c.bytes
               FROM below b JOIN nodes n ON n.ino=b.ino
               LEFT JOIN contents c ON c.bucket=n.r_vbucket AND c.object=n.r_object
               WHERE n.linked=1";
    let mut stmt = conn.prepare_cached(sql)?;
    let mut rows = stmt.query([of.map(|i| int(i.0))])?;
    while let Some(r) = rows.next()? {
        if kind_of(r.get(1)?) != Kind::File {
            continue;
        }
        let version = if r.get(3)? { None } else { version_at(r, 4)? };
        let content = match (&version, r.get::<_, Option<i64>>(6)?) {
            (Some(_), Some(id)) => {
                let kept: i64 = r.get(7)?;
                Some((ContentId(id), kept > 0, kept == 2, uint(r.get(8)?)))
            }
            _ => None,
        };
        tell(PinnedFile { ino: Ino(uint(r.get(0)?)), size: uint(r.get(2)?), version, content });
    }
    Ok(())
}
