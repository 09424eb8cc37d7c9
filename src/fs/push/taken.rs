//! A name that the server says is taken, though no look shows by whom: replicas lag, or a row is not where it is
//! believed to be. The server is believed; trying on would never end.

use std::sync::Arc;

use super::confirm;
use crate::fs::{Fs, Result, pull};
use crate::names::RemoteName;
use crate::remote;
use crate::store::nodes::{self, Node};
use crate::types::{NodeId, Row};

/// So many failures are put down to lag before the server is believed.
pub(super) const REFUSALS: u32 = 3;

/// Asks for every row that may be the holder. If none of them is, the node steps aside.
pub(super) async fn believe(fs: &Arc<Fs>, node: &Node) -> Result<()> {
    let Some(folder) = node.parent.and_then(|p| fs.node(p).ok()).and_then(|p| p.id().cloned()) else {
        return Ok(());
    };
    let Some(rows) = ask(fs, node, &folder).await? else { return Ok(()) };
    pull::apply(fs, rows, pull::From::Fresh)?;
    let Some(now) = fs.db().read(|c| nodes::get(c, node.ino))? else { return Ok(()) };
    let same = now.linked && (now.parent, &now.name, now.id()) == (node.parent, &node.name, node.id());
    if same && !waits_for_holder(fs, &now, &folder)? { pull::step_beside(fs, node.ino) } else { Ok(()) }
}

/// The rows that may hold the name, as they are now; `None` where one of them cannot be asked for.
async fn ask(fs: &Arc<Fs>, node: &Node, folder: &NodeId) -> Result<Option<Vec<Row>>> {
    let mut rows = match fs.health.note(fs.remote.find(folder, &node.name).await) {
        Ok(rows) => rows,
        Err(remote::Error::NotFound) => Vec::new(),
        Err(_) => return Ok(None),
    };
    for suspect in suspects(fs, folder, &node.name)? {
        let Some(row) = suspect.remote.filter(|r| !rows.iter().any(|seen| seen.id == r.id)) else { continue };
        match fs.health.note(fs.remote.stat(suspect.kind, &row.id).await) {
            Ok(row) => rows.push(row),
            Err(remote::Error::NotFound) => rows.push(row.vanished()),
            Err(_) => return Ok(None),
        }
    }
    rows.retain(|r| Some(&r.id) != node.id());
    Ok(Some(rows))
}

/// Nodes whose rows have, or had not long ago, the name in the folder.
fn suspects(fs: &Fs, folder: &NodeId, display: &str) -> Result<Vec<Node>> {
    Ok(fs.db().read(|c| {
        let mut found = nodes::holders_ever(c, folder, display)?;
        for split in RemoteName::all_splits(display) {
            for ino in nodes::echoers(c, &confirm::place(Some(folder), &split))? {
                found.extend(nodes::get(c, ino)?);
            }
        }
        found.dedup_by_key(|n| n.ino);
        Ok(found)
    })?)
}

/// Whether the holder is known by now, and on its way to another place.
fn waits_for_holder(fs: &Fs, node: &Node, folder: &NodeId) -> Result<bool> {
    let holders = fs.db().read(|c| nodes::holders(c, folder, &node.name))?;
    Ok(holders.iter().any(|h| h.ino != node.ino && h.kind == node.kind && h.is_dirty()))
}
