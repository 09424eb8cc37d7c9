//! Rename, and rename over.
//!
//! The inode stays with the source: that is what the kernel keeps under the new name. The identity on the
//! server goes the other way: renaming over a file makes the source's content the pending content of the
//! *target's* uuid, so that shares, versions and links survive an editor's save.

use std::sync::Arc;
use std::time::Duration;

use super::change::{After, bury, is_moved};
use super::open::Journalled;
use super::temporary::is_temporary;
use super::{Answer, Error, Fs, Result, now_ms, pull};
use crate::store::nodes::{self, Anchor, Node};
use crate::store::{self, Conn, ContentId, Tx};
use crate::types::{Ino, Kind, Timestamp};

/// A source that is uploaded already is uploaded again under the target's uuid up to this size; a larger one is
/// moved, and the target goes to the trash.
const REUPLOAD_MAX: u64 = 64 << 20;

/// How long a rename over a node waits for the request that is being made for it.
const SETTLE: Duration = Duration::from_secs(8);

/// What is renamed to what.
#[derive(Clone)]
struct Move {
    from: (Ino, String),
    to: (Ino, String),
    noreplace: bool,
}

/// How one try ended.
enum Try {
    Done(After),
    /// A request for one of the nodes is under way: their identities cannot change hands now.
    Unsettled(Vec<Ino>),
    /// The source's content replaces something durable, and is to be brought to the disk first.
    Unready(ContentId),
}

/// What is not insisted on any more, after trying.
#[derive(Clone, Copy, Default)]
struct Force {
    /// Do without a handover of identities.
    identity: bool,
    /// Rename what is journalled of the source, though more is being written.
    journal: bool,
}

/// Tries of a rename, at most.
const TRIES: usize = 6;

impl Fs {
    /// Moves and renames; over an existing entry unless `noreplace`.
    pub(super) fn tree_rename(
        self: &Arc<Self>,
        parent: Ino,
        name: &[u8],
        to: Ino,
        to_name: &[u8],
        noreplace: bool,
    ) -> Answer<()> {
        let (parent, to) = (self.inward(parent), self.inward(to));
        let Ok(name) = std::str::from_utf8(name).map(str::to_owned) else {
            return Answer::Now(Err(Error::NotFound));
        };
        let folder =
            self.db().read(|c| nodes::child(c, parent, &name)).ok().flatten().map(|n| n.kind == Kind::Folder);
        let to_name = match self.new_name(to_name, folder.unwrap_or(false)) {
            Ok(n) => n,
            Err(e) => return Answer::Now(Err(e)),
        };
        let target = self.db().read(|c| nodes::child(c, to, &to_name)).ok().flatten();
        let mut listed = vec![parent, to];
        listed.extend(target.filter(|t| t.kind == Kind::Folder).map(|t| t.ino));
        let m = Move { from: (parent, name), to: (to, to_name), noreplace };
        let first = m.clone();
        match self.with_listed(&listed, move |fs| fs.try_rename(&first, Force::default())) {
            Answer::Now(Ok(Try::Done(after))) => {
                self.renamed(&m, after);
                Answer::Now(Ok(()))
            }
            Answer::Now(Err(e)) => Answer::Now(Err(e)),
            Answer::Now(Ok(first)) => {
                let fs = self.clone();
                Answer::later(async move { fs.rename_on(m, first).await })
            }
            Answer::Later(first) => {
                let fs = self.clone();
                Answer::later(async move {
                    let first = first.await?;
                    fs.rename_on(m, first).await
                })
            }
        }
    }

    /// Goes on after a first try. Waits a little for requests under way, then renames in any case: without a
    /// handover of identities if need be.
    async fn rename_on(self: &Arc<Self>, m: Move, first: Try) -> Result<()> {
        let until = tokio::time::Instant::now() + SETTLE;
        let (mut next, mut force, mut waited) = (first, Force::default(), false);
        for tries in 1..=TRIES {
            match next {
                Try::Done(after) => {
                    self.renamed(&m, after);
                    return Ok(());
                }
                Try::Unsettled(inos) => {
                    for ino in inos {
                        let _ = tokio::time::timeout_at(until, self.push.settled(ino)).await;
                    }
                    force.identity = std::mem::replace(&mut waited, true);
                }
                Try::Unready(id) => self.blocking(move |fs| fs.make_durable(id)).get().await?,
            }
            force.journal = tries >= TRIES / 2;
            next = self.try_rename(&m, force)?;
        }
        match next {
            Try::Done(after) => {
                self.renamed(&m, after);
                Ok(())
            }
            _ => Err(Error::Busy),
        }
    }

