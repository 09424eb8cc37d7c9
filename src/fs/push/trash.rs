//! Deletes: tombstones go to the trash in batches. A folder goes as one item, with all below it, but only after
//! a fresh look showed nothing there that the user has not deleted. That the server said yes proves nothing;
//! the feed does.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, FuturesUnordered, StreamExt};

use super::{backoff, brake, confirm};
use crate::fs::pull::{self, Missing};
use crate::fs::{Error, Fs, Result, failed, now_ms};
use crate::remote::{self, Class};
use crate::store::nodes::{self, Anchor, Node};
use crate::store::{self, Conn, ContentId};
use crate::types::{Ino, Kind, NodeId, Row};

/// Items of one request.
const BATCH: usize = 50;
/// Tombstones of one round.
const ROUND: usize = 1000;
/// A delete that the feed has not shown after this many units is sent again.
const UNSEEN: i64 = 3;
/// So few deletes are looked for row by row, and more in the feeds, which show all that changed lately.
const ASK_FEW: usize = 8;
/// Folders looked into at one time.
const LOOKS: usize = 4;
/// A delete that was refused so often waits for a person.
const REFUSED_AFTER: u32 = 5;
/// After so many sendings each row is asked for itself.
const ASK_AFTER: u32 = 2;

/// Sends what is due.
pub(super) async fn push_tombs(fs: &Arc<Fs>) {
    if let Err(e) = try_push(fs).await {
        tracing::warn!(error = %e, "sending deletes failed; will be tried again");
    }
}

async fn try_push(fs: &Arc<Fs>) -> Result<()> {
    if brake::holds(fs)? {
        return Ok(());
    }
    let mut due = fs.db().read(|c| nodes::due_tombs(c, now_ms(), ROUND))?;
    // Below a folder that goes, the look into that folder tells.
    if any_file_on_its_own(fs, &due)? {
        if !look_first(fs).await? {
            return Ok(());
        }
        due = fs.db().read(|c| nodes::due_tombs(c, now_ms(), ROUND))?;
    }
    let mut items = Vec::new();
    let mut looks =
        stream::iter(due).map(|node| async move { (ready(fs, &node).await, node) }).buffered(LOOKS);
    while let Some((ready, node)) = looks.next().await {
        match ready {
            Ok(true) => items.push(node),
            Ok(false) => {}
            Err(e) if e.class() == Class::Permanent => return note_failure(fs, &[node], &e),
            Err(e) => return put_off(fs, &e.to_string()),
        }
    }
    drop(looks);
    // What came back meanwhile, since its folder holds something new, is not sent.
    items.retain(|n| is_tomb(fs, n));
    if items.is_empty() {
        return Ok(());
    }
    // A loss of power may take back what was done here, and must not find the old gone and the new not there.
    fs.blocking(|fs| fs.sync_all()).get().await?;
    for batch in items.chunks(BATCH) {
        // The user may have gone on deleting.
        if brake::holds(fs)? {
            return Ok(());
        }
        brake::leaving(fs, batch)?;
        let ids: Vec<_> = batch.iter().filter_map(|n| n.id().map(|id| (n.kind, id.clone()))).collect();
        match fs.health.note(fs.remote.trash(&ids).await) {
            Ok(()) => note_sent(fs, batch)?,
            Err(e) => return note_failure(fs, batch, &e),
        }
    }
    see_them_gone(fs, &items).await
}

/// Looks whether what was sent has arrived: at few rows themselves, else at the feeds.
async fn see_them_gone(fs: &Arc<Fs>, items: &[Node]) -> Result<()> {
    if items.len() <= ASK_FEW {
        let mut asked: FuturesUnordered<_> =
            items.iter().map(|node| ask(fs, node, pull::From::Feed)).collect();
        while let Some(told) = asked.next().await {
            told?;
        }
        if !items.iter().any(|n| is_tomb(fs, n)) {
            return Ok(());
        }
    }
    if let Err(e) = pull::refresh(fs).await {
        tracing::debug!(error = %e, "the feeds could not be read after a delete");
    }
    for node in items.iter().filter(|n| n.tries >= ASK_AFTER) {
        ask(fs, node, pull::From::Fresh).await?;
    }
    Ok(())
}

