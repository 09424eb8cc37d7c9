//! Looking around in the mirror.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::{INSERT, Node, int, kind_of, meta, select, select_one, set_meta, time_at, uint, write};
use crate::names::RemoteName;
use crate::store::{ContentId, Error};
use crate::types::{Ino, Kind, NodeId, Timestamp};

/// Entries of a folder that are read at a time.
const PAGE: usize = 256;

/// The node of a number.
///
/// # Errors
/// The database's, here and below.
pub fn get(conn: &Connection, ino: Ino) -> Result<Option<Node>, Error> {
    select_one(conn, "WHERE ino=?1", [int(ino.0)])
}

/// The node of a remote identity.
pub fn by_remote(conn: &Connection, id: &NodeId) -> Result<Option<Node>, Error> {
    select_one(conn, "WHERE r_id=?1", [id.as_str()])
}

/// The entry of a folder.
pub fn child(conn: &Connection, parent: Ino, name: &str) -> Result<Option<Node>, Error> {
    select_one(conn, "WHERE parent=?1 AND name=?2 AND linked=1", params![int(parent.0), name])
}

/// Up to `limit` entries of a folder whose number is above `after`, in the order of numbers.
pub fn children(conn: &Connection, parent: Ino, after: Ino, limit: usize) -> Result<Vec<Node>, Error> {
    let tail = "WHERE parent=?1 AND linked=1 AND ino>?2 ORDER BY ino LIMIT ?3";
    select(conn, tail, params![int(parent.0), int(after.0), int(limit as u64)])
}

/// Calls `f` with each entry of a folder, in the order of numbers. Those that `f` moves away or adds do not disturb it.
pub fn each_child(
    conn: &Connection,
    parent: Ino,
    mut f: impl FnMut(Node) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = Ino(0);
    loop {
        let page = children(conn, parent, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.ino;
        page.into_iter().try_for_each(&mut f)?;
    }
}

/// What a listing shows of a node.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its number.
    pub ino: Ino,
    /// File or folder.
    pub kind: Kind,
    /// The name shown.
    pub name: String,
    /// See [`Node`].
    pub size: u64,
    /// See [`Node`].
    pub mtime: Timestamp,
    /// See [`Node`].
    pub ctime: Timestamp,
    /// See [`Node`].
    pub btime: Timestamp,
}

/// As [`children`], no more than a listing needs.
pub fn entries(conn: &Connection, parent: Ino, after: Ino, limit: usize) -> Result<Vec<Shown>, Error> {
    let mut stmt = conn.prepare_cached(
        "SELECT ino, kind, name, size, mtime_s, mtime_n, ctime_s, ctime_n, btime_s, btime_n FROM nodes \
         WHERE parent=?1 AND linked=1 AND ino>?2 ORDER BY ino LIMIT ?3",
    )?;
    let shown = stmt.query_map(params![int(parent.0), int(after.0), int(limit as u64)], |r| {
        Ok(Shown {
            ino: Ino(uint(r.get(0)?)),
            kind: kind_of(r.get(1)?),
            name: r.get(2)?,
            size: uint(r.get(3)?),
            mtime: time_at(r, 4)?,
            ctime: time_at(r, 6)?,
            btime: time_at(r, 8)?,
        })
    })?;
    Ok(shown.collect::<rusqlite::Result<_>>()?)
}

/// Whether a folder lists anything.
pub fn has_children(conn: &Connection, parent: Ino) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM nodes WHERE parent=?1 AND linked=1)";
    Ok(conn.prepare_cached(sql)?.query_row([int(parent.0)], |r| r.get(0))?)
}

/// Tombstones whose confirmed folder is `folder`.
pub fn tombs_below(conn: &Connection, folder: &NodeId) -> Result<Vec<Node>, Error> {
    select(conn, "WHERE r_parent=?1 AND tomb=1", [folder.as_str()])
}

