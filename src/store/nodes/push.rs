//! What is to be sent, what was sent, and what our own writes replaced.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{Blocked, Node, int, select, uint};
use crate::names::RemoteName;
use crate::store::Error;
use crate::types::{Ino, NodeId, Timestamp, Version};

/// A request whose fate is not known. Committed before it is sent; until it is resolved *against what was
/// sent*, its node is not merged, pushed again or forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Intent {
    /// A file was registered.
    Create {
        /// The folder it was sent to.
        parent: NodeId,
        /// The name that was sent.
        name: RemoteName,
        /// The content that was sent.
        content: Option<Version>,
        /// Its size.
        size: u64,
        /// The creation time that was sent: tells our own row.
        created: Timestamp,
        /// The modification time that was sent.
        modified: Timestamp,
    },
    /// A folder was created.
    Mkdir {
        /// The folder it was sent to.
        parent: NodeId,
        /// The name that was sent.
        name: String,
        /// The creation time that was sent: tells our own row.
        created: Timestamp,
    },
    /// A file's content was replaced.
    Replace {
        /// The row.
        id: NodeId,
        /// What it held before.
        base: Option<Version>,
        /// The content that was sent.
        content: Option<Version>,
        /// Its size.
        size: u64,
        /// The modification time that was sent.
        modified: Timestamp,
    },
    /// A row was moved or renamed.
    Relocate {
        /// The folder it was sent to.
        parent: NodeId,
        /// The name that was sent.
        name: RemoteName,
    },
}

/// Sums over what is dirty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Dirty nodes.
    pub items: u64,
    /// Of them, blocked.
    pub blocked: u64,
    /// Bytes of content to send.
    pub bytes: u64,
}

/// Nodes whose time has come, the longest due first: dirty ones (of tombstones only those with an unresolved
/// intent), and those something was sent for whose fate is not known.
///
/// # Errors
/// The database's, here and below.
pub fn due(conn: &Connection, now: i64, limit: usize) -> Result<Vec<Node>, Error> {
    let tail = "WHERE dirty=1 AND blocked=0 AND due<=?1 AND (tomb=0 OR ino IN (SELECT ino FROM intents)) \
         ORDER BY due, ino LIMIT ?2";
    let mut due = select(conn, tail, params![now, int(limit as u64)])?;
    due.extend(select(conn, &format!("WHERE {SENT} AND due<=?1"), [now])?);
    Ok(due)
}

/// Nodes that are not dirty (any more) and of which it is not known what the server has.
const SENT: &str = "ino IN (SELECT ino FROM intents) AND dirty=0";

/// Tombstones whose time has come.
pub fn due_tombs(conn: &Connection, now: i64, limit: usize) -> Result<Vec<Node>, Error> {
    let tail = "WHERE dirty=1 AND blocked=0 AND due<=?1 AND tomb=1 ORDER BY due, ino LIMIT ?2";
    select(conn, tail, params![now, int(limit as u64)])
}

/// When the next dirty node that is not due at `now` will be.
pub fn next_due(conn: &Connection, now: i64) -> Result<Option<i64>, Error> {
    let first = |which: &str| -> Result<Option<i64>, Error> {
        let sql = format!("SELECT min(due) FROM nodes WHERE {which} AND due>?1");
        Ok(conn.prepare_cached(&sql)?.query_row([now], |r| r.get(0))?)
    };
    Ok(first("dirty=1 AND blocked=0")?.into_iter().chain(first(SENT)?).min())
}

