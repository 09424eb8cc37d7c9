//! Edits below a folder that is gone on the server: its path is made again, for them alone.
//!
//! One walk over what lies below, one pass over what was found in it: no recursion, however deep the tree.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::merge::Merge;
use super::{From, finish};
use crate::fs::change::is_moved;
use crate::fs::push::brake::SENT;
use crate::fs::push::confirm::{MADE, MOVED, object_of};
use crate::fs::{Fs, now_ms};
use crate::names;
use crate::store::Result;
use crate::store::nodes::{self, Anchor, Node};
use crate::types::{Ino, Kind, NodeId, Row, Status, Timestamp};

/// Folders one above the other that the user has removed, and that are taken back at a time.
const REMOVED: usize = 64;

/// What lies below a dead folder.
#[derive(Default)]
struct Below {
    /// Holds something that is only here: edited files, new folders.
    edited: Vec<Node>,
    /// Has another place here than there. Which of them live elsewhere shows when all dead folders are known.
    moved: Vec<Node>,
    /// The folders the server has lost.
    dead: HashSet<NodeId>,
}

impl Below {
    /// Whether the server has (or had) a node below the dead folder.
    fn lost(&self, node: &Node) -> bool {
        node.remote.as_ref().and_then(|r| r.parent.as_ref()).is_some_and(|p| self.dead.contains(p))
    }

    /// What the server has, too, goes: it counts only if it lies elsewhere there.
    fn sort(&mut self, node: Node, todo: &mut Vec<Ino>, put_off: &mut Vec<Node>) {
        match node.kind {
            Kind::Folder if node.moved => put_off.push(node),
            Kind::Folder => {
                self.dead.extend(node.id().cloned());
                todo.push(node.ino);
            }
            Kind::File if node.moved => self.moved.push(node),
            Kind::File => {}
        }
    }
}

/// Since when a dead folder is gone, as its row says.
pub(super) fn since_when(dead: &Node) -> Option<Timestamp> {
    dead.remote.as_ref().map(|r| r.updated)
}

