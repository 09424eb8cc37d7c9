//! How many directory entries to ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the last full buffer held: the binding does not tell its size, and what does not fit is asked
/// for again.
#[derive(Clone)]
pub(super) struct PageSize(Arc<AtomicUsize>);

impl PageSize {
    const LEAST: usize = 16;
    const MOST: usize = 1024;

    pub(super) fn new(first: usize) -> Self {
        PageSize(Arc::new(AtomicUsize::new(first)))
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// `took` entries went into the buffer when `asked` were wanted, and it was `full`, or not.
    pub(super) fn learn(&self, asked: usize, took: usize, full: bool) {
        let next = if full {
            took + took / 8
        } else if took >= asked {
            asked * 2
        } else {
            return;
        };
        self.0.store(next.clamp(Self::LEAST, Self::MOST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_follows_the_buffer_and_stays_bounded() {
        let size = PageSize::new(200);
        size.learn(200, 24, true);
        assert_eq!(size.get(), 27);
        size.learn(27, 5, false);
        assert_eq!(size.get(), 27, "the end of a folder tells nothing");
        size.learn(27, 27, false);
        assert_eq!(size.get(), 54);
        size.learn(54, 0, true);
        assert_eq!(size.get(), PageSize::LEAST);
        size.learn(900, 900, false);
        assert_eq!(size.get(), PageSize::MOST);
    }
}
