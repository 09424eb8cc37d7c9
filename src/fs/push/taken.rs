//! A name that the server says is taken, though no look shows by whom: replicas lag, or a row is not where it is
//! believed to be. The server is believed; trying on would never end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::confirm;
use crate::fs::pull::{self, Missing};
use crate::fs::{Fs, Result};
use crate::names::RemoteName;
use crate::remote;
use crate::store::nodes::{self, Node};
use crate::types::NodeId;

/// So many failures are put down to lag before the server is believed.
pub(super) const REFUSALS: u32 = 3;

/// Asks for every row that may be the holder. If none of them is, the node steps aside.
pub(super) async fn believe(fs: &Arc<Fs>, node: &Node) -> Result<()> {
    let Some(folder) = node.parent.and_then(|p| fs.node(p).ok()).and_then(|p| p.id().cloned()) else {
        return Ok(());
    };
    if !look_at_all(fs, node, &folder).await? {
        return Ok(());
    }
    let Some(now) = fs.db().read(|c| nodes::get(c, node.ino))? else { return Ok(()) };
    let same = now.linked && (now.parent, &now.name, now.id()) == (node.parent, &node.name, node.id());
    if same && !waits_for_holder(fs, &now, &folder)? { pull::step_beside(fs, node.ino) } else { Ok(()) }
}

/// Looks at the rows that may hold the name. `false`: one of them cannot be asked for, or has changed meanwhile.
async fn look_at_all(fs: &Arc<Fs>, node: &Node, folder: &NodeId) -> Result<bool> {
    let found = match fs.health.note(fs.remote.find(folder, &node.name).await) {
        Ok(rows) => rows,
        Err(remote::Error::NotFound) => Vec::new(),
        Err(_) => return Ok(false),
    };
    let known = suspects(fs, folder, &node.name)?;
    let known = known.into_iter().filter_map(|n| n.remote.map(|row| (row.id, (n.kind, Missing::Gone))));
    // What was found just now is not gone: at worst another replica does not know it yet.
    let found = found.into_iter().map(|row| (row.id, (row.kind, Missing::Unsure)));
    let rows: BTreeMap<_, _> = known.chain(found).collect();
    for (id, (kind, missing)) in rows.iter().filter(|(id, _)| Some(*id) != node.id()) {
        match pull::look_at(fs, *kind, id, pull::From::Fresh, *missing).await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(e) => {
                tracing::debug!(error = %e, "who has a name is not known yet");
                return Ok(false);
            }
        }
    }
    Ok(true)
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
