//! What is known of our own recent writes: replaces that may not have lasted, places that folders of ours left.

use rusqlite::{Connection, OptionalExtension, Row as Sql, params};

use super::{int, uint};
use crate::store::{ContentId, Error};
use crate::types::{Ino, NodeId, Timestamp, Version};

/// A replace of ours that is not known to have lasted. The service has no precondition on writes, so another
/// client's replace may have destroyed it unseen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The file.
    pub ino: Ino,
    /// What was sent.
    pub version: Version,
    /// Its bytes here.
    pub content: Option<ContentId>,
    /// How many.
    pub size: u64,
    /// Their modification time.
    pub modified: Timestamp,
    /// When it was confirmed (milliseconds).
    pub at: i64,
    /// When the row is to be read again (milliseconds).
    pub due: i64,
    /// The row still showed it some time after it was confirmed: what others wrote since is no race.
    pub seen: bool,
}

const COLUMNS: &str = "ino, bucket, object, content, size, mtime_s, mtime_n, at, due, seen";

fn watch_of(r: &Sql<'_>) -> rusqlite::Result<Watch> {
    Ok(Watch {
        ino: Ino(uint(r.get(0)?)),
        version: Version { bucket: r.get(1)?, object: r.get(2)? },
        content: r.get::<_, Option<i64>>(3)?.map(ContentId),
        size: uint(r.get(4)?),
        modified: Timestamp { secs: r.get(5)?, nanos: r.get(6)? },
        at: r.get(7)?,
        due: r.get(8)?,
        seen: r.get(9)?,
    })
}

/// Watches a replace; a file has one watch, its newest.
///
/// # Errors
/// The database's, here and below.
pub fn put_watch(conn: &Connection, w: &Watch) -> Result<(), Error> {
    let sql = format!("INSERT OR REPLACE INTO watches ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)");
    conn.prepare_cached(&sql)?.execute(params![
        int(w.ino.0),
        w.version.bucket,
        w.version.object,
        w.content.map(|c| c.0),
        int(w.size),
        w.modified.secs,
        w.modified.nanos,
        w.at,
        w.due,
        w.seen,
    ])?;
    Ok(())
}

/// The watch of a file.
pub fn watch(conn: &Connection, ino: Ino) -> Result<Option<Watch>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM watches WHERE ino=?1");
    Ok(conn.prepare_cached(&sql)?.query_row([int(ino.0)], watch_of).optional()?)
}

/// The watches whose time has come, the oldest first.
pub fn due_watches(conn: &Connection, now: i64, limit: usize) -> Result<Vec<Watch>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM watches WHERE due<=?1 ORDER BY due LIMIT ?2");
    let mut stmt = conn.prepare_cached(&sql)?;
    Ok(stmt.query_map(params![now, int(limit as u64)], watch_of)?.collect::<rusqlite::Result<_>>()?)
}

/// The replace is watched no longer.
pub fn end_watch(conn: &Connection, ino: Ino) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM watches WHERE ino=?1")?.execute([int(ino.0)])?;
    Ok(())
}

/// Replaces that are being watched.
pub fn count_watches(conn: &Connection) -> Result<u64, Error> {
    Ok(uint(conn.prepare_cached("SELECT count(*) FROM watches")?.query_row([], |r| r.get(0))?))
}

/// Contents that are pinned for no watch (any more) can be evicted again.
pub fn unpin_unwatched(conn: &Connection) -> Result<(), Error> {
    let sql = "UPDATE contents SET pinned=0 WHERE pinned=1 \
         AND id NOT IN (SELECT content FROM watches WHERE content IS NOT NULL)";
    conn.execute(sql, [])?;
    Ok(())
}

/// Remembers where a folder was that we moved away.
pub fn note_departure(
    conn: &Connection,
    ino: Ino,
    parent: &NodeId,
    name: &str,
    now: i64,
) -> Result<(), Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO departures VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        int(ino.0),
        parent.as_str(),
        name,
        now
    ])?;
    Ok(())
}

/// Where a folder was before we moved it, if that was after `since` (milliseconds).
pub fn departure(conn: &Connection, ino: Ino, since: i64) -> Result<Option<(NodeId, String)>, Error> {
    let sql = "SELECT parent, name FROM departures WHERE ino=?1 AND at>=?2";
    let mut stmt = conn.prepare_cached(sql)?;
    let row = stmt.query_row(params![int(ino.0), since], |r| Ok((NodeId(r.get(0)?), r.get(1)?)));
    Ok(row.optional()?)
}

/// Forgets where a folder was.
pub fn forget_departure(conn: &Connection, ino: Ino) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM departures WHERE ino=?1")?.execute([int(ino.0)])?;
    Ok(())
}

/// Nodes that wait for something, in two parts: asked for as one, the whole table would be read.
const WAITING: [&str; 2] = ["dirty=1", "dirty=0 AND ino IN (SELECT ino FROM intents)"];

/// The local clock was set: what is dated by it moves along. `waits`: times still to come, too.
pub fn rebase(conn: &Connection, by: i64, waits: bool) -> Result<(), Error> {
    for table in ["echoes", "intents", "watches", "departures"] {
        conn.execute(&format!("UPDATE {table} SET at=at+?1"), [by])?;
    }
    if waits {
        for waiting in WAITING {
            conn.execute(&format!("UPDATE nodes SET due=max(0, due+?1) WHERE due>0 AND {waiting}"), [by])?;
        }
        conn.execute("UPDATE watches SET due=due+?1", [by])?;
    }
    Ok(())
}

/// Nothing waits beyond `latest` (milliseconds), whatever the clock said when it was put off.
pub fn clamp_due(conn: &Connection, latest: i64) -> Result<(), Error> {
    for waiting in WAITING {
        conn.execute(&format!("UPDATE nodes SET due=?1 WHERE due>?1 AND {waiting}"), [latest])?;
    }
    conn.execute("UPDATE watches SET due=?1 WHERE due>?1", [latest])?;
    Ok(())
}
