//! Reconcile: brings what the server reports into the mirror, merged three ways, and tells the kernel.
//!
//! The whole tree is read once (hydration), then the feeds are followed: a cheap probe each poll, a delta with
//! overlap when it shows something or minutes have passed. Rows are merged in short transactions.

mod feed;
mod hydrate;
mod look;
mod merge;
mod place;
mod rescue;
mod revert;
pub(super) mod rings;
mod walk;
pub(super) mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::files::Source;
use super::invalidate::Note;
use super::tree::Listings;
use super::{Config, Conflicts, Fs, Result};
use crate::store::nodes;
use crate::store::{Content, ContentId, Tx};
use crate::types::{Ino, Kind, NodeId, Row};

pub(super) use feed::{listen, refresh, run};
pub(super) use look::{Missing, look_at, merge_or_doubt};
pub(super) use merge::ECHO;
pub(super) use rescue::bring_back;
pub(super) use revert::revert;

/// Rows merged in one transaction: a few milliseconds at most.
const CHUNK: usize = 64;

/// Where rows come from, which says how far they may be trusted to be new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// A feed or a listing: may lag behind our own writes.
    Feed,
    /// Read just now to decide something, or long enough after our own writes.
    Fresh,
}

/// What the reader of the feeds remembers.
#[derive(Default)]
pub(super) struct Pull {
    pub listings: Listings,
    /// One reader of the feeds at a time.
    gate: tokio::sync::Mutex<feed::Seen>,
    wake: Notify,
    /// Rows that looked like echoes of our own writes, or older than what is known: read again then.
    doubted: Mutex<HashMap<NodeId, (Kind, Instant)>>,
    /// Copies that were kept beside another version.
    conflicts: Mutex<Conflicts>,
    /// What is wrong with the feeds.
    trouble: Mutex<Option<String>>,
    /// Rows were passed over because of what was under way: the next look reads the feeds, whatever the probe says.
    again: AtomicBool,
    /// The service announces changes just now.
    told: AtomicBool,
    /// Seconds since 1970 of the last complete look; 0: never.
    last_sync: AtomicI64,
}

impl Pull {
    /// Look now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Between two looks for changes.
    fn interval(&self, config: &Config) -> Duration {
        let factor = if self.told.load(Ordering::Acquire) { config.poll_while_told } else { 1 };
        config.poll_interval.saturating_mul(factor.max(1))
    }

    /// The row is to be read again, once replicas have caught up.
    pub fn doubt(&self, fs: &Fs, id: NodeId, kind: Kind) {
        let due = Instant::now() + fs.config.pace.saturating_mul(feed::DOUBT);
        self.doubted.lock().entry(id).or_insert((kind, due));
    }

    pub fn conflicts(&self) -> Conflicts {
        self.conflicts.lock().clone()
    }

    /// What a person should know about the feeds.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub fn last_sync(&self) -> Option<i64> {
        Some(self.last_sync.load(Ordering::Relaxed)).filter(|s| *s > 0)
    }
}

/// What merging did, to be finished after the transaction.
#[derive(Default)]
pub(super) struct Outcome {
    pub notes: Vec<Note>,
    pub retired: Vec<ContentId>,
    /// Contents that were staged, to be made durable.
    pub staged: Vec<Arc<Content>>,
    /// Copies that lie on another version.
    pub copies: Vec<Arc<Content>>,
    pub doomed: Vec<Ino>,
    pub doubted: Vec<(NodeId, Kind)>,
    /// Names that copies were given beside another version.
    pub conflicts: Vec<String>,
    pub push: bool,
    /// A row was passed over for now.
    pub again: bool,
}

/// Merges rows into the mirror.
///
/// # Errors
/// Those of the local state; what was merged before stays.
pub(super) fn apply(fs: &Arc<Fs>, rows: Vec<Row>, from: From) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        let outcome = fs.db().write(|tx| {
            let mut merge = merge::Merge::new(fs, tx, from);
            for row in chunk {
                merge.row(row)?;
            }
            merge.heal()?;
            merge.give_names_back()?;
            Ok(merge.outcome)
        })?;
        finish(fs, outcome);
    }
    Ok(())
}

/// Rows that came before their folder, which has become known in another way than by a feed, find their place.
fn settle_strays(fs: &Arc<Fs>) -> Result<()> {
    let strays = fs.db().read(|c| nodes::strays_with_a_home(c, 10_000))?;
    apply(fs, strays.into_iter().filter_map(|n| n.remote).collect(), From::Feed)
}

/// Merges a folder's listing, after which all its children are known.
pub(super) fn apply_listing(fs: &Arc<Fs>, folder: Ino, rows: Vec<Row>) -> Result<()> {
    apply(fs, rows, From::Feed)?;
    fs.db().write(|tx| mark_listed(tx, folder))?;
    Ok(())
}

