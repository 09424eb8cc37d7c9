//! What was written here and cannot be read any more: an error for whoever reads it, and a reason to wait for whoever
//! would send it. Never base bytes and never zeros in its place.

use super::{Error, Fs, Result, failed};
use crate::remote;
use crate::store::ContentId;
use crate::store::nodes::{self, Blocked};
use crate::types::Ino;

impl Fs {
    /// Hands an outcome on. If it is damage of a node's staged content, the node is blocked: an upload would
    /// meet the same.
    pub(super) fn note_damage<T>(&self, ino: Ino, outcome: Result<T>) -> Result<T> {
        if let Err(e @ Error::Damaged { content, .. }) = &outcome
            && let Err(failed) = self.block_damaged(ino, *content, &e.to_string())
        {
            tracing::warn!(%ino, error = %failed, "damage could not be noted");
        }
        outcome
    }

    fn block_damaged(&self, ino: Ino, damaged: ContentId, why: &str) -> Result<()> {
        if self.node(ino)?.blocked == Some(Blocked::Damaged) {
            return Ok(());
        }
        let news = self.db().write(|tx| {
            let Some(node) = nodes::get(tx, ino)?.filter(|n| n.linked && !n.tomb) else { return Ok(None) };
            let Some(shown) = node.content else { return Ok(None) };
            if !nodes::lies_on(tx, shown, damaged)? {
                return Ok(None);
            }
            Ok(failed::block(tx, node.clone(), Blocked::Damaged, why)?.then_some(node))
        })?;
        if let Some(node) = news {
            self.tell_blocked(&node, Blocked::Damaged, why);
        }
        Ok(())
    }
}

/// Why reading what was to be sent failed, if that is for good.
pub(super) fn cause_of(e: &remote::Error) -> Option<(Blocked, String)> {
    let remote::Error::Local(io) = e else { return None };
    let inner = io.get_ref()?.downcast_ref::<Error>()?;
    match inner {
        Error::Damaged { .. } => Some((Blocked::Damaged, inner.to_string())),
        Error::Lost(why) => Some((Blocked::BaseLost, base_lost(why))),
        _ => None,
    }
}

/// What is said of a partial write whose base is lost.
pub(super) fn base_lost(why: &str) -> String {
    format!("the unwritten rest of the file cannot be read: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_lost_for_good_blocks_an_upload() {
        let local = |e: Error| cause_of(&remote::Error::Local(std::io::Error::other(e))).map(|(b, _)| b);
        let damaged = Error::Damaged { content: ContentId(1), block: 0 };
        assert_eq!(local(damaged), Some(Blocked::Damaged));
        assert_eq!(local(Error::Lost("gone".to_owned())), Some(Blocked::BaseLost));
        assert_eq!(local(Error::Io("the disk is slow".to_owned())), None);
        assert_eq!(cause_of(&remote::Error::Local(std::io::ErrorKind::TimedOut.into())), None);
    }
}
