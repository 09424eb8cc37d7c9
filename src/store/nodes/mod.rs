//! The mirror: one row a node.
//!
//! A node has what the **user sees** (folder, name, size, times, content) beside what the **server last
//! confirmed** ([`Node::remote`]). It is dirty where the two differ; that difference is the journal of what
//! the user did. [`save`] derives it, so no caller can forget to.

mod blocked;
mod pictures;
mod pins;
mod push;
mod removals;
mod trash;
mod tree;
mod watch;

pub use blocked::{Blocked, News};
pub use pictures::{note_picture, picture_of};
pub use pins::{PinnedFile, any_pin, below_pins, hand_pin_over, has_pin, pin, pin_above, pins, unpin};
pub use push::{
    Intent, Queue, any_echo, any_unblocked, blocked_after, clear_intent, conflicts_after, defer, due,
    due_tombs, echoed, echoers, forget_echo, forget_echoes, intent, intents_at, intents_into, looked,
    next_due, note_echo, put_intent, queue, queue_but_tombs, recount, swap_echoes, unblock, unsent_named,
    waiting_on, wake_all, wake_children, wake_failed, wanted_names,
};
pub use removals::{
    any_tomb, count_shown, count_tombs, forget_removals, note_removals, removals_since, tombs,
};
pub use trash::{
    Entry, Note, Purge, change_note, count_below, count_purges, drop_note, due_purges, end_purge,
    entries_in_trash, entry_named, has_purge, in_trash, leave_trash, loose_notes, meant_below, moved_below,
    next_purge, note, note_named, notes, put_in_trash, put_note, put_purge, rename_note, shelve, unshelve,
};
pub use tree::{
    Anchor, Paths, Shown, adopt_orphans, anchor, begin_count, below, by_remote, child, children, count,
    delete, doomed, each_child, entries, get, has_children, highest, holders, holders_ever, ino_of, insert,
    is_listed, lies_beneath, lies_on, path_of, referrers, set_listed, showing, stray_contents,
    strays_with_a_home, tombs_below, touch,
};
pub use watch::{
    Watch, clamp_due, count_watches, departure, due_watches, end_watch, forget_departure, note_departure,
    put_watch, rebase, unpin_unwatched, watch,
};

use rusqlite::{Connection, OptionalExtension, Row as Sql, params};

use super::{ContentId, Error};
use crate::names::RemoteName;
use crate::types::{Ino, Kind, NodeId, Row, Status, Timestamp, Version};

/// A node of the mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its number, for good.
    pub ino: Ino,
    /// File or folder, for good.
    pub kind: Kind,
    /// Its folder; `None` for the root and for rows whose folder is not known (yet).
    pub parent: Option<Ino>,
    /// The name shown.
    pub name: String,
    /// Whether its folder lists it.
    pub linked: bool,
    /// Whether `name` is a stand-in (see [`crate::names::alias`]); such names are never pushed.
    pub alias: bool,
    /// Deleted by the user; the server has not confirmed it.
    pub tomb: bool,
    /// Bytes as the user sees them.
    pub size: u64,
    /// Modification time as the user sees it.
    pub mtime: Timestamp,
    /// Last local change of anything.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
    /// Staged content that the server does not have under this node; `None`: the confirmed version's.
    pub content: Option<ContentId>,
    /// The user sees an empty file where the server has bytes, or nothing.
    pub emptied: bool,
    /// Folders: all children are known.
    pub listed: bool,
    /// What the server last confirmed; `None`: it does not know this node.
    pub remote: Option<Row>,
    /// Name or folder differ from the confirmed ones, or it is in the trash there and not here.
    pub moved: bool,
    /// `content` as uploaded, while no row has it.
    pub uploaded: Option<Version>,
    /// Not pushed before this (milliseconds since 1970).
    pub due: i64,
    /// Failed tries.
    pub tries: u32,
    /// Why it waits for a person or a change of the account.
    pub blocked: Option<Blocked>,
    /// The last failure.
    pub error: Option<String>,
    /// A node that must be clean before this one is pushed.
    pub waits_for: Option<Ino>,
    /// Lies in the trash with a folder, and differs from the server: nothing of it is sent until it comes out.
    pub shelved: bool,
}

