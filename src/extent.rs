//! Byte-range sets.

use std::ops::Range;

/// A set of bytes, kept as sorted ranges that neither overlap nor touch. None is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ByteSet {
    ranges: Vec<Range<u64>>,
}

impl ByteSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// The end of the last range; 0 if there is none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.end)
    }

    /// The first range that ends behind `at`.
    fn first_behind(&self, at: u64) -> usize {
        self.ranges.partition_point(|r| r.end <= at)
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        // Appending is what nearly all writes do.
        if let Some(last) = self.ranges.last_mut()
            && range.start >= last.start
        {
            if range.start <= last.end {
                last.end = last.end.max(range.end);
            } else {
                self.ranges.push(range);
            }
            return;
        }
        let lo = self.ranges.partition_point(|r| r.end < range.start);
        let hi = self.ranges.partition_point(|r| r.start <= range.end);
        let mut merged = range;
        if lo < hi {
            merged.start = merged.start.min(self.ranges[lo].start);
            merged.end = merged.end.max(self.ranges[hi - 1].end);
        }
        self.ranges.splice(lo..hi, [merged]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let lo = self.first_behind(range.start);
        let hi = self.ranges.partition_point(|r| r.start < range.end);
        if lo >= hi {
            return;
        }
        let head = self.ranges[lo].start..range.start;
        let tail = range.end..self.ranges[hi - 1].end;
        self.ranges.splice(lo..hi, [head, tail].into_iter().filter(|r| r.start < r.end));
    }

    /// Takes out everything from `size` on.
    pub fn truncate(&mut self, size: u64) {
        self.remove(size..u64::MAX);
    }

    /// Whether it holds every byte of `range` (an empty range always).
    #[must_use]
    pub fn contains(&self, range: Range<u64>) -> bool {
        range.start >= range.end
            || self
                .ranges
                .get(self.first_behind(range.start))
                .is_some_and(|r| r.start <= range.start && range.end <= r.end)
    }

    /// What it holds of `range`, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges[self.first_behind(range.start)..]
            .iter()
            .take_while(move |r| r.start < range.end)
            .map(move |r| r.start.max(range.start)..r.end.min(range.end))
            .filter(|r| r.start < r.end)
    }

    /// What it lacks of `range`, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = range.end;
        let mut at = range.start;
        self.within(range)
            .map(Some)
            .chain(std::iter::once(None))
            .filter_map(move |held| {
                let gap = at..held.as_ref().map_or(end, |r| r.start);
                at = held.map_or(end, |r| r.end);
                Some(gap)
            })
            .filter(|r| r.start < r.end)
    }
}

impl FromIterator<Range<u64>> for ByteSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(iter: I) -> Self {
        let mut set = ByteSet::new();
        iter.into_iter().for_each(|r| set.insert(r));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const N: u64 = 64;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(Range<u64>),
        Remove(Range<u64>),
        Truncate(u64),
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..N, 0..16u64).prop_map(|(a, n)| a..(a + n).min(N))
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => range().prop_map(Op::Insert),
            2 => range().prop_map(Op::Remove),
            1 => (0..N).prop_map(Op::Truncate),
        ]
    }

    fn bits(ranges: impl Iterator<Item = Range<u64>>) -> Vec<bool> {
        let mut v = vec![false; N as usize];
        for r in ranges {
            assert!(r.start < r.end, "an empty range");
            for i in r {
                assert!(!v[i as usize], "overlap");
                v[i as usize] = true;
            }
        }
        v
    }

    proptest! {
        #[test]
        #[allow(clippy::cast_possible_truncation)]
        fn equals_a_vector_of_bools(ops in prop::collection::vec(op(), 1..40), probe in range()) {
            let mut set = ByteSet::new();
            let mut model = vec![false; N as usize];
            for op in ops {
                match op {
                    Op::Insert(r) => { set.insert(r.clone()); r.for_each(|i| model[i as usize] = true) }
                    Op::Remove(r) => { set.remove(r.clone()); r.for_each(|i| model[i as usize] = false) }
                    Op::Truncate(n) => { set.truncate(n); (n..N).for_each(|i| model[i as usize] = false) }
                }
                prop_assert_eq!(&bits(set.iter()), &model);
                let all: Vec<_> = set.iter().collect();
                prop_assert!(all.windows(2).all(|w| w[0].end < w[1].start), "touching: {:?}", all);
                prop_assert_eq!(set.contains(probe.clone()), probe.clone().all(|i| model[i as usize]));
                let inside = |want: bool| -> Vec<bool> {
                    (0..N).map(|i| probe.contains(&i) && model[i as usize] == want).collect()
                };
                prop_assert_eq!(bits(set.within(probe.clone())), inside(true));
                prop_assert_eq!(bits(set.gaps(probe.clone())), inside(false));
                prop_assert_eq!(set.len(), model.iter().filter(|b| **b).count() as u64);
                prop_assert_eq!(set.end(), model.iter().rposition(|b| *b).map_or(0, |i| i as u64 + 1));
            }
        }
    }
}
