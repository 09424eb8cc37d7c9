//! What a reader will want next. Pure: told the reads of one handle, it says what to fetch before it is asked for.
//!
//! Reads that touch each other, in whatever order they come, make a *stream*. Each stream has a window that is kept
//! ahead of its reader and grows while the reader catches up with what is under way. A read that belongs to no stream
//! is a *guess*: it costs no stream its window, and becomes one when another read touches it.

use std::ops::Range;
use std::time::Duration;

/// What the first read of a handle is taken to mean if it is one of the file's beginning.
const FIRST: u64 = 512 << 10;
/// The window of a stream that begins in the middle of a file.
const WINDOW_MIN: u64 = 1 << 20;
/// The window of one that begins where the file does: hardly anything else reads on from there.
const WINDOW_START: u64 = 4 << 20;
/// A file whose beginning is asked for in a read of this size is being copied, or played: the kernel sends smaller ones for
/// who takes only a look.
const BULK: u64 = 128 << 10;
/// The window of such a reader, before a second read.
const WINDOW_BULK: u64 = 8 << 20;
/// No window is larger.
const WINDOW_MAX: u64 = 64 << 20;
/// By so much a window grows under a reader that waits: few round trips pass until the line is full.
const GROWTH: u64 = 4;
/// Requests of a handle that run ahead of it at a time: 32 MiB of full size fill 5 Gbit/s over 50 ms.
pub(super) const RUNNING_MAX: usize = 8;
/// The same on a slow line, where they would be in the way of whoever jumps elsewhere.
const RUNNING_MIN: usize = 2;
/// A request of which the first half takes longer shares the line with too many.
const SLOW: Duration = Duration::from_secs(1);
/// One that is quicker leaves room for more.
const QUICK: Duration = Duration::from_millis(250);
/// Bytes a request.
const RUN_MIN: u64 = 1 << 20;
const RUN_MAX: u64 = 4 << 20;
/// The kernel sends reads of one reader side by side: two of its reads may be missing before one that is there.
const GAP: u64 = 256 << 10;
/// Streams of a handle.
const STREAMS: usize = 4;
/// Guesses of a handle.
const GUESSES: usize = 8;

/// What of a read was in the cache.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Found {
    /// All.
    Here,
    /// All, or it was under way.
    Coming,
    /// Some of it had to be asked for.
    Absent,
}

/// The streams of one handle.
#[derive(Default, Debug)]
pub(super) struct Readahead {
    /// The most recently read one last.
    streams: Vec<Stream>,
    guesses: Vec<Range<u64>>,
    running: usize,
    /// Fewer may run than [`RUNNING_MAX`] by so many.
    spared: usize,
    queued: bool,
}

#[derive(Debug)]
struct Stream {
    /// What was read of late: the end is where the next read is expected.
    span: Range<u64>,
    window: u64,
    /// Up to where has been asked for.
    ahead: u64,
    /// Up to where is to be asked for.
    goal: u64,
    /// Whether the reader met the end of what was here since the goal was set.
    waited: bool,
    /// The file's.
    size: u64,
}

impl Readahead {
    /// How far to fetch for a read that nobody read ahead of.
    pub fn reach(&self, read: &Range<u64>, size: u64) -> Range<u64> {
        let first = read.start == 0 && self.streams.is_empty() && self.guesses.is_empty();
        read.start..if first { read.end.max(FIRST.min(size)) } else { read.end }
    }

    /// Takes note of a read. Says whether a stream began, and with it the file.
    pub fn observe(&mut self, read: &Range<u64>, size: u64, found: Found) -> bool {
        if let Some(i) = self.nearest(read) {
            let mut stream = self.streams.remove(i);
            stream.advance(read, size, found, self.running > 0);
            // Reads that overtook others.
            self.guesses.retain(|g| !stream.holds(g));
            self.streams.push(stream);
            return false;
        }
        let bulk = read.start == 0 && read.end >= BULK;
        let guess = self.guesses.iter().rposition(|g| touch(g, read));
        if guess.is_none() && bulk {
            self.begin(Stream::new(read.clone(), WINDOW_BULK, size));
            return true;
        }
        let Some(i) = guess else {
            // The reader is elsewhere now. A stream goes on as soon as it is read again.
            self.drop_unstarted();
            if self.guesses.len() == GUESSES {
                self.guesses.remove(0);
            }
            self.guesses.push(read.clone());
            return false;
        };
        let guess = self.guesses.remove(i);
        let span = guess.start.min(read.start)..guess.end.max(read.end);
        if span == guess {
            self.guesses.push(guess);
            return false;
        }
        let begins = span.start == 0;
        let window = if begins { WINDOW_START } else { WINDOW_MIN };
        self.begin(Stream::new(span, window, size));
        begins
    }