/// Nodes that nothing shows and the server does not know, nor may come to know by what was sent: dropped once
/// nobody has them open.
pub fn doomed(conn: &Connection) -> Result<Vec<Node>, Error> {
    let tail = "WHERE linked=0 AND r_id IS NULL AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.ino=nodes.ino) \
         AND NOT EXISTS (SELECT 1 FROM trash t WHERE t.ino=nodes.ino)";
    select(conn, tail, [])
}

/// Living rows, as last confirmed, that show as `display` in the folder `id`, whoever has that name here.
pub fn holders(conn: &Connection, folder: &NodeId, display: &str) -> Result<Vec<Node>, Error> {
    let mut found = Vec::new();
    for split in RemoteName::all_splits(display) {
        let tail = "WHERE r_parent=?1 AND r_stem=?2 AND r_ext IS ?3 AND r_status=0";
        found.extend(select(conn, tail, params![folder.as_str(), split.stem, split.ext])?);
    }
    Ok(found)
}

/// Rows of any status, as last confirmed, that show as `display` in the folder `id`.
pub fn holders_ever(conn: &Connection, folder: &NodeId, display: &str) -> Result<Vec<Node>, Error> {
    let mut found = Vec::new();
    for split in RemoteName::all_splits(display) {
        let tail = "WHERE r_parent=?1 AND r_stem=?2 AND r_ext IS ?3";
        found.extend(select(conn, tail, params![folder.as_str(), split.stem, split.ext])?);
    }
    Ok(found)
}

/// A folder's own times: something in it changed.
pub fn touch(conn: &Connection, folder: Ino, now: Timestamp) -> Result<(), Error> {
    let sql = "UPDATE nodes SET mtime_s=?2, mtime_n=?3, ctime_s=?2, ctime_n=?3 WHERE ino=?1";
    conn.prepare_cached(sql)?.execute(params![int(folder.0), now.secs, now.nanos])?;
    Ok(())
}

