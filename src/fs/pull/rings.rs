//! Rings: a folder that lies below itself, since two clients moved two folders into each other at one time.
//!
//! The server takes both moves. Here the parents of nodes never form a ring: where a row would close one, a move of
//! ours that takes part in it is taken back, which opens the ring there, too. A ring that others made hangs from a
//! virtual folder in the root, [`Ino::RECOVERY`]; what is in it can be read, changed and moved out, and the move
//! opens the ring. Nothing is ever sent for the virtual folder itself.

use std::collections::HashSet;
use std::sync::Arc;

use super::merge::Merge;
use super::{From, finish};
use crate::fs::change::is_moved;
use crate::fs::{Fs, now_ms};
use crate::store::nodes::{self, Anchor, Node};
use crate::store::{Result, Tx};
use crate::types::{Ino, Kind, Row};

/// For how many units after a move of ours a ring with it in it counts as closed by it.
const RACE: i64 = 600;
/// Folders of a ring that are looked at for moves of ours.
const TRIES: usize = 64;
/// Rings that are looked at again in one go.
const RINGS: usize = 256;

/// The virtual folder's name; another where somebody has that.
const NAME: &str = "lost+found";

impl Merge<'_> {
    /// Where a folder hangs whose row says it lies in `parent`: there, unless that lies below the folder itself.
    pub(super) fn hang(&mut self, node: &Node, parent: Option<Ino>) -> Result<Option<Ino>> {
        let Some(wanted) = parent.filter(|_| node.kind == Kind::Folder) else { return Ok(parent) };
        for _ in 0..TRIES {
            if !nodes::below(self.tx, node.ino, wanted)? {
                return Ok(parent);
            }
            if !self.take_one_back(node, wanted)? {
                break;
            }
        }
        tracing::warn!(name = %node.name, "lies below itself on the server; it is shown in the recovery folder");
        self.recovery().map(Some)
    }

    /// Takes back a move of ours on the way from `at` up to `top`. Whether there was one.
    fn take_one_back(&mut self, top: &Node, mut at: Ino) -> Result<bool> {
        let since = now_ms() - self.fs.config.paced(RACE);
        while at != top.ino {
            let Some(folder) = nodes::get(self.tx, at)? else { return Ok(false) };
            let Some(row) = folder.remote.clone() else {
                let Some(parent) = folder.parent else { return Ok(false) };
                at = parent;
                continue;
            };
            if folder.moved && self.lies_elsewhere(&folder, &row)? {
                tracing::warn!(name = %folder.name, "moved below itself by another client's move; ours is taken back");
                self.place_row(folder, &row)?;
                return Ok(true);
            }
            if let Some((home, name)) = nodes::departure(self.tx, folder.ino, since)? {
                nodes::forget_departure(self.tx, folder.ino)?;
                if let Some(home) = nodes::by_remote(self.tx, &home)?
                    && nodes::anchor(self.tx, home.ino)? == Anchor::Root
                    && !nodes::below(self.tx, folder.ino, home.ino)?
                {
                    self.return_to(folder, home.ino, name)?;
                    return Ok(true);
                }
            }
            let Some(parent) = folder.parent else { return Ok(false) };
            at = parent;
        }
        Ok(false)
    }

    fn lies_elsewhere(&self, folder: &Node, row: &Row) -> Result<bool> {
        let there = match row.parent.as_ref() {
            Some(id) => nodes::by_remote(self.tx, id)?.map(|p| p.ino),
            None => None,
        };
        Ok(there != folder.parent)
    }

    /// A folder goes back to where it was before we moved it; pushed as any move.
    fn return_to(&mut self, mut folder: Node, home: Ino, name: String) -> Result<()> {
        tracing::warn!(name = %folder.name, "our move and another client's closed a ring; ours is taken back");
        self.vanished(&folder);
        let taken = nodes::child(self.tx, home, &name)?.is_some_and(|t| t.ino != folder.ino);
        folder.name = if taken { self.take_conflict_name(Some(home), &name)? } else { name };
        (folder.parent, folder.alias, folder.due) = (Some(home), false, now_ms());
        folder.moved = is_moved(self.tx, &folder)?;
        nodes::save(self.tx, &folder)?;
        self.appeared(&folder)?;
        self.outcome.push = true;
        Ok(())
    }

    /// The recovery folder, found or made.
    fn recovery(&mut self) -> Result<Ino> {
        if nodes::get(self.tx, Ino::RECOVERY)?.is_none() {
            let name = self.recovery_name()?;
            let folder = Node::new_local(Kind::Folder, Ino::ROOT, &name, self.now, 0);
            let folder = nodes::insert(self.tx, &Node { ino: Ino::RECOVERY, ..folder })?;
            self.appeared(&folder)?;
        }
        Ok(Ino::RECOVERY)
    }

    fn recovery_name(&self) -> Result<String> {
        let mut name = NAME.to_owned();
        for n in 1..1000 {
            if nodes::child(self.tx, Ino::ROOT, &name)?.is_none() {
                break;
            }
            name = if n == 1 { format!("{NAME} (inxtfs)") } else { format!("{NAME} (inxtfs {n})") };
        }
        Ok(name)
    }

    /// A real entry wants the recovery folder's name: that takes another.
    pub(super) fn rename_recovery(&mut self, mut folder: Node) -> Result<()> {
        self.vanished(&folder);
        folder.name = self.recovery_name()?;
        nodes::save(self.tx, &folder)?;
        self.appeared(&folder)?;
        Ok(())
    }

    /// What hangs from the recovery folder and is no ring any more goes where its row says; an empty recovery folder
    /// goes away.
    pub(super) fn heal(&mut self) -> Result<()> {
        let Some(recovery) = nodes::get(self.tx, Ino::RECOVERY)? else { return Ok(()) };
        for node in nodes::children(self.tx, Ino::RECOVERY, Ino(0), RINGS)? {
            let Some(row) = node.remote.clone() else { continue };
            let home = match row.parent.as_ref() {
                Some(id) => nodes::by_remote(self.tx, id)?,
                None => None,
            };
            if let Some(home) = home
                && !nodes::below(self.tx, node.ino, home.ino)?
            {
                self.place_row(node, &row)?;
            }
        }
        if !nodes::has_children(self.tx, Ino::RECOVERY)? {
            self.vanished(&recovery);
            nodes::delete(self.tx, Ino::RECOVERY)?;
        }
        Ok(())
    }
}

/// The folder whose move has to reach the server before `node` may go into `parent` there, where that still lies
/// below `node`.
pub(in crate::fs) fn in_the_way(tx: &Tx, node: &Node, parent: &Node) -> Result<Option<Ino>> {
    let (mut at, mut first, mut seen) = (parent.clone(), None, HashSet::new());
    while seen.insert(at.ino) {
        if at.ino == node.ino {
            return Ok(first);
        }
        if at.moved {
            first = first.or(Some(at.ino));
        }
        let above = match at.remote.as_ref().and_then(|r| r.parent.as_ref()) {
            Some(id) => nodes::by_remote(tx, id)?,
            None => None,
        };
        let Some(above) = above else { return Ok(None) };
        at = above;
    }
    Ok(None)
}

/// Looks after the recovery folder: something was moved out of it.
pub(in crate::fs) fn tidy(fs: &Arc<Fs>) -> crate::fs::Result<()> {
    let outcome = fs.db().write(|tx| {
        let mut merge = Merge::new(fs, tx, From::Fresh);
        merge.heal()?;
        Ok(merge.outcome)
    })?;
    finish(fs, outcome);
    Ok(())
}
