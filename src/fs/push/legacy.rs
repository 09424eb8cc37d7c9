//! What an uploaded content takes over from its base. The base goes with the upload; blocks that were written in part
//! only, or not at all, would be fetched again by the next reader, or not be there for one without network.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::block;
use crate::extent::ByteSet;
use crate::fs::{Fs, Result};
use crate::store::{Content, ContentId};

/// Larger rests are fetched again: they would stand in memory here.
const MAX: u64 = 8 << 20;

/// Bytes on their way from a staged content's base into the cached content it becomes.
#[derive(Default)]
pub(super) struct Legacy {
    heir: Option<Arc<Content>>,
    parts: Vec<(u64, Bytes)>,
}

impl Legacy {
    /// Before the upload is confirmed. Nothing is taken over where that is not possible from here.
    pub(super) fn of(fs: &Fs, id: Option<ContentId>) -> Self {
        let Some(id) = id else { return Legacy::default() };
        Legacy::read(fs, id).unwrap_or_else(|e| {
            tracing::debug!(error = %e, "what an upload left of its base is fetched again");
            Legacy::default()
        })
    }

    fn read(fs: &Fs, id: ContentId) -> Result<Self> {
        let content = fs.blocks().open(id)?;
        // Holes, too: nothing says of a cached content where it has some.
        let rest = partial(&content.written(), content.size());
        if rest.is_empty() || rest.len() > MAX {
            return Ok(Legacy::default());
        }
        let take = |r: Range<u64>| Ok((r.start, fs.read_local(&content, r)?));
        let parts = rest.iter().map(take).collect::<Result<_>>()?;
        Ok(Legacy { heir: Some(content), parts })
    }

    /// Whether the content will hold all of what it shows.
    pub(super) fn is_taken_over(&self) -> bool {
        self.heir.is_some()
    }

    /// After it was confirmed.
    pub(super) fn hand_over(self) {
        let Some(heir) = self.heir.filter(|c| !c.is_staged()) else { return };
        for (at, bytes) in self.parts {
            if let Err(e) = heir.fill(at, &bytes) {
                tracing::debug!(error = %e, "what an upload left of its base is fetched again");
                return;
            }
        }
    }
}

/// The blocks, as bytes, that were not wholly written.
fn partial(written: &ByteSet, size: u64) -> ByteSet {
    written.gaps(0..size).map(|gap| block::align(gap, size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_wholly_written_is_taken_over_in_whole_blocks() {
        let written: ByteSet =
            [0..block::BLOCK + 5, 2 * block::BLOCK..3 * block::BLOCK].into_iter().collect();
        let size = 3 * block::BLOCK + 7;
        let rest: Vec<_> = partial(&written, size).iter().collect();
        assert_eq!(rest, [block::BLOCK..2 * block::BLOCK, 3 * block::BLOCK..size]);
    }
}
