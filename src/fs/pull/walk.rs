//! Feeds are read with suspicion: they may repeat themselves, lead backwards, or bear stamps from the future.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::remote::{Cursor, Page};
use crate::types::Timestamp;

/// Pages in a row that may show nothing new: pages overlap, and small ones by all they hold.
const IDLE_MAX: u32 = 8;
/// Rows that are remembered as seen, about.
const SEEN_MAX: usize = 50_000;
/// Pages of one walk. No drive has so many rows.
const PAGES_MAX: u32 = 1_000_000;
/// How far the service's clock may be ahead of ours before a stamp counts as one from the future.
const AHEAD_MS: i64 = 300_000;

/// A way through a feed, page by page, that ends whatever the feed does.
pub(super) struct Walk {
    at: Cursor,
    seen: HashSet<u64>,
    hasher: RandomState,
    idle: u32,
    pages: u32,
}

impl Walk {
    pub fn from(start: Cursor) -> Self {
        Walk { at: start, seen: HashSet::new(), hasher: RandomState::new(), idle: 0, pages: 0 }
    }

    /// Where the next page begins.
    pub fn cursor(&self) -> Cursor {
        self.at
    }

    /// Goes on behind a page. `false` at the end.
    ///
    /// # Errors
    /// What is wrong with the feed, for people.
    pub fn follow(&mut self, page: &Page) -> Result<bool, &'static str> {
        let Some(next) = page.next else { return Ok(false) };
        if self.seen.len() > SEEN_MAX {
            // Longer loops are met by the count of pages.
            self.seen.clear();
        }
        let mut news = false;
        for row in &page.rows {
            news |= self.seen.insert(self.hasher.hash_one((&row.id, row.updated)));
        }
        self.idle = if news { 0 } else { self.idle + 1 };
        self.pages += 1;
        if (next.after, next.skip) <= (self.at.after, self.at.skip) {
            return Err("it leads backwards");
        }
        if self.idle >= IDLE_MAX {
            return Err("it repeats itself");
        }
        if self.pages >= PAGES_MAX {
            return Err("it does not end");
        }
        self.at = next;
        Ok(true)
    }
}

/// Whether a stamp can be true.
pub(super) fn is_plausible(stamp: Timestamp) -> bool {
    stamp.as_millis() <= crate::fs::now_ms() + AHEAD_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(next: Option<Cursor>) -> Page {
        Page { rows: Vec::new(), next }
    }

    #[test]
    fn a_cursor_that_goes_back_or_stays_ends_the_walk() {
        let t = Timestamp::from_millis(1000);
        let mut walk = Walk::from(Cursor::default());
        assert_eq!(walk.follow(&page(Some(Cursor { after: None, skip: 10 }))), Ok(true));
        assert_eq!(walk.follow(&page(Some(Cursor::since(t)))), Ok(true));
        assert_eq!(walk.cursor(), Cursor::since(t));
        for back in [Cursor::since(t), Cursor::since(Timestamp::from_millis(999)), Cursor::default()] {
            assert!(walk.follow(&page(Some(back))).is_err(), "{back:?}");
        }
        assert_eq!(walk.follow(&page(None)), Ok(false));
    }

    #[test]
    fn empty_pages_that_go_on_for_ever_end_the_walk() {
        let mut walk = Walk::from(Cursor::default());
        let end = (1..100).find(|n| walk.follow(&page(Some(Cursor { after: None, skip: *n }))).is_err());
        assert_eq!(end, Some(u64::from(IDLE_MAX)));
    }
}