    fn begin(&mut self, stream: Stream) {
        self.guesses.retain(|g| !stream.holds(g));
        if self.streams.len() == STREAMS {
            self.streams.remove(0);
        }
        self.streams.push(stream);
    }

    /// The next request to run ahead of the reader, if one may start now. Each is to be followed by
    /// [`Readahead::ended`], or [`Readahead::half_came`].
    pub fn next(&mut self) -> Option<Range<u64>> {
        let width = self.width();
        if self.running >= width {
            return None;
        }
        let mut range = self.streams.iter_mut().rev().find_map(|s| s.take(width));
        if range.is_none()
            && let Some(reader) = self.streams.last_mut().filter(|s| s.waited && s.window < WINDOW_MAX)
        {
            // All is under way, the line has room, and yet somebody waits.
            reader.widen();
            range = reader.take(width);
        }
        self.running += usize::from(range.is_some());
        range
    }

    /// A request has ended, or turned out not to be needed.
    pub fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Half of a request has come, which took so long: as far as others are concerned, it has ended.
    pub fn half_came(&mut self, took: Duration) {
        self.ended();
        if took > SLOW {
            self.spared = RUNNING_MAX - (self.width() / 2).max(RUNNING_MIN);
        } else if took < QUICK {
            self.spared = self.spared.saturating_sub(1);
        }
    }

    /// Requests that may run at a time.
    fn width(&self) -> usize {
        RUNNING_MAX - self.spared
    }

    /// Takes a place among the readers that wait for others' requests to end. False: nothing is to be asked for, or it
    /// has one.
    pub fn queue(&mut self) -> bool {
        let wants = self.running < self.width() && self.streams.iter().any(|s| s.ahead < s.goal);
        wants && !std::mem::replace(&mut self.queued, true)
    }

    /// Its turn has come.
    pub fn dequeue(&mut self) {
        self.queued = false;
    }

    /// What has not been asked for is not wanted any more, until somebody reads on.
    pub fn drop_unstarted(&mut self) {
        for s in &mut self.streams {
            (s.goal, s.waited) = (s.ahead, false);
        }
    }

    /// The stream a read belongs to.
    fn nearest(&self, read: &Range<u64>) -> Option<usize> {
        let belongs = |(_, s): &(usize, &Stream)| s.holds(read);
        let far = |s: &Stream| s.span.end.abs_diff(read.start);
        self.streams.iter().enumerate().filter(belongs).min_by_key(|(_, s)| far(s)).map(|(i, _)| i)
    }
}

impl Stream {
    fn new(span: Range<u64>, window: u64, size: u64) -> Self {
        let (ahead, goal) = (span.end, span.end);
        let mut stream = Stream { span, window, ahead, goal, size, waited: false };
        stream.aim();
        stream
    }

    fn holds(&self, read: &Range<u64>) -> bool {
        read.end >= self.span.start && read.start <= self.ahead.saturating_add(GAP)
    }

    fn advance(&mut self, read: &Range<u64>, size: u64, found: Found, running: bool) {
        self.waited |= found != Found::Here;
        if found == Found::Absent && read.start < self.ahead {
            // What was fetched ahead failed, or is gone again: from here on anew.
            (self.span, self.ahead, self.goal) = (read.clone(), read.end, read.end);
        }
        let end = self.span.end.max(read.end);
        self.span = self.span.start.min(read.start).max(end.saturating_sub(WINDOW_MAX))..end;
        self.ahead = self.ahead.max(end);
        self.goal = self.goal.max(self.ahead);
        self.size = size;
        if self.goal < size && (self.goal - end) * 2 < self.window {
            // A reader that never waits has window enough.
            if self.waited || running { self.widen() } else { self.aim() }
        }
    }

    /// A larger window.
    fn widen(&mut self) {
        self.window = (self.window * GROWTH).min(WINDOW_MAX);
        self.aim();
    }

    fn aim(&mut self) {
        self.waited = false;
        let end = self.span.end.saturating_add(self.window) / RUN_MIN * RUN_MIN;
        self.goal = end.min(self.size).max(self.ahead);
    }