/// Names that nodes of a folder are still to get on the server: of those behind `after` first, as a round goes.
pub fn wanted_names(conn: &Connection, parent: Ino, after: Ino, limit: usize) -> Result<Vec<String>, Error> {
    let mut stmt = conn.prepare_cached(
        "SELECT name FROM nodes WHERE dirty=1 AND parent=?1 AND linked=1 AND tomb=0 AND alias=0 AND blocked=0 \
         AND (r_id IS NULL OR moved=1) ORDER BY ino <= ?2, ino LIMIT ?3",
    )?;
    let names = stmt.query_map(params![int(parent.0), int(after.0), int(limit as u64)], |r| r.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// The first dirty nodes, blocked ones first.
pub fn queue(conn: &Connection, limit: usize) -> Result<Vec<Node>, Error> {
    select(conn, "WHERE dirty=1 ORDER BY blocked<>0 DESC, due, ino LIMIT ?1", [int(limit as u64)])
}

/// The same without the deletes.
pub fn queue_but_tombs(conn: &Connection, limit: usize) -> Result<Vec<Node>, Error> {
    select(conn, "WHERE dirty=1 AND tomb=0 ORDER BY blocked<>0 DESC, due, ino LIMIT ?1", [int(limit as u64)])
}

/// Files that are named as conflict copies are, whoever made them.
pub fn conflicts_after(conn: &Connection, after: Ino, limit: usize) -> Result<Vec<Node>, Error> {
    let sql = "WHERE ino>?1 AND tomb=0 AND kind=0 AND name LIKE '% (conflict %)%' ORDER BY ino LIMIT ?2";
    select(conn, sql, [int(after.0), int(limit as u64)])
}

/// Sums over the whole queue.
pub fn recount(conn: &Connection) -> Result<Queue, Error> {
    let sql = "SELECT count(*), coalesce(sum(blocked<>0), 0), \
         coalesce(sum(CASE WHEN tomb=0 AND content IS NOT NULL THEN size ELSE 0 END), 0) FROM nodes WHERE dirty=1";
    let dirty = conn.prepare_cached(sql)?.query_row([], |r| {
        Ok(Queue { items: uint(r.get(0)?), blocked: uint(r.get(1)?), bytes: uint(r.get(2)?) })
    })?;
    let sql = format!("SELECT count(*) FROM nodes WHERE {SENT}");
    let sent: i64 = conn.prepare_cached(&sql)?.query_row([], |r| r.get(0))?;
    Ok(Queue { items: dirty.items + uint(sent) + super::count_purges(conn)?, ..dirty })
}

/// Whether something is in the queue that is not blocked, deletes included or not.
pub fn any_unblocked(conn: &Connection, deletes: bool) -> Result<bool, Error> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM nodes WHERE dirty=1 AND blocked=0 AND (?1 OR tomb=0)) \
         OR EXISTS (SELECT 1 FROM nodes WHERE {SENT}) OR (?1 AND EXISTS (SELECT 1 FROM purges))"
    );
    Ok(conn.prepare_cached(&sql)?.query_row([deletes], |r| r.get(0))?)
}

/// Makes everything dirty due now.
pub fn wake_all(conn: &Connection) -> Result<(), Error> {
    conn.execute("UPDATE nodes SET due=0 WHERE dirty=1 AND due<>0", [])?;
    conn.execute(&format!("UPDATE nodes SET due=0 WHERE {SENT} AND due<>0"), [])?;
    conn.execute("UPDATE purges SET due=0 WHERE due<>0", [])?;
    Ok(())
}

/// Makes what failed and waits for another try due now.
pub fn wake_failed(conn: &Connection) -> Result<(), Error> {
    let failed = "dirty=1 AND blocked=0 AND due<>0 AND error IS NOT NULL";
    conn.execute(&format!("UPDATE nodes SET due=0 WHERE {failed}"), [])?;
    Ok(())
}

/// Up to `limit` blocked nodes whose number is above `after`, in the order of numbers.
pub fn blocked_after(conn: &Connection, after: Ino, limit: usize) -> Result<Vec<Node>, Error> {
    let tail = "WHERE dirty=1 AND blocked<>0 AND ino>?1 ORDER BY ino LIMIT ?2";
    select(conn, tail, params![int(after.0), int(limit as u64)])
}

