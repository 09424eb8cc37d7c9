//! Looking around: lookup, getattr, readdir, and listing a folder the first time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::State;
use super::{Answer, Attr, DirEntry, Error, Fs, Result, pull};
use crate::store::nodes::{self, Node};
use crate::types::{Ino, Kind};

/// Cookies of `.` and `..`; all others are inode numbers, which are larger.
const DOT: u64 = 1;
const DOTDOT: u64 = 2;

/// Folders being listed: one listing a folder however many wait for it.
#[derive(Default)]
pub(super) struct Listings {
    running: Mutex<HashMap<Ino, Arc<tokio::sync::Mutex<()>>>>,
}

impl Fs {
    /// Runs an operation on a folder's entries at once if they are known, else after listing it.
    pub(super) fn with_listed<T: Send + 'static>(
        self: &Arc<Self>,
        folders: &[Ino],
        op: impl FnOnce(&Arc<Fs>) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        let mut unlisted = Vec::new();
        for &ino in folders {
            match self.node(ino) {
                Ok(n) if n.kind != Kind::Folder => return Answer::Now(Err(Error::NotDir)),
                Ok(n) if n.listed => {}
                Ok(n) => unlisted.push(n.ino),
                Err(e) => return Answer::Now(Err(e)),
            }
        }
        if unlisted.is_empty() {
            return Answer::Now(op(self));
        }
        let fs = self.clone();
        Answer::later(async move {
            for ino in unlisted {
                fs.health.while_online(fs.ensure_listed(ino)).await?;
            }
            op(&fs)
        })
    }

    /// Makes all children of a folder known.
    pub(super) async fn ensure_listed(self: &Arc<Self>, ino: Ino) -> Result<()> {
        let gate = self.pull.listings.running.lock().entry(ino).or_default().clone();
        let _one = gate.lock().await;
        let node = self.node(ino)?;
        let outcome = match node.id() {
            _ if node.listed => Ok(()),
            None => Ok(()),
            Some(id) => match self.health.note(self.remote.list(id).await) {
                Ok(rows) => pull::apply_listing(self, ino, rows),
                Err(e) => Err(e.into()),
            },
        };
        self.pull.listings.running.lock().remove(&ino);
        outcome
    }

    /// The entry of a folder.
    pub fn lookup(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        let parent = self.inward(parent);
        let Ok(name) = std::str::from_utf8(name) else { return Answer::Now(Err(Error::NotFound)) };
        if name.len() > crate::names::NAME_MAX {
            return Answer::Now(Err(Error::NameTooLong));
        }
        match self.db().read(|c| nodes::child(c, parent, name)) {
            Ok(Some(node)) => return Answer::Now(Ok(self.attr(&node))),
            Ok(None) => {}
            Err(e) => return Answer::Now(Err(e.into())),
        }
        let name = name.to_owned();
        self.with_listed(&[parent], move |fs| {
            let node = fs.db().read(|c| nodes::child(c, parent, &name))?.ok_or(Error::NotFound)?;
            Ok(fs.attr(&node))
        })
    }

    /// A node's attributes, those of an open file as its handles see it.
    ///
    /// # Errors
    /// [`Error::Stale`] for numbers that are gone.
    pub fn getattr(self: &Arc<Self>, ino: Ino) -> Result<Attr> {
        Ok(self.attr(&self.node(self.inward(ino))?))
    }

    /// Entries whose cookie is above `after`, in the order of cookies, `.` and `..` first; up to `limit` of
    /// them. An empty answer is the end.
    pub fn readdir(self: &Arc<Self>, ino: Ino, after: u64, limit: usize) -> Answer<Vec<DirEntry>> {
        let ino = self.inward(ino);
        self.with_listed(&[ino], move |fs| {
            let mut entries = Vec::new();
            if after < DOTDOT {
                let node = fs.node(ino)?;
                let above = match node.parent.filter(|_| fs.outward(ino) != Ino::ROOT) {
                    Some(p) => fs.node(p)?,
                    None => node.clone(),
                };
                if after < DOT {
                    entries.push(DirEntry { cookie: DOT, name: ".".to_owned(), attr: fs.attr(&node) });
                }
                entries.push(DirEntry { cookie: DOTDOT, name: "..".to_owned(), attr: fs.attr(&above) });
            }
            let children = fs.db().read(|c| nodes::children(c, ino, Ino(after.max(DOTDOT)), limit))?;
            entries.extend(children.into_iter().map(|n| {
                let attr = fs.attr(&n);
                DirEntry { cookie: n.ino.0, name: n.name, attr }
            }));
            Ok(entries)
        })
    }

    /// What the user sees of a node.
    pub(super) fn attr(&self, node: &Node) -> Attr {
        let mut attr = Attr {
            ino: self.outward(node.ino),
            kind: node.kind,
            size: node.size,
            mtime: node.mtime,
            ctime: node.ctime,
            btime: node.btime,
            writable: true,
        };
        if node.kind == Kind::File
            && let Some(file) = self.files.acquire_known(node.ino)
            && let Some(state) = file.state.lock().as_ref()
        {
            overlay(&mut attr, state);
        }
        attr
    }
}

/// An open file's state is newer than its row.
fn overlay(attr: &mut Attr, state: &State) {
    attr.size = state.size;
    attr.mtime = state.mtime;
    attr.ctime = state.ctime;
}