    /// The next request, where so many may run. All but the first and the last end at multiples of their size.
    fn take(&mut self, width: usize) -> Option<Range<u64>> {
        if self.ahead >= self.goal {
            return None;
        }
        let most = (RUN_MAX / RUNNING_MAX as u64 * width as u64).max(RUN_MIN);
        let run = (self.window / RUNNING_MAX as u64).clamp(RUN_MIN, most.next_power_of_two());
        let mut end = (self.ahead / run + 1) * run;
        if end - self.ahead < run / 2 {
            end += run;
        }
        let start = std::mem::replace(&mut self.ahead, end.min(self.goal));
        Some(start..self.ahead)
    }
}

fn touch(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start <= b.end && b.start <= a.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::ByteSet;
    use proptest::prelude::*;

    const READ: u64 = 128 << 10;
    const SIZE: u64 = 200 << 20;

    /// A reader whose requests are all sent, and none answered.
    struct Line {
        ahead: Readahead,
        size: u64,
        asked: ByteSet,
        /// Bytes asked for, double ones twice.
        sent: u64,
        requests: usize,
    }

    impl Line {
        fn new(size: u64) -> Self {
            Line { ahead: Readahead::default(), size, asked: ByteSet::new(), sent: 0, requests: 0 }
        }

        fn ask(&mut self, range: Range<u64>) {
            self.sent += range.end - range.start;
            self.requests += 1;
            self.asked.insert(range);
        }

        /// Says whether the read found what it wanted at least under way.
        fn read(&mut self, read: Range<u64>) -> bool {
            let reach = self.ahead.reach(&read, self.size);
            let known = self.asked.contains(read.clone());
            let missing: Vec<_> = self.asked.gaps(reach).collect();
            missing.into_iter().filter(|_| !known).for_each(|r| self.ask(r));
            let found = if known { Found::Coming } else { Found::Absent };
            self.ahead.observe(&read, self.size, found);
            while let Some(range) = self.ahead.next() {
                let new: Vec<_> = self.asked.gaps(range).collect();
                new.into_iter().for_each(|r| self.ask(r));
                self.ahead.ended();
            }
            known
        }
    }

    fn nth(n: u64) -> Range<u64> {
        n * READ..(n + 1) * READ
    }

    #[test]
    fn the_first_read_of_a_beginning_asks_for_a_little_and_the_second_starts_the_window() {
        let mut line = Line::new(SIZE);
        line.read(0..16 << 10);
        assert_eq!((line.sent, line.requests), (FIRST, 1));
        line.read(16 << 10..144 << 10);
        assert!(line.sent >= WINDOW_START, "{}", line.sent);
        // A full window is enough for 1 Gbit/s over 50 ms, and it is reached while little has been read.
        (1..64).for_each(|n| assert!(line.read(nth(n)), "{n}"));
        assert!(line.asked.end() - 64 * READ > 25 << 18, "{}", line.asked.end());
    }

    #[test]
    fn what_runs_is_bounded_and_goes_on_as_it_ends() {
        let mut ahead = Readahead::default();
        for n in 0..200 {
            ahead.observe(&nth(n), SIZE, Found::Coming);
            while ahead.next().is_some() {}
            assert!(ahead.running <= RUNNING_MAX);
        }
        assert_eq!((ahead.running, ahead.next()), (RUNNING_MAX, None));
        ahead.ended();
        assert!(ahead.next().is_some());
    }

    #[test]
    fn a_slow_line_is_not_filled_with_what_is_wanted_later() {
        let mut ahead = Readahead::default();
        let mut at = 0;
        // The most that is under way in the end, and how large the last of it is.
        let mut read_on = |took| {
            let (mut last, mut most) = (0, 0);
            for n in 0..4000 {
                ahead.observe(&nth(at), 1 << 40, Found::Coming);
                at += 1;
                while let Some(range) = ahead.next() {
                    last = range.end - range.start;
                }
                // As much comes as is read.
                if at * READ % last < READ {
                    ahead.half_came(took);
                }
                if n >= 2000 {
                    most = most.max(ahead.running);
                }
            }
            (most, last)
        };
        assert_eq!(read_on(Duration::from_millis(500)), (RUNNING_MAX, RUN_MAX));
        assert_eq!(read_on(Duration::from_secs(3)), (RUNNING_MIN, RUN_MIN));
        assert_eq!(read_on(Duration::from_millis(500)), (RUNNING_MIN, RUN_MIN), "what suits the line stays");
        assert_eq!(read_on(Duration::from_millis(100)), (RUNNING_MAX, RUN_MAX));
    }

    #[test]
    fn a_reader_that_never_waits_keeps_a_small_window() {
        let mut ahead = Readahead::default();
        let mut end = 0;
        for n in 0..400 {
            ahead.observe(&nth(n), SIZE, Found::Here);
            while let Some(range) = ahead.next() {
                end = range.end;
                ahead.ended();
            }
            assert!(end.saturating_sub(nth(n).end) <= WINDOW_BULK);
        }
    }

    #[test]
    fn who_goes_elsewhere_leaves_behind_what_has_not_started() {
        let mut ahead = Readahead::default();
        (0..8).for_each(|n| {
            ahead.observe(&nth(n), SIZE, Found::Coming);
        });
        assert!(ahead.next().is_some());
        ahead.observe(&nth(1000), SIZE, Found::Absent);
        assert_eq!(ahead.next(), None);
        // And back: it goes on.
        (8..64).for_each(|n| {
            ahead.observe(&nth(n), SIZE, Found::Here);
        });
        assert!(ahead.next().is_some());
    }

    #[test]
    fn what_was_fetched_and_is_gone_again_is_fetched_ahead_again() {
        let mut line = Line::new(SIZE);
        (0..400).for_each(|n| {
            line.read(nth(n));
        });
        line.asked = ByteSet::new();
        line.sent = 0;
        (200..204).for_each(|n| {
            line.read(nth(n));
        });
        assert!(line.asked.contains(nth(200).start..nth(240).end), "{:?}", line.asked);
    }

    proptest! {
        #[test]
        fn a_sequential_reader_waits_for_nothing_but_its_start(
            from in 0..20u64,
            order in prop::collection::vec(0..3usize, 100),
        ) {
            // Reads that are sent side by side come in any order.
            let mut reads: Vec<u64> = (from..from + 300).collect();
            for (some, by) in reads.chunks_mut(3).zip(&order) {
                some.rotate_left(*by);
            }
            let mut line = Line::new(SIZE);
            let mut found: Vec<bool> = Vec::new();
            for n in reads {
                found.push(line.read(nth(n)));
            }
            prop_assert!(found[8..].iter().all(|f| *f), "{:?}", found);
            prop_assert_eq!(line.sent, line.asked.len(), "something was asked for twice");
            prop_assert!(line.requests <= 48, "{} requests", line.requests);
        }

        #[test]
        fn streams_do_not_disturb_each_other_nor_do_jumps(
            starts in prop::collection::btree_set(0..12u64, 1..4),
            turns in prop::collection::vec((0..4usize, 0..1500u64), 400),
        ) {
            // Streams far from each other, and jumps behind all of them.
            let mut at: Vec<u64> = starts.iter().map(|s| s * 1000).collect();
            let mut line = Line::new(1 << 40);
            let mut begun = vec![false; at.len()];
            for (who, place) in turns {
                if who < at.len() {
                    let known = line.read(nth(at[who]));
                    prop_assert!(known || !begun[who], "stream {} waits at {}", who, at[who]);
                    begun[who] |= known;
                    at[who] += 1;
                } else {
                    let before = line.sent;
                    let there = (1 << 34) + (place << 24);
                    line.read(there..there + 4096);
                    prop_assert!(line.sent - before <= 4096, "a jump asks for itself alone");
                }
            }
            prop_assert!(line.ahead.streams.len() <= at.len(), "jumps begin no streams");
        }

        #[test]
        fn nothing_is_asked_for_beyond_the_window_or_the_end(
            reads in prop::collection::vec((0..SIZE, 1..READ), 1..100),
        ) {
            let mut ahead = Readahead::default();
            for (start, len) in reads {
                ahead.observe(&(start..(start + len).min(SIZE)), SIZE, Found::Absent);
                while let Some(range) = ahead.next() {
                    prop_assert!(range.start < range.end && range.end <= SIZE);
                    prop_assert!(range.end - range.start <= RUN_MAX + RUN_MAX / 2);
                    ahead.ended();
                }
                for s in &ahead.streams {
                    prop_assert!(s.ahead <= s.span.end + WINDOW_MAX);
                }
                prop_assert!(ahead.streams.len() <= STREAMS && ahead.guesses.len() <= GUESSES);
            }
        }
    }
}
