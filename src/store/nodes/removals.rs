//! What the user deleted lately, and what of it is not sent: for the brake on mass deletes.

use rusqlite::{Connection, params};

use super::{Node, int, kind_int, select, uint};
use crate::store::Error;
use crate::types::{Ino, Kind};

/// Counts deletes that the user made at `now` (milliseconds).
///
/// # Errors
/// The database's, here and below.
pub fn note_removals(conn: &Connection, now: i64, count: u64) -> Result<(), Error> {
    let sql = "INSERT INTO removals VALUES (?1, ?2) ON CONFLICT DO UPDATE SET nodes=nodes+?2";
    conn.prepare_cached(sql)?.execute(params![now.div_euclid(1000), int(count)])?;
    Ok(())
}

/// Deletes that the user made at or after `since` (milliseconds; rounded down to the second).
pub fn removals_since(conn: &Connection, since: i64) -> Result<u64, Error> {
    let sql = "SELECT coalesce(sum(nodes), 0) FROM removals WHERE second>=?1";
    Ok(uint(conn.prepare_cached(sql)?.query_row([since.div_euclid(1000)], |r| r.get(0))?))
}

/// Forgets deletes from before `before` (milliseconds).
pub fn forget_removals(conn: &Connection, before: i64) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM removals WHERE second<?1")?.execute([before.div_euclid(1000)])?;
    Ok(())
}

/// Nodes that a folder lists; not the root.
pub fn count_shown(conn: &Connection) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM nodes WHERE linked=1 AND ino<>1";
    Ok(uint(conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?))
}

/// Tombstones the server has not confirmed, and how many of them are blocked.
pub fn count_tombs(conn: &Connection) -> Result<(u64, u64), Error> {
    let sql = "SELECT count(*), coalesce(sum(blocked), 0) FROM nodes WHERE dirty=1 AND tomb=1";
    Ok(conn.prepare_cached(sql)?.query_row([], |r| Ok((uint(r.get(0)?), uint(r.get(1)?))))?)
}

/// Whether there is any.
pub fn any_tomb(conn: &Connection) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM nodes WHERE dirty=1 AND tomb=1)";
    Ok(conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}

/// Up to `limit` tombstones of a kind whose number is above `after`, in the order of numbers.
pub fn tombs(conn: &Connection, kind: Kind, after: Ino, limit: usize) -> Result<Vec<Node>, Error> {
    let tail = "WHERE dirty=1 AND tomb=1 AND kind=?1 AND ino>?2 ORDER BY ino LIMIT ?3";
    select(conn, tail, params![kind_int(kind), int(after.0), int(limit as u64)])
}
