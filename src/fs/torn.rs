//! After a loss of power: staged content that was committed and did not reach the disk.
//!
//! It never replaced anything durable that is on this disk alone ([`Fs::shows_durable`]), so what the user had is the
//! version that the server has, if the node has one; that is shown again. A file that has none keeps what is left of
//! it, blocked. Either is told; neither is ever sent.

use std::ops::Range;

use super::read::CHAIN_MAX;
use super::{Fs, Result};
use crate::store::nodes::{self, Blocked, Node};
use crate::store::{self, Content, Piece, Tx, Verdict};
use crate::types::Timestamp;

/// Bytes looked at in one go.
const STEP: usize = 1 << 20;

impl Fs {
    /// Looks at every staged content that was not durable when the machine was restarted.
    pub(super) fn recover_torn(&self) -> Result<()> {
        let checked = self.db().read(|c| self.blocks().check_after_boot(c))?;
        if checked.is_empty() {
            return Ok(());
        }
        let mut torn = Vec::new();
        for (id, _) in checked.iter().filter(|(_, verdict)| *verdict != Verdict::Intact) {
            for node in self.db().read(|c| nodes::showing(c, *id))? {
                if self.is_torn(&node)? && !torn.contains(&node.ino) {
                    torn.push(node.ino);
                }
            }
        }
        let told = self.db().write_durable(|tx| {
            for (id, _) in checked.iter().filter(|(_, verdict)| *verdict == Verdict::Intact) {
                self.blocks().vouch(tx, *id)?;
            }
            let mut told = Vec::new();
            for ino in &torn {
                let Some(node) = nodes::get(tx, *ino)?.filter(|n| n.blocked.is_none()) else { continue };
                let path = nodes::path_of(tx, *ino)?.unwrap_or_else(|| node.name.clone());
                told.push(format!("{path}: {}", self.fall_back(tx, node)?));
            }
            Ok(told)
        })?;
        for what in &told {
            tracing::error!("lost when the machine stopped: {what}");
        }
        self.lost.lock().extend(told);
        Ok(())
    }

    /// Whether a byte that the node shows is damaged. What can be fetched is not.
    fn is_torn(&self, node: &Node) -> Result<bool> {
        let Some(id) = node.content else { return Ok(false) };
        let content = self.blocks().open(id)?;
        let size = content.size();
        for at in (0..size).step_by(STEP) {
            match self.is_range_torn(&content, at..(at + STEP as u64).min(size), 0) {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                // A disk that cannot be read now may be readable later: nothing is concluded from it.
                Err(e) => tracing::error!(ino = %node.ino, error = %e, "staged content cannot be looked at"),
            }
        }
        Ok(false)
    }

    fn is_range_torn(&self, content: &Content, range: Range<u64>, depth: usize) -> store::Result<bool> {
        if !content.is_staged() || depth > CHAIN_MAX {
            return Ok(false);
        }
        let pieces = match content.read(range) {
            Err(store::Error::Damaged { .. }) => return Ok(true),
            other => other?,
        };
        let Some((base, limit)) = content.base() else { return Ok(false) };
        for piece in pieces {
            if let Piece::Gap(gap) = piece
                && gap.start < limit
                && self.is_range_torn(
                    &*self.blocks().open(base)?,
                    gap.start..gap.end.min(limit),
                    depth + 1,
                )?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a node shows instead of torn content, and the words for it.
    fn fall_back(&self, tx: &Tx, mut node: Node) -> store::Result<&'static str> {
        let Some(row) = &node.remote else {
            node.blocked = Some(Blocked::Damaged);
            node.error = Some(
                "it had not reached the disk when the machine stopped: parts of it are lost, the rest can be read"
                    .to_owned(),
            );
            nodes::save(tx, &node)?;
            return Ok("a new file; what is left of it stays here and is not sent");
        };
        (node.size, node.mtime, node.ctime) = (row.size, row.modified, Timestamp::now());
        let torn = node.content.take();
        (node.uploaded, node.emptied) = (None, false);
        (node.tries, node.blocked, node.error) = (0, None, None);
        nodes::save(tx, &node)?;
        if let Some(id) = torn {
            self.forget_if_stray(tx, id)?;
        }
        Ok("the last change; it shows again what the server has")
    }
}
