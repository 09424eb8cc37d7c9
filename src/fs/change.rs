//! Changing the tree: create, mkdir, unlink, rmdir. One transaction each; the push brings it over later.

use std::sync::Arc;

use super::files::Held;
use super::push::brake;
use super::{Answer, Attr, Error, Fs, OpenFlags, Opened, Result, now_ms};
use crate::names;
use crate::store::nodes::{self, Anchor, Node};
use crate::store::{self, Content, ContentId, Tx};
use crate::types::{Ino, Kind, Row, Status, Timestamp};

/// What a transaction leaves to be done after it.
#[derive(Default)]
pub(super) struct After {
    /// Staged contents that lost their node.
    pub retired: Vec<ContentId>,
    /// Copies that lie on another file's version.
    pub copies: Vec<Arc<Content>>,
    /// Nodes to drop unless they are open.
    pub doomed: Vec<Ino>,
}

/// How one try to remove a name ended.
enum Removal {
    Done(After),
    /// This content takes the place of something durable, and is to be brought to the disk first.
    Unready(ContentId),
}

/// What came of a name that was to be given.
enum Planted {
    /// Nobody had it. A file is in use from the moment on at which others can see it.
    New(Node, Option<Held>),
    /// Somebody has it.
    There(Node),
    /// Nobody knows: not all names of the folder are here.
    Unlisted,
}

impl Fs {
    /// Creates a file and opens it.
    pub(super) fn tree_create(
        self: &Arc<Self>,
        parent: Ino,
        name: &[u8],
        flags: OpenFlags,
    ) -> Answer<(Attr, Opened)> {
        let parent = self.inward(parent);
        let name = match self.new_name(name, false) {
            Ok(n) => n,
            Err(e) => return Answer::Now(Err(e)),
        };
        // Whether the folder's names are known is found out by the way.
        match self.plant(parent, &name, Some(flags), true) {
            Ok(Planted::Unlisted) => {}
            planted => return Answer::Now(planted.and_then(|p| self.open_planted(p, flags))),
        }
        self.with_listed(&[parent], move |fs| {
            let planted = fs.plant(parent, &name, Some(flags), false)?;
            fs.open_planted(planted, flags)
        })
    }

    fn open_planted(self: &Arc<Self>, planted: Planted, flags: OpenFlags) -> Result<(Attr, Opened)> {
        match planted {
            Planted::New(node, Some(file)) => {
                let keep_cache = self.files.keep_pages(node.ino);
                let attr = self.attr(&node);
                Ok((attr, Opened { fh: self.files.add_handle(file, flags), keep_cache }))
            }
            Planted::There(_) if flags.exclusive => Err(Error::Exists),
            Planted::There(node) if node.kind == Kind::Folder => Err(Error::IsDir),
            Planted::There(node) => {
                let opened = self.open_now(node.ino, flags)?;
                Ok((self.attr(&self.node(node.ino)?), opened))
            }
            Planted::New(_, None) | Planted::Unlisted => Err(Error::Stale),
        }
    }