/// Whether a file goes that lies in no folder that goes.
fn any_file_on_its_own(fs: &Fs, due: &[Node]) -> Result<bool> {
    Ok(fs.db().read(|c| {
        for node in due.iter().filter(|n| n.kind == Kind::File) {
            if !lies_in_a_tomb(c, node)? {
                return Ok(true);
            }
        }
        Ok(false)
    })?)
}

/// Whether the folder a node lies in on the server is deleted, too, and decides.
fn lies_in_a_tomb(c: &Conn, node: &Node) -> store::Result<bool> {
    let Some(folder) = node.remote.as_ref().and_then(|r| r.parent.as_ref()) else { return Ok(false) };
    Ok(nodes::by_remote(c, folder)?.is_some_and(|p| p.tomb && p.blocked.is_none()))
}

/// Whether a node is still a tombstone.
fn is_tomb(fs: &Fs, node: &Node) -> bool {
    let current = fs.db().read(|c| nodes::get(c, node.ino));
    current.is_ok_and(|n| n.is_some_and(|n| n.tomb && n.id() == node.id()))
}

/// What others edited since lives, if it is known before the delete goes: two reads for a whole round. `false`: they
/// failed, and the round is put off.
async fn look_first(fs: &Arc<Fs>) -> Result<bool> {
    let Err(e) = pull::refresh(fs).await else { return Ok(true) };
    put_off(fs, &e.to_string())?;
    Ok(false)
}

