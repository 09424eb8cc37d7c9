//! Looks at single rows. An answer may be older than a write of ours that was confirmed while it was on its way.

use std::sync::Arc;

use super::merge::Merge;
use super::{From, finish};
use crate::fs::{Fs, Result};
use crate::remote;
use crate::store::nodes;
use crate::types::{Kind, NodeId, Row};

/// Reads a row by itself and merges it, unless what is known of it has changed meanwhile: then it is looked at again later.
///
/// # Errors
/// Those of the network but for a missing row, which is a deleted one, and those of the local state.
pub(in crate::fs) async fn look_at(fs: &Arc<Fs>, kind: Kind, id: &NodeId) -> Result<()> {
    let known = fs.db().read(|c| nodes::by_remote(c, id))?.and_then(|n| n.remote);
    let row = match fs.health.note(fs.remote.stat(kind, id).await) {
        Ok(row) => row,
        Err(remote::Error::NotFound) => match known.clone() {
            Some(row) => row.vanished(),
            None => return Ok(()),
        },
        Err(e) => return Err(e.into()),
    };
    if !merge_unless_changed(fs, id, known.as_ref(), &row)? {
        fs.pull.doubt(fs, id.clone(), kind);
    }
    Ok(())
}

/// Merges a row if what was confirmed of it is still `known`.
fn merge_unless_changed(fs: &Arc<Fs>, id: &NodeId, known: Option<&Row>, row: &Row) -> Result<bool> {
    let (merged, outcome) = fs.db().write(|tx| {
        let mut merge = Merge::new(fs, tx, From::Fresh);
        let same = nodes::by_remote(tx, id)?.and_then(|n| n.remote).as_ref() == known;
        if same {
            merge.row(row)?;
            merge.heal()?;
            merge.give_names_back()?;
        }
        Ok((same, merge.outcome))
    })?;
    finish(fs, outcome);
    Ok(merged)
}