    /// After a rename: what is left to do.
    fn renamed(self: &Arc<Self>, m: &Move, after: After) {
        self.finish(after);
        if m.from.0 == Ino::RECOVERY
            && let Err(e) = pull::rings::tidy(self)
        {
            tracing::warn!(error = %e, "the recovery folder could not be looked after; the next look does it");
        }
    }

    /// What is written to the source through open handles replaces the target, too. If that has to be brought to the
    /// disk first, says so.
    fn journal_source(self: &Arc<Self>, m: &Move) -> Result<Option<ContentId>> {
        let both = |c: &Conn| Ok((nodes::child(c, m.from.0, &m.from.1)?, nodes::child(c, m.to.0, &m.to.1)?));
        let (Some(source), Some(target)) = self.db().read(both)? else { return Ok(None) };
        if source.kind != Kind::File || target.kind != Kind::File || m.noreplace {
            return Ok(None);
        }
        let Some(file) = self.files.acquire_known(source.ino) else { return Ok(None) };
        match self.try_journal(&file)? {
            Journalled::Done => Ok(None),
            Journalled::Unsynced(content) => Ok(Some(content.id())),
        }
    }

    fn try_rename(self: &Arc<Self>, m: &Move, force: Force) -> Result<Try> {
        if m.from == m.to {
            return if m.noreplace { Err(Error::Exists) } else { Ok(Try::Done(After::default())) };
        }
        if !force.journal
            && let Some(id) = self.journal_source(m)?
        {
            return Ok(Try::Unready(id));
        }
        let due = self.config.due(now_ms());
        self.db().write(|tx| {
            let Some(source) = nodes::child(tx, m.from.0, &m.from.1)? else {
                return Ok(Err(Error::NotFound));
            };
            let target = nodes::child(tx, m.to.0, &m.to.1)?;
            if let Some(refused) = self.refusal(tx, m, &source, target.as_ref())? {
                return Ok(Err(refused));
            }
            let mut after = After::default();
            let mut source = source;
            if let Some(target) = target {
                if target.kind == Kind::File && !self.sync.is_young(target.ino) {
                    if let Some(id) = self.unready(tx, &source, &target, force)? {
                        return Ok(Ok(Try::Unready(id)));
                    }
                    self.sync.grown(source.ino);
                }
                if target.kind == Kind::File && !force.identity {
                    let busy = unsettled(tx, &[&source, &target])?;
                    if !busy.is_empty() {
                        return Ok(Ok(Try::Unsettled(busy)));
                    }
                    source = self.take_over(tx, source, target, due, &mut after)?;
                } else {
                    bury(tx, target, due, &mut after)?;
                }
            }
            source.parent = Some(m.to.0);
            source.name.clone_from(&m.to.1);
            // A stand-in that only moves stays one; what is renamed gets the name it is given.
            source.alias = source.alias && m.from.1 == m.to.1;
            source.ctime = Timestamp::now();
            source.moved = is_moved(tx, &source)?;
            source.due = self.due_renamed(&source, &m.from.1);
            (source.tries, source.blocked, source.error) = (0, None, None);
            nodes::save(tx, &source)?;
            let now = Timestamp::now();
            nodes::touch(tx, m.from.0, now)?;
            nodes::touch(tx, m.to.0, now)?;
            Ok(Ok(Try::Done(after)))
        })?
    }

    /// When a node is due that has another name now.
    fn due_renamed(&self, node: &Node, former: &str) -> i64 {
        let empty = node.content_dirty() && node.size == 0;
        let due = self.config.due_as(node.kind, &node.name, empty, now_ms());
        // A temporary name made it wait for longer than it has to by now.
        if is_temporary(former) { due } else { due.max(node.due) }
    }

