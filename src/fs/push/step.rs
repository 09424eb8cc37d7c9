//! One node's way to the server: which request is next, what it waits for, and what a failure means.

use std::sync::Arc;

use super::{Turn, backoff, confirm, content, gate, names, put_off, resolve, taken};
use crate::fs::change::is_moved;
use crate::fs::pull::{self, Missing};
use crate::fs::{Fs, Result, damage, failed, now_ms};
use crate::remote::{self, Class};
use crate::store::nodes::{self, Blocked, Intent, Node};
use crate::store::{self, ContentId};
use crate::types::{Ino, Kind, NodeId, Row, Status, Timestamp};

/// Requests one push makes for one node at most.
const STEPS: usize = 16;

/// What was not found so often is gone: replicas lag.
const UNSEEN: u32 = 3;

/// Why a push stops for now.
pub(in crate::fs) enum Stop {
    /// Local state failed; tried again.
    Local(crate::fs::Error),
    /// The service failed or refused.
    Remote(remote::Error),
    /// It cannot be sent before something else changes.
    Blocked(Blocked, String),
    /// Others moved it into this folder, of which no feed has told.
    Lost(NodeId),
    /// This content has to be on the disk first.
    Unready(ContentId),
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
            Err(Stop::Unready(id)) => match fs.blocking(move |fs| fs.make_durable(id)).get().await {
                Ok(()) => continue,
                Err(e) => record(fs, &node, &e.to_string(), now_ms() + fs.config.paced(5)),
            },
            Err(Stop::Lost(folder)) => folder_unheard_of(fs, &node, &folder).await,
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
    let (parent, content_first) = gate::pass(fs, node)?;
    match (&node.remote, node.kind) {
        (None, Kind::Folder) => mkdir(fs, node, parent).await?,
        (Some(_), _) if node.moved && !content_first => relocate(fs, node, parent).await?,
        _ => content::push(fs, turn, node, parent).await?,
    }
    Ok(true)
}

async fn mkdir(fs: &Arc<Fs>, node: &Node, parent: NodeId) -> Step {
    check_name(fs, node, &parent).await?;
    let now = now_ms();
    let created = Timestamp::now().to_millis_precision();
    let intent = Intent::Mkdir { parent: parent.clone(), name: node.name.clone(), created };
    let modified = node.mtime;
    confirm::intend(fs, node, intent, now).await?;
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
    let intent = Intent::Relocate { parent: parent.clone(), name: name.clone() };
    confirm::intend(fs, node, intent, now_ms()).await?;
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

/// A folder a node was sent to is not there: lag, or somebody deleted it. A look tells. It is its own, or (if it stepped aside)
/// the one it lies in there.
async fn parent_missing(fs: &Arc<Fs>, node: &Node) {
    let there = node.remote.as_ref().and_then(|r| r.parent.as_ref());
    let folders = fs.db().read(|c| {
        let own = node.parent.map(|p| nodes::get(c, p)).transpose()?.flatten();
        let lies_in = there.map(|id| nodes::by_remote(c, id)).transpose()?.flatten();
        Ok([own, lies_in.filter(|f| Some(f.ino) != node.parent)])
    });
    for folder in folders.into_iter().flatten().flatten().filter(|f| f.ino != Ino::ROOT) {
        let Some(id) = folder.id() else { continue };
        // Deleted folders are not found at all; a new one may merely not be seen yet.
        let missing = missing(fs, node, &folder, &[confirm::MADE]);
        if let Err(e) = pull::look_at(fs, Kind::Folder, id, pull::From::Fresh, missing).await {
            tracing::debug!(error = %e, "what happened to a folder is not known yet");
        }
    }
}

/// No feed has told of the folder that others moved a node into: it came and went meanwhile, or a replica lags. A look tells.
async fn folder_unheard_of(fs: &Arc<Fs>, node: &Node, folder: &NodeId) -> Result<()> {
    let missing = if node.tries >= UNSEEN { Missing::Gone } else { Missing::Unsure };
    match pull::look_at(fs, Kind::Folder, folder, pull::From::Fresh, missing).await {
        Ok(_) => Ok(()),
        Err(e) => record(fs, node, &e.to_string(), now_ms() + backoff(fs, node.tries)),
    }
}

/// The row that was to be moved is not there: somebody deleted it. A look tells.
async fn row_missing(fs: &Arc<Fs>, node: &Node) {
    let Some(row) = &node.remote else { return };
    let missing = missing(fs, node, node, &[confirm::MADE, confirm::object_of(row.content.as_ref())]);
    let stranded = match pull::look_at(fs, node.kind, &row.id, pull::From::Fresh, missing).await {
        Ok(Some(seen)) if seen.kind == Kind::Folder && seen.status == Status::Exists => {
            leave_stranded(fs, node, &seen)
        }
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    };
    if let Err(e) = stranded {
        tracing::debug!(error = %e, "what happened to a row is not known yet");
    }
}

/// What it means that `row` is not found, for which `sent` was sent: one that we made or wrote not long ago may be seen later.
fn missing(fs: &Fs, sent: &Node, row: &Node, marks: &[&str]) -> Missing {
    let since = now_ms() - fs.config.paced(pull::ECHO);
    let young = marks.iter().any(|m| fs.db().read(|c| nodes::echoed(c, row.ino, m, since)).unwrap_or(true));
    if sent.tries >= UNSEEN && !young { Missing::Gone } else { Missing::Unsure }
}

/// The service takes a folder into one that was deleted for good, and never lets it be moved out again: it is made anew, and
/// what is in it moves there.
fn leave_stranded(fs: &Fs, node: &Node, row: &Row) -> Result<()> {
    fs.db().write(|tx| {
        let home = row.parent.as_ref().map(|id| nodes::by_remote(tx, id)).transpose()?.flatten();
        if !home.and_then(|h| h.remote).is_some_and(|r| r.status == Status::Deleted) {
            return Ok(());
        }
        let Some(mut left) = nodes::get(tx, node.ino)?.filter(|n| n.id() == Some(&row.id)) else {
            return Ok(());
        };
        (left.remote, left.moved) = (None, false);
        nodes::save(tx, &left)?;
        nodes::each_child(tx, left.ino, |mut child| {
            child.moved = is_moved(tx, &child)?;
            nodes::save(tx, &child)
        })
    })?;
    fs.push.wake();
    Ok(())
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
