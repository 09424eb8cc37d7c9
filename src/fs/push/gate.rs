//! What must hold before anything is sent for a node, and who goes first where nodes wait for each other.

use std::sync::Arc;

use super::backup::{self, Handover};
use super::put_off;
use super::step::Stop;
use crate::fs::change::give_back_identity;
use crate::fs::temporary::{download_stem, is_download, is_temporary};
use crate::fs::{Fs, now_ms, pull};
use crate::names::RemoteName;
use crate::store::nodes::{self, Anchor, Intent, Node};
use crate::store::{self, Tx};
use crate::types::{Ino, Kind, NodeId};

/// A node that waits for another is looked at again after this long even if nobody wakes it.
const WAIT: i64 = 60_000;
/// How many nodes that wait for each other, or folders one above the other, are followed to find a ring.
const CHAIN: usize = 64;

/// What was found.
enum Gate {
    /// Nothing is in the way.
    Open(NodeId),
    /// Of a ring with a delete in it, which waits until this content is safe under another row: that goes first.
    Content(NodeId),
    /// It waits for nodes that wait for it: a ring of names or folders, which it can leave, to another folder if it has to.
    Ring(Option<NodeId>),
    /// The same, and others have to leave the ring.
    Others,
    /// It has the row back that this node, which is gone here, had of it.
    Back(Ino),
    /// A backup and the new file of its former name have shared out what there was: who is sent as what has changed.
    Shared(Handover),
    /// Its folder is below one that is gone.
    Hidden,
    /// Others moved it into a folder that no feed has told of.
    Nowhere,
}

/// A node's folder is on the server, nothing it waits for is dirty, and nobody else holds its name there. Returns the
/// folder's identity, and whether only the content can go.
pub(super) fn pass(fs: &Arc<Fs>, node: &Node) -> Result<(NodeId, bool), Stop> {
    let now = now_ms();
    let verdict = fs.db().write(|tx| {
        let Some(parent) = node.parent.map(|p| nodes::get(tx, p)).transpose()?.flatten() else {
            nodes::defer(tx, node.ino, now + WAIT)?;
            return Ok(Some(Gate::Nowhere));
        };
        if nodes::anchor(tx, parent.ino)? != Anchor::Root {
            return Ok(Some(Gate::Hidden));
        }
        if let Some(handover) = backup::leave_row(fs, tx, node)? {
            return Ok(Some(Gate::Shared(handover)));
        }
        let Some(first) = goes_first(tx, node, &parent)? else {
            return Ok(parent.id().cloned().map(Gate::Open));
        };
        if let Some(handover) = backup::take_row(fs, tx, node, first)? {
            return Ok(Some(Gate::Shared(handover)));
        }
        rouse(tx, first, now)?;
        tracing::trace!(ino = %node.ino, %first, "waits");
        let Some(current) = nodes::get(tx, node.ino)? else { return Ok(None) };
        let waiting = Node { waits_for: Some(first), due: now + WAIT, ..current };
        nodes::save(tx, &waiting)?;
        match ring_of(tx, &waiting)? {
            Some(ring) => open(tx, &waiting, &parent, ring),
            None => Ok(None),
        }
    })?;
    match verdict {
        Some(Gate::Open(id)) => Ok((id, false)),
        Some(Gate::Content(id)) => Ok((id, true)),
        Some(Gate::Ring(outside)) => Err(step_aside(fs, node, outside)),
        Some(Gate::Others) => {
            fs.push.wake();
            Err(Stop::Wait)
        }
        Some(Gate::Back(gone)) => {
            fs.drop_if_doomed(gone)?;
            fs.push.wake();
            Err(Stop::Wait)
        }
        Some(Gate::Shared(Handover::Done(after))) => {
            fs.finish(after);
            Err(Stop::Wait)
        }
        Some(Gate::Shared(Handover::Unready(id))) => Err(Stop::Unready(id)),
        Some(Gate::Hidden) => {
            // Nobody would see it there.
            if !pull::bring_back(fs, node.ino)? {
                put_off(fs, node, now + WAIT)?;
            }
            Err(Stop::Wait)
        }
        Some(Gate::Nowhere) => {
            let folder = node.remote.as_ref().and_then(|r| r.parent.clone());
            Err(folder.map_or(Stop::Wait, Stop::Lost))
        }
        None => Err(Stop::Wait),
    }
}

