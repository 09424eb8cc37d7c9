//! The three-way merge of one row: what the server says now, what it last confirmed, what the user sees.
//!
//! Clean nodes take the server's state. Where both sides changed: content against content keeps both, an edit
//! beats a delete, of two moves the local one is pushed last and wins.

use std::sync::Arc;

use super::rescue::since_when;
use super::{From, Outcome, walk};
use crate::fs::change::is_moved;
use crate::fs::invalidate::Note;
use crate::fs::push::confirm::{object_of, place};
use crate::fs::push::trash::settle_below;
use crate::fs::{Fs, now_ms};
use crate::store::nodes::{self, Node};
use crate::store::{Result, Tx};
use crate::types::{Ino, Kind, Row, Status, Timestamp};

/// For how many units after one of our writes its pre-image is taken for an echo.
pub(in crate::fs) const ECHO: i64 = 60;

/// A merge within one transaction.
pub(super) struct Merge<'a> {
    pub fs: &'a Arc<Fs>,
    pub tx: &'a Tx<'a>,
    pub from: From,
    pub now: Timestamp,
    pub outcome: Outcome,
    /// Names that became free.
    pub freed: Vec<(Ino, String)>,
    /// Whether any delete of ours was sent not long ago, once that was asked.
    pub sent_deletes: Option<bool>,
}

impl<'a> Merge<'a> {
    pub fn new(fs: &'a Arc<Fs>, tx: &'a Tx<'a>, from: From) -> Self {
        Merge {
            fs,
            tx,
            from,
            now: Timestamp::now(),
            outcome: Outcome::default(),
            freed: Vec::new(),
            sent_deletes: None,
        }
    }

    /// Merges one row.
    pub fn row(&mut self, row: &Row) -> Result<()> {
        match nodes::by_remote(self.tx, &row.id)? {
            Some(node) if node.ino == Ino::ROOT => Ok(()),
            Some(node) => self.known(node, row),
            None if row.status == Status::Exists => self.unknown(row),
            None if row.kind == Kind::Folder => self.unknown_and_gone(row),
            None => Ok(()),
        }
    }

    fn unknown(&mut self, row: &Row) -> Result<()> {
        let Some(folder) = row.parent.as_ref() else { return Ok(()) };
        if !nodes::intents_at(self.tx, folder, &row.name.display())?.is_empty() {
            // Maybe our own create, whose answer is not here yet: resolving that finds it. If it is not, a later look does.
            self.outcome.again = true;
            return Ok(());
        }
        if self.arrived_late(row)? {
            return Ok(());
        }
        let parent = nodes::ino_of(self.tx, folder)?;
        self.add(row, parent)?;
        if !self.sent_deletes()? {
            return Ok(());
        }
        match nodes::by_remote(self.tx, &row.id)? {
            Some(node) => self.was_unseen(node),
            None => Ok(()),
        }
    }

    /// A create that was looked for in vain, and done all the same.
    fn arrived_late(&mut self, row: &Row) -> Result<bool> {
        let Some(version) = row.content.as_ref().filter(|v| !v.object.is_empty()) else { return Ok(false) };
        for ino in nodes::echoers(self.tx, &version.object)? {
            let Some(mut node) = nodes::get(self.tx, ino)? else { continue };
            if node.remote.is_some() || !node.linked || nodes::intent(self.tx, ino)?.is_some() {
                continue;
            }
            node.remote = Some(row.clone());
            node.emptied = node.size == 0;
            node.moved = is_moved(self.tx, &node)?;
            nodes::save(self.tx, &node)?;
            self.outcome.push = true;
            return Ok(true);
        }
        Ok(false)
    }

    /// A file that is open for writing, about to lose its row: what it shows becomes a copy that lies on the version.
    pub(super) fn keep_content(&mut self, node: &mut Node) -> Result<()> {
        let Some(version) = node.version().cloned() else { return Ok(()) };
        if node.content.is_some() || node.emptied || node.kind == Kind::Folder {
            return Ok(());
        }
        let base = self.fs.blocks().cached(self.tx, &version, node.size)?;
        let copy = self.fs.blocks().stage(self.tx, Some((base.id(), node.size)), node.size)?;
        copy.commit(self.tx)?;
        node.content = Some(copy.id());
        self.outcome.copies.push(copy);
        Ok(())
    }