impl Merge<'_> {
    /// A folder is gone on the server since `gone` (its row's stamp, if it ever had one), while something below it is only
    /// here, or was sent there when nobody could see it any more: the path is made again, and what was edited moves there.
    pub(super) fn rescue(&mut self, dead: &Node, gone: Option<Timestamp>) -> Result<()> {
        let idle = self.fs.files.is_idle() && nodes::queue(self.tx, 1)?.is_empty();
        if idle && !nodes::any_echo(self.tx)? {
            return Ok(());
        }
        let below = self.only_here(dead, gone)?;
        let (lost, elsewhere): (Vec<_>, Vec<_>) = below.moved.iter().cloned().partition(|n| below.lost(n));
        if below.edited.is_empty() && elsewhere.is_empty() {
            return self.forget_moves(lost);
        }
        tracing::warn!(name = %dead.name, "deleted elsewhere while edited here; what was edited stays");
        if dead.linked {
            self.vanished(dead);
            nodes::save(self.tx, &Node { linked: false, ..dead.clone() })?;
        }
        let mut again = HashMap::new();
        for node in below.edited.iter().chain(&elsewhere) {
            let home = self.path_again(&mut again, dead, node.parent)?;
            self.take_along(node.clone(), home, &below)?;
        }
        self.outcome.push = true;
        self.forget_moves(lost)
    }

    /// They moved a node; if it lies below a folder now that is known to be gone, what is only here is rescued from there.
    pub(super) fn hidden_by_a_move(&mut self, moved: Ino) -> Result<()> {
        let Anchor::Dead(dead) = nodes::anchor(self.tx, moved)? else { return Ok(()) };
        let Some(dead) = nodes::get(self.tx, dead)?.filter(|d| !d.tomb) else { return Ok(()) };
        self.rescue(&dead, since_when(&dead))
    }

    /// A folder that nobody here has heard of is gone; what others had moved into it before may have been edited here.
    pub(super) fn unknown_and_gone(&mut self, row: &Row) -> Result<()> {
        if nodes::adopt_orphans(self.tx, &row.id)?.is_empty() {
            return Ok(());
        }
        let parent = row.parent.as_ref().map(|id| nodes::by_remote(self.tx, id)).transpose()?.flatten();
        let display = row.name.display();
        let name =
            if names::is_showable(&display) { display } else { names::alias(&display, row.id.as_str()) };
        let node = Node::from_row(row.clone(), parent.map(|p| p.ino), name, false, self.now);
        let node = nodes::insert(self.tx, &node)?;
        self.gather(&node)?;
        self.rescue(&node, since_when(&node))
    }

    /// They put a node into a folder before our delete of that arrived, and no look had shown it: it moves to where the folder
    /// was. What arrived after the delete is for those who sent it.
    pub(super) fn was_unseen(&mut self, node: Node) -> Result<()> {
        let Some(Anchor::Dead(dead)) = node.parent.map(|p| nodes::anchor(self.tx, p)).transpose()? else {
            return Ok(());
        };
        match nodes::get(self.tx, dead)? {
            Some(dead) if self.is_ours_to_keep(&node, &dead)? => self.keep_one(node, &dead),
            _ => Ok(()),
        }
    }

    /// The same, of everything in a folder whose delete has just been confirmed.
    pub(super) fn keep_unseen(&mut self, dead: &Node) -> Result<()> {
        let mut todo = vec![dead.clone()];
        while let Some(folder) = todo.pop() {
            if let Some(id) = folder.id() {
                todo.extend(nodes::tombs_below(self.tx, id)?.into_iter().filter(|n| n.kind == Kind::Folder));
            }
            nodes::each_child(self.tx, folder.ino, |node| {
                if self.is_ours_to_keep(&node, dead)? { self.keep_one(node, dead) } else { Ok(()) }
            })?;
        }
        Ok(())
    }

    /// Whether any delete of ours was sent not long ago.
    pub(super) fn sent_deletes(&mut self) -> Result<bool> {
        if self.sent_deletes.is_none() {
            self.sent_deletes = Some(!nodes::echoers(self.tx, SENT)?.is_empty());
        }
        Ok(self.sent_deletes == Some(true))
    }

    /// Whether a node came into a folder before our delete of that, which was sent not long ago.
    fn is_ours_to_keep(&self, node: &Node, dead: &Node) -> Result<bool> {
        let (Some(row), Some(gone)) = (&node.remote, &dead.remote) else { return Ok(false) };
        if nodes::meant_below(self.tx, dead)?.is_some_and(|newest| node.ino <= newest) {
            return Ok(false);
        }
        let before =
            row.status == Status::Exists && gone.status == Status::Trashed && row.updated <= gone.updated;
        Ok(before && !node.moved && nodes::echoed(self.tx, dead.ino, SENT, self.echoes_since())?)
    }

    fn keep_one(&mut self, node: Node, dead: &Node) -> Result<()> {
        tracing::warn!(name = %node.name, "put into a folder that was deleted here at the same time; it stays");
        let home = self.path_again(&mut HashMap::new(), dead, node.parent)?;
        self.take_along(node, home, &Below::default())?;
        self.outcome.push = true;
        Ok(())
    }

    /// A rename within what is gone does not keep it.
    fn forget_moves(&mut self, lost: Vec<Node>) -> Result<()> {
        for node in lost {
            if let Some(row) = node.remote.clone() {
                self.place_row(node, &row)?;
            }
        }
        Ok(())
    }

    /// Finds what is only here. Folders that moved within the dead tree belong to it, wherever they are met.
    fn only_here(&self, dead: &Node, gone: Option<Timestamp>) -> Result<Below> {
        let mut below = Below::default();
        below.dead.extend(dead.id().cloned());
        let (mut todo, mut put_off) = (vec![dead.ino], Vec::<Node>::new());
        loop {
            while let Some(folder) = todo.pop() {
                nodes::each_child(self.tx, folder, |node| {
                    if self.is_only_here(&node, gone)? {
                        below.edited.push(node);
                    } else {
                        below.sort(node, &mut todo, &mut put_off);
                    }
                    Ok(())
                })?;
            }
            let (ours, rest): (Vec<_>, Vec<_>) = put_off.drain(..).partition(|n| below.lost(n));
            put_off = rest;
            if ours.is_empty() {
                below.moved.append(&mut put_off);
                return Ok(below);
            }
            for folder in ours {
                below.dead.extend(folder.id().cloned());
                todo.push(folder.ino);
                below.moved.push(folder);
            }
        }
    }

    /// Whether nobody else could see a node, or what it holds, if it went with the dead folder.
    fn is_only_here(&self, node: &Node, gone: Option<Timestamp>) -> Result<bool> {
        if node.shelved {
            return Ok(false);
        }
        let unsent = match (node.kind, &node.remote) {
            (Kind::Folder, row) => row.is_none(),
            (Kind::File, row) => {
                let restored = row.as_ref().is_some_and(|r| r.status == Status::Trashed);
                restored || node.content_dirty() || self.fs.files.is_being_written(node.ino)
            }
        };
        Ok(unsent || self.came_too_late(node, gone)?)
    }

    /// Whether the server took what we sent of a node after the folder had gone. A create's answer tells when that was, a
    /// replace's does not, and that of a move only its row, later.
    fn came_too_late(&self, node: &Node, gone: Option<Timestamp>) -> Result<bool> {
        let Some(row) = &node.remote else { return Ok(false) };
        let late = gone.is_some_and(|gone| row.updated > gone);
        if late && nodes::echoed(self.tx, node.ino, MOVED, 0)? {
            return Ok(true);
        }
        let watch = nodes::watch(self.tx, node.ino)?;
        if watch.is_some_and(|w| !w.seen && node.version() == Some(&w.version)) {
            return Ok(true);
        }
        let what = if node.kind == Kind::Folder { MADE } else { object_of(node.version()) };
        Ok(late && nodes::echoed(self.tx, node.ino, what, 0)?)
    }

    /// Only now a row tells when our move of it was done; if the folder it came into was gone by then, it is moved on.
    pub(super) fn moved_late(&mut self, ino: Ino) -> Result<()> {
        if nodes::echoed(self.tx, ino, MOVED, self.echoes_since())? {
            self.hidden_by_a_move(ino)
        } else {
            Ok(())
        }
    }

    /// The folder that stands for the dead folder `from` (which lies at or below `dead`) from now on.
    fn path_again(&mut self, again: &mut HashMap<Ino, Ino>, dead: &Node, from: Option<Ino>) -> Result<Ino> {
        let mut missing = Vec::new();
        let mut at = from;
        let mut home = loop {
            let Some(ino) = at else { break Ino::ROOT };
            if let Some(home) = again.get(&ino) {
                break *home;
            }
            let Some(folder) = nodes::get(self.tx, ino)? else { break Ino::ROOT };
            at = folder.parent;
            missing.push(folder);
            if ino == dead.ino {
                break dead.parent.filter(|p| *p != Ino::RECOVERY).unwrap_or(Ino::ROOT);
            }
        };
        while let Some(folder) = missing.pop() {
            home = self.folder_in(home, &folder.name)?;
            again.insert(folder.ino, home);
        }
        Ok(home)
    }

    /// The folder of that name, found or made.
    fn folder_in(&mut self, parent: Ino, name: &str) -> Result<Ino> {
        let name = match nodes::child(self.tx, parent, name)? {
            Some(there) if there.kind == Kind::Folder && there.ino != Ino::RECOVERY => return Ok(there.ino),
            Some(_) => self.take_conflict_name(Some(parent), name)?,
            None => name.to_owned(),
        };
        let made = nodes::insert(self.tx, &Node::new_local(Kind::Folder, parent, &name, self.now, now_ms()))?;
        self.appeared(&made)?;
        Ok(made.ino)
    }

    /// Moves what was edited to the folder made in place of its own. What the server has below the dead one is made
    /// anew; what it has elsewhere only moves.
    fn take_along(&mut self, mut node: Node, home: Ino, below: &Below) -> Result<()> {
        self.vanished(&node);
        node.due = now_ms();
        let trashed = node.remote.as_ref().is_some_and(|r| r.status == Status::Trashed);
        let moved_only = !node.content_dirty() && nodes::echoed(self.tx, node.ino, MOVED, 0)?;
        if node.kind == Kind::File && below.lost(&node) && !trashed && !moved_only {
            self.keep_content(&mut node)?;
            self.unwatch(node.ino)?;
            (node.remote, node.uploaded) = (None, None);
            node.emptied = node.content.is_none() && node.size == 0;
        }
        if nodes::child(self.tx, home, &node.name)?.is_some_and(|t| t.ino != node.ino) {
            node.name = self.take_conflict_name(Some(home), &node.name)?;
            node.alias = false;
        }
        node.parent = Some(home);
        node.moved = is_moved(self.tx, &node)?;
        nodes::save(self.tx, &node)?;
        self.appeared(&node)?;
        Ok(())
    }
}

