//! Looking around: lookup, getattr, readdir, and listing a folder the first time.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::files::State;
use super::{Answer, Attr, DirEntry, Error, Fs, Result, pull};
use crate::store::nodes::{self, Node};
use crate::types::{Ino, Kind, NodeId};

/// Cookies of `.` and `..`; all others are inode numbers, which are larger.
pub(super) const DOT: u64 = 1;
pub(super) const DOTDOT: u64 = 2;

/// Folders being listed: one listing a folder however many wait for it.
pub(super) struct Listings {
    running: Mutex<HashMap<Ino, Arc<tokio::sync::Mutex<()>>>>,
    /// How many folders somebody waits for.
    wanted: watch::Sender<usize>,
    /// The whole tree is known.
    known: watch::Sender<bool>,
    /// For the page of the whole tree that may be asked for whoever waits.
    always: Semaphore,
}

impl Default for Listings {
    fn default() -> Self {
        Listings {
            running: Mutex::default(),
            wanted: watch::Sender::new(0),
            known: watch::Sender::new(false),
            always: Semaphore::new(1),
        }
    }
}

/// Somebody waits for a folder.
struct Wanted<'a>(&'a Listings);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.wanted.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl Listings {
    fn want(&self) -> Wanted<'_> {
        self.wanted.send_modify(|n| *n += 1);
        Wanted(self)
    }

    /// Whoever waits for a folder has it now.
    pub fn all_known(&self) {
        self.known.send_replace(true);
    }

    /// Waits until a page of the whole tree may be asked for: one at any time, more while nobody waits for a folder.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let mut wanted = self.wanted.subscribe();
        let quiet = async {
            // The other end is in `self`.
            let _ = wanted.wait_for(|n| *n == 0).await;
        };
        tokio::select! {
            biased;
            permit = self.always.acquire() => permit.ok(),
            () = quiet => None,
        }
    }

    async fn until_all_known(&self) {
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }
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
            Some(id) => self.list(ino, id).await,
        };
        self.pull.listings.running.lock().remove(&ino);
        outcome
    }

    /// Asks for a folder's children, unless the whole tree becomes known sooner.
    async fn list(self: &Arc<Self>, ino: Ino, id: &NodeId) -> Result<()> {
        let listed = {
            let _wanted = self.pull.listings.want();
            tokio::select! {
                listed = self.remote.list(id) => listed,
                () = self.pull.listings.until_all_known() => return Ok(()),
            }
        };
        let rows = self.health.note(listed)?;
        self.blocking(move |fs| pull::apply_listing(fs, ino, rows)).get().await
    }

    /// The entry of a folder.
    pub(super) fn tree_lookup(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        let parent = self.inward(parent);
        let Ok(name) = std::str::from_utf8(name) else { return Answer::Now(Err(Error::NotFound)) };
        if name.len() > crate::names::NAME_MAX {
            return Answer::Now(Err(Error::NameTooLong));
        }
        match self.db().glance(|c| nodes::child(c, parent, name)) {
            Ok(Some(node)) => return Answer::Now(Ok(self.attr(&node))),
            Ok(None) => {}
            Err(e) => return Answer::Now(Err(e.into())),
        }
        let name = name.to_owned();
        self.with_listed(&[parent], move |fs| {
            let node = fs.db().glance(|c| nodes::child(c, parent, &name))?.ok_or(Error::NotFound)?;
            Ok(fs.attr(&node))
        })
    }

    /// A node's attributes, those of an open file as its handles see it.
    ///
    /// # Errors
    /// [`Error::Stale`] for numbers that are gone.
    pub(super) fn tree_getattr(self: &Arc<Self>, ino: Ino) -> Result<Attr> {
        match self.node(self.inward(ino)) {
            Ok(node) => Ok(self.attr(&node)),
            Err(Error::Stale) => self.removed.get(ino).ok_or(Error::Stale),
            Err(e) => Err(e),
        }
    }

    /// Entries whose cookie is above `after`, in the order of cookies, `.` and `..` first; up to `limit` of
    /// them. An empty answer is the end.
    pub(super) fn tree_readdir(
        self: &Arc<Self>,
        ino: Ino,
        after: u64,
        limit: usize,
    ) -> Answer<Vec<DirEntry>> {
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
            let children = fs.db().read(|c| nodes::entries(c, ino, Ino(after.max(DOTDOT)), limit))?;
            entries.extend(children.into_iter().map(|n| {
                let attr = Attr {
                    ino: fs.outward(n.ino),
                    kind: n.kind,
                    size: n.size,
                    mtime: n.mtime,
                    ctime: n.ctime,
                    btime: n.btime,
                    writable: true,
                    linked: true,
                    private: false,
                };
                DirEntry { cookie: n.ino.0, attr: fs.overlaid(n.ino, attr), name: n.name }
            }));
            Ok(entries)
        })
    }

    /// What the user sees of a node.
    pub(super) fn attr(&self, node: &Node) -> Attr {
        let attr = Attr {
            ino: self.outward(node.ino),
            kind: node.kind,
            size: node.size,
            mtime: node.mtime,
            ctime: node.ctime,
            btime: node.btime,
            writable: true,
            linked: node.linked,
            private: false,
        };
        self.overlaid(node.ino, attr)
    }

    /// An open file's state is newer than its row.
    fn overlaid(&self, ino: Ino, mut attr: Attr) -> Attr {
        if attr.kind == Kind::File
            && let Some(file) = self.files.acquire_known(ino)
            && let Some(state) = file.state.lock().as_ref()
        {
            overlay(&mut attr, state);
        }
        attr
    }
}

fn overlay(attr: &mut Attr, state: &State) {
    attr.size = state.size;
    attr.mtime = state.mtime;
    attr.ctime = state.ctime;
}

/// Folders that were removed here of late, as they were: who has one open, or works in it, may still ask what it is, long after
/// its row is gone.
pub(super) struct Removed(Mutex<LruCache<Ino, Attr>>);

/// How many; programs do not stay in more.
const REMOVED: NonZeroUsize = NonZeroUsize::new(512).unwrap();

impl Default for Removed {
    fn default() -> Self {
        Removed(Mutex::new(LruCache::new(REMOVED)))
    }
}

impl Removed {
    /// `attr`: of the folder, before its row changes.
    pub(super) fn note(&self, attr: Attr) {
        self.0.lock().put(attr.ino, Attr { linked: false, ..attr });
    }

    fn get(&self, ino: Ino) -> Option<Attr> {
        self.0.lock().get(&ino).cloned()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn while_somebody_waits_for_a_folder_one_page_of_the_whole_tree_is_asked_for() {
        let listings = Listings::default();
        let wanted = listings.want();
        let one = listings.turn().await;
        assert!(one.is_some());
        assert!(listings.turn().now_or_never().is_none());
        drop(wanted);
        assert!(listings.turn().now_or_never().is_some());
    }
}