    /// The source's content, if a loss of power could take it and the target with it.
    fn unready(
        &self,
        tx: &Tx,
        source: &Node,
        target: &Node,
        force: Force,
    ) -> store::Result<Option<ContentId>> {
        let Some(id) = source.content else { return Ok(None) };
        // The version that the server has under the target's identity comes back, unless that is left behind.
        let lost = self.shows_durable(tx, target)? || force.identity;
        Ok(if lost && !self.blocks().is_durable(tx, id)? { Some(id) } else { None })
    }

    fn refusal(
        &self,
        tx: &Tx,
        m: &Move,
        source: &Node,
        target: Option<&Node>,
    ) -> store::Result<Option<Error>> {
        if nodes::anchor(tx, m.to.0)? != Anchor::Root {
            return Ok(Some(Error::NotFound));
        }
        if m.to.0 == Ino::RECOVERY || source.ino == Ino::RECOVERY {
            return Ok(Some(Error::ReadOnly));
        }
        if source.kind == Kind::Folder && nodes::below(tx, source.ino, m.to.0)? {
            return Ok(Some(Error::Invalid("a folder cannot be moved below itself")));
        }
        let Some(target) = target else { return Ok(None) };
        Ok(match (source.kind, target.kind) {
            _ if m.noreplace => Some(Error::Exists),
            (Kind::Folder, Kind::File) => Some(Error::NotDir),
            (Kind::File, Kind::Folder) => Some(Error::IsDir),
            (Kind::Folder, Kind::Folder) if nodes::has_children(tx, target.ino)? => Some(Error::NotEmpty),
            (Kind::Folder, Kind::Folder) if self.outward(target.ino) == Ino::ROOT => Some(Error::Busy),
            _ => None,
        })
    }

    /// The source takes the target's place, and its uuid where that is worth it.
    fn take_over(
        &self,
        tx: &Tx,
        source: Node,
        target: Node,
        due: i64,
        after: &mut After,
    ) -> store::Result<Node> {
        nodes::hand_pin_over(tx, target.ino, source.ino)?;
        let readable = source.remote.as_ref().is_none_or(|r| r.readable);
        let too_dear =
            source.remote.is_some() && source.content.is_none() && (source.size > REUPLOAD_MAX || !readable);
        if target.remote.is_none() || too_dear {
            bury(tx, target, due, after)?;
            return Ok(source);
        }
        let mut heir = source;
        let own = heir.remote.take();
        if let Some(version) = own.as_ref().and_then(|r| r.content.clone())
            && heir.content.is_none()
            && !heir.emptied
        {
            // The target's uuid gets a fresh object, never the source's: staged as a copy that lies on it.
            let base = self.blocks().cached(tx, &version, heir.size)?;
            let copy = self.blocks().stage(tx, Some((base.id(), heir.size)), heir.size)?;
            copy.commit(tx)?;
            heir.content = Some(copy.id());
            after.copies.push(copy);
        }
        heir.uploaded = None;
        // Both leave their identities before either takes one: a uuid belongs to one node.
        let row = target.remote.clone();
        nodes::save(tx, &Node { remote: None, linked: false, ..target.clone() })?;
        nodes::save(tx, &heir)?;
        heir.emptied = heir.size == 0 && row.as_ref().is_some_and(|r| r.content.is_some());
        heir.remote = row;
        nodes::swap_echoes(tx, heir.ino, target.ino)?;
        // The source's own row is trashed once its bytes are safe under the other one.
        let rest = Node { remote: own, ..target };
        let ino = rest.ino;
        bury(tx, rest, due, after)?;
        if let Some(mut tomb) = nodes::get(tx, ino)?.filter(|t| t.remote.is_some()) {
            tomb.waits_for = Some(heir.ino);
            nodes::save(tx, &tomb)?;
        }
        Ok(heir)
    }
}

/// Of the nodes, those with a request under way.
fn unsettled(tx: &Tx, both: &[&Node]) -> store::Result<Vec<Ino>> {
    let mut busy = Vec::new();
    for node in both {
        if nodes::intent(tx, node.ino)?.is_some() {
            busy.push(node.ino);
        }
    }
    Ok(busy)
}
