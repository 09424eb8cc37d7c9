//! Writing: write, truncate, setattr. Bytes go to staging and never wait for the network.

use std::sync::Arc;

use super::files::{Held, Source, State};
use super::open::loaded;
use super::{Answer, Attr, Error, Fs, Mtimes, Result, SetAttr};
use crate::store::Content;
use crate::store::nodes::{self, Node};
use crate::types::{Fh, Kind, Timestamp};

impl Fs {
    /// Writes into staging. Promised to survive only once `flush`, `fsync` or `release` has answered.
    pub(super) fn tree_write(self: &Arc<Self>, fh: Fh, offset: u64, data: &[u8]) -> Answer<u32> {
        Answer::Now(self.write_now(fh, offset, data))
    }

    fn write_now(self: &Arc<Self>, fh: Fh, offset: u64, data: &[u8]) -> Result<u32> {
        let handle = self.files.handle(fh)?;
        if !handle.flags.write {
            return Err(Error::BadHandle);
        }
        let written = u32::try_from(data.len()).map_err(|_| Error::Invalid("a write is too large"))?;
        if data.is_empty() {
            return Ok(0);
        }
        let mut guard = self.state(&handle.file)?;
        let state = loaded(&mut guard)?;
        let offset = if handle.flags.append { state.size } else { offset };
        let end = offset.checked_add(u64::from(written)).ok_or(Error::TooLarge)?;
        if end > state.size {
            self.quota.check(end, self.blocks().usage().staged)?;
        }
        let content = self.writable(state)?;
        content.reach(end)?;
        self.note_damage(handle.file.ino, content.write(offset, data).map_err(Error::from))?;
        state.size = state.size.max(end);
        state.mark_changed(&handle.file);
        Ok(written)
    }

    /// The staged content that takes writes, made if there is none: on top of what the file shows now, which
    /// itself never changes again.
    fn writable(&self, state: &mut State) -> Result<Arc<Content>> {
        let mut version = None;
        let base = match &state.source {
            Source::Staged(c) if c.is_staged() && !c.is_frozen() => return Ok(c.clone()),
            Source::Staged(c) => Some(c.id()),
            Source::Empty if state.size == 0 => {
                let content = self.blocks().stage_new()?;
                state.source = Source::Staged(content.clone());
                return Ok(content);
            }
            Source::Empty => None,
            Source::Unreadable => {
                return Err(Error::Io(
                    "the file can only be rewritten whole: its layout is unknown".to_owned(),
                ));
            }
            Source::Version(v, _) => {
                version = Some(v);
                None
            }
        };
        let size = state.size;
        let content = self.db().write(|tx| {
            // Looked for in the transaction that lies on it: what is open may have left the cache since, damaged.
            let base = match version {
                None => base,
                Some(v) => Some(match self.blocks().find(tx, v)? {
                    Some(c) => c.id(),
                    None => self.blocks().cached(tx, v, size)?.id(),
                }),
            };
            self.blocks().stage(tx, base.map(|id| (id, size)), size)
        })?;
        state.source = Source::Staged(content.clone());
        Ok(content)
    }

    /// Truncates or extends.
    pub(super) fn truncate_state(&self, file: &Held, state: &mut State, size: u64) -> Result<()> {
        if size == state.size {
            if size == 0 {
                return Ok(());
            }
            if self.config.mtimes == Mtimes::Local {
                state.mark_changed_times(file);
            }
            return Ok(());
        }
        if size == 0 {
            state.source = Source::Empty;
        } else {
            if size > state.size {
                self.quota.check(size, self.blocks().usage().staged)?;
            }
            let content = self.writable(state)?;
            content.reach(size)?;
            content.truncate(size)?;
        }
        state.size = size;
        state.mark_changed(file);
        Ok(())
    }

    /// Sets size or modification time. The time travels with the next upload; of content that is uploaded it is
    /// kept here, for as long as that version is shown, and no request ever carries it.
    pub(super) fn tree_setattr(self: &Arc<Self>, ino: crate::types::Ino, set: SetAttr) -> Answer<Attr> {
        let ino = self.inward(ino);
        let changes = set.size.is_some() || set.mtime.is_some();
        if changes && let Err(e) = self.check_writable() {
            return Answer::Now(Err(e));
        }
        Answer::Now(self.setattr_now(ino, &set))
    }

    fn setattr_now(self: &Arc<Self>, ino: crate::types::Ino, set: &SetAttr) -> Result<Attr> {
        let node = self.node(ino)?;
        if node.kind == Kind::Folder {
            if set.size.is_some() {
                return Err(Error::IsDir);
            }
            if let Some(mtime) = set.mtime
                && self.takes_mtime(node.remote.is_none())?
            {
                self.set_folder_mtime(ino, mtime)?;
            }
            return Ok(self.attr(&self.node(ino)?));
        }
        if set.size.is_none() && set.mtime.is_none() {
            return Ok(self.attr(&node));
        }
        let file = self.files.acquire(ino, false);
        {
            let mut guard = self.state(&file)?;
            let state = loaded(&mut guard)?;
            if let Some(size) = set.size {
                self.truncate_state(&file, state, size)?;
            }
            if let Some(mtime) = set.mtime
                && self.takes_mtime(state.changed || is_unsent(&node))?
            {
                state.mtime = mtime;
                state.mark_touched(&file);
            }
        }
        // Through a handle, the close journals; without one nothing else would.
        if set.fh.is_none() || set.mtime.is_some() {
            self.journal(&file)?;
        }
        drop(file);
        Ok(self.attr(&self.node(ino)?))
    }

    /// Whether a time that a program sets is kept; refuses it where it is to be refused.
    fn takes_mtime(&self, travels: bool) -> Result<bool> {
        match self.config.mtimes {
            _ if travels => Ok(true),
            Mtimes::Local => Ok(true),
            Mtimes::Ignore => Ok(false),
            Mtimes::Strict => Err(Error::NotPermitted),
        }
    }

    fn set_folder_mtime(&self, ino: crate::types::Ino, mtime: Timestamp) -> Result<()> {
        self.db().write(|tx| {
            let Some(mut node) = nodes::get(tx, ino)? else { return Ok(()) };
            (node.mtime, node.ctime) = (mtime, Timestamp::now());
            nodes::save(tx, &node)
        })?;
        self.sync.note_names();
        Ok(())
    }
}

/// Whether the file is still to be sent, and its time with it.
fn is_unsent(node: &Node) -> bool {
    node.remote.is_none() || node.content_dirty()
}

impl State {
    /// POSIX: a truncation to the same size marks the times.
    fn mark_changed_times(&mut self, file: &Held) {
        let now = Timestamp::now();
        self.mtime = now;
        self.mark_touched(file);
    }
}
