//! Opening and closing: open, create's second half, flush, fsync, release, and the journal behind them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::files::{Held, Source, State};
use super::{Answer, Error, Fs, OpenFlags, Opened, Result, fetch, now_ms};
use crate::store::nodes::{self, Node};
use crate::store::{Content, ContentId, Tx};
use crate::types::{Fh, Ino, Kind, Timestamp};

/// Files up to this size are fetched when they are opened for writing: one request.
const FETCHED_TO_WRITE: u64 = fetch::RUN_MAX;

/// How a journalling went.
pub(super) enum Journalled {
    /// All of it is committed.
    Done,
    /// Nothing is: this content replaces something durable, and is to be brought to the disk first.
    Unsynced(Arc<Content>),
}

impl Fs {
    /// Opens a file. Never waits for the network, unless for a program that nobody waits for.
    pub(super) fn tree_open(self: &Arc<Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        let ino = self.inward(ino);
        if flags.background && !flags.write && !flags.truncate {
            return self.open_unhurried(ino, flags);
        }
        Answer::Now(self.open_now(ino, flags))
    }

    pub(super) fn open_now(self: &Arc<Self>, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        if flags.write || flags.truncate {
            self.check_writable()?;
        }
        let file = self.files.acquire(ino, flags.write);
        {
            let mut guard = self.state(&file)?;
            let state = loaded(&mut guard)?;
            if matches!(state.source, Source::Unreadable) && !flags.write {
                return Err(Error::Io("the file is stored in a way this version cannot read".to_owned()));
            }
            if flags.truncate {
                self.truncate_state(&file, state, 0)?;
            }
        }
        match flags {
            OpenFlags { background: true, .. } | OpenFlags { truncate: true, .. } => {}
            OpenFlags { write: true, .. } => self.prepare_to_write(&file)?,
            _ => self.prepare_to_read(&file)?,
        }
        let keep_cache = self.files.keep_pages(ino) && !flags.truncate;
        Ok(Opened { fh: self.files.add_handle(file, flags), keep_cache })
    }

    /// Has the cloud's side of a file looked up that is about to be read from there.
    fn prepare_to_read(self: &Arc<Self>, file: &Held) -> Result<()> {
        let mut guard = self.state(file)?;
        let Source::Version(version, cached) = &mut loaded(&mut guard)?.source else { return Ok(()) };
        if cached.is_none() {
            *cached = self.db().read(|c| self.blocks().find(c, version))?;
        }
        if !cached.as_ref().is_some_and(|c| c.looks_whole()) {
            self.prepare_soon(version.clone());
        }
        Ok(())
    }

    /// Has a small file fetched that may be about to be written in part. What it lacks then can be had only until
    /// another client replaces it, and a close does not wait for the network.
    fn prepare_to_write(self: &Arc<Self>, file: &Held) -> Result<()> {
        let mut guard = self.state(file)?;
        let state = loaded(&mut guard)?;
        let size = state.size;
        let Source::Version(version, cached) = &mut state.source else { return Ok(()) };
        if size == 0 || size > FETCHED_TO_WRITE {
            return Ok(());
        }
        let content = match cached {
            Some(content) => content.clone(),
            None => {
                let content = self.db().write(|tx| self.blocks().cached(tx, version, size))?;
                cached.insert(content).clone()
            }
        };
        if !content.looks_whole() {
            self.fetch_soon(&content, version, 0..size);
        }
        Ok(())
    }

