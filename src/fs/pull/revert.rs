//! Giving up what the user changed of one item: it shows what the server has again.

use super::merge::Merge;
use super::{From, Outcome};
use crate::fs::change::{After, bury};
use crate::fs::invalidate::Note;
use crate::fs::{Error, Fs, now_ms};
use crate::store::nodes::{self, Node};
use crate::store::{Result, Tx};
use crate::types::{Kind, NodeId, Row, Status, Timestamp};
use std::sync::Arc;

/// What giving up leaves to be done after the transaction.
pub(in crate::fs) struct Reverted {
    pub outcome: Outcome,
    pub after: After,
}

/// Gives up the local changes of a node: a new one disappears, an edited one shows the server's version, a moved one
/// goes back, a deleted one comes back with all that was deleted below it. What was to be deleted once this node
/// is safe (it was renamed over something) comes back, too.
pub(in crate::fs) fn revert(
    fs: &Arc<Fs>,
    tx: &Tx,
    node: Node,
) -> Result<std::result::Result<Reverted, Error>> {
    let mut merge = Merge::new(fs, tx, From::Fresh);
    let mut after = After::default();
    let waiting: Vec<_> = nodes::waiting_on(tx, node.ino)?.into_iter().filter(|n| n.tomb).collect();
    match node.remote.clone().filter(|r| r.status == Status::Exists) {
        None if node.kind == Kind::Folder && nodes::has_children(tx, node.ino)? => {
            return Ok(Err(Error::NotEmpty));
        }
        None => merge.disappear(node, &mut after)?,
        Some(row) if node.tomb => merge.bring_back(&row)?,
        Some(row) => {
            let home = row.parent.as_ref().map(|id| nodes::by_remote(tx, id)).transpose()?.flatten();
            if let Some(home) = home
                && nodes::below(tx, node.ino, home.ino)?
            {
                return Ok(Err(Error::Invalid("its former folder lies below it now")));
            }
            merge.show_theirs(node, &row)?;
        }
    }
    for row in waiting.iter().filter_map(|n| n.remote.as_ref()) {
        merge.bring_back(row)?;
    }
    merge.give_names_back()?;
    merge.outcome.push = true;
    Ok(Ok(Reverted { outcome: merge.outcome, after }))
}

impl Merge<'_> {
    /// A node that is only here.
    fn disappear(&mut self, node: Node, after: &mut After) -> Result<()> {
        self.vanished(&node);
        if let Some(parent) = node.parent {
            nodes::touch(self.tx, parent, Timestamp::now())?;
        }
        bury(self.tx, node, now_ms(), after)
    }

    fn show_theirs(&mut self, mut node: Node, row: &Row) -> Result<()> {
        self.outcome.retired.extend(node.content.take());
        if node.kind == Kind::File {
            (node.size, node.mtime, node.emptied) = (row.size, row.modified, false);
            self.outcome.notes.push(Note::Data(node.ino));
        }
        (node.uploaded, node.ctime) = (None, self.now);
        (node.tries, node.blocked, node.error, node.waits_for) = (0, None, None, None);
        self.unbury_above(row)?;
        self.place_row(node, row)
    }

    /// A deleted item, the folders it was in, and what was deleted in it.
    fn bring_back(&mut self, row: &Row) -> Result<()> {
        self.unbury_above(row)?;
        let mut todo = vec![row.clone()];
        while let Some(row) = todo.pop() {
            self.revive(&row)?;
            todo.extend(self.deleted_in(&row.id)?);
        }
        Ok(())
    }

    fn deleted_in(&self, folder: &NodeId) -> Result<Vec<Row>> {
        Ok(nodes::tombs_below(self.tx, folder)?.into_iter().filter_map(|n| n.remote).collect())
    }

    /// What comes back needs a folder that is there.
    fn unbury_above(&mut self, row: &Row) -> Result<()> {
        let mut at = row.parent.clone();
        while let Some(id) = at {
            let Some(above) = nodes::by_remote(self.tx, &id)?.filter(|n| n.tomb) else { return Ok(()) };
            let Some(row) = above.remote else { return Ok(()) };
            self.revive(&row)?;
            at = row.parent;
        }
        Ok(())
    }
}