/// No delete goes before it has been looked whether it may.
fn put_off(fs: &Fs, why: &str) -> Result<()> {
    tracing::debug!(why, "deletes wait: it cannot be looked");
    let now = now_ms();
    fs.db().write(|tx| {
        for mut node in nodes::due_tombs(tx, now, ROUND)? {
            node.tries = node.tries.saturating_add(1);
            (node.due, node.error) = (now + backoff(fs, node.tries), Some(why.to_owned()));
            nodes::save(tx, &node)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Whether a tombstone can be sent now, on its own.
async fn ready(fs: &Arc<Fs>, node: &Node) -> remote::Result<bool> {
    let later = |due: i64| fs.db().write(|tx| nodes::defer(tx, node.ino, due)).map_err(local);
    let now = now_ms();
    let (busy, waits, above) = fs
        .db()
        .read(|c| {
            let busy = nodes::intent(c, node.ino)?.is_some();
            let waits = match node.waits_for {
                Some(w) => nodes::get(c, w)?.is_some_and(|n| is_unsafe(&n)),
                None => false,
            };
            Ok((busy, waits, lies_in_a_tomb(c, node)?))
        })
        .map_err(local)?;
    if busy || waits || above {
        tracing::trace!(ino = %node.ino, busy, waits, above, first = ?node.waits_for, "a delete waits");
        // Below a deleted folder, that folder's own delete decides.
        later(now + if above || busy { fs.config.paced(2) } else { 60_000 })?;
        return Ok(false);
    }
    match (node.kind, node.id()) {
        (_, None) => Ok(false),
        (Kind::File, _) => Ok(true),
        (Kind::Folder, Some(id)) => match look_below(fs, node, id).await? {
            Below::Clear => Ok(true),
            Below::Leaving => {
                later(now + fs.config.paced(2))?;
                Ok(false)
            }
            Below::Strangers { folders, rows } => {
                keep(fs, &folders, rows).map_err(|e| remote::Error::Local(std::io::Error::other(e)))?;
                Ok(false)
            }
        },
    }
}

/// What lies below a folder on the server.
enum Below {
    /// Nothing but what the user has deleted.
    Clear,
    /// Nodes that were moved away here and not yet there, or of which it is not known yet where a request of ours has put
    /// them.
    Leaving,
    /// Rows the user has not deleted; the folders above them stay.
    Strangers { folders: Vec<NodeId>, rows: Vec<Row> },
}

async fn look_below(fs: &Arc<Fs>, tomb: &Node, top: &NodeId) -> remote::Result<Below> {
    let meant = fs.db().read(|c| nodes::meant_below(c, tomb)).map_err(local)?;
    let mut todo = vec![top.clone()];
    // Each folder that was found, and the one it was found in.
    let mut above: HashMap<NodeId, Option<NodeId>> = HashMap::from([(top.clone(), None)]);
    let mut looks = FuturesUnordered::new();
    loop {
        while looks.len() < LOOKS
            && let Some(folder) = todo.pop()
        {
            // What is confirmed by now is listed, and nothing is sent later into what is removed.
            if !fs.db().read(|c| nodes::intents_into(c, &folder)).map_err(local)?.is_empty() {
                return Ok(Below::Leaving);
            }
            looks.push(async move { (fs.remote.list(&folder).await, folder) });
        }
        let Some((listed, folder)) = looks.next().await else { return Ok(Below::Clear) };
        let rows = match fs.health.note(listed) {
            Ok(rows) => rows,
            Err(remote::Error::NotFound) => continue,
            Err(e) => return Err(e),
        };
        for row in &rows {
            let node = fs.db().read(|c| nodes::by_remote(c, &row.id)).map_err(local)?;
            match node {
                // Its bytes are on their way to another row.
                Some(n) if n.tomb && waits(fs, &n)? => return Ok(Below::Leaving),
                Some(n) if was_edited(fs, &n, row)? => {
                    return Ok(Below::Strangers { folders: path_to(&folder, &above), rows });
                }
                Some(n) if n.tomb || !n.linked || goes_along(fs, tomb, meant, &n)? => {
                    if row.kind == Kind::Folder && !above.contains_key(&row.id) {
                        above.insert(row.id.clone(), Some(folder.clone()));
                        todo.push(row.id.clone());
                    }
                }
                None if meant == Some(Ino::ANY) => {
                    if row.kind == Kind::Folder && !above.contains_key(&row.id) {
                        above.insert(row.id.clone(), Some(folder.clone()));
                        todo.push(row.id.clone());
                    }
                }
                Some(n) if n.moved || has_left(fs, &n, row)? => return Ok(Below::Leaving),
                _ => return Ok(Below::Strangers { folders: path_to(&folder, &above), rows }),
            }
        }
    }
}

/// The folders down to one, the topmost first.
fn path_to(folder: &NodeId, above: &HashMap<NodeId, Option<NodeId>>) -> Vec<NodeId> {
    let mut path = vec![folder.clone()];
    let mut at = folder;
    while let Some(Some(up)) = above.get(at) {
        path.push(up.clone());
        at = up;
    }
    path.reverse();
    path
}

/// Whether somebody else wrote to a file that the user has deleted, which nobody here has heard of yet.
fn was_edited(fs: &Fs, node: &Node, row: &Row) -> remote::Result<bool> {
    let known = node.remote.as_ref().and_then(|r| r.content.as_ref());
    let goes = node.tomb || fs.db().read(|c| nodes::anchor(c, node.ino)).map_err(local)? != Anchor::Root;
    if !goes || row.kind == Kind::Folder || row.content.as_ref() == known {
        return Ok(false);
    }
    let what = confirm::object_of(row.content.as_ref());
    Ok(!fs.db().read(|c| nodes::echoed(c, node.ino, what, 0)).map_err(local)?)
}

/// Whether a node lay below a folder when a file manager put that into the trash, and goes with it.
fn goes_along(fs: &Fs, top: &Node, meant: Option<Ino>, node: &Node) -> remote::Result<bool> {
    if meant.is_none_or(|newest| node.ino > newest) {
        return Ok(false);
    }
    fs.db().read(|c| nodes::below(c, top.ino, node.ino)).map_err(local)
}

/// Whether a tombstone waits for a node that is still to be brought over.
fn waits(fs: &Fs, node: &Node) -> remote::Result<bool> {
    let Some(first) = node.waits_for else { return Ok(false) };
    fs.db().read(|c| Ok(nodes::get(c, first)?.is_some_and(|n| is_unsafe(&n)))).map_err(local)
}

/// Whether the bytes a node took over are not yet under its own row.
fn is_unsafe(heir: &Node) -> bool {
    heir.is_dirty() && (heir.content_dirty() || heir.remote.is_none())
}

/// Whether a row is where we moved it away from, and the replica does not know.
fn has_left(fs: &Fs, node: &Node, row: &Row) -> remote::Result<bool> {
    let since = now_ms() - fs.config.paced(pull::ECHO);
    let there = confirm::place(row.parent.as_ref(), &row.name);
    if node.remote.as_ref().is_none_or(|r| r.parent == row.parent) {
        return Ok(false);
    }
    fs.db().read(|c| nodes::echoed(c, node.ino, &there, since)).map_err(local)
}

/// A failure of the local state, among those of the network.
fn local(e: store::Error) -> remote::Error {
    remote::Error::Local(std::io::Error::other(e))
}

/// The folders stay: something in them is not ours to delete.
fn keep(fs: &Arc<Fs>, folders: &[NodeId], rows: Vec<Row>) -> Result<()> {
    tracing::warn!("a deleted folder holds something new on the server; it stays");
    let mut back = Vec::new();
    for id in folders {
        if let Some(node) = fs.db().read(|c| nodes::by_remote(c, id))? {
            back.extend(node.remote.clone());
        }
    }
    pull::revive(fs, back)?;
    pull::apply(fs, rows, pull::From::Feed)
}

fn note_sent(fs: &Fs, batch: &[Node]) -> Result<()> {
    let now = now_ms();
    fs.db().write(|tx| {
        for node in batch {
            let Some(mut current) = nodes::get(tx, node.ino)? else { continue };
            current.tries = current.tries.saturating_add(1);
            current.due = now
                + fs.config.paced(UNSEEN)
                + if current.tries > 1 { backoff(fs, current.tries) } else { 0 };
            nodes::save(tx, &current)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn note_failure(fs: &Fs, batch: &[Node], e: &remote::Error) -> Result<()> {
    let (now, reason, why) = (now_ms(), failed::reason_of(e), e.to_string());
    let blocked = fs.db().write(|tx| {
        let mut blocked = Vec::new();
        for node in batch {
            // One that was taken back meanwhile is no delete any more.
            let Some(mut current) = nodes::get(tx, node.ino)?.filter(|n| n.tomb) else { continue };
            if e.class() == Class::Permanent && current.tries >= REFUSED_AFTER {
                failed::block(tx, current, reason, &why)?;
                blocked.push(node);
                continue;
            }
            current.tries = current.tries.saturating_add(1);
            current.due = now + backoff(fs, current.tries);
            current.error = Some(why.clone());
            nodes::save(tx, &current)?;
            if e.class() != Class::Ambiguous {
                brake::not_sent(tx, node.ino)?;
            }
        }
        Ok(blocked)
    })?;
    blocked.into_iter().for_each(|node| fs.tell_blocked(node, reason, &why));
    Err(Error::Io(why))
}

/// Asks for the row itself.
async fn ask(fs: &Arc<Fs>, node: &Node, from: pull::From) -> Result<()> {
    let Some(row) = &node.remote else { return Ok(()) };
    let still = fs.db().read(|c| nodes::get(c, node.ino))?.is_some_and(|n| n.tomb && n.id() == Some(&row.id));
    if !still {
        return Ok(());
    }
    if let Err(e) = pull::look_at(fs, node.kind, &row.id, from, Missing::Gone).await {
        tracing::debug!(error = %e, "whether a delete has arrived is not known yet");
    }
    Ok(())
}

/// What [`settle_below`] did.
#[derive(Default)]
pub(in crate::fs) struct Settled {
    pub nodes: Vec<Ino>,
    /// Unsent contents, which were removed with their files.
    pub contents: Vec<ContentId>,
}

/// Tombstones below a folder that went to the trash are settled with it, but for those of which something is still
/// under way: they go by themselves, with all below them.
pub(in crate::fs) fn settle_below(tx: &store::Tx, folder: &NodeId) -> store::Result<Settled> {
    let mut settled = Settled::default();
    let mut stack = vec![folder.clone()];
    while let Some(id) = stack.pop() {
        for mut node in nodes::tombs_below(tx, &id)? {
            if nodes::intent(tx, node.ino)?.is_some() {
                continue;
            }
            if node.kind == Kind::Folder {
                stack.extend(node.id().cloned());
            }
            settled.contents.extend(node.buried());
            nodes::save(tx, &node)?;
            settled.nodes.push(node.ino);
        }
    }
    Ok(settled)
}
