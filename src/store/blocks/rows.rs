//! Contents and slots as rows.

use rusqlite::{OptionalExtension, Row, params};

use super::place::Loc;
use super::slot::Cid;
use super::state::{Entry, Held};
use super::{Conn, ContentId, Result, Tx};
use crate::extent::ByteSet;
use crate::types::{Timestamp, Version};

/// A content's row.
#[derive(Clone, Debug)]
pub(super) struct ContentRow {
    pub id: ContentId,
    pub cid: Cid,
    pub staged: bool,
    pub version: Option<Version>,
    pub size: u64,
    pub base: Option<(ContentId, u64)>,
    pub fill_at: Option<Loc>,
    pub durable: bool,
    pub bytes: u64,
}

const COLUMNS: &str =
    "id, cid, state, bucket, object, size, base, base_limit, fill_place, fill_slot, durable, bytes";

/// SQLite's integers are signed; nothing here comes near the limit.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn uint(row: &Row, column: usize) -> rusqlite::Result<u64> {
    let n: i64 = row.get(column)?;
    u64::try_from(n).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, n))
}

fn loc(row: &Row, place: usize, slot: usize) -> rusqlite::Result<Option<Loc>> {
    match row.get::<_, Option<u8>>(place)? {
        Some(p) => Ok(Some(Loc { place: p, slot: uint(row, slot)? })),
        None => Ok(None),
    }
}

fn content(row: &Row) -> rusqlite::Result<ContentRow> {
    let bucket: Option<String> = row.get(3)?;
    let object: Option<String> = row.get(4)?;
    let base = match row.get::<_, Option<i64>>(6)? {
        Some(id) => Some((ContentId(id), uint(row, 7)?)),
        None => None,
    };
    Ok(ContentRow {
        id: ContentId(row.get(0)?),
        cid: row.get(1)?,
        staged: row.get::<_, i64>(2)? == 1,
        version: bucket.zip(object).map(|(bucket, object)| Version { bucket, object }),
        size: uint(row, 5)?,
        base,
        fill_at: loc(row, 8, 9)?,
        durable: row.get(10)?,
        bytes: uint(row, 11)?,
    })
}

