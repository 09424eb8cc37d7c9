//! Finding out what became of a request whose answer was lost: by looking, never by repeating what is not safe
//! to repeat.

use std::sync::Arc;

use super::confirm::{self, Stored};
use super::step::{Step, Stop};
use crate::fs::{Fs, now_ms, pull};
use crate::names::RemoteName;
use crate::remote::{self, Class};
use crate::store::nodes::{self, Intent, Node};
use crate::types::{Kind, NodeId, Row, Status, Timestamp, Version};

/// Units between two looks: replicas lag.
const BETWEEN: i64 = 2;
/// So many moves of a folder that end in an unclear failure, one after the other, are no accidents.
const INTERNAL_ERRORS: u32 = 8;

/// Resolves a node's intent. `Ok`: it is resolved, go on.
pub(super) async fn resolve(fs: &Arc<Fs>, node: &Node, intent: Intent, at: i64, looks: u32) -> Step {
    let mut look = Look { fs, node, at, looks };
    let resolved = match intent {
        Intent::Create { parent, name, content, size, created, modified } => {
            let sent = Sent { content, size, created, modified };
            look.for_file(&parent, &name, &sent).await
        }
        Intent::Mkdir { parent, name, created } => look.for_folder(&parent, &name, created).await,
        Intent::Replace { id, base, content, size, modified } => {
            let sent = Sent { content, size, created: modified, modified };
            look.for_replace(&id, base.as_ref(), &sent).await
        }
        Intent::Relocate { parent, name } => look.for_place(&parent, &name).await,
    };
    if let (Ok(()), Some(id)) = (&resolved, node.id()) {
        // What the feeds said of it meanwhile was not merged.
        fs.pull.doubt(fs, id.clone(), node.kind);
    }
    resolved
}

/// What was sent of a file.
struct Sent {
    content: Option<Version>,
    size: u64,
    created: Timestamp,
    modified: Timestamp,
}

impl Sent {
    /// Whether a row is what was sent.
    fn is(&self, row: &Row) -> bool {
        match &self.content {
            Some(v) => row.content.as_ref() == Some(v),
            None => row.content.is_none() && row.created == self.created,
        }
    }

    fn stored(&self, node: &Node) -> Stored {
        // The staged content that was sent is the node's, unless newer content has taken its place.
        let content = node.content.filter(|_| self.content.is_some() && node.uploaded == self.content);
        Stored { content, version: self.content.clone(), size: self.size, modified: self.modified }
    }
}

struct Look<'a> {
    fs: &'a Arc<Fs>,
    node: &'a Node,
    at: i64,
    looks: u32,
}

