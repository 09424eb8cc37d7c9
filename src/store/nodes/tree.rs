//! Looking around in the mirror.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Node, int, kind_int, save, select, select_one, uint};
use crate::names::RemoteName;
use crate::store::{ContentId, Error};
use crate::types::{Ino, NodeId, Timestamp};

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
    let tail =
        "WHERE linked=0 AND r_id IS NULL AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.ino=nodes.ino)";
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
         AND NOT EXISTS (SELECT 1 FROM contents d WHERE d.base=c.id)";
    let mut stmt = conn.prepare_cached(sql)?;
    let ids = stmt.query_map([], |r| Ok(ContentId(r.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}

/// Nodes and staged contents that still need a content as theirs or as their base.
pub fn referrers(conn: &Connection, content: ContentId) -> Result<u64, Error> {
    let sql = "SELECT (SELECT count(*) FROM nodes WHERE content=?1) + (SELECT count(*) FROM contents WHERE base=?1)";
    Ok(uint(conn.prepare_cached(sql)?.query_row([content.0], |r| r.get(0))?))
}

/// Whether a staged content other than `but` lies on `content`.
pub fn lies_beneath(conn: &Connection, content: ContentId, but: Option<ContentId>) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM contents WHERE base=?1 AND id IS NOT ?2)";
    Ok(conn.prepare_cached(sql)?.query_row(params![content.0, but.map(|b| b.0)], |r| r.get(0))?)
}

/// Adds a node; its number is in the answer, `node.ino` is ignored unless it is the root's.
pub fn insert(conn: &Connection, node: &Node) -> Result<Node, Error> {
    let fixed = (node.ino == Ino::ROOT).then(|| int(node.ino.0));
    conn.prepare_cached(
        "INSERT INTO nodes (ino, kind, name, linked, alias, tomb, size, mtime_s, mtime_n, ctime_s, ctime_n, btime_s, \
         btime_n, emptied, listed, moved, dirty, due, tries, blocked) \
         VALUES (?1, ?2, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
    )?
    .execute(params![fixed, kind_int(node.kind)])?;
    let node = Node { ino: Ino(uint(conn.last_insert_rowid())), ..node.clone() };
    save(conn, &node)?;
    Ok(node)
}

/// Removes a node's row for good. Its number is never given again.
pub fn delete(conn: &Connection, ino: Ino) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM nodes WHERE ino=?1")?.execute([int(ino.0)])?;
    Ok(())
}

/// Nodes that wait for the folder `id` to become known.
pub fn adopt_orphans(conn: &Connection, id: &NodeId) -> Result<Vec<Node>, Error> {
    select(conn, "WHERE r_parent=?1 AND parent IS NULL AND ino<>1", [id.as_str()])
}

/// Marks every folder's children as known: the whole tree has been read.
pub fn set_listed_everywhere(conn: &Connection) -> Result<(), Error> {
    conn.execute("UPDATE nodes SET listed=1 WHERE kind=1 AND listed=0", [])?;
    Ok(())
}

/// Whether `ino` is `top` or lies below it. Bounded: a cycle counts as not below.
pub fn below(conn: &Connection, top: Ino, mut ino: Ino) -> Result<bool, Error> {
    let mut stmt = conn.prepare_cached("SELECT parent FROM nodes WHERE ino=?1")?;
    for _ in 0..100_000 {
        if ino == top {
            return Ok(true);
        }
        match stmt.query_row([int(ino.0)], |r| r.get::<_, Option<i64>>(0)).optional()?.flatten() {
            Some(parent) => ino = Ino(uint(parent)),
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// A node's path from the drive's root, for people. `None` if it hangs from nothing.
pub fn path_of(conn: &Connection, mut ino: Ino) -> Result<Option<String>, Error> {
    let mut parts = Vec::new();
    let mut stmt = conn.prepare_cached("SELECT parent, name FROM nodes WHERE ino=?1")?;
    for _ in 0..20_000 {
        if ino == Ino::ROOT {
            parts.push(String::new());
            parts.reverse();
            return Ok(Some(if parts.len() == 1 { "/".to_owned() } else { parts.join("/") }));
        }
        let row = stmt.query_row([int(ino.0)], |r| Ok((r.get::<_, Option<i64>>(0)?, r.get::<_, String>(1)?)));
        let Some((Some(parent), name)) = row.optional()? else { return Ok(None) };
        parts.push(name);
        ino = Ino(uint(parent));
    }
    Ok(None)
}

/// The highest number given so far: about how many nodes there are, without counting them.
pub fn highest(conn: &Connection) -> Result<u64, Error> {
    Ok(uint(conn.prepare_cached("SELECT coalesce(max(ino), 0) FROM nodes")?.query_row([], |r| r.get(0))?))
}

/// Nodes in the mirror.
pub fn count(conn: &Connection) -> Result<u64, Error> {
    Ok(uint(conn.query_row("SELECT count(*) FROM nodes", [], |r| r.get(0))?))
}