    fn known(&mut self, node: Node, row: &Row) -> Result<()> {
        let Some(confirmed) = node.remote.clone() else { return Ok(()) };
        if nodes::intent(self.tx, node.ino)?.is_some() {
            self.outcome.again |= *row != confirmed;
            return Ok(());
        }
        if self.is_stale(&confirmed, row) {
            if *row != confirmed {
                // A replica that lags, as a rule. Stamps may go back, too: the row itself will tell.
                self.outcome.doubted.push((row.id.clone(), row.kind));
            }
            return Ok(());
        }
        self.lasts(&node, row)?;
        if *row == confirmed && !node.tomb {
            return self.unseen(node, row);
        }
        match (row.status, node.tomb) {
            (Status::Exists, true) => self.exists_against_delete(node, &confirmed, row),
            (Status::Exists, false) => self.exists(node, &confirmed, row),
            (_, true) => self.delete_confirmed(node, row),
            (_, false) => self.gone(node, row),
        }
    }

    /// Whether a feed shows less than what is known. A stamp from the future says nothing.
    fn is_stale(&self, confirmed: &Row, row: &Row) -> bool {
        self.from == From::Feed && row.updated < confirmed.updated && walk::is_plausible(confirmed.updated)
    }

    /// Nothing is new of a row but that it lives: one that nothing shows is shown again.
    fn unseen(&mut self, node: Node, row: &Row) -> Result<()> {
        let lives = row.status == Status::Exists;
        let lost = match row.parent.as_ref().filter(|_| node.parent.is_none()) {
            Some(id) => nodes::by_remote(self.tx, id)?.is_some(),
            None => false,
        };
        if lives && (lost || !node.linked) { self.place_row(node, row) } else { Ok(()) }
    }

    /// The user deleted it here. Edited by somebody else since: the edit lives.
    fn exists_against_delete(&mut self, mut node: Node, confirmed: &Row, row: &Row) -> Result<()> {
        let edited = row.content != confirmed.content && !self.is_echo(&node, row)?;
        node.remote = Some(row.clone());
        nodes::save(self.tx, &node)?;
        if edited { self.revive(row) } else { Ok(()) }
    }

    /// Takes back a delete the user made here.
    pub fn revive(&mut self, row: &Row) -> Result<()> {
        let Some(mut node) = nodes::by_remote(self.tx, &row.id)?.filter(|n| n.tomb) else { return Ok(()) };
        if self.fs.files.is_open(node.ino) && nodes::intent(self.tx, node.ino)?.is_none() {
            return self.reborn(node, row);
        }
        (node.tomb, node.tries, node.blocked, node.error, node.waits_for) = (false, 0, None, None, None);
        node.remote = Some(row.clone());
        if !nodes::in_trash(self.tx, node.ino)? {
            (node.size, node.mtime, node.content, node.emptied) = (row.size, row.modified, None, false);
        }
        if row.status == Status::Trashed {
            // What differs is that it lives here: the push restores it.
            (node.due, self.outcome.push) = (now_ms(), true);
        }
        self.place_row(node, row)
    }

    /// Whether a row that we trashed holds what somebody else wrote before, unknown to us. What we ever sent or
    /// replaced does not count.
    fn edited_before(&self, node: &Node, row: &Row) -> Result<bool> {
        let known = node.remote.as_ref().and_then(|r| r.content.as_ref());
        if row.status != Status::Trashed || row.content.is_none() || row.content.as_ref() == known {
            return Ok(false);
        }
        Ok(!nodes::echoed(self.tx, node.ino, object_of(row.content.as_ref()), 0)?)
    }