impl Look<'_> {
    async fn for_file(&mut self, parent: &NodeId, name: &RemoteName, sent: &Sent) -> Step {
        let there = match self.fs.health.note(self.fs.remote.find(parent, &name.display()).await) {
            Ok(rows) => rows,
            Err(remote::Error::NotFound) => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        if let Some(row) = there.iter().find(|r| r.kind == Kind::File && sent.is(r)) {
            return Ok(confirm::stored(self.fs, self.node.ino, row, &sent.stored(self.node))?);
        }
        self.in_vain()?;
        // It may have been done all the same, and been moved or trashed by another client since; or it may still
        // arrive. Two rows never share an object: the upload is made anew. A row with this one is known as ours.
        self.may_come(sent)?;
        self.give_up(|n| n.uploaded = None)
    }

    async fn for_folder(&mut self, parent: &NodeId, name: &str, created: Timestamp) -> Step {
        let there = match self.fs.health.note(self.fs.remote.find(parent, name).await) {
            Ok(rows) => rows,
            Err(remote::Error::NotFound) => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        // Another's folder of that name serves as well: folders merge.
        let mut folders: Vec<_> = there.into_iter().filter(|r| r.kind == Kind::Folder).collect();
        folders.sort_by_key(|r| r.created != created);
        if let Some(row) = folders.into_iter().next() {
            return Ok(confirm::created(self.fs, self.node.ino, row)?);
        }
        self.in_vain()?;
        self.give_up(|_| {})
    }

    async fn for_replace(&mut self, id: &NodeId, base: Option<&Version>, sent: &Sent) -> Step {
        let row = match self.fs.health.note(self.fs.remote.stat(Kind::File, id).await) {
            Ok(row) => row,
            // Perhaps it was done and the row deleted since: its object is not used for another.
            Err(remote::Error::NotFound) => return self.give_up(|n| n.uploaded = None),
            Err(e) => return Err(e.into()),
        };
        if row.content == sent.content && row.status == Status::Exists {
            return Ok(confirm::stored(self.fs, self.node.ino, &row, &sent.stored(self.node))?);
        }
        if row.status == Status::Exists && row.content.as_ref() == base {
            self.in_vain()?;
            // It may still arrive, and a second one with the same object would then destroy it: upload anew.
            self.may_come(sent)?;
            return self.give_up(|n| n.uploaded = None);
        }
        // Somebody else's by now, or gone, and perhaps after ours.
        self.give_up(|n| n.uploaded = None)?;
        self.merge(&row)
    }

    async fn for_place(&mut self, parent: &NodeId, name: &RemoteName) -> Step {
        let Some(id) = self.node.id() else { return self.give_up(|_| {}) };
        let row = match self.fs.health.note(self.fs.remote.stat(self.node.kind, id).await) {
            Ok(row) => row,
            Err(remote::Error::NotFound) => return self.give_up(|_| {}),
            Err(e) => return Err(e.into()),
        };
        if !self.node.linked || row.status != Status::Exists {
            // Deleted here or there meanwhile: moving it would restore it from the trash.
            self.give_up(|_| {})?;
            return self.merge(&row);
        }
        if row.parent.as_ref() == Some(parent) && row.name == *name {
            return Ok(confirm::relocated(self.fs, self.node.ino, parent, name, Some(&row))?);
        }
        if self.node.kind == Kind::Folder && self.looks >= INTERNAL_ERRORS {
            // The service has internal errors, too, where it means that a folder's name is taken.
            self.give_up(|_| {})?;
            return Err(remote::Error::Exists.into());
        }
        // Moving is safe to repeat.
        match self.fs.health.note(self.fs.remote.relocate(self.node.kind, id, parent, name).await) {
            Ok(row) => Ok(confirm::relocated(self.fs, self.node.ino, parent, name, Some(&row))?),
            Err(e) if e.class() == Class::Ambiguous => {
                self.fs.db().write(|tx| nodes::looked(tx, self.node.ino))?;
                Err(e.into())
            }
            Err(e) => {
                self.give_up(|_| {})?;
                Err(e.into())
            }
        }
    }

    /// What was found instead. A delete may have been sent and confirmed since the intent ended.
    fn merge(&self, row: &Row) -> Step {
        pull::merge_or_doubt(self.fs, self.node.remote.as_ref(), row, pull::From::Fresh)?;
        Ok(())
    }

    /// What was sent may be seen yet: it is ours then.
    fn may_come(&self, sent: &Sent) -> Step {
        let Some(version) = &sent.content else { return Ok(()) };
        self.fs.db().write(|tx| nodes::note_echo(tx, self.node.ino, &version.object, now_ms()))?;
        Ok(())
    }

    /// Nothing was found. The first time, wait and look again; `Ok` once it may be concluded.
    fn in_vain(&self) -> Step {
        let now = now_ms();
        if self.looks > 0 && now >= self.at + self.fs.config.paced(BETWEEN) {
            return Ok(());
        }
        self.fs.db().write(|tx| {
            nodes::looked(tx, self.node.ino)?;
            nodes::defer(tx, self.node.ino, now + self.fs.config.paced(BETWEEN))
        })?;
        Err(Stop::Wait)
    }

    /// It was not done: the intent ends, the node is pushed from its present state.
    fn give_up(&self, change: impl FnOnce(&mut Node)) -> Step {
        self.fs.db().write(|tx| {
            nodes::clear_intent(tx, self.node.ino)?;
            let Some(mut node) = nodes::get(tx, self.node.ino)? else { return Ok(()) };
            change(&mut node);
            nodes::save(tx, &node)
        })?;
        self.fs.drop_if_doomed(self.node.ino)?;
        Ok(())
    }
}