    /// The file's state, read from the node's row if this is its first use.
    pub(super) fn state<'a>(&self, file: &'a Held) -> Result<MutexGuard<'a, Option<State>>> {
        let mut guard = file.state.lock();
        if guard.is_none() {
            *guard = Some(self.load_state(file.ino)?);
        }
        Ok(guard)
    }

    fn load_state(&self, ino: Ino) -> Result<State> {
        let node = self.node(ino)?;
        if node.kind == Kind::Folder {
            return Err(Error::IsDir);
        }
        let source = match (node.content, node.version()) {
            (Some(id), _) => {
                let content = self.blocks().open(id)?;
                // Uploaded, and a row may have it already: what is written now is not what was sent, and lies on it.
                if node.uploaded.is_some() {
                    content.freeze();
                }
                Source::Staged(content)
            }
            _ if node.emptied => Source::Empty,
            (None, Some(_)) if node.remote.as_ref().is_some_and(|r| !r.readable) => Source::Unreadable,
            (None, Some(v)) => Source::Version(v.clone(), None),
            (None, None) => Source::Empty,
        };
        Ok(State {
            source,
            size: node.size,
            mtime: node.mtime,
            ctime: node.ctime,
            changed: false,
            touched: false,
        })
    }

    /// Each `close(2)`: the bytes, the name and the times survive the death of this process; and what they replace
    /// survives a loss of power if they do not.
    pub(super) fn tree_flush(self: &Arc<Self>, fh: Fh) -> Answer<()> {
        let handle = match self.files.handle(fh) {
            Ok(h) => h,
            Err(e) => return Answer::Now(Err(e)),
        };
        match self.try_journal(&handle.file) {
            Ok(Journalled::Done) => Answer::Now(Ok(())),
            Ok(Journalled::Unsynced(_)) => self.blocking(move |fs| fs.journal(&handle.file)),
            Err(e) => Answer::Now(Err(e)),
        }
    }

    /// They survive a loss of power.
    pub(super) fn tree_fsync(self: &Arc<Self>, fh: Fh) -> Answer<()> {
        let handle = match self.files.handle(fh) {
            Ok(h) => h,
            Err(e) => return Answer::Now(Err(e)),
        };
        self.blocking(move |fs| {
            fs.journal(&handle.file)?;
            fs.sync_all()
        })
    }

    /// The names in a folder survive a loss of power.
    pub fn fsyncdir(self: &Arc<Self>, _ino: Ino) -> Answer<()> {
        self.blocking(Fs::sync_all)
    }

    /// The last close of a handle.
    pub(super) fn tree_release(self: &Arc<Self>, fh: Fh) {
        let Some(handle) = self.files.remove_handle(fh) else { return };
        if let Err(e) = self.journal(&handle.file) {
            tracing::error!(ino = %handle.file.ino, error = %e, "journalling at release failed; will be tried again");
        }
        let (ino, wrote) = (handle.file.ino, handle.flags.write);
        let file = handle.file.file();
        drop(handle);
        if file.is_doomed()
            && let Err(e) = self.drop_if_doomed(ino)
        {
            tracing::warn!(%ino, error = %e, "an unlinked file could not be dropped; the next start does it");
        }
        if wrote
            && let Some(due) = file.take_put_off()
            && let Err(e) = self.resume_push(ino, due)
        {
            tracing::warn!(%ino, error = %e, "a push that waited for a writer goes on later");
        }
    }

    /// A push that was put off for a writer is due again when it would have been.
    pub(super) fn resume_push(&self, ino: Ino, due: i64) -> Result<()> {
        self.db().write(|tx| match nodes::get(tx, ino)? {
            Some(node) if node.due > due => nodes::defer(tx, ino, due),
            _ => Ok(()),
        })?;
        self.push.wake_by(due);
        Ok(())
    }

    /// The kernel is gone, and with it all handles, also those it did not come to release.
    pub fn release_all(self: &Arc<Self>) {
        self.files.handles().into_iter().for_each(|fh| self.release(fh));
    }

    /// Commits what an open file's state says and the row does not. Nothing to say commits nothing.
    pub(super) fn journal(self: &Arc<Self>, file: &Held) -> Result<()> {
        loop {
            // Who writes all the time makes it take longer; each round takes on all there is at its beginning.
            match self.try_journal(file)? {
                Journalled::Done => return Ok(()),
                Journalled::Unsynced(content) => content.sync()?,
            }
        }
    }

    /// The same, unless the content has to be on the disk first.
    pub(super) fn try_journal(self: &Arc<Self>, file: &Held) -> Result<Journalled> {
        let mut guard = file.state.lock();
        let Some(state) = guard.as_mut() else { return Ok(Journalled::Done) };
        if !state.changed && !state.touched {
            return Ok(Journalled::Done);
        }
        let staged = match &state.source {
            Source::Staged(c) if c.is_staged() && c.size() > 0 => Some(c.clone()),
            _ => None,
        };
        if let Some(c) = staged.as_ref().filter(|_| state.changed) {
            c.seal()?;
        }
        let now = now_ms();
        let noted = self.db().write(|tx| {
            // A file without a name is nobody's once it is closed.
            let Some(mut node) = nodes::get(tx, file.ino)? else { return Ok(Ok((None, i64::MAX))) };
            if !node.linked && !nodes::in_trash(tx, file.ino)? {
                return Ok(Ok((None, i64::MAX)));
            }
            let before = node.content;
            if state.changed {
                if let Some(c) = &staged {
                    if !c.is_synced() && self.shows_durable(tx, &node)? {
                        return Ok(Err(c.clone()));
                    }
                    c.commit(tx)?;
                }
                journal_content(&mut node, staged.as_deref(), state);
                node.due = self.config.due_as(node.kind, &node.name, state.size == 0, now);
                (node.tries, node.blocked, node.error) = (0, None, None);
            }
            (node.size, node.mtime, node.ctime) = (state.size, state.mtime, state.ctime);
            nodes::save_content(tx, &node)?;
            Ok(Ok((before.filter(|b| Some(*b) != node.content), node.due)))
        })?;
        let (dropped, due) = match noted {
            Ok(noted) => noted,
            Err(unsynced) => return Ok(Journalled::Unsynced(unsynced)),
        };
        if state.changed {
            // It has to rest anew.
            file.rest();
        }
        (state.changed, state.touched) = (false, false);
        file.unjournalled.store(false, Ordering::Release);
        drop(guard);
        if let Some(c) = staged {
            self.fetch_rest_soon(&c);
            self.sync.note(c);
        }
        if let Some(id) = dropped {
            self.sync.retire(id);
        }
        self.sync.note_names();
        self.push.wake_by(due);
        Ok(Journalled::Done)
    }

    /// Drops a node that nothing shows, the server does not know and nobody has open.
    pub(super) fn drop_if_doomed(&self, ino: Ino) -> Result<()> {
        if self.files.doom_open(ino) {
            return Ok(());
        }
        // Most nodes are not: no transaction for them.
        let doomed = |n: &Node| !n.linked && n.remote.is_none();
        if !self.db().read(|c| Ok(nodes::get(c, ino)?.as_ref().is_some_and(doomed)))? {
            return Ok(());
        }
        let dropped = self.db().write(|tx| match nodes::get(tx, ino)? {
            Some(node)
                if !node.linked
                    && node.remote.is_none()
                    && nodes::intent(tx, ino)?.is_none()
                    && !nodes::in_trash(tx, ino)? =>
            {
                nodes::delete(tx, ino)?;
                Ok(node.content)
            }
            _ => Ok(None),
        })?;
        if let Some(id) = dropped {
            self.sync.retire(id);
        }
        Ok(())
    }

    /// Forgets a staged content if nothing refers to it any more. Says whether it is settled: gone, or the
    /// cache's.
    pub(super) fn forget_if_stray(&self, tx: &Tx, id: ContentId) -> crate::store::Result<bool> {
        if nodes::referrers(tx, id)? > 0 {
            return Ok(false);
        }
        match self.blocks().open_in(tx, id) {
            Ok(c) if c.is_staged() => self.blocks().forget(tx, id).map(|()| true),
            Ok(_) | Err(crate::store::Error::Gone(_)) => Ok(true),
            Err(e) => Err(e),
        }
    }
}

/// The state, which [`Fs::state`] has loaded.
pub(super) fn loaded<'a>(guard: &'a mut MutexGuard<'_, Option<State>>) -> Result<&'a mut State> {
    guard.as_mut().ok_or(Error::BadHandle)
}

/// The node's content columns for a changed state.
fn journal_content(node: &mut Node, staged: Option<&Content>, state: &State) {
    // What was uploaded is not this any more.
    node.uploaded = None;
    node.content = staged.map(Content::id);
    let server_is_empty = node.remote.as_ref().is_some_and(|r| r.content.is_none());
    node.emptied = state.size == 0 && !server_is_empty;
}

impl State {
    /// Content changed now.
    pub(super) fn mark_changed(&mut self, file: &Held) {
        let now = Timestamp::now();
        (self.mtime, self.ctime, self.changed) = (now, now, true);
        file.note_unjournalled();
    }

    /// Times changed now.
    pub(super) fn mark_touched(&mut self, file: &Held) {
        (self.ctime, self.touched) = (Timestamp::now(), true);
        file.note_unjournalled();
    }
}
