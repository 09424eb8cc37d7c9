//! What lies in the trash as a file manager sees it, what programs keep beside it, and what is to be deleted for good.

use rusqlite::{Connection, OptionalExtension, Row as Sql, params};

use super::{Node, get, int, kind_int, kind_of, time_at, uint};
use crate::store::Error;
use crate::types::{Ino, Kind, NodeId, Timestamp};

/// A node in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub ino: Ino,
    /// Its name there.
    pub name: String,
    /// Nodes below it with a higher number came after it was put there; the highest number there is if it was not
    /// known what lay below.
    pub newest: Ino,
}

/// A small file beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its number among its kind.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was written.
    pub mtime: Timestamp,
}

/// A row that is to be deleted for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The row.
    pub id: NodeId,
    /// File or folder.
    pub kind: Kind,
    /// As it was in its [`Entry`].
    pub newest: Ino,
    /// Failed tries.
    pub tries: u32,
}

/// Nodes below a folder, the folder included. Folders that were put into the trash one by one are not in it.
const DOWN: &str = "WITH RECURSIVE down(ino) AS (SELECT ?1 UNION ALL \
     SELECT n.ino FROM down JOIN nodes n ON n.parent=down.ino AND n.linked=1)";

fn entry_at(r: &Sql<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { ino: Ino(uint(r.get(0)?)), name: r.get(1)?, newest: Ino(uint(r.get(2)?)) })
}

/// Puts a node into the trash. A name that is taken is an error of the database's.
///
/// # Errors
/// The database's, here and below.
pub fn put_in_trash(conn: &Connection, entry: &Entry) -> Result<(), Error> {
    conn.prepare_cached("INSERT INTO trash VALUES (?1, ?2, ?3)")?.execute(params![
        int(entry.ino.0),
        entry.name,
        int(entry.newest.0)
    ])?;
    Ok(())
}

/// A node is not in the trash any more: what it was there.
pub fn leave_trash(conn: &Connection, ino: Ino) -> Result<Option<Entry>, Error> {
    let mut stmt = conn.prepare_cached("DELETE FROM trash WHERE ino=?1 RETURNING ino, name, newest")?;
    Ok(stmt.query_row([int(ino.0)], entry_at).optional()?)
}

/// The highest number of what goes with a folder that was put into the trash, and maybe removed from it since.
pub fn meant_below(conn: &Connection, folder: &Node) -> Result<Option<Ino>, Error> {
    let sql =
        "SELECT newest FROM trash WHERE ino=?1 UNION ALL SELECT newest FROM purges WHERE r_id=?2 LIMIT 1";
    let args = params![int(folder.ino.0), folder.id().map(NodeId::as_str)];
    let newest: Option<i64> = conn.prepare_cached(sql)?.query_row(args, |r| r.get(0)).optional()?;
    Ok(newest.map(|n| Ino(uint(n))))
}

/// Whether a node is in the trash.
pub fn in_trash(conn: &Connection, ino: Ino) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM trash WHERE ino=?1)";
    Ok(conn.prepare_cached(sql)?.query_row([int(ino.0)], |r| r.get(0))?)
}

/// The node of a name in the trash.
pub fn entry_named(conn: &Connection, name: &str) -> Result<Option<Node>, Error> {
    let mut stmt = conn.prepare_cached("SELECT ino FROM trash WHERE name=?1")?;
    let ino: Option<i64> = stmt.query_row([name], |r| r.get(0)).optional()?;
    ino.map_or(Ok(None), |ino| get(conn, Ino(uint(ino))))
}

/// Up to `limit` nodes in the trash whose number is above `after`, in the order of numbers, and their names there.
pub fn entries_in_trash(conn: &Connection, after: Ino, limit: usize) -> Result<Vec<(String, Node)>, Error> {
    let mut stmt = conn.prepare_cached("SELECT ino, name FROM trash WHERE ino>?1 ORDER BY ino LIMIT ?2")?;
    let named = stmt.query_map(params![int(after.0), int(limit as u64)], |r| {
        Ok((Ino(uint(r.get(0)?)), r.get::<_, String>(1)?))
    })?;
    let named = named.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut entries = Vec::with_capacity(named.len());
    for (ino, name) in named {
        entries.extend(get(conn, ino)?.map(|node| (name, node)));
    }
    Ok(entries)
}