impl Node {
    /// A node that only exists here: to be pushed.
    #[must_use]
    pub fn new_local(kind: Kind, parent: Ino, name: &str, now: Timestamp, due: i64) -> Self {
        Node {
            ino: Ino(0),
            kind,
            parent: Some(parent),
            name: name.to_owned(),
            linked: true,
            alias: false,
            tomb: false,
            size: 0,
            mtime: now,
            ctime: now,
            btime: now,
            content: None,
            emptied: kind == Kind::File,
            listed: kind == Kind::Folder,
            remote: None,
            moved: false,
            uploaded: None,
            due,
            tries: 0,
            blocked: None,
            error: None,
            waits_for: None,
            shelved: false,
        }
    }

    /// A clean node that shows a row.
    #[must_use]
    pub fn from_row(row: Row, parent: Option<Ino>, name: String, alias: bool, now: Timestamp) -> Self {
        Node {
            linked: row.status == Status::Exists,
            alias,
            size: row.size,
            mtime: row.modified,
            ctime: now,
            btime: row.created,
            emptied: false,
            listed: false,
            parent,
            remote: Some(row.clone()),
            ..Node::new_local(row.kind, Ino(0), &name, now, 0)
        }
    }

    /// Whether the user's view differs from the server's.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        match (&self.remote, self.tomb) {
            (Some(_), true) => true,
            (None, true) => false,
            _ if self.shelved => false,
            // Gone elsewhere, or with a folder that is: nothing of it is sent any more.
            (_, false) if !self.linked => false,
            (None, false) => self.ino != Ino::ROOT && self.ino != Ino::RECOVERY,
            (Some(_), false) => self.content.is_some() || self.emptied || self.moved,
        }
    }

    /// Whether the user's content differs from the server's.
    #[must_use]
    pub fn content_dirty(&self) -> bool {
        self.kind == Kind::File && (self.content.is_some() || self.emptied)
    }

    /// A delete of the user's has arrived: nothing of the node differs any more. The unsent content it had, which is to be
    /// retired, is in the answer.
    pub fn buried(&mut self) -> Option<ContentId> {
        (self.tomb, self.linked, self.moved, self.emptied) = (false, false, false, false);
        (self.tries, self.blocked, self.error, self.uploaded) = (0, None, None, None);
        if let Some(row) = &self.remote {
            // That is what is there again should somebody restore it.
            (self.size, self.mtime) = (row.size, row.modified);
        }
        self.content.take()
    }

    /// The same of what lies in the trash as a file manager sees it: what was not sent stays with it.
    pub fn laid_out(&mut self) {
        (self.tomb, self.linked, self.moved) = (false, false, false);
        (self.tries, self.blocked, self.error) = (0, None, None);
    }

    /// The confirmed version, unless the user sees other content.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.remote.as_ref().and_then(|r| r.content.as_ref())
    }

    /// The identity on the server, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<&NodeId> {
        self.remote.as_ref().map(|r| &r.id)
    }

    /// How the server would store the name shown: the confirmed split as long as it shows the same.
    #[must_use]
    pub fn wanted_name(&self) -> RemoteName {
        match (&self.remote, self.kind) {
            (Some(row), _) if self.alias || row.name.display() == self.name => row.name.clone(),
            (_, Kind::File) => RemoteName::split(&self.name),
            (_, Kind::Folder) => RemoteName::whole(&self.name),
        }
    }
}

const COLUMNS: &str = "ino, kind, parent, name, linked, alias, tomb, size, mtime_s, mtime_n, ctime_s, ctime_n, \
     btime_s, btime_n, content, emptied, listed, r_id, r_parent, r_stem, r_ext, r_status, r_bucket, r_vbucket, \
     r_object, r_size, r_readable, r_created, r_modified, r_updated, moved, u_bucket, u_object, due, tries, \
     blocked, error, waits_for, shelved";

fn uint(v: i64) -> u64 {
    u64::try_from(v).unwrap_or(0)
}

fn int(v: u64) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

fn time_at(r: &Sql<'_>, i: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp { secs: r.get(i)?, nanos: r.get(i + 1)? })
}

fn version_at(r: &Sql<'_>, i: usize) -> rusqlite::Result<Option<Version>> {
    let (bucket, object): (Option<String>, Option<String>) = (r.get(i)?, r.get(i + 1)?);
    Ok(bucket.zip(object).map(|(bucket, object)| Version { bucket, object }))
}

fn ino_at(r: &Sql<'_>, i: usize) -> rusqlite::Result<Option<Ino>> {
    Ok(r.get::<_, Option<i64>>(i)?.map(|v| Ino(uint(v))))
}

