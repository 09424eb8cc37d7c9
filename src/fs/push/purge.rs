//! What was removed from the trash: it is deleted for good, after a look whether it is still in the service's trash.
//! Somebody who took it out there meanwhile keeps it.

use std::sync::Arc;

use super::{backoff, brake};
use crate::fs::pull::{self, Missing};
use crate::fs::{Fs, Result, now_ms};
use crate::store::nodes::{self, Purge};
use crate::types::Status;

/// Rows of one round.
const ROUND: usize = 256;

/// Sends what is due. No delete of any kind is sent while the brake holds.
pub(super) async fn push_purges(fs: &Arc<Fs>) {
    let due = fs.db().read(|c| {
        if brake::hold(c)?.is_some() { Ok(Vec::new()) } else { nodes::due_purges(c, now_ms(), ROUND) }
    });
    let due = match due {
        Ok(due) => due,
        Err(e) => return tracing::error!(error = %e, "what is to be deleted for good cannot be read"),
    };
    for purge in due {
        let noted = match one(fs, &purge).await {
            Ok(true) => fs.db().write(|tx| nodes::end_purge(tx, &purge.id)),
            Ok(false) => put_off(fs, &purge, fs.config.paced(2)),
            Err(e) => {
                tracing::warn!(error = %e, "deleting for good failed; will be tried again");
                let tries = purge.tries.saturating_add(1);
                put_off(fs, &Purge { tries, ..purge }, backoff(fs, tries))
            }
        };
        if let Err(e) = noted {
            return tracing::error!(error = %e, "what was deleted for good cannot be noted");
        }
    }
}

fn put_off(fs: &Fs, purge: &Purge, by: i64) -> crate::store::Result<()> {
    fs.db().write(|tx| nodes::put_purge(tx, purge, now_ms() + by))
}

/// Whether one is settled.
async fn one(fs: &Arc<Fs>, purge: &Purge) -> Result<bool> {
    let node = fs.db().read(|c| nodes::by_remote(c, &purge.id))?;
    if node.as_ref().is_some_and(|n| n.tomb && n.is_dirty()) {
        // It is still on its way into the trash.
        return Ok(false);
    }
    if node.is_some_and(|n| n.linked) {
        return Ok(true);
    }
    let look = |from| pull::look_at(fs, purge.kind, &purge.id, from, Missing::Gone);
    match look(pull::From::Fresh).await? {
        None => Ok(false),
        Some(row) if row.status == Status::Trashed => {
            fs.health.note(fs.remote.delete(purge.kind, &purge.id).await)?;
            if let Err(e) = look(pull::From::Fresh).await {
                tracing::debug!(error = %e, "whether it is deleted for good is told by the feed");
            }
            Ok(true)
        }
        Some(_) => Ok(true),
    }
}