/// How many nodes that the server knows lie below a folder.
pub fn count_below(conn: &Connection, top: Ino) -> Result<u64, Error> {
    let sql = format!(
        "{DOWN} SELECT count(*) FROM down JOIN nodes n ON n.ino=down.ino WHERE n.r_id IS NOT NULL AND n.ino<>?1"
    );
    Ok(uint(conn.prepare_cached(&sql)?.query_row([int(top.0)], |r| r.get(0))?))
}

/// Nodes below a folder that the server knows at another place.
pub fn moved_below(conn: &Connection, top: Ino) -> Result<Vec<Node>, Error> {
    let sql = format!(
        "{DOWN} SELECT n.ino FROM down JOIN nodes n ON n.ino=down.ino \
         WHERE n.moved=1 AND n.r_id IS NOT NULL AND n.ino<>?1"
    );
    let mut stmt = conn.prepare_cached(&sql)?;
    let inos = stmt.query_map([int(top.0)], |r| Ok(Ino(uint(r.get(0)?))))?;
    let inos = inos.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut nodes = Vec::with_capacity(inos.len());
    for ino in inos {
        nodes.extend(get(conn, ino)?);
    }
    Ok(nodes)
}

/// Nothing of what lies below a folder is sent from here on.
pub fn shelve(conn: &Connection, top: Ino) -> Result<(), Error> {
    let sql = format!(
        "{DOWN} UPDATE nodes SET shelved=1, dirty=0 \
         WHERE dirty=1 AND tomb=0 AND ino<>?1 AND ino IN (SELECT ino FROM down)"
    );
    conn.prepare_cached(&sql)?.execute([int(top.0)])?;
    Ok(())
}

/// What [`shelve`] kept back below a folder is due.
pub fn unshelve(conn: &Connection, top: Ino, due: i64) -> Result<(), Error> {
    let sql = format!(
        "{DOWN} UPDATE nodes SET shelved=0, dirty=1, due=?2 WHERE shelved=1 AND ino IN (SELECT ino FROM down)"
    );
    conn.prepare_cached(&sql)?.execute(params![int(top.0), due])?;
    Ok(())
}

const NOTE: &str = "id, name, length(body), mtime_s, mtime_n FROM trash_notes";

fn note_at(r: &Sql<'_>) -> rusqlite::Result<Note> {
    Ok(Note { id: uint(r.get(0)?), name: r.get(1)?, size: uint(r.get(2)?), mtime: time_at(r, 3)? })
}

/// A note of a name in one of the trash's folders.
pub fn note_named(conn: &Connection, folder: Ino, name: &str) -> Result<Option<Note>, Error> {
    let mut stmt = conn.prepare_cached(&format!("SELECT {NOTE} WHERE folder=?1 AND name=?2"))?;
    Ok(stmt.query_row(params![int(folder.0), name], note_at).optional()?)
}

/// A note and its bytes.
pub fn note(conn: &Connection, id: u64) -> Result<Option<(Note, Vec<u8>)>, Error> {
    let mut stmt = conn.prepare_cached(
        "SELECT id, name, length(body), mtime_s, mtime_n, body FROM trash_notes WHERE id=?1",
    )?;
    Ok(stmt.query_row([int(id)], |r| Ok((note_at(r)?, r.get(5)?))).optional()?)
}

/// Up to `limit` notes of a folder whose number is above `after`, in the order of numbers.
pub fn notes(conn: &Connection, folder: Ino, after: u64, limit: usize) -> Result<Vec<Note>, Error> {
    let sql = format!("SELECT {NOTE} WHERE folder=?1 AND id>?2 ORDER BY id LIMIT ?3");
    let mut stmt = conn.prepare_cached(&sql)?;
    let notes = stmt.query_map(params![int(folder.0), int(after), int(limit as u64)], note_at)?;
    Ok(notes.collect::<rusqlite::Result<_>>()?)
}

