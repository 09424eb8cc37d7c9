//! What a person decides against: the local changes of one item are given up, by its number. But for what programs
//! overwrite or remove themselves, this is where staged bytes that the server does not have are let go, and nowhere
//! else. Of a copy without a byte there is nothing to decide: it goes by itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drain::what_of;
use super::push::confirm::is_same;
use super::push::discard_object;
use super::{Error, Fs, Result, pull};
use crate::store::nodes::{self, Node};
use crate::store::{self, ContentId, Tx};
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
        if self.push.sent(ino).is_some() {
            return Err(Error::Busy);
        }
        let discarded = self.give_up(ino, |_, node| Ok(has_failed(node)))?;
        tracing::warn!(id = ino.0, path = %discarded.path, what = %discarded.what, "discarded on request");
        Ok(discarded)
    }

    /// Drops a copy of which no byte is anywhere, before it is sent. `false`: it is none.
    ///
    /// A file that is open for writing when its version is replaced or deleted elsewhere becomes a copy that lies on
    /// that version, so that what is written later has a place. If nothing is written then, and nothing had been
    /// fetched while the server still had the version, there is nothing to send, to export or to decide.
    pub(super) fn drop_hollow(self: &Arc<Self>, sent: &Node) -> Result<bool> {
        let dropped = self.give_up(sent.ino, |tx, node| match node.content {
            Some(id) if node.remote.is_none() && !node.tomb && is_same(node, sent) => self.is_hollow(tx, id),
            _ => Ok(false),
        });
        match dropped {
            Ok(dropped) => {
                tracing::warn!(path = %dropped.path, "replaced or deleted elsewhere while it was open here; nothing was written");
                Ok(true)
            }
            Err(Error::NotFound) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether a content is nothing but a view of a whole version of which nothing is here.
    fn is_hollow(&self, tx: &Tx, id: ContentId) -> store::Result<bool> {
        let content = self.blocks().open_in(tx, id)?;
        let size = content.size();
        let untouched = content.is_staged() && content.written().is_empty() && !content.is_changed();
        let Some((base, _)) = content.base().filter(|(_, limit)| untouched && *limit == size) else {
            return Ok(false);
        };
        let base = self.blocks().open_in(tx, base)?;
        // One that was cut is of another size: that was somebody's will.
        let nothing_is_here = matches!(base.missing(0..size)?.as_slice(), [all] if *all == (0..size));
        Ok(!base.is_staged() && base.size() == size && nothing_is_here)
    }

    /// Gives up the local changes of a node that nobody has open, if they are `such`.
    fn give_up(
        self: &Arc<Self>,
        ino: Ino,
        such: impl Fn(&Tx, &Node) -> store::Result<bool>,
    ) -> Result<Discarded> {
        let file = self.files.acquire(ino, false);
        let mut state = file.state.lock();
        // Who opens it from here on waits for the lock, and finds what is then shown.
        let idle = file.is_alone();
        let Some(deletes) = self.push.hold_deletes().filter(|_| idle) else { return Err(Error::Busy) };
        let (discarded, uploaded, reverted) = self.db().write(|tx| {
            let Some(node) = nodes::get(tx, ino)? else { return Ok(Err(Error::NotFound)) };
            if !such(tx, &node)? {
                return Ok(Err(Error::NotFound));
            }
            if nodes::intent(tx, ino)?.is_some() {
                return Ok(Err(Error::Busy));
            }
            let path = nodes::path_of(tx, ino)?.unwrap_or_else(|| node.name.clone());
            let discarded = Discarded { path, what: what_of(&node).to_owned() };
            let uploaded = node.uploaded.clone();
            Ok(pull::revert(self, tx, node)?.map(|reverted| (discarded, uploaded, reverted)))
        })??;
        *state = None;
        drop(deletes);
        drop(state);
        drop(file);
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
