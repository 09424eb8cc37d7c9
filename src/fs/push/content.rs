//! A file's content: upload under a fresh key, then create its row or replace what the row holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::step::{Step, Stop, check_name, settle_name};
use super::{Turn, confirm, names};
use crate::block;
use crate::fs::{Fs, damage, fetch, now_ms, pull};
use crate::remote::{self, NewFile, Refusal, Replacement};
use crate::store::Content;
use crate::store::nodes::{self, Blocked, Intent, Node};
use crate::types::{Kind, NodeId, Row, Status, Urgency, Version};

/// Rounds of fetching what a partly written file still lacks of its base.
const FETCHES: usize = 3;

/// Bytes of a base that are copied rather than fetched again, at most.
const OWN_MAX: u64 = 256 << 20;

/// Tries before what the server does not give of a base counts as lost: replicas lag.
const LOST_AFTER: u32 = 2;

/// Brings a file's content over: creates the file, or replaces the content of its row.
pub(super) async fn push(fs: &Arc<Fs>, turn: &Turn, node: &Node, parent: NodeId) -> Step {
    let Some(id) = node.content else {
        if node.remote.is_none() {
            check_name(fs, node, &parent).await?;
        }
        return register(fs, node, parent, None).await;
    };
    let content = fs.blocks().open(id)?;
    freeze(fs, node, &content)?;
    settle_on_disk(fs, &content).await?;
    // The service looks for a row's content in the row's own bucket.
    let usable =
        |v: &&Version| node.remote.as_ref().and_then(|r| r.bucket.as_ref()).is_none_or(|b| *b == v.bucket);
    let version = match (node.uploaded.as_ref().filter(usable), &node.remote) {
        (Some(v), Some(_)) => v.clone(),
        (Some(v), None) => {
            check_name(fs, node, &parent).await?;
            v.clone()
        }
        (None, Some(_)) => upload(fs, turn, node, &content).await?,
        (None, None) => {
            // The look whether the name is free costs no time beside the upload.
            let (there, version) =
                tokio::join!(names::ask(fs, node, &parent), upload(fs, turn, node, &content));
            let version = version?;
            settle_name(fs, node, fs.health.note(there)?)?;
            version
        }
    };
    register(fs, node, parent, Some((&content, version))).await
}

/// From here on the content is a frozen generation: writes go to a successor. Not while somebody writes.
fn freeze(fs: &Arc<Fs>, node: &Node, content: &Content) -> Step {
    // Also of a file that nobody has open: who opens it now takes this lock before the first write.
    let file = fs.files.acquire(node.ino, false);
    let guard = file.state.lock();
    if guard.as_ref().is_some_and(|s| s.changed) {
        drop(guard);
        super::put_off(fs, node, fs.config.due(now_ms()).max(now_ms() + 500))?;
        return Err(Stop::Wait);
    }
    content.freeze();
    Ok(())
}

/// Only what would survive a loss of power is uploaded.
async fn settle_on_disk(fs: &Arc<Fs>, content: &Arc<Content>) -> Step {
    if content.is_durable() {
        return Ok(());
    }
    // An earlier process may have journalled it.
    fs.sync.note(content.clone());
    let syncing = fs.clone();
    let synced = fs.rt.spawn_blocking(move || syncing.sync_all()).await;
    synced.map_err(|e| crate::fs::Error::Io(e.to_string()))??;
    if content.is_durable() {
        return Ok(());
    }
    Err(Stop::Local(crate::fs::Error::Io("the content is not on the local disk yet".to_owned())))
}