/// The node that has to be brought over before this one: its folder, if the server does not know that, or (lest a
/// folder come to lie below itself there) if that has not been moved to its place; and who holds its name there.
fn goes_first(tx: &Tx, node: &Node, parent: &Node) -> store::Result<Option<Ino>> {
    let Some(id) = parent.id() else { return Ok(Some(parent.ino)) };
    let places = node.remote.is_none() || node.moved;
    if node.kind == Kind::Folder && node.remote.is_some() && places {
        if parent.moved {
            return Ok(Some(parent.ino));
        }
        if let Some(first) = pull::rings::in_the_way(tx, node, parent)? {
            return Ok(Some(first));
        }
    }
    if !places {
        return Ok(None);
    }
    match name_holder(tx, node, id)? {
        None if node.remote.is_none() && node.kind == Kind::File && node.size == 0 => {
            download_of(tx, node, parent.ino)
        }
        holder => Ok(holder),
    }
}

/// The partial download that is going to be renamed over an empty file: browsers keep a name so while they load.
fn download_of(tx: &Tx, node: &Node, folder: Ino) -> store::Result<Option<Ino>> {
    let partial = nodes::unsent_named(tx, folder, download_stem(&node.name), node.ino)?;
    Ok(partial.into_iter().find(|(_, name)| is_download(name)).map(|(ino, _)| ino))
}

/// What rests only for its temporary name is due when somebody waits for it.
fn rouse(tx: &Tx, first: Ino, now: i64) -> store::Result<()> {
    let resting = |n: &Node| {
        n.linked && n.moved && n.kind == Kind::File && n.due > now && n.tries == 0 && is_temporary(&n.name)
    };
    match nodes::get(tx, first)? {
        Some(n) if resting(&n) && n.waits_for.is_none() => nodes::defer(tx, first, 0),
        _ => Ok(()),
    }
}

/// A dirty node that, on the server, still has the name this one wants.
fn name_holder(tx: &Tx, node: &Node, folder: &NodeId) -> store::Result<Option<Ino>> {
    let holders = nodes::holders(tx, folder, &node.name)?;
    Ok(holders.into_iter().find(|h| h.ino != node.ino && h.is_dirty() && (h.moved || h.tomb)).map(|h| h.ino))
}

/// Nodes that wait for each other.
struct Ring {
    /// All but the one it was looked for.
    others: Vec<Node>,
    /// The last of them is the delete of a folder that is not sent while that one is still in it there; the nearest folder
    /// that it can step aside to.
    outside: Option<NodeId>,
}

/// The ring a node is part of: following who waits for whom leads back.
fn ring_of(tx: &Tx, start: &Node) -> store::Result<Option<Ring>> {
    let mut others = Vec::new();
    let mut at = start.waits_for;
    while let Some(ino) = at.filter(|_| others.len() < CHAIN) {
        if ino == start.ino {
            return Ok(Some(Ring { others, outside: None }));
        }
        let Some(next) = nodes::get(tx, ino)?.filter(Node::is_dirty) else { break };
        let emptied_first = next.tomb && next.kind == Kind::Folder;
        at = next.waits_for;
        others.push(next);
        if !emptied_first {
            continue;
        }
        let outside = way_out(tx, start, ino)?;
        if outside.is_some() {
            return Ok(Some(Ring { others, outside }));
        }
        // A delete in it may wait until its bytes are safe with the one it was looked for.
        for waiting in nodes::waiting_on(tx, start.ino)? {
            if waiting.tomb && way_out(tx, &waiting, ino)?.is_some() {
                others.push(waiting);
                return Ok(Some(Ring { others, outside: None }));
            }
        }
    }
    Ok(None)
}