fn mark_listed(tx: &Tx, folder: Ino) -> crate::store::Result<()> {
    let Some(mut node) = nodes::get(tx, folder)? else { return Ok(()) };
    node.listed = true;
    nodes::save(tx, &node)
}

/// Takes back deletes that the user made here.
pub(super) fn revive(fs: &Arc<Fs>, rows: Vec<Row>) -> Result<()> {
    let outcome = fs.db().write(|tx| {
        let mut merge = merge::Merge::new(fs, tx, From::Fresh);
        for row in &rows {
            merge.revive(row)?;
        }
        Ok(merge.outcome)
    })?;
    finish(fs, outcome);
    Ok(())
}

/// A row turns out to be a node's own: the file that the feeds made of it before goes, if nobody has touched it. What they told
/// of it is in the answer, to be applied to its owner. `None`: somebody has touched it, or it is a folder.
///
/// # Errors
/// Those of the local state.
pub(super) fn make_way(fs: &Arc<Fs>, ino: Ino, row: &Row) -> Result<Option<Vec<Row>>> {
    if fs.db().read(|c| nodes::by_remote(c, &row.id))?.is_none_or(|n| n.ino == ino) {
        return Ok(Some(Vec::new()));
    }
    let (told, outcome) = fs.db().write(|tx| {
        let mut merge = merge::Merge::new(fs, tx, From::Fresh);
        let told = match nodes::by_remote(tx, &row.id)?.filter(|n| n.ino != ino) {
            Some(other) => {
                let told = other.remote.clone().into_iter().collect();
                merge.leave(other)?.then_some(told)
            }
            None => Some(Vec::new()),
        };
        merge.give_names_back()?;
        Ok((told, merge.outcome))
    })?;
    finish(fs, outcome);
    Ok(told)
}

/// Gives a node that cannot have its name on the server a conflict name.
pub(super) fn step_beside(fs: &Arc<Fs>, ino: Ino) -> Result<()> {
    let outcome = fs.db().write(|tx| {
        let mut merge = merge::Merge::new(fs, tx, From::Fresh);
        if let Some((node, parent)) = nodes::get(tx, ino)?.and_then(|n| n.parent.map(|p| (n, p))) {
            merge.step_beside(node, parent)?;
        }
        merge.give_names_back()?;
        Ok(merge.outcome)
    })?;
    finish(fs, outcome);
    Ok(())
}

/// What is left to do after a transaction that merged. No file's state is locked meanwhile.
pub(super) fn finish(fs: &Arc<Fs>, outcome: Outcome) {
    outcome.copies.iter().for_each(|c| fs.fetch_rest_soon(c));
    if outcome.again {
        fs.pull.again.store(true, Ordering::Release);
    }
    if let Some(last) = outcome.conflicts.last() {
        let mut conflicts = fs.pull.conflicts.lock();
        conflicts.made += outcome.conflicts.len() as u64;
        conflicts.last = Some(last.clone());
    }
    outcome.doubted.into_iter().for_each(|(id, kind)| fs.pull.doubt(fs, id, kind));
    for note in &outcome.notes {
        if let Note::Data(ino) = note {
            fs.files.drop_pages(*ino);
            show_new_version(fs, *ino);
        }
    }
    outcome.retired.into_iter().for_each(|id| fs.sync.retire(id));
    outcome.staged.into_iter().for_each(|c| fs.sync.note(c));
    for ino in outcome.doomed {
        if let Err(e) = fs.drop_if_doomed(ino) {
            tracing::debug!(%ino, error = %e, "dropping a node failed");
        }
    }
    if !outcome.notes.is_empty() {
        fs.pins.wake();
    }
    fs.invalidate.tell(outcome.notes, |ino| fs.outward(ino));
    if outcome.push {
        fs.push.wake();
    }
}

/// A file that was opened while its row was being merged shows the new version.
fn show_new_version(fs: &Arc<Fs>, ino: Ino) {
    let Some(file) = fs.files.acquire_known(ino) else { return };
    let mut guard = file.state.lock();
    let Some(state) = guard.as_mut().filter(|s| !s.changed) else { return };
    let Ok(Some(node)) = fs.db().read(|c| nodes::get(c, ino)) else { return };
    if node.content.is_none() && !node.emptied {
        state.source = node.version().map_or(Source::Empty, |v| Source::Version(v.clone(), None));
        (state.size, state.mtime) = (node.size, node.mtime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_rare_while_the_service_announces_changes() {
        let (pull, config) = (Pull::default(), Config::default());
        assert_eq!(pull.interval(&config), config.poll_interval);
        pull.told.store(true, Ordering::Release);
        assert_eq!(pull.interval(&config), config.poll_interval * 10);
        pull.told.store(false, Ordering::Release);
        assert_eq!(pull.interval(&config), config.poll_interval);
    }
}
