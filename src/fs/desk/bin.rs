//! Into the trash, out of it, and for good.
//!
//! What a file manager puts into the trash is a tombstone like any other (`push::trash`), but that it keeps what was
//! not sent of it and has a name in `files`. A folder goes as one, with all below it: that stays as it is, out of
//! sight, and what of it differs from the server is shelved until it comes out. Coming out takes the delete back, or
//! moves the row out of the service's trash. What was never sent lies here alone.

use std::sync::Arc;

use super::{Place, notes, utf8};
use crate::fs::change::{After, is_moved};
use crate::fs::push::{brake, trash};
use crate::fs::{Answer, Error, Fs, Result, now_ms, pull};
use crate::names;
use crate::store::nodes::{self, Anchor, Entry, Node, Purge};
use crate::store::{self, Conn, Tx};
use crate::types::{Ino, Kind, Status, Timestamp};

/// The way of a rename that is not within the tree.
type Ends<'a> = ((Ino, &'a [u8]), (Ino, &'a [u8]));

impl Fs {
    /// A rename of which one end at least is not in the tree.
    pub(in crate::fs) fn desk_rename(self: &Arc<Self>, (from, to): Ends<'_>, noreplace: bool) -> Answer<()> {
        if let Err(e) = self.check_writable() {
            return Answer::Now(Err(e));
        }
        Answer::Now(match (Place::of(from.0), Place::of(to.0)) {
            (None, Some(Place::Files)) => self.bin(self.inward(from.0), from.1, to.1),
            (Some(Place::Files), None) => return self.unbin(from.1, self.inward(to.0), to.1),
            (Some(Place::Files), Some(Place::Files)) => self.rename_in_trash(from.1, to.1),
            (Some(Place::Files), Some(Place::Expunged)) => self.purge(from.1, None),
            (Some(one @ (Place::Trash | Place::Info)), Some(other @ (Place::Trash | Place::Info))) => {
                self.rename_note((one, from.1), (other, to.1), noreplace)
            }
            _ => Err(Error::NotPermitted),
        })
    }

    /// Removes an entry of one of the trash's folders: what is in `files` for good.
    pub(in crate::fs) fn desk_remove(self: &Arc<Self>, folder: Place, name: &[u8], kind: Kind) -> Result<()> {
        self.check_writable()?;
        match (folder, kind) {
            (Place::Files, _) => self.purge(name, Some(kind)),
            (Place::Trash, _) if super::FOLDERS.iter().any(|(n, _, _)| n.as_bytes() == name) => {
                Err(Error::Busy)
            }
            (_, Kind::File) => self.drop_note(folder, name),
            (_, Kind::Folder) => Err(Error::NotFound),
        }
    }

    /// Puts an entry of the tree into the trash.
    fn bin(self: &Arc<Self>, parent: Ino, name: &[u8], to: &[u8]) -> Result<()> {
        let (name, to) = (utf8(name)?, names::check(to, false)?);
        let source = self.db().read(|c| nodes::child(c, parent, name))?.ok_or(Error::NotFound)?;
        if let Some(file) = self.files.acquire_known(source.ino).filter(|_| source.kind == Kind::File) {
            self.journal(&file)?;
        }
        let due = self.config.due(now_ms());
        self.db().write(|tx| {
            let Some(node) = nodes::child(tx, parent, name)? else { return Ok(Err(Error::NotFound)) };
            if node.ino == Ino::RECOVERY || parent == Ino::RECOVERY {
                return Ok(Err(Error::NotPermitted));
            }
            if nodes::anchor(tx, parent)? != Anchor::Root {
                // It lies in the trash, or is gone elsewhere.
                return Ok(Err(Error::NotPermitted));
            }
            if nodes::entry_named(tx, to)?.is_some() {
                return Ok(Err(Error::Exists));
            }
            let newest = self.newest(tx)?;
            if node.kind == Kind::Folder {
                self.bin_strangers(tx, &node, newest, due)?;
                brake::count_all(self, tx, &node, nodes::count_below(tx, node.ino)?)?;
                nodes::shelve(tx, node.ino)?;
            }
            brake::count(self, tx, &node)?;
            lay(tx, node, to.to_owned(), newest, due)?;
            nodes::touch(tx, parent, Timestamp::now())?;
            Ok(Ok(()))
        })??;
        self.finish(After::default());
        Ok(())
    }

    /// The highest number of a node that whoever removes a folder now may know to lie in it.
    fn newest(&self, c: &Conn) -> store::Result<Ino> {
        let all_known = nodes::meta(c, "hydrated")?.is_some();
        Ok(if all_known { Ino(nodes::highest(c)?) } else { Ino::ANY })
    }

    /// What was moved into a folder that goes, and is still elsewhere on the server, goes as a thing of its own.
    fn bin_strangers(&self, tx: &Tx, top: &Node, newest: Ino, due: i64) -> store::Result<()> {
        for node in nodes::moved_below(tx, top.ino)? {
            let home = node.remote.as_ref().and_then(|r| r.parent.clone());
            let home = home.map(|id| nodes::by_remote(tx, &id)).transpose()?.flatten();
            if let Some(home) = home
                && nodes::below(tx, top.ino, home.ino)?
            {
                continue;
            }
            let name = names::alias(&node.name, &node.ino.to_string());
            if nodes::entry_named(tx, &name)?.is_some() {
                continue;
            }
            if node.kind == Kind::Folder {
                nodes::shelve(tx, node.ino)?;
            }
            self.tell_where(tx, &node, &name, Timestamp::now())?;
            lay(tx, node, name, newest, due)?;
        }
        Ok(())
    }

    /// Says in `info` where a thing was.
    pub(super) fn tell_where(&self, tx: &Tx, node: &Node, name: &str, since: Timestamp) -> store::Result<()> {
        let path = nodes::path_of(tx, node.ino)?.unwrap_or_else(|| node.name.clone());
        let above = nodes::path_of(tx, self.inward(Ino::ROOT))?.unwrap_or_default();
        let path = path.strip_prefix(above.trim_end_matches('/')).unwrap_or(&path);
        let body = trashinfo(path.trim_start_matches('/'), since);
        let name = format!("{name}{}", notes::INFO);
        nodes::put_note(tx, Ino::TRASH_INFO, &name, body.as_bytes(), Timestamp::now())?;
        Ok(())
    }

    /// Takes something out of the trash.
    fn unbin(self: &Arc<Self>, name: &[u8], to: Ino, to_name: &[u8]) -> Answer<()> {
        let checked = || -> Result<(Node, String, bool)> {
            let name = utf8(name)?;
            let found = self.db().read(|c| {
                let Some(node) = nodes::entry_named(c, name)? else { return Ok(None) };
                let unclear = node.tomb && brake::on_its_way(c, &node)?;
                Ok(Some((node, unclear)))
            })?;
            let (node, unclear) = found.ok_or(Error::NotFound)?;
            let to_name = self.new_name(to_name, node.kind == Kind::Folder)?;
            Ok((node, to_name, unclear))
        };
        let (node, to_name, unclear) = match checked() {
            Ok(found) => found,
            Err(e) => return Answer::Now(Err(e)),
        };
        if let Some(_deletes) = self.push.hold_deletes().filter(|_| !unclear) {
            return Answer::Now(self.take_out(node.ino, to, &to_name));
        }
        let fs = self.clone();
        Answer::later(async move {
            // A delete that is under way ends first, so that it is known what there is to be taken back.
            let _turn = fs.push.trashing.lock().await;
            if let Some(id) = node.id() {
                let look = pull::look_at(&fs, node.kind, id, pull::From::Fresh, pull::Missing::Gone);
                if let Err(e) = fs.health.while_online(look).await {
                    tracing::debug!(error = %e, "taken out of the trash without a look at the service");
                }
            }
            fs.take_out(node.ino, to, &to_name)
        })
    }

    fn take_out(self: &Arc<Self>, ino: Ino, to: Ino, to_name: &str) -> Result<()> {
        let now = now_ms();
        self.db().write(|tx| {
            let Some(mut node) = nodes::get(tx, ino)?.filter(|n| !n.linked) else {
                return Ok(Err(Error::NotFound));
            };
            let there = nodes::get(tx, to)?.map(|n| n.kind);
            if there != Some(Kind::Folder) || nodes::anchor(tx, to)? != Anchor::Root {
                return Ok(Err(Error::NotFound));
            }
            if to == Ino::RECOVERY {
                return Ok(Err(Error::ReadOnly));
            }
            if nodes::child(tx, to, to_name)?.is_some() {
                return Ok(Err(Error::Exists));
            }
            let sent = brake::on_its_way(tx, &node)?;
            if nodes::leave_trash(tx, ino)?.is_none() {
                return Ok(Err(Error::NotFound));
            }
            if let Some(row) = node.remote.as_mut().filter(|_| node.tomb && sent) {
                // If it has not arrived, the move out of the trash finds the row where it belongs.
                row.status = Status::Trashed;
            }
            node.alias = node.alias && node.name == to_name;
            to_name.clone_into(&mut node.name);
            (node.parent, node.linked, node.tomb) = (Some(to), true, false);
            (node.tries, node.blocked, node.error, node.waits_for) = (0, None, None, None);
            node.moved = is_moved(tx, &node)?;
            node.due = self.config.due_as(node.kind, to_name, node.size == 0, now);
            nodes::save(tx, &node)?;
            nodes::unshelve(tx, ino, self.config.due(now))?;
            nodes::touch(tx, to, Timestamp::now())?;
            Ok(Ok(()))
        })??;
        self.finish(After::default());
        self.pins.wake();
        Ok(())
    }

    fn rename_in_trash(&self, name: &[u8], to: &[u8]) -> Result<()> {
        let (name, to) = (utf8(name)?, names::check(to, false)?);
        self.db().write(|tx| {
            let Some(node) = nodes::entry_named(tx, name)? else { return Ok(Err(Error::NotFound)) };
            if name != to && nodes::entry_named(tx, to)?.is_some() {
                return Ok(Err(Error::Exists));
            }
            if let Some(entry) = nodes::leave_trash(tx, node.ino)? {
                nodes::put_in_trash(tx, &Entry { name: to.to_owned(), ..entry })?;
            }
            Ok(Ok(()))
        })?
    }

    /// Deletes something in the trash for good: an empty folder or a file, as its kind says, or whatever it is.
    fn purge(self: &Arc<Self>, name: &[u8], only: Option<Kind>) -> Result<()> {
        let name = utf8(name)?;
        let due = self.config.due(now_ms());
        let after = self.db().write(|tx| {
            let Some(mut node) = nodes::entry_named(tx, name)? else { return Ok(Err(Error::NotFound)) };
            match (node.kind, only) {
                (Kind::Folder, Some(Kind::File)) => return Ok(Err(Error::IsDir)),
                (Kind::File, Some(Kind::Folder)) => return Ok(Err(Error::NotDir)),
                (Kind::Folder, Some(_)) if nodes::has_children(tx, node.ino)? => {
                    return Ok(Err(Error::NotEmpty));
                }
                _ => {}
            }
            let mut after = After::default();
            let newest = nodes::leave_trash(tx, node.ino)?.map_or(Ino(0), |entry| entry.newest);
            if node.kind == Kind::Folder {
                forget_below(tx, &node, &mut after)?;
            }
            if nodes::intent(tx, node.ino)?.is_none() {
                after.retired.extend(node.content.take());
                (node.uploaded, node.emptied) = (None, false);
                nodes::save(tx, &node)?;
            }
            match node.id() {
                Some(id) => {
                    let purge = Purge { id: id.clone(), kind: node.kind, newest, tries: 0 };
                    nodes::put_purge(tx, &purge, due)?;
                }
                None => after.doomed.push(node.ino),
            }
            Ok(Ok(after))
        })??;
        self.finish(after);
        Ok(())
    }
}

/// A node leaves its folder for the trash.
fn lay(tx: &Tx, mut node: Node, name: String, newest: Ino, due: i64) -> store::Result<()> {
    (node.linked, node.tomb, node.due) = (false, true, due);
    (node.tries, node.blocked, node.error, node.waits_for) = (0, None, None, None);
    nodes::save(tx, &node)?;
    nodes::put_in_trash(tx, &Entry { ino: node.ino, name, newest })
}

/// What is only here below a folder that is deleted for good, and what was deleted below it before, goes with it.
fn forget_below(tx: &Tx, top: &Node, after: &mut After) -> store::Result<()> {
    if let Some(id) = top.id() {
        let settled = trash::settle_below(tx, id)?;
        after.retired.extend(settled.contents);
    }
    let mut todo = vec![top.ino];
    while let Some(folder) = todo.pop() {
        nodes::each_child(tx, folder, |mut node| {
            if node.kind == Kind::Folder {
                todo.push(node.ino);
            }
            if !node.shelved || nodes::intent(tx, node.ino)?.is_some() {
                return Ok(());
            }
            after.retired.extend(node.content.take());
            (node.uploaded, node.emptied, node.shelved) = (None, false, false);
            if node.remote.is_none() {
                (node.linked, node.tomb) = (false, true);
                after.doomed.push(node.ino);
            }
            node.moved = false;
            nodes::save(tx, &node)
        })?;
    }
    Ok(())
}

/// What the specification of the trash wants to be told of a thing, by its path from the top of the drive.
fn trashinfo(path: &str, at: Timestamp) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    let at = jiff::Timestamp::from_second(at.secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let local = at.to_zoned(jiff::tz::TimeZone::system());
    format!("[Trash Info]\nPath={escaped}\nDeletionDate={}\n", local.strftime("%Y-%m-%dT%H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_and_a_date_is_local() {
        let told = trashinfo("Fotos 2024/ä%.jpg", Timestamp { secs: 1_700_000_000, nanos: 0 });
        let mut lines = told.lines();
        assert_eq!(lines.next(), Some("[Trash Info]"));
        assert_eq!(lines.next(), Some("Path=Fotos%202024/%C3%A4%25.jpg"));
        assert!(lines.next().is_some_and(|l| l.starts_with("DeletionDate=2023-11-1") && l.len() == 32));
    }
}