/// The nearest folder that stays above a deleted one in which a node still lies on the server: no node can come to lie below
/// itself there. `None` if the node does not lie in it.
fn way_out(tx: &Tx, node: &Node, deleted: Ino) -> store::Result<Option<NodeId>> {
    let mut at = node.remote.as_ref().and_then(|r| r.parent.clone());
    let mut inside = false;
    for _ in 0..CHAIN {
        let Some(id) = at else { break };
        let Some(above) = nodes::by_remote(tx, &id)? else { break };
        if inside && above.linked && !above.tomb {
            return Ok(Some(id));
        }
        inside |= above.ino == deleted;
        at = above.remote.and_then(|r| r.parent);
    }
    Ok(None)
}

/// How a ring is opened, as seen by one that has just found itself in it.
fn open(tx: &Tx, node: &Node, parent: &Node, ring: Ring) -> store::Result<Option<Gate>> {
    if ring.outside.is_some() {
        return Ok(Some(Gate::Ring(ring.outside)));
    }
    if let Some(gone) = former_self(tx, node, &ring.others)? {
        return Ok(Some(Gate::Back(gone)));
    }
    // A delete holds a name, and waits for its bytes to be safe elsewhere.
    let deletes = ring.others.iter().any(|n| n.tomb);
    if let Some(row) = node.remote.as_ref().filter(|_| deletes && node.content_dirty()) {
        // Its folder may have to wait for that, too.
        return Ok(parent.id().cloned().or_else(|| row.parent.clone()).map(Gate::Content));
    }
    let is_aside = node.remote.as_ref().is_some_and(|r| r.name.display() == aside(node));
    if node.remote.is_none() || deletes || is_aside {
        // It cannot step aside, or has; another of the ring can.
        ring.others.iter().try_for_each(|n| nodes::defer(tx, n.ino, 0))?;
        return Ok((!ring.others.is_empty()).then_some(Gate::Others));
    }
    Ok((!ring.others.is_empty()).then_some(Gate::Ring(None)))
}

/// A node without a row waits for a delete that waits for it: the delete has the row that was the node's own before it took
/// another's over, and lost that to somebody's edit. It takes its own back. Which node was to be deleted.
fn former_self(tx: &Tx, node: &Node, ring: &[Node]) -> store::Result<Option<Ino>> {
    if node.remote.is_some() || node.kind != Kind::File || nodes::intent(tx, node.ino)?.is_some() {
        return Ok(None);
    }
    for gone in ring.iter().filter(|n| n.tomb && n.waits_for == Some(node.ino)) {
        let Some(row) = gone.remote.clone().filter(|r| r.kind == Kind::File) else { continue };
        if nodes::intent(tx, gone.ino)?.is_none() {
            let again = Node { waits_for: None, due: 0, ..node.clone() };
            give_back_identity(tx, gone, again, row)?;
            return Ok(Some(gone.ino));
        }
    }
    Ok(None)
}

/// A name nobody wants.
fn aside(node: &Node) -> String {
    format!("{}.inxtfs-moving-{}", &node.name.chars().take(64).collect::<String>(), node.ino)
}

/// Marks a node to be renamed to a name nobody wants, where it is or in another folder, so that the others of its ring can
/// move.
fn step_aside(fs: &Fs, node: &Node, to: Option<NodeId>) -> Stop {
    let aside = aside(node);
    let done = fs.db().write(|tx| {
        let Some(mut current) = nodes::get(tx, node.ino)? else { return Ok(()) };
        current.waits_for = None;
        current.due = 0;
        nodes::save(tx, &current)?;
        let Some(row) = current.remote.as_ref() else { return Ok(()) };
        let Some(parent) = to.or_else(|| row.parent.clone()) else { return Ok(()) };
        let name =
            if current.kind == Kind::File { RemoteName::split(&aside) } else { RemoteName::whole(&aside) };
        nodes::put_intent(tx, node.ino, &Intent::Relocate { parent, name }, now_ms())
    });
    match done {
        // The intent is not on its way yet; resolving it sends it.
        Ok(()) => {
            fs.push.wake();
            Stop::Wait
        }
        Err(e) => e.into(),
    }
}
