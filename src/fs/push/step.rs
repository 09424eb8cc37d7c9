//! One node's way to the server: which request is next, what it waits for, and what a failure means.

use std::sync::Arc;

use super::{Turn, backoff, confirm, content, names, put_off, resolve, taken};
use crate::fs::change::give_back_identity;
use crate::fs::{Fs, Result, damage, failed, now_ms, pull};
use crate::names::RemoteName;
use crate::remote::{self, Class};
use crate::store::nodes::{self, Anchor, Blocked, Intent, Node};
use crate::store::{self, Tx};
use crate::types::{Ino, Kind, NodeId, Row, Status, Timestamp};

/// Requests one push makes for one node at most.
const STEPS: usize = 16;
/// A node that waits for another is looked at again after this long even if nobody wakes it.
const WAIT: i64 = 60_000;
/// How many nodes of a chain of wanted names are followed to find a cycle.
const CHAIN: usize = 64;

/// Why a push stops for now.
pub(in crate::fs) enum Stop {
    /// Local state failed; tried again.
    Local(crate::fs::Error),
    /// The service failed or refused.
    Remote(remote::Error),
    /// It cannot be sent before something else changes.
    Blocked(Blocked, String),
    /// Waits for something that has been noted.
    Wait,
}

impl From<crate::fs::Error> for Stop {
    fn from(e: crate::fs::Error) -> Self {
        Stop::Local(e)
    }
}

impl From<store::Error> for Stop {
    fn from(e: store::Error) -> Self {
        Stop::Local(e.into())
    }
}

impl From<remote::Error> for Stop {
    fn from(e: remote::Error) -> Self {
        Stop::Remote(e)
    }
}

/// How a step ends.
pub(super) type Step = std::result::Result<(), Stop>;

/// Brings one node over, as far as it goes.
pub(super) async fn push_node(fs: &Arc<Fs>, turn: &Turn) {
    for _ in 0..STEPS {
        let found = fs.db().read(|c| Ok((nodes::get(c, turn.ino)?, nodes::intent(c, turn.ino)?)));
        let (node, intent) = match found {
            Ok((Some(node), intent)) => (node, intent),
            Ok((None, _)) => return,
            Err(e) => return tracing::error!(ino = %turn.ino, error = %e, "a queued node cannot be read"),
        };
        let noted = match next(fs, turn, &node, intent).await {
            Ok(true) => continue,
            Ok(false) | Err(Stop::Wait) => return,
            Err(Stop::Local(e @ crate::fs::Error::Damaged { .. })) => {
                fs.block_sent(&node, Blocked::Damaged, &e.to_string())
            }
            Err(Stop::Local(e)) => {
                tracing::error!(ino = %turn.ino, error = %e, "pushing failed on local state");
                record(fs, &node, &e.to_string(), now_ms() + fs.config.paced(5))
            }
            Err(Stop::Blocked(reason, why)) => fs.block_sent(&node, reason, &why),
            Err(Stop::Remote(e)) => failed(fs, &node, &e).await,
        };
        if let Err(e) = noted {
            tracing::error!(ino = %turn.ino, error = %e, "noting a failure failed");
        }
        return;
    }
}

/// Makes the next request. `false`: nothing is left to do.
async fn next(
    fs: &Arc<Fs>,
    turn: &Turn,
    node: &Node,
    intent: Option<(Intent, i64, u32)>,
) -> std::result::Result<bool, Stop> {
    if let Some((intent, at, looks)) = intent {
        resolve::resolve(fs, node, intent, at, looks).await?;
        return Ok(true);
    }
    if node.is_dirty() && node.tomb {
        // What became of it is known now: the delete can go.
        fs.db().write(|tx| nodes::defer(tx, node.ino, 0))?;
        return Ok(false);
    }
    if !node.is_dirty() {
        return Ok(false);
    }
    let (parent, content_first) = gate(fs, node)?;
    match (&node.remote, node.kind) {
        (None, Kind::Folder) => mkdir(fs, node, parent).await?,
        (Some(_), _) if node.moved && !content_first => relocate(fs, node, parent).await?,
        _ => content::push(fs, turn, node, parent).await?,
    }
    Ok(true)
}