async fn upload(
    fs: &Arc<Fs>,
    turn: &Turn,
    node: &Node,
    content: &Arc<Content>,
) -> std::result::Result<Version, Stop> {
    if fs.quota.max_file().is_some_and(|max| content.size() > max) {
        return Err(remote::Error::Refused(Refusal::TooLarge).into());
    }
    complete(fs, node, content).await?;
    turn.sent.store(0, Ordering::Relaxed);
    let sent = turn.sent.clone();
    let body = fetch::body_of(
        fs,
        content,
        Arc::new(move |n| {
            sent.fetch_add(n, Ordering::Relaxed);
        }),
    );
    let bucket = node.remote.as_ref().and_then(|r| r.bucket.clone());
    let version = fs.health.note(fs.remote.put(bucket.as_deref(), body).await)?;
    let wanted = fs.db().write(|tx| {
        let Some(mut current) = nodes::get(tx, node.ino)? else { return Ok(false) };
        let wanted = current.content == Some(content.id()) && !current.tomb;
        if wanted {
            current.uploaded = Some(version.clone());
            nodes::save(tx, &current)?;
        }
        Ok(wanted)
    })?;
    if wanted {
        own_all(fs, content).await;
        return Ok(version);
    }
    // Overtaken by a newer write, or removed: nothing refers to the object.
    discard(fs, version);
    Err(Stop::Wait)
}

/// Deletes an object that no row has and no intent names, once that is so after a loss of power, too: a node that had it for
/// its upload would give it to a row.
pub(in crate::fs) fn discard(fs: &Arc<Fs>, version: Version) {
    let this = fs.clone();
    fs.spawn(async move {
        let forgotten = this.blocking(|fs| Ok(fs.db().write_durable(|_| Ok(()))?)).get().await;
        if let Err(e) = forgotten {
            return tracing::debug!(error = %e, "an unused object stays on the server");
        }
        if let Err(e) = this.remote.discard(&version).await {
            tracing::debug!(error = %e, "an unused object stays on the server");
        }
    });
}