/// A node that is to be sent lies where nobody can see it, here or there: it moves to where it can. `false` if there
/// is nothing to be done about it.
///
/// # Errors
/// Those of the local state.
pub(in crate::fs) fn bring_back(fs: &Arc<Fs>, ino: Ino) -> crate::fs::Result<bool> {
    let (back, outcome) = fs.db().write(|tx| {
        let mut merge = Merge::new(fs, tx, From::Fresh);
        // Removed meanwhile, with the folder it lay in: nothing is to be brought back.
        let there = nodes::get(tx, ino)?.filter(|n| n.linked && !n.tomb);
        let Some(parent) = there.and_then(|n| n.parent) else {
            return Ok((false, merge.outcome));
        };
        for _ in 0..REMOVED {
            let Anchor::Dead(dead) = nodes::anchor(tx, parent)? else { break };
            let Some(dead) = nodes::get(tx, dead)? else { break };
            match &dead.remote {
                // Removed here, and not empty there any more: it stays. One made anew would wait for its name.
                Some(row) if dead.tomb && row.status == Status::Exists => merge.revive(row)?,
                _ => {
                    merge.rescue(&dead, since_when(&dead))?;
                    break;
                }
            }
        }
        let back = match nodes::get(tx, ino)?.and_then(|n| n.parent) {
            Some(now) => nodes::anchor(tx, now)? == Anchor::Root,
            None => false,
        };
        Ok((back, merge.outcome))
    })?;
    finish(fs, outcome);
    Ok(back)
}