/// Staged contents that no node and no other content needs.
pub fn stray_contents(conn: &Connection) -> Result<Vec<ContentId>, Error> {
    let sql = "SELECT id FROM contents c WHERE state=1 AND NOT EXISTS (SELECT 1 FROM nodes WHERE content=c.id) \
         AND NOT EXISTS (SELECT 1 FROM contents d WHERE d.base=c.id) \
         AND NOT EXISTS (SELECT 1 FROM watches w WHERE w.content=c.id)";
    let mut stmt = conn.prepare_cached(sql)?;
    let ids = stmt.query_map([], |r| Ok(ContentId(r.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}

/// Nodes that show a content, or one that lies on it.
pub fn showing(conn: &Connection, content: ContentId) -> Result<Vec<Node>, Error> {
    let above = "WHERE content IN (WITH RECURSIVE up (id) AS (VALUES (?1) UNION SELECT c.id FROM contents c \
         JOIN up ON c.base = up.id) SELECT id FROM up)";
    select(conn, above, [content.0])
}

/// Nodes, watches and staged contents that still need a content as theirs or as their base.
pub fn referrers(conn: &Connection, content: ContentId) -> Result<u64, Error> {
    let sql = "SELECT (SELECT count(*) FROM nodes WHERE content=?1) + (SELECT count(*) FROM contents WHERE base=?1) \
         + (SELECT count(*) FROM watches WHERE content=?1)";
    Ok(uint(conn.prepare_cached(sql)?.query_row([content.0], |r| r.get(0))?))
}

/// Whether a staged content other than `but` lies on `content`.
pub fn lies_beneath(conn: &Connection, content: ContentId, but: Option<ContentId>) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM contents WHERE base=?1 AND id IS NOT ?2)";
    Ok(conn.prepare_cached(sql)?.query_row(params![content.0, but.map(|b| b.0)], |r| r.get(0))?)
}

/// Whether a content is `top` itself or lies beneath it.
pub fn lies_on(conn: &Connection, top: ContentId, beneath: ContentId) -> Result<bool, Error> {
    let sql = "WITH RECURSIVE down(id) AS (SELECT ?1 UNION \
         SELECT c.base FROM contents c JOIN down ON c.id=down.id WHERE c.base IS NOT NULL) \
         SELECT EXISTS (SELECT 1 FROM down WHERE id=?2)";
    Ok(conn.prepare_cached(sql)?.query_row(params![top.0, beneath.0], |r| r.get(0))?)
}

/// Adds a node; its number is in the answer, `node.ino` is ignored unless it is one of the fixed ones.
pub fn insert(conn: &Connection, node: &Node) -> Result<Node, Error> {
    let fixed = [Ino::ROOT, Ino::RECOVERY].contains(&node.ino).then_some(node.ino);
    write(conn, INSERT, fixed, node)?;
    let ino = Ino(uint(conn.last_insert_rowid()));
    add_to_count(conn, 1)?;
    Ok(Node { ino, ..node.clone() })
}

/// Removes a node's row for good. Its number is never given again.
pub fn delete(conn: &Connection, ino: Ino) -> Result<(), Error> {
    let gone = conn.prepare_cached("DELETE FROM nodes WHERE ino=?1")?.execute([int(ino.0)])?;
    add_to_count(conn, if gone > 0 { -1 } else { 0 })
}

/// Nodes that wait for the folder `id` to become known.
pub fn adopt_orphans(conn: &Connection, id: &NodeId) -> Result<Vec<Node>, Error> {
    select(conn, "WHERE r_parent=?1 AND parent IS NULL AND ino<>1", [id.as_str()])
}

/// Marks the children of folders as known, of `count` numbers above `after`.
pub fn set_listed(conn: &Connection, after: u64, count: u64) -> Result<(), Error> {
    let sql = "UPDATE nodes SET listed=1 WHERE ino>?1 AND ino<=?1+?2 AND kind=1 AND listed=0";
    conn.prepare_cached(sql)?.execute([int(after), int(count)])?;
    Ok(())
}

/// Whether all children of a folder are known.
pub fn is_listed(conn: &Connection, folder: Ino) -> Result<bool, Error> {
    let sql = "SELECT listed FROM nodes WHERE ino=?1";
    Ok(conn.prepare_cached(sql)?.query_row([int(folder.0)], |r| r.get(0)).optional()?.unwrap_or(false))
}

/// The number of a remote identity.
pub fn ino_of(conn: &Connection, id: &NodeId) -> Result<Option<Ino>, Error> {
    let sql = "SELECT ino FROM nodes WHERE r_id=?1";
    let ino: Option<i64> = conn.prepare_cached(sql)?.query_row([id.as_str()], |r| r.get(0)).optional()?;
    Ok(ino.map(|i| Ino(uint(i))))
}

/// Rows whose folder has become known since they came: their nodes.
pub fn strays_with_a_home(conn: &Connection, limit: usize) -> Result<Vec<Node>, Error> {
    let tail = "WHERE parent IS NULL AND linked=1 AND ino<>1 AND tomb=0 \
         AND EXISTS (SELECT 1 FROM nodes p WHERE p.r_id=nodes.r_parent) LIMIT ?1";
    select(conn, tail, [int(limit as u64)])
}

/// The way up from a node, itself included. Ends at the root, at what is not listed, and after [`LEVELS`].
const UP: &str = "WITH RECURSIVE up(ino, parent, linked) AS (SELECT ino, parent, linked FROM nodes WHERE ino=?1 \
     UNION ALL SELECT n.ino, n.parent, n.linked FROM up JOIN nodes n ON n.ino=up.parent WHERE up.ino<>1 LIMIT ?2)";

/// Levels that are climbed: no tree is deeper, and a ring counts as leading nowhere.
const LEVELS: i64 = 200_000;

/// Whether `ino` is `top` or lies below it.
pub fn below(conn: &Connection, top: Ino, ino: Ino) -> Result<bool, Error> {
    let sql = format!("{UP} SELECT EXISTS (SELECT 1 FROM up WHERE ino=?3)");
    Ok(conn.prepare_cached(&sql)?.query_row(params![int(ino.0), LEVELS, int(top.0)], |r| r.get(0))?)
}

/// What a node hangs from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anchor {
    /// The root: it can be seen.
    Root,
    /// A folder that nothing lists: the nearest one.
    Dead(Ino),
    /// Nothing that is known.
    Nowhere,
}