/// Fetches what the content still lacks of its base: the server deletes the base when the replace succeeds.
async fn complete(fs: &Arc<Fs>, node: &Node, content: &Arc<Content>) -> Step {
    for _ in 0..FETCHES {
        let missing = fs.misses(content, 0..content.size())?;
        if missing.is_empty() {
            return keep_below(fs, content).await;
        }
        for miss in missing {
            match fs.fetch_verified(&miss.content, &miss.version, miss.range).await {
                Ok(()) => {}
                Err(crate::fs::Error::Offline) => {
                    return Err(
                        remote::Error::Offline("the rest of the file is not here yet".to_owned()).into()
                    );
                }
                Err(crate::fs::Error::LoggedOut) => return Err(remote::Error::SessionLost.into()),
                Err(crate::fs::Error::Lost(why)) if node.tries >= LOST_AFTER => {
                    return Err(lost(fs, node, &why)?);
                }
                // Read, not written: nothing can have been done by it. Tried again.
                Err(crate::fs::Error::Lost(why) | crate::fs::Error::Io(why)) => {
                    return Err(remote::Error::Ambiguous(damage::base_lost(&why)).into());
                }
                Err(crate::fs::Error::TimedOut) => {
                    return Err(
                        remote::Error::Offline("the rest of the file came too slowly".to_owned()).into()
                    );
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
    Err(Stop::Local(crate::fs::Error::NoSpace("the local disk is full")))
}

/// What the content lacks is lost. If it has nothing of its own, either, it goes; else it waits for a person.
fn lost(fs: &Arc<Fs>, node: &Node, why: &str) -> crate::fs::Result<Stop> {
    match fs.drop_hollow(node) {
        Ok(true) => Ok(Stop::Wait),
        Ok(false) => Ok(Stop::Blocked(Blocked::BaseLost, damage::base_lost(why))),
        Err(crate::fs::Error::Busy) => {
            super::put_off(fs, node, now_ms() + fs.config.paced(5))?;
            Ok(Stop::Wait)
        }
        Err(e) => Err(e),
    }
}

/// What shows through from the base is taken over while it is here: without that, blocks that were written in part would
/// be fetched again. Of large files it would be a copy of nearly all of them: those are.
async fn own_all(fs: &Arc<Fs>, content: &Arc<Content>) {
    let blocks = content.incomplete();
    if blocks.is_empty() || blocks.len() as u64 * block::BLOCK > OWN_MAX {
        return;
    }
    let (reading, content) = (fs.clone(), content.clone());
    let owned = fs.rt.spawn_blocking(move || {
        let size = content.size();
        let taken = blocks.into_iter().try_for_each(|b| {
            let bytes = reading.read_local(&content, block::range(b).start..block::range(b).end.min(size))?;
            crate::fs::Result::Ok(content.complete(b, &bytes)?)
        });
        // What was taken over is on the disk before the rows name it.
        content.sync()?;
        reading.db().write(|tx| content.commit(tx))?;
        taken
    });
    match owned.await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!(error = %e, "not all of an uploaded file stays here"),
        Err(e) => tracing::error!(error = %e, "not all of an uploaded file stays here"),
    }
}

/// What the content lies on is on the disk before the server deletes it.
async fn keep_below(fs: &Arc<Fs>, content: &Arc<Content>) -> Step {
    if content.base().is_none_or(|(_, limit)| limit == 0) {
        return Ok(());
    }
    let (kept, content) = (fs.clone(), content.clone());
    let synced = fs.rt.spawn_blocking(move || kept.sync_below(&content)).await;
    Ok(synced.map_err(|e| crate::fs::Error::Io(e.to_string()))??)
}

/// The server deletes the base when the replace succeeds: what other open files and staged copies still need of
/// it is fetched before.
async fn keep_base(fs: &Arc<Fs>, node: &Node, base: &Version, size: u64) -> Step {
    let Some(content) = fs.db().read(|c| fs.blocks().find(c, base))? else { return Ok(()) };
    let shown = fs.files.hold_version(base, node.ino, &content);
    if !shown && !fs.db().read(|c| nodes::lies_beneath(c, content.id(), node.content))? {
        return Ok(());
    }
    content.keep_all();
    match fs.fetch(&content, base, 0..size, Urgency::Now).await {
        Ok(()) => {
            let synced = fs.rt.spawn_blocking(move || content.sync_fetched()).await;
            Ok(synced.map_err(|e| crate::fs::Error::Io(e.to_string()))??)
        }
        Err(crate::fs::Error::Offline) => {
            Err(remote::Error::Offline("the former content is not here yet".to_owned()).into())
        }
        Err(crate::fs::Error::LoggedOut) => Err(remote::Error::SessionLost.into()),
        Err(e) => {
            // It cannot be read anyhow; what is saved now matters more.
            tracing::warn!(error = %e, "the former content, still open elsewhere, could not be kept");
            Ok(())
        }
    }
}

async fn register(
    fs: &Arc<Fs>,
    node: &Node,
    parent: NodeId,
    uploaded: Option<(&Arc<Content>, Version)>,
) -> Step {
    // The upload took its time: the content, the name, the folder and the time may be others by now.
    let Some(current) = fs.db().read(|c| nodes::get(c, node.ino))? else { return Err(Stop::Wait) };
    if let Some((_, version)) = uploaded.as_ref().filter(|(_, v)| current.uploaded.as_ref() != Some(v)) {
        // Overtaken: nothing refers to the object.
        discard(fs, version.clone());
        return Err(Stop::Wait);
    }
    if current.content != node.content || current.tomb {
        return Err(Stop::Wait);
    }
    if !same_place(node, &current) {
        // What has been looked at and waited for is not where it goes now: from the beginning.
        return Ok(());
    }
    let node = &current;
    let stored = confirm::Stored {
        content: uploaded.as_ref().map(|(c, _)| c.id()),
        size: uploaded.as_ref().map_or(0, |(c, _)| c.size()),
        version: uploaded.map(|(_, v)| v),
        modified: node.mtime,
    };
    match &node.remote {
        None => create(fs, node, parent, stored).await,
        Some(row) => replace(fs, node, row, stored).await,
    }
}

/// Whether a node is still to be brought to the same place, and the same row.
fn same_place(before: &Node, now: &Node) -> bool {
    now.linked == before.linked
        && now.parent == before.parent
        && now.name == before.name
        && now.id() == before.id()
}

async fn create(fs: &Arc<Fs>, node: &Node, parent: NodeId, what: confirm::Stored) -> Step {
    let file = NewFile {
        parent: parent.clone(),
        name: node.wanted_name(),
        content: what.version.clone(),
        size: what.size,
        modified: what.modified,
        created: node.btime,
    };
    let intent = Intent::Create {
        parent,
        name: file.name.clone(),
        content: file.content.clone(),
        size: file.size,
        created: file.created.to_millis_precision(),
        modified: file.modified,
    };
    confirm::intend(fs, node, intent, now_ms()).await?;
    match fs.health.note(fs.remote.create(&file).await) {
        Ok(row) => Ok(confirm::stored(fs, node.ino, &row, &what)?),
        Err(e) => Err(confirm::not_done(fs, node.ino, e)?),
    }
}

/// Replicas that show what one of our writes replaced are waited for this many units. Then what the row is known to
/// hold counts.
const LAG: i64 = 10;

/// Whether a content is one that our own writes set or replaced within `units`.
fn is_echo(fs: &Fs, node: &Node, version: Option<&Version>, units: i64) -> crate::fs::Result<bool> {
    let since = now_ms() - fs.config.paced(units);
    Ok(fs.db().read(|c| nodes::echoed(c, node.ino, confirm::object_of(version), since))?)
}

fn wait_for_replicas(fs: &Fs, node: &Node) -> Step {
    super::put_off(fs, node, now_ms() + fs.config.paced(2))?;
    Err(Stop::Wait)
}

async fn replace(fs: &Arc<Fs>, node: &Node, known: &Row, what: confirm::Stored) -> Step {
    // Before the look at the row, since it may take long: what others write after that look is overwritten.
    if let Some(base) = &known.content {
        keep_base(fs, node, base, known.size).await?;
    }
    let there = match fs.health.note(fs.remote.stat(Kind::File, &known.id).await) {
        Ok(row) => row,
        Err(remote::Error::NotFound) if is_echo(fs, node, known.content.as_ref(), pull::ECHO)? => {
            // Created or written by us not long ago: a replica that has not heard of it.
            return wait_for_replicas(fs, node);
        }
        Err(remote::Error::NotFound) => Row { status: Status::Deleted, content: None, ..known.clone() },
        Err(e) => return Err(e.into()),
    };
    if there.status != Status::Exists {
        return Ok(outlive(fs, node, &there, what.version.as_ref())?);
    }
    if what.version.is_some() && there.content == what.version {
        return Ok(confirm::stored(fs, node.ino, &there, &what)?);
    }
    let echo = there.content != known.content && is_echo(fs, node, there.content.as_ref(), pull::ECHO)?;
    if echo && is_echo(fs, node, there.content.as_ref(), LAG)? {
        return wait_for_replicas(fs, node);
    }
    if there.content != known.content && !echo {
        // Somebody else's content: it keeps the name, ours goes beside it.
        pull::apply(fs, vec![there], pull::From::Fresh)?;
        return Ok(());
    }
    let with = Replacement::new(known.content.clone(), what.version.clone(), what.size, what.modified)?;
    let intent = Intent::Replace {
        id: known.id.clone(),
        base: known.content.clone(),
        content: what.version.clone(),
        size: what.size,
        modified: what.modified,
    };
    confirm::intend(fs, node, intent, now_ms()).await?;
    match fs.health.note(fs.remote.replace(&known.id, &with).await) {
        Ok(row) => Ok(confirm::stored(fs, node.ino, &row, &what)?),
        Err(e) => Err(confirm::not_done(fs, node.ino, e)?),
    }
}

/// An edit beats a delete: the row is gone, the file lives on as a new one with the upload already made, unless
/// the dead row holds that.
fn outlive(fs: &Arc<Fs>, node: &Node, dead: &Row, version: Option<&Version>) -> crate::fs::Result<()> {
    fs.db().write(|tx| {
        let Some(mut current) = nodes::get(tx, node.ino)? else { return Ok(()) };
        if current.id() != Some(&dead.id) {
            return Ok(());
        }
        current.remote = None;
        current.moved = false;
        current.emptied = current.size == 0;
        if version.is_some() && dead.content.as_ref() == version {
            current.uploaded = None;
        }
        nodes::save(tx, &current)
    })?;
    Ok(())
}