/// What must hold before anything is sent for a node: its folder is on the server, nothing it waits for is
/// dirty, and nobody else holds its name there. Returns the folder's identity, and whether only the content can go.
fn gate(fs: &Arc<Fs>, node: &Node) -> std::result::Result<(NodeId, bool), Stop> {
    let now = now_ms();
    let verdict = fs.db().write(|tx| {
        let Some(parent) = node.parent.map(|p| nodes::get(tx, p)).transpose()?.flatten() else {
            return Ok(None);
        };
        if nodes::anchor(tx, parent.ino)? != Anchor::Root {
            return Ok(Some(Gate::Hidden));
        }
        let Some(first) = goes_first(tx, node, &parent)? else {
            return Ok(parent.id().cloned().map(Gate::Open));
        };
        tracing::trace!(ino = %node.ino, %first, "waits");
        let Some(current) = nodes::get(tx, node.ino)? else { return Ok(None) };
        let waiting = Node { waits_for: Some(first), due: now + WAIT, ..current };
        nodes::save(tx, &waiting)?;
        let ring = ring_of(tx, &waiting)?;
        if let Some(gone) = former_self(tx, &waiting, &ring)? {
            return Ok(Some(Gate::Back(gone)));
        }
        let deletes = through_a_delete(tx, &ring)?;
        if deletes && node.remote.is_some() && node.content_dirty() {
            return Ok(parent.id().cloned().map(Gate::Content));
        }
        if node.remote.is_none() || deletes {
            // It cannot step aside; another of the ring can.
            ring.iter().try_for_each(|ino| nodes::defer(tx, *ino, 0))?;
            return Ok((!ring.is_empty()).then_some(Gate::Others));
        }
        Ok((!ring.is_empty()).then_some(Gate::Ring))
    })?;
    match verdict {
        Some(Gate::Open(id)) => Ok((id, false)),
        Some(Gate::Content(id)) => Ok((id, true)),
        Some(Gate::Ring) => Err(step_aside(fs, node)),
        Some(Gate::Others) => {
            fs.push.wake();
            Err(Stop::Wait)
        }
        Some(Gate::Back(gone)) => {
            fs.drop_if_doomed(gone)?;
            fs.push.wake();
            Err(Stop::Wait)
        }
        Some(Gate::Hidden) => {
            // Nobody would see it there.
            if !pull::bring_back(fs, node.ino)? {
                put_off(fs, node, now + WAIT)?;
            }
            Err(Stop::Wait)
        }
        None => Err(Stop::Wait),
    }
}

/// What [`gate`] found.
enum Gate {
    /// Nothing is in the way.
    Open(NodeId),
    /// Of a ring with a delete in it, which waits until this content is safe under another row: that goes first.
    Content(NodeId),
    /// It waits for nodes that wait for it: a ring of names or folders, which it can leave.
    Ring,
    /// The same, and others have to leave the ring.
    Others,
    /// It has the row back that this node, which is gone here, had of it.
    Back(Ino),
    /// Its folder is below one that is gone.
    Hidden,
}

/// The node that has to be brought over before this one: its folder, if the server does not know that, or (lest a
/// folder come to lie below itself there) if that has not been moved to its place; and who holds its name there.
fn goes_first(tx: &Tx, node: &Node, parent: &Node) -> store::Result<Option<Ino>> {
    let Some(id) = parent.id() else { return Ok(Some(parent.ino)) };
    let places = node.remote.is_none() || node.moved;
    if node.kind == Kind::Folder && node.remote.is_some() && places {
        if parent.moved {
            return Ok(Some(parent.ino));
        }
        if let Some(first) = pull::rings::in_the_way(tx, node, parent)? {
            return Ok(Some(first));
        }
    }
    if places { name_holder(tx, node, id) } else { Ok(None) }
}

/// A dirty node that, on the server, still has the name this one wants.
fn name_holder(tx: &Tx, node: &Node, folder: &NodeId) -> store::Result<Option<Ino>> {
    let holders = nodes::holders(tx, folder, &node.name)?;
    Ok(holders.into_iter().find(|h| h.ino != node.ino && h.is_dirty() && (h.moved || h.tomb)).map(|h| h.ino))
}

/// The others of a ring: following who waits for whom leads back. Empty if it does not.
fn ring_of(tx: &Tx, start: &Node) -> store::Result<Vec<Ino>> {
    let mut others = Vec::new();
    let mut at = start.waits_for;
    while let Some(ino) = at.filter(|_| others.len() < CHAIN) {
        if ino == start.ino {
            return Ok(others);
        }
        others.push(ino);
        at = nodes::get(tx, ino)?.filter(Node::is_dirty).and_then(|n| n.waits_for);
    }
    Ok(Vec::new())
}