/// Writes a new note, in place of another one of its name.
pub fn put_note(
    conn: &Connection,
    folder: Ino,
    name: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Note, Error> {
    drop_note(conn, folder, name)?;
    conn.prepare_cached(
        "INSERT INTO trash_notes (folder, name, body, mtime_s, mtime_n) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![int(folder.0), name, body, now.secs, now.nanos])?;
    let id = uint(conn.last_insert_rowid());
    Ok(Note { id, name: name.to_owned(), size: body.len() as u64, mtime: now })
}

/// Gives a note other bytes; says whether it is there.
pub fn change_note(conn: &Connection, id: u64, body: &[u8], now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE trash_notes SET body=?2, mtime_s=?3, mtime_n=?4 WHERE id=?1";
    Ok(conn.prepare_cached(sql)?.execute(params![int(id), body, now.secs, now.nanos])? > 0)
}

/// Gives a note another name, in place of another one of that; says whether it is there.
pub fn rename_note(conn: &Connection, from: (Ino, &str), to: (Ino, &str)) -> Result<bool, Error> {
    let Some(note) = note_named(conn, from.0, from.1)? else { return Ok(false) };
    if from != to {
        drop_note(conn, to.0, to.1)?;
    }
    conn.prepare_cached("UPDATE trash_notes SET folder=?2, name=?3 WHERE id=?1")?.execute(params![
        int(note.id),
        int(to.0.0),
        to.1
    ])?;
    Ok(true)
}

/// Removes a note; says whether there was one.
pub fn drop_note(conn: &Connection, folder: Ino, name: &str) -> Result<bool, Error> {
    let sql = "DELETE FROM trash_notes WHERE folder=?1 AND name=?2";
    Ok(conn.prepare_cached(sql)?.execute(params![int(folder.0), name])? > 0)
}

/// Removes the notes of a folder, with this ending, that are about nothing in the trash.
pub fn loose_notes(conn: &Connection, folder: Ino, ending: &str) -> Result<(), Error> {
    let sql = "DELETE FROM trash_notes WHERE folder=?1 AND NOT EXISTS (SELECT 1 FROM trash t WHERE t.name || ?2 = trash_notes.name)";
    conn.prepare_cached(sql)?.execute(params![int(folder.0), ending])?;
    Ok(())
}

/// A row is to be deleted for good.
pub fn put_purge(conn: &Connection, purge: &Purge, due: i64) -> Result<(), Error> {
    conn.prepare_cached(
        "INSERT INTO purges VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET due=?4, tries=?5",
    )?
    .execute(params![purge.id.as_str(), kind_int(purge.kind), int(purge.newest.0), due, purge.tries])?;
    Ok(())
}

/// Whether a row is to be deleted for good.
pub fn has_purge(conn: &Connection, id: &NodeId) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM purges WHERE r_id=?1)";
    Ok(conn.prepare_cached(sql)?.query_row([id.as_str()], |r| r.get(0))?)
}

/// It is, or is not any more.
pub fn end_purge(conn: &Connection, id: &NodeId) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM purges WHERE r_id=?1")?.execute([id.as_str()])?;
    Ok(())
}

/// Those whose time has come, the longest due first.
pub fn due_purges(conn: &Connection, now: i64, limit: usize) -> Result<Vec<Purge>, Error> {
    let sql = "SELECT r_id, kind, newest, tries FROM purges WHERE due<=?1 ORDER BY due LIMIT ?2";
    let mut stmt = conn.prepare_cached(sql)?;
    let purges = stmt.query_map(params![now, int(limit as u64)], |r| {
        Ok(Purge {
            id: NodeId(r.get(0)?),
            kind: kind_of(r.get(1)?),
            newest: Ino(uint(r.get(2)?)),
            tries: r.get(3)?,
        })
    })?;
    Ok(purges.collect::<rusqlite::Result<_>>()?)
}

/// How many there are.
pub fn count_purges(conn: &Connection) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM purges";
    Ok(uint(conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?))
}

/// When the next one that is not due at `now` will be.
pub fn next_purge(conn: &Connection, now: i64) -> Result<Option<i64>, Error> {
    Ok(conn.prepare_cached("SELECT min(due) FROM purges WHERE due>?1")?.query_row([now], |r| r.get(0))?)
}
