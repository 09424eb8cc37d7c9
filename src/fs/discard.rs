//! What a person decides against: the local changes of one item are given up, by its number. The only place where
//! staged bytes that the server does not have are let go.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drain::what_of;
use super::push::discard_object;
use super::{Error, Fs, Result, pull};
use crate::store::nodes::{self, Node};
use crate::types::Ino;

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// Where it was.
    pub path: String,
    /// What is not going to be done: see [`FailedItem::what`](super::FailedItem::what).
    pub what: String,
}

impl Fs {
    /// Gives up the local changes of an item that failed: a new file disappears, an edited one shows the server's
    /// version again, a moved one goes back, a deleted one comes back.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no such item has failed; [`Error::Busy`] while it is open or a request for it is under
    /// way; [`Error::NotEmpty`] for a new folder that holds something; those of the local state.
    pub fn discard(self: &Arc<Self>, ino: Ino) -> Result<Discarded> {
        self.check_writable()?;
        let file = self.files.acquire(ino, false);
        let mut state = file.state.lock();
        // Who opens it from here on waits for the lock, and finds what is then shown.
        if !file.is_alone() || self.push.sent(ino).is_some() {
            return Err(Error::Busy);
        }
        let (discarded, uploaded, reverted) = self.db().write(|tx| {
            let Some(node) = nodes::get(tx, ino)?.filter(has_failed) else { return Ok(Err(Error::NotFound)) };
            if nodes::intent(tx, ino)?.is_some() {
                return Ok(Err(Error::Busy));
            }
            let path = nodes::path_of(tx, ino)?.unwrap_or_else(|| node.name.clone());
            let discarded = Discarded { path, what: what_of(&node).to_owned() };
            let uploaded = node.uploaded.clone();
            Ok(pull::revert(self, tx, node)?.map(|reverted| (discarded, uploaded, reverted)))
        })??;
        *state = None;
        drop(state);
        drop(file);
        tracing::warn!(id = ino.0, path = %discarded.path, what = %discarded.what, "discarded on request");
        // It belongs to no row, and nothing will register it now.
        uploaded.into_iter().for_each(|version| discard_object(self, version));
        pull::finish(self, reverted.outcome);
        self.finish(reverted.after);
        Ok(discarded)
    }
}

/// Blocked, or failed and about to be tried again.
fn has_failed(node: &Node) -> bool {
    node.is_dirty() && (node.blocked.is_some() || node.error.is_some())
}