/// Whether one of a ring is a delete: it holds a name, and waits for its bytes to be safe elsewhere.
fn through_a_delete(tx: &Tx, ring: &[Ino]) -> store::Result<bool> {
    for ino in ring {
        if nodes::get(tx, *ino)?.is_some_and(|n| n.tomb) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A node without a row waits for a delete that waits for it: the delete has the row that was the node's own before it took
/// another's over, and lost that to somebody's edit. It takes its own back. Which node was to be deleted.
fn former_self(tx: &Tx, node: &Node, ring: &[Ino]) -> store::Result<Option<Ino>> {
    if node.remote.is_some() || node.kind != Kind::File || nodes::intent(tx, node.ino)?.is_some() {
        return Ok(None);
    }
    for ino in ring {
        let Some(gone) = nodes::get(tx, *ino)?.filter(|n| n.tomb && n.waits_for == Some(node.ino)) else {
            continue;
        };
        let Some(row) = gone.remote.clone().filter(|r| r.kind == Kind::File) else { continue };
        if nodes::intent(tx, gone.ino)?.is_none() {
            let again = Node { waits_for: None, due: 0, ..node.clone() };
            give_back_identity(tx, &gone, again, row)?;
            return Ok(Some(gone.ino));
        }
    }
    Ok(None)
}

/// Marks a node to be renamed to a name nobody wants, so that the others of its ring can move.
fn step_aside(fs: &Fs, node: &Node) -> Stop {
    let aside = format!("{}.inxtfs-moving-{}", &node.name.chars().take(64).collect::<String>(), node.ino);
    let done = fs.db().write(|tx| {
        let Some(mut current) = nodes::get(tx, node.ino)? else { return Ok(()) };
        current.waits_for = None;
        current.due = 0;
        nodes::save(tx, &current)?;
        let Some(row) = current.remote.as_ref() else { return Ok(()) };
        let Some(parent) = row.parent.clone() else { return Ok(()) };
        let name =
            if current.kind == Kind::File { RemoteName::split(&aside) } else { RemoteName::whole(&aside) };
        nodes::put_intent(tx, node.ino, &Intent::Relocate { parent, name }, now_ms())
    });
    match done {
        // The intent is not on its way yet; resolving it sends it.
        Ok(()) => {
            fs.push.wake();
            Stop::Wait
        }
        Err(e) => e.into(),
    }
}

async fn mkdir(fs: &Arc<Fs>, node: &Node, parent: NodeId) -> Step {
    check_name(fs, node, &parent).await?;
    let now = now_ms();
    let created = Timestamp::now().to_millis_precision();
    let intent = Intent::Mkdir { parent: parent.clone(), name: node.name.clone(), created };
    let modified = node.mtime;
    confirm::intend(fs, node, &intent, now)?;
    match fs.health.note(fs.remote.mkdir(&parent, &node.name, modified, created).await) {
        Ok(row) => Ok(confirm::created(fs, node.ino, row)?),
        Err(e) => Err(confirm::not_done(fs, node.ino, e)?),
    }
}

async fn relocate(fs: &Arc<Fs>, node: &Node, parent: NodeId) -> Step {
    let Some(row) = &node.remote else { return Ok(()) };
    check_name(fs, node, &parent).await?;
    let name = node.wanted_name();
    if row.status == Status::Exists && row.name == name && row.parent.as_ref() == Some(&parent) {
        return Ok(confirm::relocated(fs, node.ino, &parent, &name, None)?);
    }
    confirm::intend(fs, node, &Intent::Relocate { parent: parent.clone(), name: name.clone() }, now_ms())?;
    match fs.health.note(fs.remote.relocate(node.kind, &row.id, &parent, &name).await) {
        Ok(answer) => Ok(confirm::relocated(fs, node.ino, &parent, &name, Some(&answer))?),
        Err(e) => Err(confirm::not_done(fs, node.ino, e)?),
    }
}

/// Looks whether the name is free on the server, however it is split and for either kind. What is there is
/// merged, which finds ours another name if it has to.
pub(super) async fn check_name(fs: &Arc<Fs>, node: &Node, parent: &NodeId) -> Step {
    let there = fs.health.note(names::ask(fs, node, parent).await)?;
    settle_name(fs, node, there)
}

/// Merges rows that have the name a node wants. `Err(Wait)` if that changed what is to be pushed.
pub(super) fn settle_name(fs: &Arc<Fs>, node: &Node, there: Vec<Row>) -> Step {
    let foreign: Vec<_> = there.into_iter().filter(|r| Some(&r.id) != node.id()).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    // As of a feed: what replicas still show of our own moves is no news.
    pull::apply(fs, foreign, pull::From::Feed)?;
    let now = fs.db().read(|c| nodes::get(c, node.ino))?;
    let same =
        now.as_ref().is_some_and(|n| n.name == node.name && n.parent == node.parent && n.id() == node.id());
    if same {
        return Ok(());
    }
    fs.push.wake();
    Err(Stop::Wait)
}

/// Notes a failure of what was made for `sent`: tried again later, or blocked until something else changes.
async fn failed(fs: &Arc<Fs>, sent: &Node, e: &remote::Error) -> Result<()> {
    let Some(node) = fs.db().read(|c| nodes::get(c, sent.ino))? else { return Ok(()) };
    let now = now_ms();
    if let Some((reason, why)) = damage::cause_of(e) {
        return fs.block_sent(sent, reason, &why);
    }
    match e.class() {
        Class::Transient => {
            let wait = match e {
                remote::Error::Busy { after } => {
                    i64::try_from(after.as_millis()).unwrap_or(BUSY_MAX).min(BUSY_MAX)
                }
                _ => backoff(fs, node.tries),
            };
            record(fs, sent, &e.to_string(), now + wait)
        }
        Class::Ambiguous => record(fs, sent, &e.to_string(), now + fs.config.paced(2)),
        Class::Session => put_off(fs, &node, now + fs.config.paced(15)),
        Class::Permanent => match e {
            remote::Error::Exists => {
                // Somebody was first; the next try finds out who, unless no look shows it.
                if node.tries >= taken::REFUSALS {
                    taken::believe(fs, &node).await?;
                }
                record(fs, sent, &e.to_string(), now + backoff(fs, node.tries))
            }
            remote::Error::NotFound => {
                parent_missing(fs, &node).await;
                row_missing(fs, &node).await;
                record(fs, sent, &e.to_string(), now + backoff(fs, node.tries))
            }
            _ => fs.block_sent(sent, failed::reason_of(e), &e.to_string()),
        },
    }
}

/// The longest wait the service may ask for.
const BUSY_MAX: i64 = 600_000;

/// The folder a node was sent to is not there: lag, or somebody deleted it. A look tells.
async fn parent_missing(fs: &Arc<Fs>, node: &Node) {
    let Some(parent) = node.parent.and_then(|p| fs.node(p).ok()) else { return };
    let Some(id) = parent.id().cloned() else { return };
    let since = now_ms() - fs.config.paced(pull::ECHO);
    let young = fs.db().read(|c| nodes::echoed(c, parent.ino, confirm::MADE, since)).unwrap_or(true);
    if parent.ino == Ino::ROOT {
        return;
    }
    let seen = match fs.health.note(fs.remote.stat(Kind::Folder, &id).await) {
        Ok(row) => Some(row),
        // Deleted folders are not found at all; a new one may merely not be seen yet.
        Err(remote::Error::NotFound) if node.tries >= 3 && !young => {
            parent.remote.clone().map(|r| Row { status: Status::Deleted, ..r })
        }
        Err(_) => None,
    };
    if let Some(row) = seen
        && let Err(e) = pull::apply(fs, vec![row], pull::From::Fresh)
    {
        tracing::warn!(error = %e, "what happened to a folder could not be merged");
    }
}

/// The row that was to be moved is not there: somebody deleted it. A look tells.
async fn row_missing(fs: &Arc<Fs>, node: &Node) {
    let Some(row) = &node.remote else { return };
    let since = now_ms() - fs.config.paced(pull::ECHO);
    let marks = [confirm::MADE, confirm::object_of(row.content.as_ref())];
    let young = marks.iter().any(|m| fs.db().read(|c| nodes::echoed(c, node.ino, m, since)).unwrap_or(true));
    let gone = match fs.health.note(fs.remote.stat(node.kind, &row.id).await) {
        Ok(seen) if seen.status != Status::Exists => seen,
        Err(remote::Error::NotFound) if node.tries >= 3 && !young => {
            Row { status: Status::Deleted, ..row.clone() }
        }
        _ => return,
    };
    if let Err(e) = pull::apply(fs, vec![gone], pull::From::Fresh) {
        tracing::warn!(error = %e, "what happened to a row could not be merged");
    }
}

/// To be tried again at `due`. A node that has changed since has a time of its own.
fn record(fs: &Fs, sent: &Node, why: &str, due: i64) -> Result<()> {
    fs.db().write(|tx| {
        let Some(mut node) = nodes::get(tx, sent.ino)?.filter(|n| confirm::is_same(n, sent)) else {
            return Ok(());
        };
        node.tries = node.tries.saturating_add(1);
        (node.blocked, node.due, node.error) = (None, due, Some(why.to_owned()));
        nodes::save(tx, &node)
    })?;
    Ok(())
}