/// Makes what is blocked for one of these reasons due now: all of it, or one node. The last failure stays noted.
/// Returns how many nodes that were.
pub fn unblock(conn: &Connection, only: Option<Ino>, which: impl Fn(Blocked) -> bool) -> Result<u64, Error> {
    let mut freed = 0;
    for reason in Blocked::ALL.into_iter().filter(|b| which(*b)) {
        let sql = "UPDATE nodes SET blocked=0, tries=0, due=0 \
             WHERE dirty=1 AND blocked=?1 AND (?2 IS NULL OR ino=?2)";
        let args = params![Blocked::code(Some(reason)), only.map(|i| int(i.0))];
        freed += conn.prepare_cached(sql)?.execute(args)? as u64;
    }
    Ok(freed)
}

/// Puts one node's push off, without touching anything else.
pub fn defer(conn: &Connection, ino: Ino, due: i64) -> Result<(), Error> {
    conn.prepare_cached("UPDATE nodes SET due=?2 WHERE ino=?1")?.execute(params![int(ino.0), due])?;
    Ok(())
}

/// Makes entries of a folder due that wait for nothing else: the folder has become known to the server.
pub fn wake_children(conn: &Connection, parent: Ino) -> Result<(), Error> {
    // The others have a time of their own.
    conn.prepare_cached("UPDATE nodes SET due=0 WHERE parent=?1 AND dirty=1 AND linked=1 AND waits_for=?1")?
        .execute([int(parent.0)])?;
    Ok(())
}

