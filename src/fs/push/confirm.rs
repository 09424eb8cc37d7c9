//! What the server has answered becomes what it last confirmed. One transaction each, with the intent's end.

use std::sync::Arc;

use super::legacy::Legacy;
use super::step::Stop;
use crate::fs::change::is_moved;
use crate::fs::pull::{self, watch};
use crate::fs::{Fs, Result, now_ms};
use crate::names::RemoteName;
use crate::remote::{self, Class};
use crate::store::nodes::{self, Intent, Node};
use crate::store::{self, ContentId, Tx};
use crate::types::{Ino, Kind, NodeId, Row, Status, Timestamp, Version};

/// A place, as it is remembered among the echoes.
pub(in crate::fs) fn place(parent: Option<&NodeId>, name: &RemoteName) -> String {
    format!("{}/{}/{}", parent.map_or("", NodeId::as_str), name.stem, name.ext.as_deref().unwrap_or(""))
}

/// A content, as it is remembered among the echoes.
pub(in crate::fs) fn object_of(version: Option<&Version>) -> &str {
    version.map_or("", |v| &v.object)
}

/// Whether a node is still what a request was made for: a failure of that request says nothing of another content
/// or name.
pub(in crate::fs) fn is_same(now: &Node, sent: &Node) -> bool {
    now.tomb == sent.tomb
        && now.linked == sent.linked
        && now.id() == sent.id()
        && now.content == sent.content
        && now.emptied == sent.emptied
        && now.name == sent.name
        && now.parent == sent.parent
}

/// Commits what is about to be sent, durably: after a loss of power it must be known that it may have been done.
pub(super) async fn intend(
    fs: &Arc<Fs>,
    node: &Node,
    intent: Intent,
    now: i64,
) -> std::result::Result<(), Stop> {
    let (committing, node) = (fs.clone(), node.clone());
    // Away from the runtime's threads, so that all who wait for the disk at a time wait for one sync.
    let committed = fs.rt.spawn_blocking(move || commit_intent(&committing, &node, &intent, now));
    let current = committed.await.map_err(|e| crate::fs::Error::Io(e.to_string()))??;
    // The user was faster: what was about to be sent is not wanted any more.
    if current { Ok(()) } else { Err(Stop::Wait) }
}

fn commit_intent(fs: &Fs, node: &Node, intent: &Intent, now: i64) -> store::Result<bool> {
    fs.db().write_durable(|tx| {
        let same = nodes::get(tx, node.ino)?.is_some_and(|n| !n.tomb && is_same(&n, node));
        if same {
            if let Intent::Replace { content, .. } = intent {
                // What we sent is ours, whatever becomes of it.
                nodes::note_echo(tx, node.ino, object_of(content.as_ref()), now)?;
            }
            nodes::put_intent(tx, node.ino, intent, now)?;
        }
        Ok(same)
    })
}

/// A request failed. Unless it may have been done, its intent ends here.
pub(super) fn not_done(fs: &Fs, ino: Ino, e: remote::Error) -> Result<Stop> {
    if e.class() != Class::Ambiguous {
        fs.db().write(|tx| nodes::clear_intent(tx, ino))?;
    }
    Ok(Stop::Remote(e))
}

/// What waits for a node goes on.
fn wake_waiting(tx: &Tx, node: &Node) -> store::Result<()> {
    for waiting in nodes::waiting_on(tx, node.ino)? {
        nodes::defer(tx, waiting.ino, 0)?;
    }
    Ok(())
}

/// The echo of a folder's making.
pub(in crate::fs) const MADE: &str = "made";
/// The echo of a move to another folder.
pub(in crate::fs) const MOVED: &str = "moved";

/// A folder, or a file that has no content on its way, was created.
pub(super) fn created(fs: &Arc<Fs>, ino: Ino, row: Row) -> Result<()> {
    let Some(mut told) = pull::make_way(fs, ino, &row)? else { return not_ours(fs, ino, row) };
    let early = fs.db().write(|tx| {
        nodes::clear_intent(tx, ino)?;
        let Some(mut node) = nodes::get(tx, ino)? else { return Ok(Vec::new()) };
        nodes::note_echo(tx, ino, MADE, now_ms())?;
        let early = if row.kind == Kind::Folder { nodes::adopt_orphans(tx, &row.id)? } else { Vec::new() };
        node.remote = Some(row);
        node.moved = is_moved(tx, &node)?;
        (node.tries, node.error, node.waits_for) = (0, None, None);
        nodes::save(tx, &node)?;
        nodes::wake_children(tx, ino)?;
        wake_waiting(tx, &node)?;
        Ok(early)
    })?;
    // What was heard of before the answer: of it, and of what others put into it.
    told.extend(early.into_iter().filter_map(|n| n.remote));
    pull::apply(fs, told, pull::From::Feed)?;
    fs.push.wake();
    Ok(())
}