    /// Our delete has arrived; so have those below it.
    fn delete_confirmed(&mut self, mut node: Node, row: &Row) -> Result<()> {
        if self.edited_before(&node, row)? {
            tracing::warn!(name = %node.name, "deleted here and edited elsewhere; the edit is restored");
            return self.revive(row);
        }
        self.unwatch(node.ino)?;
        node.remote = Some(row.clone());
        if nodes::in_trash(self.tx, node.ino)? {
            node.laid_out();
        } else {
            self.outcome.retired.extend(node.buried());
        }
        nodes::save(self.tx, &node)?;
        if node.kind == Kind::Folder {
            self.keep_unseen(&node)?;
            let settled = settle_below(self.tx, &row.id)?;
            self.outcome.retired.extend(settled.contents);
            for below in settled.nodes {
                let Some(below) = nodes::get(self.tx, below)? else { continue };
                let Some(row) = below.remote.clone().filter(|r| r.status == Status::Exists) else { continue };
                // Hidden with the folder, and there again should somebody restore that; what is open stays removed.
                if self.fs.files.is_open(below.ino) {
                    self.reborn(below, &row)?;
                } else {
                    self.place_row(below, &row)?;
                }
            }
        }
        for waiting in nodes::waiting_on(self.tx, node.ino)? {
            nodes::defer(self.tx, waiting.ino, 0)?;
        }
        self.outcome.push = true;
        self.freed.extend(node.parent.map(|p| (p, node.name.clone())));
        self.forget_deleted(node, row)
    }

    /// A row that is gone for good leaves the mirror.
    fn forget_deleted(&mut self, mut node: Node, row: &Row) -> Result<()> {
        if row.status == Status::Deleted {
            self.leave_trash(node.ino)?;
        }
        if row.status == Status::Deleted && node.kind == Kind::File {
            node.remote = None;
            (node.tomb, node.linked) = (true, false);
            nodes::save(self.tx, &node)?;
            self.outcome.doomed.push(node.ino);
        }
        Ok(())
    }

    /// Somebody else deleted it, or put it into the trash.
    fn gone(&mut self, mut node: Node, row: &Row) -> Result<()> {
        let was = node.remote.as_ref().map(|r| r.status);
        if row.status == Status::Trashed && was == Some(Status::Trashed) && node.linked {
            // It is being restored.
            node.remote = Some(row.clone());
            return nodes::save(self.tx, &node);
        }
        if nodes::in_trash(self.tx, node.ino)? {
            node.remote = Some(row.clone());
            nodes::save(self.tx, &node)?;
            return self.forget_deleted(node, row);
        }
        if row.content.is_some() && node.version() != row.content.as_ref() {
            self.keep_ours(&node)?;
        }
        self.unwatch(node.ino)?;
        let edited = node.content_dirty() || self.fs.files.is_being_written(node.ino);
        if node.kind == Kind::File && edited {
            // An edit beats a delete: it becomes a file of its own.
            self.keep_content(&mut node)?;
            node.remote = None;
            (node.moved, node.due) = (false, now_ms());
            node.emptied = node.size == 0 && node.content.is_none();
            self.outcome.push = true;
            return nodes::save(self.tx, &node);
        }
        if node.kind == Kind::Folder && (node.linked || since_when(&node) == Some(Timestamp::UNKNOWN)) {
            self.rescue(&node, Some(row.updated))?;
        }
        if let (Some(parent), true) = (node.parent, node.linked) {
            self.outcome.notes.push(Note::Entry(parent, node.name.clone()));
            self.freed.push((parent, node.name.clone()));
        }
        (node.linked, node.moved) = (false, false);
        node.remote = Some(row.clone());
        nodes::save(self.tx, &node)?;
        self.forget_deleted(node, row)
    }

    fn exists(&mut self, mut node: Node, confirmed: &Row, row: &Row) -> Result<()> {
        if confirmed.status != Status::Exists || !node.linked {
            // Restored from the trash.
            if row.content != confirmed.content && self.fs.files.is_open(node.ino) {
                return self.reborn(node, row);
            }
            node.remote = Some(row.clone());
            if !node.content_dirty() {
                (node.size, node.mtime) = (row.size, row.modified);
            }
            return self.place_row(node, row);
        }
        let mut row = row.clone();
        if row.content != confirmed.content {
            if self.is_echo(&node, &row)? {
                self.outcome.doubted.push((row.id.clone(), row.kind));
                row = Row {
                    content: confirmed.content.clone(),
                    size: confirmed.size,
                    modified: confirmed.modified,
                    ..row
                };
            } else {
                return self.new_content(node, &row);
            }
        }
        let (here, there) =
            (place(confirmed.parent.as_ref(), &confirmed.name), place(row.parent.as_ref(), &row.name));
        if here != there {
            if self.from == From::Feed && nodes::echoed(self.tx, node.ino, &there, self.echoes_since())? {
                self.outcome.doubted.push((row.id.clone(), row.kind));
                (row.parent, row.name) = (confirmed.parent.clone(), confirmed.name.clone());
            } else {
                return self.new_place(node, confirmed, &row);
            }
        }
        self.refreshed(node, confirmed, row)
    }