    /// Creates a folder.
    pub(super) fn tree_mkdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        let parent = self.inward(parent);
        let name = match self.new_name(name, true) {
            Ok(n) => n,
            Err(e) => return Answer::Now(Err(e)),
        };
        self.with_listed(&[parent], move |fs| {
            let Planted::New(node, _) = fs.plant(parent, &name, None, false)? else {
                return Err(Error::Exists);
            };
            fs.push.wake_by(node.due);
            Ok(fs.attr(&node))
        })
    }

    /// Checks a name that is about to be given.
    pub(super) fn new_name(&self, name: &[u8], folder: bool) -> Result<String> {
        self.check_writable()?;
        Ok(names::check(name, folder)?.to_owned())
    }

    /// Gives a name to a new file, which is to be opened so, or to a new folder. `doubt`: it is not certain that the names
    /// in `parent` are known.
    fn plant(&self, parent: Ino, name: &str, file: Option<OpenFlags>, doubt: bool) -> Result<Planted> {
        if parent == Ino::RECOVERY {
            return Err(Error::ReadOnly);
        }
        let (now, ms) = (Timestamp::now(), now_ms());
        let kind = if file.is_some() { Kind::File } else { Kind::Folder };
        let due = self.config.due_as(kind, name, true, ms);
        let planted = self.db().write(|tx| {
            if doubt {
                match nodes::get(tx, parent)? {
                    None => return Ok(Err(Error::Stale)),
                    Some(n) if n.kind != Kind::Folder => return Ok(Err(Error::NotDir)),
                    Some(n) if !n.listed => return Ok(Ok(Planted::Unlisted)),
                    Some(_) => {}
                }
            }
            if let Some(node) = nodes::child(tx, parent, name)? {
                return Ok(Ok(Planted::There(node)));
            }
            if nodes::anchor(tx, parent)? != Anchor::Root {
                // A program may still be in a folder that is gone elsewhere.
                return Ok(Err(Error::NotFound));
            }
            nodes::touch(tx, parent, now)?;
            let node = nodes::insert(tx, &Node::new_local(kind, parent, name, now, due))?;
            self.sync.note_young(node.ino);
            let held = file.map(|flags| self.files.acquire_new(&node, flags.write));
            Ok(Ok(Planted::New(node, held)))
        })??;
        if matches!(planted, Planted::New(..)) {
            self.sync.note_names();
        }
        Ok(planted)
    }

    /// Removes a file's name, or an empty folder.
    pub(super) fn tree_remove(self: &Arc<Self>, parent: Ino, name: &[u8], kind: Kind) -> Answer<()> {
        if let Err(e) = self.check_writable() {
            return Answer::Now(Err(e));
        }
        let parent = self.inward(parent);
        let Ok(name) = std::str::from_utf8(name).map(str::to_owned) else {
            return Answer::Now(Err(Error::NotFound));
        };
        let child = match self.db().glance(|c| nodes::child(c, parent, &name)) {
            Ok(child) => child,
            Err(e) => return Answer::Now(Err(e.into())),
        };
        let mut listed = vec![parent];
        if kind == Kind::Folder {
            listed.extend(child.filter(|c| c.kind == Kind::Folder).map(|c| c.ino));
        }
        self.with_listed(&listed, move |fs| fs.remove_known(parent, &name, kind))
    }

    fn remove_known(self: &Arc<Self>, parent: Ino, name: &str, kind: Kind) -> Result<()> {
        loop {
            match self.try_remove(parent, name, kind)? {
                Removal::Done(after) => {
                    self.finish(after);
                    return Ok(());
                }
                Removal::Unready(id) => self.make_durable(id)?,
            }
        }
    }

    fn try_remove(&self, parent: Ino, name: &str, kind: Kind) -> Result<Removal> {
        let due = self.config.due(now_ms());
        self.db().write(|tx| {
            let Some(node) = nodes::child(tx, parent, name)? else { return Ok(Err(Error::NotFound)) };
            let refused = match (node.kind, kind) {
                _ if parent == Ino::RECOVERY || node.ino == Ino::RECOVERY => Some(Error::NotPermitted),
                (Kind::Folder, Kind::File) => Some(Error::IsDir),
                (Kind::File, Kind::Folder) => Some(Error::NotDir),
                (Kind::Folder, _) if nodes::has_children(tx, node.ino)? => Some(Error::NotEmpty),
                (Kind::Folder, _) if self.outward(node.ino) == Ino::ROOT => Some(Error::Busy),
                _ => None,
            };
            if let Some(refused) = refused {
                return Ok(Err(refused));
            }
            if kind == Kind::File
                && let Some((heir, row)) = heir_of(tx, &node)?
            {
                if let Some(id) = heir.content
                    && !self.blocks().is_durable(tx, id)?
                    && self.shows_durable(tx, &node)?
                {
                    return Ok(Ok(Removal::Unready(id)));
                }
                self.sync.grown(heir.ino);
                give_back_identity(tx, &node, heir, row)?;
            }
            let mut after = After::default();
            let node = nodes::get(tx, node.ino)?.unwrap_or(node);
            // What lies in the trash was counted when it was put there.
            if nodes::anchor(tx, parent)? == Anchor::Root {
                brake::count(self, tx, &node)?;
            }
            if kind == Kind::Folder {
                self.removed.note(self.attr(&node));
            }
            bury(tx, node, due, &mut after)?;
            nodes::touch(tx, parent, Timestamp::now())?;
            Ok(Ok(Removal::Done(after)))
        })?
    }

    /// What is left to do after a transaction that took names away.
    pub(super) fn finish(self: &Arc<Self>, after: After) {
        after.retired.into_iter().for_each(|id| self.sync.retire(id));
        for copy in after.copies {
            self.fetch_rest_soon(&copy);
            self.sync.note(copy);
        }
        for ino in after.doomed {
            if let Err(e) = self.drop_if_doomed(ino) {
                tracing::warn!(%ino, error = %e, "an unlinked file could not be dropped; the next start does it");
            }
        }
        self.sync.note_names();
        self.push.wake();
    }
}