pub(super) fn get(conn: &Conn, id: ContentId) -> Result<Option<ContentRow>> {
    let sql = format!("SELECT {COLUMNS} FROM contents WHERE id = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([id.0], content).optional()?)
}

pub(super) fn by_version(conn: &Conn, v: &Version) -> Result<Option<ContentRow>> {
    let sql = format!("SELECT {COLUMNS} FROM contents WHERE bucket = ?1 AND object = ?2");
    Ok(conn.prepare_cached(&sql)?.query_row([&v.bucket, &v.object], content).optional()?)
}

/// Every content for which `condition` (an SQL expression of our own) holds.
pub(super) fn select(conn: &Conn, condition: &str) -> Result<Vec<ContentRow>> {
    let sql = format!("SELECT {COLUMNS} FROM contents WHERE {condition}");
    let mut stmt = conn.prepare_cached(&sql)?;
    let rows = stmt.query_map([], content)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// The contents that follow `after`, in the order of their numbers.
pub(super) fn following(conn: &Conn, after: ContentId, limit: u32) -> Result<Vec<ContentRow>> {
    let sql = format!("SELECT {COLUMNS} FROM contents WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut stmt = conn.prepare_cached(&sql)?;
    let rows = stmt.query_map((after.0, limit), content)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// How many contents there are, as far as they are worth counting.
pub(super) fn count_up_to(conn: &Conn, limit: u64) -> Result<u64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM contents LIMIT ?1)";
    Ok(conn.query_row(sql, [int(limit)], |row| uint(row, 0))?)
}

/// Bytes of all cached and of all staged contents, by their rows.
pub(super) fn sums(conn: &Conn) -> Result<(u64, u64)> {
    let sql = "SELECT ifnull(sum(bytes) FILTER (WHERE state = 0), 0),
               ifnull(sum(bytes) FILTER (WHERE state = 1), 0) FROM contents";
    Ok(conn.query_row(sql, [], |r| Ok((uint(r, 0)?, uint(r, 1)?)))?)
}

/// The sums as they were saved last.
pub(super) fn totals(conn: &Conn) -> Result<(u64, u64)> {
    Ok(conn.query_row("SELECT cached, staged FROM meta", [], |r| Ok((uint(r, 0)?, uint(r, 1)?)))?)
}

pub(super) fn save_totals(tx: &Tx, cached: u64, staged: u64) -> Result<()> {
    tx.prepare_cached("UPDATE meta SET cached = ?1, staged = ?2")?.execute((int(cached), int(staged)))?;
    Ok(())
}

/// Numbers that no content has or will get from the database.
pub(super) fn reserve(tx: &Tx) -> Result<std::ops::Range<i64>> {
    const MANY: i64 = 256;
    let sql = "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'contents' RETURNING seq";
    let last: Option<i64> = tx.prepare_cached(sql)?.query_row([MANY], |r| r.get(0)).optional()?;
    let last = match last {
        Some(last) => last,
        None => {
            // No content was ever made.
            tx.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('contents', ?1)", [MANY])?;
            MANY
        }
    };
    Ok(last - MANY + 1..last + 1)
}

/// Makes the row; its `id` is given by the database unless it has one.
pub(super) fn insert(tx: &Tx, row: &ContentRow, boot: &str) -> Result<ContentId> {
    let sql =
        "INSERT INTO contents (cid, state, bucket, object, size, base, base_limit, fill_place, fill_slot,
               boot, last_used, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    tx.prepare_cached(sql)?.execute(params![
        row.cid,
        row.staged,
        row.version.as_ref().map(|v| &v.bucket),
        row.version.as_ref().map(|v| &v.object),
        int(row.size),
        row.base.map(|(id, _)| id.0),
        row.base.map_or(0, |(_, limit)| int(limit)),
        row.fill_at.map(|l| l.place),
        row.fill_at.map(|l| int(l.slot)),
        boot,
        Timestamp::now().as_millis(),
        (row.id.0 != 0).then_some(row.id.0),
    ])?;
    Ok(ContentId(tx.last_insert_rowid()))
}

/// Brings a staged content's row up to date.
pub(super) fn update(tx: &Tx, row: &ContentRow, boot: &str) -> Result<bool> {
    let sql =
        "UPDATE contents SET size = ?2, base_limit = ?3, durable = ?4, bytes = ?5, boot = ?6 WHERE id = ?1";
    let n = tx.prepare_cached(sql)?.execute(params![
        row.id.0,
        int(row.size),
        row.base.map_or(0, |(_, limit)| int(limit)),
        row.durable,
        int(row.bytes),
        boot,
    ])?;
    Ok(n == 1)
}

/// Turns a staged content into the cached one of `version`.
pub(super) fn adopt(tx: &Tx, id: ContentId, version: &Version, fill_at: Option<Loc>) -> Result<()> {
    let sql = "UPDATE contents SET state = 0, bucket = ?2, object = ?3, base = NULL, base_limit = 0,
               fill_place = ?4, fill_slot = ?5, last_used = ?6 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute(params![
        id.0,
        version.bucket,
        version.object,
        fill_at.map(|l| l.place),
        fill_at.map(|l| int(l.slot)),
        Timestamp::now().as_millis(),
    ])?;
    Ok(())
}

pub(super) fn slots(conn: &Conn, id: ContentId) -> Result<Vec<(u64, Entry)>> {
    let sql = "SELECT block, place, slot, generation, extents FROM slots WHERE content = ?1 ORDER BY block";
    let mut stmt = conn.prepare_cached(sql)?;
    let rows = stmt.query_map([id.0], |row| {
        let loc = Loc { place: row.get(1)?, slot: uint(row, 2)? };
        let blob = row.get_ref(4)?.as_blob()?;
        let (len, held) = decode(blob).ok_or(rusqlite::Error::InvalidQuery)?;
        Ok((uint(row, 0)?, Entry { loc, generation: uint(row, 3)?, len, held }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn put_slot(tx: &Tx, id: ContentId, block: u64, e: &Entry) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO slots (content, block, place, slot, generation, extents)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let blob = encode(e);
    tx.prepare_cached(sql)?.execute(params![
        id.0,
        int(block),
        e.loc.place,
        int(e.loc.slot),
        int(e.generation),
        blob
    ])?;
    Ok(())
}

pub(super) fn delete_slot(tx: &Tx, id: ContentId, block: u64) -> Result<()> {
    tx.prepare_cached("DELETE FROM slots WHERE content = ?1 AND block = ?2")?.execute([id.0, int(block)])?;
    Ok(())
}

/// The highest slab slot that a row names, by place. Not a scan.
pub(super) fn slab_ends(conn: &Conn) -> Result<Vec<Loc>> {
    let mut ends = Vec::new();
    for sql in [
        "SELECT max(slot) FROM slots WHERE place = ?1 AND place > 0",
        "SELECT max(fill_slot) FROM contents WHERE fill_place = ?1 AND fill_place IS NOT NULL",
    ] {
        let mut stmt = conn.prepare(sql)?;
        for place in 1..=super::place::PLACES {
            let highest = stmt.query_row([place], |r| r.get::<_, Option<i64>>(0))?;
            ends.extend(highest.map(|n| Loc { place, slot: u64::try_from(n).unwrap_or(0) }));
        }
    }
    Ok(ends)
}

/// Every slab slot that a row names.
pub(super) fn slab_slots(conn: &Conn) -> Result<Vec<Loc>> {
    let sql = "SELECT place, slot FROM slots WHERE place > 0
               UNION ALL SELECT fill_place, fill_slot FROM contents WHERE fill_place IS NOT NULL";
    let mut stmt = conn.prepare(sql)?;
    let rows = stmt.query_map([], |r| Ok(Loc { place: r.get(0)?, slot: uint(r, 1)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Length of the plaintext, then, unless all of it counts, pairs of start and end.
fn encode(e: &Entry) -> Vec<u8> {
    let mut blob = e.len.to_le_bytes().to_vec();
    if let Some(set) = e.held.partial() {
        for r in set.iter() {
            for n in [r.start, r.end] {
                // Offsets within a block.
                blob.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
            }
        }
    }
    blob
}

fn decode(blob: &[u8]) -> Option<(u32, Held)> {
    let (words, rest) = blob.as_chunks::<4>();
    let mut words = words.iter().map(|w| u32::from_le_bytes(*w));
    let len = words.next()?;
    if !rest.is_empty() || u64::from(len) > crate::block::BLOCK {
        return None;
    }
    let mut set = ByteSet::new();
    while let Some(start) = words.next() {
        let end = words.next()?;
        if start >= end || end > len {
            return None;
        }
        set.insert(u64::from(start)..u64::from(end));
    }
    Some((len, if set.is_empty() { Held::all() } else { Held::of(set, len) }))
}