fn kind_of(v: i64) -> Kind {
    if v == 0 { Kind::File } else { Kind::Folder }
}

fn status_of(v: i64) -> Status {
    match v {
        0 => Status::Exists,
        1 => Status::Trashed,
        _ => Status::Deleted,
    }
}

fn kind_int(k: Kind) -> i64 {
    i64::from(k == Kind::Folder)
}

fn status_int(s: Status) -> i64 {
    match s {
        Status::Exists => 0,
        Status::Trashed => 1,
        Status::Deleted => 2,
    }
}

fn remote_at(r: &Sql<'_>, kind: Kind) -> rusqlite::Result<Option<Row>> {
    let Some(id) = r.get::<_, Option<String>>(17)? else { return Ok(None) };
    let ms = |i: usize| -> rusqlite::Result<Timestamp> {
        Ok(Timestamp::from_millis(r.get::<_, Option<i64>>(i)?.unwrap_or(0)))
    };
    Ok(Some(Row {
        id: NodeId(id),
        parent: r.get::<_, Option<String>>(18)?.map(NodeId),
        kind,
        name: RemoteName { stem: r.get::<_, Option<String>>(19)?.unwrap_or_default(), ext: r.get(20)? },
        status: status_of(r.get::<_, Option<i64>>(21)?.unwrap_or(0)),
        bucket: r.get(22)?,
        content: version_at(r, 23)?,
        size: uint(r.get::<_, Option<i64>>(25)?.unwrap_or(0)),
        readable: r.get::<_, Option<bool>>(26)?.unwrap_or(true),
        created: ms(27)?,
        modified: ms(28)?,
        updated: ms(29)?,
    }))
}

fn node_of(r: &Sql<'_>) -> rusqlite::Result<Node> {
    let kind = kind_of(r.get(1)?);
    Ok(Node {
        ino: Ino(uint(r.get(0)?)),
        kind,
        parent: ino_at(r, 2)?,
        name: r.get(3)?,
        linked: r.get(4)?,
        alias: r.get(5)?,
        tomb: r.get(6)?,
        size: uint(r.get(7)?),
        mtime: time_at(r, 8)?,
        ctime: time_at(r, 10)?,
        btime: time_at(r, 12)?,
        content: r.get::<_, Option<i64>>(14)?.map(ContentId),
        emptied: r.get(15)?,
        listed: r.get(16)?,
        remote: remote_at(r, kind)?,
        moved: r.get(30)?,
        uploaded: version_at(r, 31)?,
        due: r.get(33)?,
        tries: r.get(34)?,
        blocked: Blocked::from_code(r.get(35)?),
        error: r.get(36)?,
        waits_for: ino_at(r, 37)?,
        shelved: r.get(38)?,
    })
}

/// All nodes a query names. `tail` follows `FROM nodes`.
fn select(conn: &Connection, tail: &str, args: impl rusqlite::Params) -> Result<Vec<Node>, Error> {
    let mut stmt = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM nodes {tail}"))?;
    let rows = stmt.query_map(args, node_of)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows)
}

fn select_one(conn: &Connection, tail: &str, args: impl rusqlite::Params) -> Result<Option<Node>, Error> {
    let mut stmt = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM nodes {tail}"))?;
    Ok(stmt.query_row(args, node_of).optional()?)
}

/// All columns that change, in the order of [`write()`]'s values; the number is `?1`, the kind `?39`.
const UPDATE: &str = "UPDATE nodes SET parent=?2, name=?3, linked=?4, alias=?5, tomb=?6, size=?7, mtime_s=?8, \
     mtime_n=?9, ctime_s=?10, ctime_n=?11, btime_s=?12, btime_n=?13, content=?14, emptied=?15, listed=?16, \
     r_id=?17, r_parent=?18, r_stem=?19, r_ext=?20, r_status=?21, r_bucket=?22, r_vbucket=?23, r_object=?24, \
     r_size=?25, r_readable=?26, r_created=?27, r_modified=?28, r_updated=?29, moved=?30, u_bucket=?31, \
     u_object=?32, dirty=?33, due=?34, tries=?35, blocked=?36, error=?37, waits_for=?38, shelved=?40 \
     WHERE ino=?1 AND kind=?39";