    /// Nothing the user sees changed, but perhaps the time.
    fn refreshed(&mut self, mut node: Node, confirmed: &Row, row: Row) -> Result<()> {
        if row.modified != confirmed.modified && node.mtime == confirmed.modified && !node.content_dirty() {
            node.mtime = row.modified;
            self.outcome.notes.push(Note::Attr(node.ino));
        }
        // The service may go on calling a row unreadable whose content is ours by now.
        let readable = row.readable || (confirmed.readable && confirmed.content == row.content);
        let (ino, is_newer) = (node.ino, row.updated > confirmed.updated);
        node.remote = Some(Row { readable, ..row });
        nodes::save(self.tx, &node)?;
        if is_newer { self.moved_late(ino) } else { Ok(()) }
    }

    /// Somebody else's content.
    fn new_content(&mut self, mut node: Node, row: &Row) -> Result<()> {
        self.keep_ours(&node)?;
        if node.content_dirty() || self.fs.files.is_being_written(node.ino) {
            return self.conflict(node, row);
        }
        if self.fs.files.is_open(node.ino) {
            // Pages and size are an inode's: who has it open keeps its version, the name gets a new inode.
            let moved = node.moved.then(|| (node.parent, node.name.clone()));
            self.unname(&mut node)?;
            (node.remote, node.tomb) = (None, true);
            nodes::save(self.tx, &node)?;
            self.outcome.doomed.push(node.ino);
            return match moved {
                Some((parent, name)) => self.add_moved(row, parent, name),
                None => self.add_where_it_is(row),
            };
        }
        (node.size, node.mtime, node.ctime) = (row.size, row.modified, self.now);
        node.remote = Some(row.clone());
        self.outcome.notes.push(Note::Data(node.ino));
        if node.moved {
            // Moved here and not yet there: the local move is pushed last and wins.
            node.moved = is_moved(self.tx, &node)?;
            return nodes::save(self.tx, &node);
        }
        self.place_row(node, row)
    }

    /// Both sides changed the content: theirs keeps the name and the identity, ours goes beside it. Where ours has
    /// been given another place, it is beside it already.
    fn conflict(&mut self, mut node: Node, row: &Row) -> Result<()> {
        let (parent, moved) = (node.parent, node.moved);
        tracing::warn!(name = %node.name, "changed here and elsewhere; keeping both");
        self.unname(&mut node)?;
        self.keep_content(&mut node)?;
        node.remote = None;
        node.uploaded = None;
        (node.moved, node.alias, node.due, node.linked) = (false, false, now_ms(), true);
        node.emptied = node.content.is_none() && node.size == 0;
        if !moved {
            node.name = self.take_conflict_name(parent, &node.name)?;
        }
        nodes::save(self.tx, &node)?;
        if let Some(parent) = parent {
            self.outcome.notes.push(Note::Entry(parent, node.name.clone()));
        }
        self.outcome.push = true;
        self.add_where_it_is(row)
    }

    /// Somebody else moved or renamed it. A local move that is still to be pushed wins.
    fn new_place(&mut self, mut node: Node, confirmed: &Row, row: &Row) -> Result<()> {
        if node.moved {
            node.remote = Some(row.clone());
            node.moved = is_moved(self.tx, &node)?;
            return nodes::save(self.tx, &node);
        }
        if row.modified != confirmed.modified && node.mtime == confirmed.modified {
            node.mtime = row.modified;
            self.outcome.notes.push(Note::Attr(node.ino));
        }
        node.remote = Some(row.clone());
        let ino = node.ino;
        self.place_row(node, row)?;
        self.hidden_by_a_move(ino)
    }

    pub(super) fn echoes_since(&self) -> i64 {
        now_ms() - self.fs.config.paced(ECHO)
    }

    /// Whether a row shows what one of our own writes replaced or set not long ago.
    fn is_echo(&self, node: &Node, row: &Row) -> Result<bool> {
        if self.from != From::Feed {
            return Ok(false);
        }
        nodes::echoed(self.tx, node.ino, object_of(row.content.as_ref()), self.echoes_since())
    }
}
