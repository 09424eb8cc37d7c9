//! Saves that keep a backup: the file is renamed away (`f` to `f~`), and a new one of its name is written.
//!
//! What others know as `f` (shares, links, versions) is the row, so the new file goes on with it, and the backup becomes a
//! file of its own that lies on the former version. Without that, an editor's first save would take the row along to the
//! backup, and its second one would put it into the trash.

use crate::fs::Fs;
use crate::fs::change::{self, After, give_back_identity};
use crate::fs::temporary::is_backup;
use crate::store::nodes::{self, Node};
use crate::store::{self, ContentId, Tx};
use crate::types::{Ino, Kind, Row, Status};

/// A backup is a second upload; a larger file is rather moved.
const COPY_MAX: u64 = 64 << 20;

/// What came of it.
pub(super) enum Handover {
    /// The row has changed hands.
    Done(After),
    /// The content of the file that is to have it is not on the disk yet.
    Unready(ContentId),
}

/// A backup that is about to be moved on the server leaves its row to the new file of its former name, if there is one.
pub(super) fn leave_row(fs: &Fs, tx: &Tx, backup: &Node) -> store::Result<Option<Handover>> {
    if backup.kind != Kind::File || !backup.linked || !backup.moved {
        return Ok(None);
    }
    match change::heir_of(tx, backup)? {
        Some((heir, row)) if heir.linked && is_backup(&backup.name, &heir.name) => {
            hand_over(fs, tx, backup.clone(), heir, row)
        }
        _ => Ok(None),
    }
}

/// A new file takes over the row that has its name on the server, where `holder` is its backup, or is left over from its
/// renaming over the former backup.
pub(super) fn take_row(fs: &Fs, tx: &Tx, node: &Node, holder: Ino) -> store::Result<Option<Handover>> {
    let Some(heir) = nodes::get(tx, node.ino)?.filter(is_new) else { return Ok(None) };
    let Some(holder) = nodes::get(tx, holder)?.filter(|h| h.kind == Kind::File) else { return Ok(None) };
    if nodes::intent(tx, heir.ino)?.is_some() || nodes::intent(tx, holder.ino)?.is_some() {
        return Ok(None);
    }
    if !holder.tomb {
        return leave_row(fs, tx, &holder);
    }
    let Some(row) = holder.remote.clone().filter(is_usable) else { return Ok(None) };
    let Some(backup) = holder.waits_for.map(|b| nodes::get(tx, b)).transpose()?.flatten() else {
        return Ok(None);
    };
    // Once its bytes are safe under the other row, the delete may be on its way.
    if !backup.linked || !backup.content_dirty() || !is_backup(&backup.name, &heir.name) {
        return Ok(None);
    }
    if let Some(id) = unready(fs, tx, &heir)? {
        return Ok(Some(Handover::Unready(id)));
    }
    let mut after = After::default();
    let gone = holder.ino;
    nodes::hand_pin_over(tx, backup.ino, heir.ino)?;
    give_back_identity(tx, &holder, at_once(heir), row)?;
    after.doomed.push(gone);
    Ok(Some(Handover::Done(after)))
}

fn is_new(node: &Node) -> bool {
    node.kind == Kind::File && node.linked && !node.tomb && node.remote.is_none()
}

/// What a loss of power could still take of a new file: once it has the row, and its backup is removed, nothing else stands for
/// that.
fn unready(fs: &Fs, tx: &Tx, heir: &Node) -> store::Result<Option<ContentId>> {
    match heir.content {
        Some(id) if !fs.blocks().is_durable(tx, id)? => Ok(Some(id)),
        _ => {
            fs.sync.grown(heir.ino);
            Ok(None)
        }
    }
}

fn is_usable(row: &Row) -> bool {
    row.status == Status::Exists && row.readable
}

/// Nothing that it waited for is in its way any more.
fn at_once(node: Node) -> Node {
    Node { waits_for: None, due: 0, ..node }
}

fn hand_over(fs: &Fs, tx: &Tx, mut backup: Node, heir: Node, row: Row) -> store::Result<Option<Handover>> {
    if !is_usable(&row) || backup.size > COPY_MAX || nodes::intent(tx, backup.ino)?.is_some() {
        return Ok(None);
    }
    if let Some(id) = unready(fs, tx, &heir)? {
        return Ok(Some(Handover::Unready(id)));
    }
    let mut after = After::default();
    if backup.content.is_none()
        && !backup.emptied
        && let Some(version) = &row.content
    {
        let base = fs.blocks().cached(tx, version, backup.size)?;
        let copy = fs.blocks().stage(tx, Some((base.id(), backup.size)), backup.size)?;
        copy.commit(tx)?;
        backup.content = Some(copy.id());
        after.copies.push(copy);
    }
    backup.emptied = backup.content.is_none();
    (backup.moved, backup.uploaded, backup.waits_for) = (false, None, None);
    (backup.tries, backup.blocked, backup.error) = (0, None, None);
    // A pin goes with the place.
    nodes::hand_pin_over(tx, backup.ino, heir.ino)?;
    give_back_identity(tx, &backup, at_once(heir), row)?;
    Ok(Some(Handover::Done(after)))
}
