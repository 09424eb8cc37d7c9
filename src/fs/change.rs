//! Changing the tree: create, mkdir, unlink, rmdir. One transaction each; the push brings it over later.

use std::sync::Arc;

use super::{Answer, Attr, Error, Fs, OpenFlags, Opened, Result, now_ms};
use crate::names;
use crate::store::nodes::{self, Node};
use crate::store::{self, Content, ContentId, Tx};
use crate::types::{Ino, Kind, Timestamp};

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

impl Fs {
    /// Creates a file and opens it.
    pub fn create(self: &Arc<Self>, parent: Ino, name: &[u8], flags: OpenFlags) -> Answer<(Attr, Opened)> {
        let parent = self.inward(parent);
        let name = match self.new_name(name, false) {
            Ok(n) => n,
            Err(e) => return Answer::Now(Err(e)),
        };
        self.with_listed(&[parent], move |fs| {
            // Another client's file may appear between the look and the making: then that is opened.
            for last in [false, true] {
                if let Some(node) = fs.db().read(|c| nodes::child(c, parent, &name))? {
                    return match node.kind {
                        _ if flags.exclusive => Err(Error::Exists),
                        Kind::Folder => Err(Error::IsDir),
                        Kind::File => {
                            let opened = fs.open_now(node.ino, flags)?;
                            Ok((fs.attr(&fs.node(node.ino)?), opened))
                        }
                    };
                }
                match fs.plant(parent, &name, Kind::File) {
                    Err(Error::Exists) if !last && !flags.exclusive => {}
                    planted => {
                        let node = planted?;
                        let opened = fs.open_now(node.ino, OpenFlags { truncate: false, ..flags })?;
                        return Ok((fs.attr(&node), opened));
                    }
                }
            }
            Err(Error::Exists)
        })
    }

    /// Creates a folder.
    pub fn mkdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        let parent = self.inward(parent);
        let name = match self.new_name(name, true) {
            Ok(n) => n,
            Err(e) => return Answer::Now(Err(e)),
        };
        self.with_listed(&[parent], move |fs| {
            if fs.db().read(|c| nodes::child(c, parent, &name))?.is_some() {
                return Err(Error::Exists);
            }
            let node = fs.plant(parent, &name, Kind::Folder)?;
            fs.push.wake();
            Ok(fs.attr(&node))
        })
    }

    /// Checks a name that is about to be given.
    pub(super) fn new_name(&self, name: &[u8], folder: bool) -> Result<String> {
        self.check_writable()?;
        Ok(names::check(name, folder)?.to_owned())
    }

    fn plant(&self, parent: Ino, name: &str, kind: Kind) -> Result<Node> {
        let (now, ms) = (Timestamp::now(), now_ms());
        let due = if kind == Kind::File { self.config.due_empty(ms) } else { self.config.due(ms) };
        let node = self.db().write(|tx| {
            if !nodes::get(tx, parent)?.is_some_and(|p| p.linked || p.ino == Ino::ROOT) {
                return Ok(None);
            }
            if nodes::child(tx, parent, name)?.is_some() {
                return Ok(None);
            }
            nodes::touch(tx, parent, now)?;
            nodes::insert(tx, &Node::new_local(kind, parent, name, now, due)).map(Some)
        })?;
        self.sync.note_names();
        node.ok_or(Error::Exists)
    }

    /// Removes a file's name. On the server it goes to the trash.
    pub fn unlink(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<()> {
        self.remove(parent, name, Kind::File)
    }

    /// Removes an empty folder. On the server it goes to the trash, after a look whether it is still empty there.
    pub fn rmdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<()> {
        self.remove(parent, name, Kind::Folder)
    }

    fn remove(self: &Arc<Self>, parent: Ino, name: &[u8], kind: Kind) -> Answer<()> {
        if let Err(e) = self.check_writable() {
            return Answer::Now(Err(e));
        }
        let parent = self.inward(parent);
        let Ok(name) = std::str::from_utf8(name).map(str::to_owned) else {
            return Answer::Now(Err(Error::NotFound));
        };
        let child = match self.db().read(|c| nodes::child(c, parent, &name)) {
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
        let due = self.config.due(now_ms());
        let after = self.db().write(|tx| {
            let Some(node) = nodes::child(tx, parent, name)? else { return Ok(Err(Error::NotFound)) };
            let refused = match (node.kind, kind) {
                (Kind::Folder, Kind::File) => Some(Error::IsDir),
                (Kind::File, Kind::Folder) => Some(Error::NotDir),
                (Kind::Folder, _) if nodes::has_children(tx, node.ino)? => Some(Error::NotEmpty),
                (Kind::Folder, _) if self.outward(node.ino) == Ino::ROOT => Some(Error::Busy),
                _ => None,
            };
            if let Some(refused) = refused {
                return Ok(Err(refused));
            }
            let mut after = After::default();
            if kind == Kind::File {
                give_back_identity(tx, &node)?;
            }
            bury(tx, nodes::get(tx, node.ino)?.unwrap_or(node), due, &mut after)?;
            nodes::touch(tx, parent, Timestamp::now())?;
            Ok(Ok(after))
        })??;
        self.finish(after);
        Ok(())
    }

    /// What is left to do after a transaction that took names away.
    pub(super) fn finish(self: &Arc<Self>, after: After) {
        after.retired.into_iter().for_each(|id| self.sync.retire(id));
        after.copies.iter().for_each(|c| self.fetch_rest_soon(c));
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
    (node.tries, node.blocked, node.error, node.waits_for) = (0, false, None, None);
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
/// name of `leaving` and is not known to the server takes over its identity, too.
fn give_back_identity(tx: &Tx, leaving: &Node) -> store::Result<()> {
    let Some(row) = leaving.remote.clone().filter(|_| leaving.moved) else { return Ok(()) };
    let Some(folder) = row.parent.as_ref() else { return Ok(()) };
    let Some(folder) = nodes::by_remote(tx, folder)? else { return Ok(()) };
    let Some(mut heir) = nodes::child(tx, folder.ino, &row.name.display())? else { return Ok(()) };
    let free = heir.kind == Kind::File
        && heir.remote.is_none()
        && nodes::intent(tx, heir.ino)?.is_none()
        && nodes::intent(tx, leaving.ino)?.is_none();
    if free {
        nodes::save(tx, &Node { remote: None, ..leaving.clone() })?;
        heir.emptied = heir.size == 0 && row.content.is_some();
        heir.remote = Some(row);
        nodes::swap_echoes(tx, heir.ino, leaving.ino)?;
        heir.moved = is_moved(tx, &heir)?;
        nodes::save(tx, &heir)?;
    }
    Ok(())
}

/// Whether the place a node has here differs from the confirmed one.
pub(super) fn is_moved(tx: &Tx, node: &Node) -> store::Result<bool> {
    let Some(row) = &node.remote else { return Ok(false) };
    let renamed = !node.alias && row.name.display() != node.name;
    let parent = match node.parent {
        Some(p) => nodes::get(tx, p)?,
        None => return Ok(renamed),
    };
    Ok(renamed || parent.and_then(|p| p.id().cloned()) != row.parent)
}