/// What a node hangs from; itself included.
pub fn anchor(conn: &Connection, ino: Ino) -> Result<Anchor, Error> {
    let sql = format!("{UP} SELECT ino FROM up WHERE ino=1 OR linked=0 LIMIT 1");
    let end: Option<i64> =
        conn.prepare_cached(&sql)?.query_row(params![int(ino.0), LEVELS], |r| r.get(0)).optional()?;
    Ok(match end.map(|i| Ino(uint(i))) {
        Some(Ino::ROOT) => Anchor::Root,
        Some(dead) => Anchor::Dead(dead),
        None => Anchor::Nowhere,
    })
}

/// A node's path from the drive's root, for people. `None` if it hangs from nothing.
pub fn path_of(conn: &Connection, ino: Ino) -> Result<Option<String>, Error> {
    Paths::default().of(conn, ino)
}

/// Levels of a path that people are shown; what is above them is left out.
const SHOWN: usize = 40;

/// Paths of several nodes, which share their way up.
#[derive(Default)]
pub struct Paths {
    known: HashMap<Ino, (Ino, String)>,
}

impl Paths {
    /// A node's path from the drive's root, for people. `None` if it hangs from nothing.
    pub fn of(&mut self, conn: &Connection, mut ino: Ino) -> Result<Option<String>, Error> {
        let mut parts = Vec::new();
        let mut stmt = conn.prepare_cached("SELECT parent, name FROM nodes WHERE ino=?1")?;
        while ino != Ino::ROOT && parts.len() < SHOWN {
            let (parent, name) = match self.known.entry(ino) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let row = stmt.query_row([int(ino.0)], |r| Ok((r.get::<_, Option<i64>>(0)?, r.get(1)?)));
                    let Some((Some(parent), name)) = row.optional()? else { return Ok(None) };
                    unknown.insert((Ino(uint(parent)), name))
                }
            };
            parts.push(name.clone());
            ino = *parent;
        }
        parts.push(if ino == Ino::ROOT { String::new() } else { "…".to_owned() });
        parts.reverse();
        Ok(Some(if parts.len() == 1 { "/".to_owned() } else { parts.join("/") }))
    }
}

/// The highest number given so far: about how many nodes there are, without counting them.
pub fn highest(conn: &Connection) -> Result<u64, Error> {
    Ok(uint(conn.prepare_cached("SELECT coalesce(max(ino), 0) FROM nodes")?.query_row([], |r| r.get(0))?))
}

/// Nodes in the mirror. Kept up to date by [`insert`] and [`delete`], as counting reads the whole table.
pub fn count(conn: &Connection) -> Result<u64, Error> {
    match meta(conn, COUNT)?.and_then(|n| n.parse().ok()) {
        Some(count) => Ok(count),
        None => Ok(uint(conn.query_row("SELECT count(*) FROM nodes", [], |r| r.get(0))?)),
    }
}

/// Counts the nodes, if it was never done.
pub fn begin_count(conn: &Connection) -> Result<(), Error> {
    if meta(conn, COUNT)?.is_none() {
        set_meta(conn, COUNT, &count(conn)?.to_string())?;
    }
    Ok(())
}

const COUNT: &str = "nodes";

fn add_to_count(conn: &Connection, by: i64) -> Result<(), Error> {
    let sql = "UPDATE mirror_meta SET value=CAST(value AS INTEGER)+?2 WHERE key=?1";
    conn.prepare_cached(sql)?.execute(params![COUNT, by])?;
    Ok(())
}
