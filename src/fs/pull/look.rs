//! Looks at single rows. An answer may be older than a write of ours that was confirmed while it was on its way.

use std::sync::Arc;

use super::merge::Merge;
use super::{From, finish};
use crate::fs::{Fs, Result};
use crate::remote;
use crate::store::nodes;
use crate::types::{Kind, NodeId, Row};

/// What it means that a row is not found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fs) enum Missing {
    /// It is deleted.
    Gone,
    /// Nothing: a replica may lag.
    Unsure,
}

/// Reads a row by itself and merges it, unless what is known of it has changed meanwhile: then it is looked at again later, and
/// the answer is `None`. A folder that nobody has heard of may be looked at, too.
///
/// # Errors
/// Those of the network, that it is not found only where nothing is known to follow from it, and those of the local state.
pub(in crate::fs) async fn look_at(
    fs: &Arc<Fs>,
    kind: Kind,
    id: &NodeId,
    from: From,
    missing: Missing,
) -> Result<Option<Row>> {
    let known = fs.db().read(|c| nodes::by_remote(c, id))?.and_then(|n| n.remote);
    let row = match fs.health.note(fs.remote.stat(kind, id).await) {
        Ok(row) => row,
        Err(remote::Error::NotFound) if missing == Missing::Gone => match known.clone() {
            Some(row) => row.vanished(),
            None => Row::unheard_of(kind, id.clone()),
        },
        Err(e) => return Err(e.into()),
    };
    Ok(merge_or_doubt(fs, known.as_ref(), &row, from)?.then_some(row))
}

/// Merges a row that was asked for while `known` was what was confirmed of it. If that has changed meanwhile, it is looked at
/// again later, and the answer is `false`.
///
/// # Errors
/// Those of the local state.
pub(in crate::fs) fn merge_or_doubt(
    fs: &Arc<Fs>,
    known: Option<&Row>,
    row: &Row,
    from: From,
) -> Result<bool> {
    let merged = merge_unless_changed(fs, known, row, from)?;
    if !merged {
        fs.pull.doubt(fs, row.id.clone(), row.kind);
    }
    Ok(merged)
}

/// Merges a row if what was confirmed of it is still `known`.
fn merge_unless_changed(fs: &Arc<Fs>, known: Option<&Row>, row: &Row, from: From) -> Result<bool> {
    let (merged, outcome) = fs.db().write(|tx| {
        let mut merge = Merge::new(fs, tx, from);
        let same = nodes::by_remote(tx, &row.id)?.and_then(|n| n.remote).as_ref() == known;
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
