//! Block arithmetic: content is kept, fetched and sealed in blocks of [`BLOCK`] bytes.

use std::ops::Range;

/// Bytes of a block. The last block of a content may be shorter.
pub const BLOCK: u64 = LEN as u64;
/// The same, as the length of a buffer.
pub const LEN: usize = 64 * 1024;

/// The part of a byte range that lies in one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The block's index.
    pub block: u64,
    /// First byte, counted from the block's beginning.
    pub start: usize,
    /// End (exclusive), counted from the block's beginning; above `start`.
    pub end: usize,
}

impl Part {
    /// Where the part begins, counted from the content's beginning.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.block * BLOCK + self.start as u64
    }

    /// Its bytes; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // A part is never empty.
    pub fn len(&self) -> usize {
        self.end - self.start
    }
}

/// The block that holds the byte at `offset`.
#[must_use]
pub fn index(offset: u64) -> u64 {
    offset / BLOCK
}

/// How many blocks `size` bytes take.
#[must_use]
pub fn count(size: u64) -> u64 {
    size.div_ceil(BLOCK)
}

/// How many bytes of a content of `size` bytes lie in `block`.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // At most BLOCK.
pub fn len(block: u64, size: u64) -> usize {
    size.saturating_sub(block.saturating_mul(BLOCK)).min(BLOCK) as usize
}

/// The bytes of `block` within a content.
#[must_use]
pub fn range(block: u64) -> Range<u64> {
    let start = block * BLOCK;
    start..start + BLOCK
}

/// The smallest range of whole blocks around `range`, cut at `size`.
#[must_use]
pub fn align(range: Range<u64>, size: u64) -> Range<u64> {
    let end = range.end.min(size);
    if range.start >= end {
        return end..end;
    }
    range.start / BLOCK * BLOCK..(count(end) * BLOCK).min(size)
}

/// The parts of `range`, one a block, in order.
#[allow(clippy::cast_possible_truncation)] // Offsets within a block.
pub fn parts(range: Range<u64>) -> impl Iterator<Item = Part> {
    let Range { mut start, end } = range;
    std::iter::from_fn(move || {
        if start >= end {
            return None;
        }
        let block = start / BLOCK;
        let base = block * BLOCK;
        let stop = end.min(base + BLOCK);
        let part = Part { block, start: (start - base) as usize, end: (stop - base) as usize };
        start = stop;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_last_blocks() {
        assert_eq!((count(0), count(1), count(BLOCK), count(BLOCK + 1)), (0, 1, 1, 2));
        assert_eq!((len(0, 5), len(1, 5), len(0, BLOCK), len(1, BLOCK + 7)), (5, 0, 65536, 7));
        assert_eq!(align(10..20, 15), 0..15);
        assert_eq!(align(BLOCK + 1..BLOCK + 2, 1 << 30), BLOCK..2 * BLOCK);
        assert!(align(20..30, 15).is_empty());
    }

    proptest! {
        #[test]
        fn parts_cover_the_range_in_order(start in 0u64..1 << 20, len in 0u64..1 << 20) {
            let mut at = start;
            for p in parts(start..start + len) {
                prop_assert_eq!(p.offset(), at);
                prop_assert!(p.len() > 0 && p.end as u64 <= BLOCK);
                at += p.len() as u64;
                prop_assert!(at == start + len || at % BLOCK == 0);
            }
            prop_assert_eq!(at, start + len);
        }
    }
}