/// Unsent files of a folder whose names begin so, but for `but`.
pub fn unsent_named(
    conn: &Connection,
    parent: Ino,
    begin: &str,
    but: Ino,
) -> Result<Vec<(Ino, String)>, Error> {
    let mut stmt = conn.prepare_cached(
        "SELECT ino, name FROM nodes WHERE parent=?1 AND linked=1 AND name>=?2 AND name<?2||char(1114111) \
         AND dirty=1 AND blocked=0 AND kind=0 AND ino<>?3",
    )?;
    let found =
        stmt.query_map(params![int(parent.0), begin, int(but.0)], |r| Ok((Ino(uint(r.get(0)?)), r.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Nodes that wait for `ino` to become clean.
pub fn waiting_on(conn: &Connection, ino: Ino) -> Result<Vec<Node>, Error> {
    select(conn, "WHERE waits_for=?1 AND dirty=1", [int(ino.0)])
}

/// Commits what is about to be sent.
pub fn put_intent(conn: &Connection, ino: Ino, intent: &Intent, now: i64) -> Result<(), Error> {
    let body = serde_json::to_string(intent).map_err(|e| Error::Io(std::io::Error::other(e)))?;
    conn.prepare_cached(
        "INSERT INTO intents VALUES (?1, ?2, ?3, 0) ON CONFLICT DO UPDATE SET body=?2, at=?3, looks=0",
    )?
    .execute(params![int(ino.0), body, now])?;
    Ok(())
}

/// A node's unresolved intent, when it was sent, and how often it was looked for in vain.
pub fn intent(conn: &Connection, ino: Ino) -> Result<Option<(Intent, i64, u32)>, Error> {
    let row = conn
        .prepare_cached("SELECT body, at, looks FROM intents WHERE ino=?1")?
        .query_row([int(ino.0)], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let Some((body, at, looks)) = row else { return Ok(None) };
    let intent = serde_json::from_str(&body).map_err(|e| Error::Io(std::io::Error::other(e)))?;
    Ok(Some((intent, at, looks)))
}

/// Notes one more look in vain.
pub fn looked(conn: &Connection, ino: Ino) -> Result<(), Error> {
    conn.prepare_cached("UPDATE intents SET looks=looks+1 WHERE ino=?1")?.execute([int(ino.0)])?;
    Ok(())
}

/// The intent's fate is known.
pub fn clear_intent(conn: &Connection, ino: Ino) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM intents WHERE ino=?1")?.execute([int(ino.0)])?;
    Ok(())
}

/// Nodes whose create or mkdir into a folder, under a shown name, is unresolved.
pub fn intents_at(conn: &Connection, folder: &NodeId, display: &str) -> Result<Vec<Ino>, Error> {
    let is_there = |intent: &Intent| match intent {
        Intent::Create { parent, name, .. } => parent == folder && name.display() == display,
        Intent::Mkdir { parent, name, .. } => parent == folder && name == display,
        _ => false,
    };
    intents_that(conn, is_there)
}

/// Nodes that a request whose fate is not known may have brought into a folder.
pub fn intents_into(conn: &Connection, folder: &NodeId) -> Result<Vec<Ino>, Error> {
    let leads_there = |intent: &Intent| match intent {
        Intent::Create { parent, .. } | Intent::Mkdir { parent, .. } | Intent::Relocate { parent, .. } => {
            parent == folder
        }
        _ => false,
    };
    intents_that(conn, leads_there)
}

/// There are few: one a request under way.
fn intents_that(conn: &Connection, is_meant: impl Fn(&Intent) -> bool) -> Result<Vec<Ino>, Error> {
    let mut stmt = conn.prepare_cached("SELECT ino, body FROM intents")?;
    let rows = stmt.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (ino, body) = row?;
        if serde_json::from_str(&body).is_ok_and(|intent| is_meant(&intent)) {
            found.push(Ino(uint(ino)));
        }
    }
    Ok(found)
}

/// Remembers a value (an object, a place) that one of our writes replaced or set.
pub fn note_echo(conn: &Connection, ino: Ino, what: &str, now: i64) -> Result<(), Error> {
    conn.prepare_cached("INSERT INTO echoes VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET at=?3")?
        .execute(params![int(ino.0), what, now])?;
    Ok(())
}

/// Whether a value is an echo of one of our writes since `since` (milliseconds).
pub fn echoed(conn: &Connection, ino: Ino, what: &str, since: i64) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM echoes WHERE ino=?1 AND what=?2 AND at>=?3)";
    Ok(conn.prepare_cached(sql)?.query_row(params![int(ino.0), what, since], |r| r.get(0))?)
}

/// Whether any of our writes is remembered.
pub fn any_echo(conn: &Connection) -> Result<bool, Error> {
    Ok(conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM echoes)")?.query_row([], |r| r.get(0))?)
}

/// Forgets one echo.
pub fn forget_echo(conn: &Connection, ino: Ino, what: &str) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM echoes WHERE ino=?1 AND what=?2")?.execute(params![int(ino.0), what])?;
    Ok(())
}

/// Two nodes exchange what they remember of their rows: an identity has changed hands.
pub fn swap_echoes(conn: &Connection, one: Ino, other: Ino) -> Result<(), Error> {
    // By way of a number no node has: a value may be known of both.
    let mut hand_over = conn.prepare_cached("UPDATE echoes SET ino=?2 WHERE ino=?1")?;
    conn.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    for (from, to) in [(int(one.0), -1), (int(other.0), int(one.0)), (-1, int(other.0))] {
        hand_over.execute(params![from, to])?;
    }
    Ok(())
}

/// Nodes whose echoes hold a value.
pub fn echoers(conn: &Connection, what: &str) -> Result<Vec<Ino>, Error> {
    let mut stmt = conn.prepare_cached("SELECT ino FROM echoes WHERE what=?1")?;
    let inos = stmt.query_map([what], |r| Ok(Ino(uint(r.get(0)?))))?.collect::<rusqlite::Result<_>>()?;
    Ok(inos)
}

/// Forgets echoes from before `before` (milliseconds).
pub fn forget_echoes(conn: &Connection, before: i64) -> Result<(), Error> {
    conn.execute("DELETE FROM echoes WHERE at<?1", [before])?;
    Ok(())
}