/// Takes a node out of its folder: a tombstone if the server knows it, else gone once nobody has it open.
pub(super) fn bury(tx: &Tx, mut node: Node, due: i64, after: &mut After) -> store::Result<()> {
    (node.linked, node.tomb, node.due, node.emptied) = (false, true, due, false);
    (node.tries, node.blocked, node.error, node.waits_for) = (0, None, None, None);
    // A create in flight keeps its content until its fate is known.
    if nodes::intent(tx, node.ino)?.is_none() {
        after.retired.extend(node.content.take());
        node.uploaded = None;
    }
    nodes::save(tx, &node)?;
    if node.remote.is_none() {
        after.doomed.push(node.ino);
    }
    Ok(())
}

/// "Rename away, create the same name, delete the renamed-away one" (vim) is one replace: a node that took the
/// name of `leaving` and is not known to the server takes over its identity, too. Which node, and what.
pub(super) fn heir_of(tx: &Tx, leaving: &Node) -> store::Result<Option<(Node, Row)>> {
    let Some(row) = leaving.remote.clone().filter(|_| leaving.moved) else { return Ok(None) };
    let Some(folder) = row.parent.as_ref() else { return Ok(None) };
    let Some(folder) = nodes::by_remote(tx, folder)? else { return Ok(None) };
    let Some(heir) = nodes::child(tx, folder.ino, &row.name.display())? else { return Ok(None) };
    let free = heir.kind == Kind::File
        && heir.remote.is_none()
        && nodes::intent(tx, heir.ino)?.is_none()
        && nodes::intent(tx, leaving.ino)?.is_none();
    Ok(free.then_some((heir, row)))
}

/// A node takes over the row of one that is gone here.
pub(super) fn give_back_identity(tx: &Tx, leaving: &Node, mut heir: Node, row: Row) -> store::Result<()> {
    nodes::save(tx, &Node { remote: None, ..leaving.clone() })?;
    heir.emptied = heir.size == 0 && row.content.is_some();
    heir.remote = Some(row);
    nodes::swap_echoes(tx, heir.ino, leaving.ino)?;
    heir.moved = is_moved(tx, &heir)?;
    nodes::save(tx, &heir)
}

/// Whether the place a node has here differs from the confirmed one, which may be the trash.
pub(super) fn is_moved(tx: &Tx, node: &Node) -> store::Result<bool> {
    let Some(row) = &node.remote else { return Ok(false) };
    if node.parent == Some(Ino::RECOVERY) {
        // The server cannot put it there.
        return Ok(false);
    }
    if row.status == Status::Trashed && node.linked && !node.tomb {
        return Ok(true);
    }
    let renamed = !node.alias && row.name.display() != node.name;
    let parent = match node.parent {
        Some(p) => nodes::get(tx, p)?,
        None => return Ok(renamed),
    };
    Ok(renamed || parent.and_then(|p| p.id().cloned()) != row.parent)
}
