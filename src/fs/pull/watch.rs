//! Watching our replaces: the service has no precondition on writes, so another client's replace may land in the
//! seconds around ours, unseen by either. What we sent stays here until the row is known to have kept it. A foreign
//! content found before that makes ours a conflict copy; one that came after others could see ours is simply newer.

use std::sync::Arc;

use super::From;
use super::look::{Missing, look_at};
use super::merge::Merge;
use crate::fs::push::confirm::Stored;
use crate::fs::{Fs, now_ms};
use crate::store::nodes::{self, Node, Watch};
use crate::store::{ContentId, Result, Tx};
use crate::types::{Ino, Kind, Row};

/// After this many units the row is read again: replicas lag by less.
const LOOK: i64 = 75;
/// Who wrote after this many units since ours was confirmed, ours having been there all the time, had seen it.
const RACE: i64 = 10;
/// Rows read again in one look.
const LOOKS: usize = 64;

/// Whether a staged content has to stay staged while its replace is watched: what it does not hold itself is
/// nowhere else.
pub(in crate::fs) fn keeps_staged(fs: &Fs, tx: &Tx, id: ContentId) -> Result<bool> {
    Ok(!fs.blocks().open_in(tx, id)?.is_whole())
}

/// A replace of ours was confirmed: watches it. Contents that are needed for it no longer are in the answer.
pub(in crate::fs) fn begin(fs: &Fs, tx: &Tx, ino: Ino, what: &Stored) -> Result<Option<ContentId>> {
    let former = end(fs, tx, ino)?;
    let Some(version) = what.version.clone() else { return Ok(former) };
    let content = match what.content {
        Some(id) => Some(id),
        // It had been adopted before.
        None => fs.blocks().find(tx, &version)?.map(|c| c.id()),
    };
    if let Some(id) = content {
        fs.blocks().pin(tx, id, true)?;
    }
    let at = now_ms();
    let due = at + fs.config.paced(LOOK);
    let (size, modified) = (what.size, what.modified);
    nodes::put_watch(tx, &Watch { ino, version, content, size, modified, at, due, seen: false })?;
    Ok(former)
}

/// Ends a file's watch. A content to be retired is in the answer.
pub(super) fn end(fs: &Fs, tx: &Tx, ino: Ino) -> Result<Option<ContentId>> {
    let Some(watch) = nodes::watch(tx, ino)? else { return Ok(None) };
    nodes::end_watch(tx, ino)?;
    let Some(id) = watch.content else { return Ok(None) };
    match fs.blocks().open_in(tx, id) {
        Ok(content) => {
            fs.blocks().pin(tx, id, false)?;
            Ok(content.is_staged().then_some(id))
        }
        Err(crate::store::Error::Gone(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

impl Merge<'_> {
    /// Ends a file's watch: the row kept ours, or what followed came after it.
    pub(super) fn unwatch(&mut self, ino: Ino) -> Result<()> {
        let retired = end(self.fs, self.tx, ino)?;
        self.outcome.retired.extend(retired);
        Ok(())
    }

    /// A row shows what we sent.
    pub(super) fn lasts(&mut self, node: &Node, row: &Row) -> Result<()> {
        if node.kind != Kind::File || row.content != node.remote.as_ref().and_then(|r| r.content.clone()) {
            return Ok(());
        }
        let Some(watch) = nodes::watch(self.tx, node.ino)? else { return Ok(()) };
        let now = now_ms();
        if now >= watch.due {
            self.unwatch(node.ino)?;
        } else if !watch.seen && now >= watch.at + self.fs.config.paced(RACE) {
            nodes::put_watch(self.tx, &Watch { seen: true, ..watch })?;
        }
        Ok(())
    }

    /// A foreign content is about to be taken. If it may have raced a replace of ours, ours goes beside it.
    pub(super) fn keep_ours(&mut self, node: &Node) -> Result<()> {
        let Some(watch) = nodes::watch(self.tx, node.ino)? else { return Ok(()) };
        let newer_here = node.content_dirty() || self.fs.files.is_being_written(node.ino);
        let raced = !watch.seen && node.version() == Some(&watch.version) && !newer_here;
        if let Some(id) = watch.content.filter(|_| raced) {
            self.copy_beside(node, &watch, id)?;
        }
        self.unwatch(node.ino)
    }

    /// What we sent, from the bytes kept here, as a file of its own.
    fn copy_beside(&mut self, node: &Node, watch: &Watch, id: ContentId) -> Result<()> {
        let content = match self.fs.blocks().open_in(self.tx, id) {
            Ok(content) => content,
            Err(crate::store::Error::Gone(_)) => return Ok(()),
            Err(e) => return Err(e),
        };
        tracing::warn!(name = %node.name, "replaced here and elsewhere at one time; keeping both");
        let content = if content.is_staged() {
            content
        } else {
            let copy = self.fs.blocks().stage(self.tx, Some((id, watch.size)), watch.size)?;
            copy.commit(self.tx)?;
            copy
        };
        let parent = node.parent.unwrap_or(Ino::ROOT);
        let name = self.take_conflict_name(Some(parent), &node.name)?;
        let copy = Node {
            size: watch.size,
            mtime: watch.modified,
            content: Some(content.id()),
            emptied: false,
            ..Node::new_local(Kind::File, parent, &name, self.now, now_ms())
        };
        let copy = nodes::insert(self.tx, &copy)?;
        self.appeared(&copy)?;
        self.outcome.staged.push(content);
        self.outcome.push = true;
        Ok(())
    }
}

/// Reads again what is due: by the feeds if they still show it, else row by row.
pub(super) async fn check(fs: &Arc<Fs>) -> crate::fs::Result<()> {
    let now = now_ms();
    if due(fs, now)?.is_empty() {
        return Ok(());
    }
    super::refresh(fs).await?;
    for watch in due(fs, now)? {
        let node = fs.db().read(|c| nodes::get(c, watch.ino))?;
        let Some(id) = node.as_ref().and_then(|n| n.id().cloned()) else {
            fs.db().write(|tx| end(fs, tx, watch.ino))?.into_iter().for_each(|id| fs.sync.retire(id));
            continue;
        };
        look_at(fs, Kind::File, &id, From::Fresh, Missing::Gone).await?;
        // Something of the file is under way: later.
        let next = now_ms() + fs.config.paced(LOOK);
        fs.db().write(|tx| match nodes::watch(tx, watch.ino)? {
            Some(w) if w.due == watch.due => nodes::put_watch(tx, &Watch { due: next, ..w }),
            _ => Ok(()),
        })?;
    }
    Ok(())
}

fn due(fs: &Fs, now: i64) -> crate::fs::Result<Vec<Watch>> {
    Ok(fs.db().read(|c| nodes::due_watches(c, now, LOOKS))?)
}

impl Fs {
    /// Replaces of ours that are not yet known to have lasted: another client's may have raced them.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn watched(&self) -> crate::fs::Result<u64> {
        Ok(self.db().read(nodes::count_watches)?)
    }
}