/// A row that was made for a node, or found where that was to be made, has become another's: the two merge, and what is left to
/// send is sent anew.
fn not_ours(fs: &Arc<Fs>, ino: Ino, row: Row) -> Result<()> {
    fs.db().write(|tx| {
        nodes::clear_intent(tx, ino)?;
        match nodes::get(tx, ino)? {
            Some(node) => nodes::save(tx, &Node { uploaded: None, ..node }),
            None => Ok(()),
        }
    })?;
    // As of a feed: its other node may know of something newer than the answer.
    pull::apply(fs, vec![row], pull::From::Feed)?;
    fs.push.wake();
    Ok(())
}

/// A row is now at a place. `answer`: what the server said, for its stale stamp.
pub(super) fn relocated(
    fs: &Arc<Fs>,
    ino: Ino,
    parent: &NodeId,
    name: &RemoteName,
    answer: Option<&Row>,
) -> Result<()> {
    let now = now_ms();
    fs.db().write(|tx| {
        nodes::clear_intent(tx, ino)?;
        let Some(mut node) = nodes::get(tx, ino)? else { return Ok(()) };
        if let Some(row) = node.remote.as_mut() {
            nodes::note_echo(tx, ino, &place(row.parent.as_ref(), &row.name), now)?;
            let former = row.parent.as_ref().filter(|p| *p != parent);
            if former.is_some() {
                nodes::note_echo(tx, ino, MOVED, now)?;
            }
            if let Some(former) = former.filter(|_| row.kind == Kind::Folder) {
                nodes::note_departure(tx, ino, former, &row.name.display(), now)?;
                // Whether the ancestors are still the same there.
                fs.pull.wake();
            }
            row.status = Status::Exists;
            row.parent = Some(parent.clone());
            row.name = name.clone();
            row.updated = answer.map_or(row.updated, |a| a.updated.max(row.updated));
        }
        node.moved = is_moved(tx, &node)?;
        (node.tries, node.error, node.waits_for) = (0, None, None);
        if node.moved {
            node.due = 0;
        }
        nodes::save(tx, &node)?;
        wake_waiting(tx, &node)
    })?;
    fs.push.wake();
    Ok(())
}

/// What a row holds from now on, and which staged content that was.
pub(in crate::fs) struct Stored {
    pub content: Option<ContentId>,
    pub version: Option<Version>,
    pub size: u64,
    pub modified: Timestamp,
}

/// A file's content is on the server. What the user sees does not change: not the inode, not the time, not the
/// pages. Newer content on top of it stays dirty.
pub(super) fn stored(fs: &Arc<Fs>, ino: Ino, row: &Row, what: &Stored) -> Result<()> {
    let Some(told) = pull::make_way(fs, ino, row)? else { return not_ours(fs, ino, row.clone()) };
    let now = now_ms();
    let legacy = Legacy::of(fs, what.content);
    let retired = fs.db().write(|tx| {
        nodes::clear_intent(tx, ino)?;
        let node = nodes::get(tx, ino)?;
        let replaced = node.as_ref().is_some_and(|n| n.remote.is_some());
        if let (Some(id), Some(version)) = (what.content, &what.version) {
            // What was taken over of a base may not be: the disk was full.
            fs.blocks().open_in(tx, id)?.commit(tx)?;
            if !replaced || legacy.is_taken_over() || !watch::keeps_staged(fs, tx, id)? {
                fs.blocks().adopt(tx, id, version)?;
            }
        }
        let Some(mut node) = node else { return Ok(None) };
        let mut retired = None;
        if replaced {
            nodes::note_echo(tx, ino, object_of(node.version()), now)?;
            retired = watch::begin(fs, tx, ino, what)?;
        }
        nodes::note_echo(tx, ino, object_of(what.version.as_ref()), now)?;
        let updated = node.remote.as_ref().map_or(row.updated, |r| r.updated.max(row.updated));
        node.remote = Some(Row {
            content: what.version.clone(),
            size: what.size,
            modified: what.modified.to_millis_precision(),
            updated,
            // Ours, whatever the row says of the content it had before.
            readable: true,
            ..row.clone()
        });
        if node.content == what.content {
            node.content = None;
            node.uploaded = None;
        }
        if node.content.is_none() {
            node.emptied = node.size == 0 && what.version.is_some();
        }
        node.moved = is_moved(tx, &node)?;
        (node.tries, node.blocked, node.error, node.waits_for) = (0, None, None, None);
        nodes::save(tx, &node)?;
        wake_waiting(tx, &node)?;
        Ok(retired)
    })?;
    retired.into_iter().for_each(|id| fs.sync.retire(id));
    legacy.hand_over();
    fs.quota.add(what.size);
    pull::apply(fs, told, pull::From::Feed)?;
    fs.drop_if_doomed(ino)?;
    fs.picture_soon(ino);
    fs.push.wake();
    Ok(())
}