const INSERT: &str = "INSERT INTO nodes (ino, parent, name, linked, alias, tomb, size, mtime_s, mtime_n, ctime_s, \
     ctime_n, btime_s, btime_n, content, emptied, listed, r_id, r_parent, r_stem, r_ext, r_status, r_bucket, \
     r_vbucket, r_object, r_size, r_readable, r_created, r_modified, r_updated, moved, u_bucket, u_object, dirty, \
     due, tries, blocked, error, waits_for, kind, shelved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
     ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, \
     ?35, ?36, ?37, ?38, ?39, ?40)";

/// Writes all of a node back, and whether it is dirty.
///
/// # Errors
/// The database's; a second linked node of one name in one folder is one of them.
pub fn save(conn: &Connection, n: &Node) -> Result<(), Error> {
    write(conn, UPDATE, Some(n.ino), n)
}

fn write(conn: &Connection, sql: &str, ino: Option<Ino>, n: &Node) -> Result<(), Error> {
    let r = n.remote.as_ref();
    let version = n.version();
    conn.prepare_cached(sql)?.execute(params![
        ino.map(|i| int(i.0)),
        n.parent.map(|p| int(p.0)),
        n.name,
        n.linked,
        n.alias,
        n.tomb,
        int(n.size),
        n.mtime.secs,
        n.mtime.nanos,
        n.ctime.secs,
        n.ctime.nanos,
        n.btime.secs,
        n.btime.nanos,
        n.content.map(|c| c.0),
        n.emptied,
        n.listed,
        r.map(|r| r.id.as_str()),
        r.and_then(|r| r.parent.as_ref()).map(NodeId::as_str),
        r.map(|r| r.name.stem.as_str()),
        r.and_then(|r| r.name.ext.as_deref()),
        r.map(|r| status_int(r.status)),
        r.and_then(|r| r.bucket.as_deref()),
        version.map(|v| v.bucket.as_str()),
        version.map(|v| v.object.as_str()),
        r.map(|r| int(r.size)),
        r.map(|r| r.readable),
        r.map(|r| r.created.as_millis()),
        r.map(|r| r.modified.as_millis()),
        r.map(|r| r.updated.as_millis()),
        n.moved,
        n.uploaded.as_ref().map(|v| v.bucket.as_str()),
        n.uploaded.as_ref().map(|v| v.object.as_str()),
        n.is_dirty(),
        n.due,
        n.tries,
        Blocked::code(n.blocked),
        n.error,
        n.waits_for.map(|w| int(w.0)),
        kind_int(n.kind),
        n.shelved,
    ])?;
    Ok(())
}

/// The same for a node whose name, folder and confirmed row are as they were read: half the indexes stay as they are.
///
/// # Errors
/// The database's.
pub fn save_content(conn: &Connection, n: &Node) -> Result<(), Error> {
    let mut stmt = conn.prepare_cached(
        "UPDATE nodes SET size=?2, mtime_s=?3, mtime_n=?4, ctime_s=?5, ctime_n=?6, content=?7, emptied=?8, \
         u_bucket=?9, u_object=?10, dirty=?11, due=?12, tries=?13, blocked=?14, error=?15, waits_for=?16 WHERE ino=?1",
    )?;
    stmt.execute(params![
        int(n.ino.0),
        int(n.size),
        n.mtime.secs,
        n.mtime.nanos,
        n.ctime.secs,
        n.ctime.nanos,
        n.content.map(|c| c.0),
        n.emptied,
        n.uploaded.as_ref().map(|v| v.bucket.as_str()),
        n.uploaded.as_ref().map(|v| v.object.as_str()),
        n.is_dirty(),
        n.due,
        n.tries,
        Blocked::code(n.blocked),
        n.error,
        n.waits_for.map(|w| int(w.0)),
    ])?;
    Ok(())
}

/// A value of the small key-value table.
///
/// # Errors
/// The database's.
pub fn meta(conn: &Connection, key: &str) -> Result<Option<String>, Error> {
    let mut stmt = conn.prepare_cached("SELECT value FROM mirror_meta WHERE key=?1")?;
    Ok(stmt.query_row([key], |r| r.get(0)).optional()?)
}

/// Takes a value out of the small key-value table.
///
/// # Errors
/// The database's.
pub fn unset_meta(conn: &Connection, key: &str) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM mirror_meta WHERE key=?1")?.execute([key])?;
    Ok(())
}

/// Sets a value of the small key-value table.
///
/// # Errors
/// The database's.
pub fn set_meta(conn: &Connection, key: &str, value: &str) -> Result<(), Error> {
    conn.prepare_cached("INSERT INTO mirror_meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value=?2")?
        .execute([key, value])?;
    Ok(())
}
