//! How long the kernel may keep what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Without invalidation: short enough for a person not to notice.
const SHORT: Duration = Duration::from_secs(1);
/// With invalidation: the bound on what a lost race between a reply and a notification costs.
const LONG: Duration = Duration::from_secs(60);
/// Names that are not there: programs look for the same absent names in bursts.
const NEGATIVE: Duration = Duration::from_secs(1);

/// Timeouts of entries and attributes of one mount.
#[derive(Debug)]
pub(super) struct Caching {
    /// Invalidations so far. An answer computed before one and sent after it must not be kept.
    epoch: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    live: bool,
    /// Invalidations were lost: what the kernel keeps may be wrong until then.
    short_until: Option<Instant>,
}

/// The moment a request began, as counted in invalidations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Began(u64);

impl Caching {
    /// Short timeouts until [`Caching::set_live`].
    pub(super) fn new() -> Self {
        Caching { epoch: AtomicU64::new(0), state: Mutex::new(State { live: false, short_until: None }) }
    }

    /// To be called before the filesystem is asked.
    pub(super) fn begin(&self) -> Began {
        Began(self.epoch.load(Ordering::SeqCst))
    }

    /// To be called before the notification is queued.
    pub(super) fn invalidated(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether remote changes reach the kernel by notification.
    pub(super) fn set_live(&self, live: bool) {
        self.state.lock().live = live;
    }

    /// A notification was lost. What was handed out with a long timeout lives on for that long, so the
    /// timeouts stay short until all of it has expired.
    pub(super) fn lost(&self) {
        self.state.lock().short_until = Some(Instant::now() + LONG);
    }

    /// For entries and attributes in an answer to a request that began then.
    pub(super) fn ttl(&self, began: Began) -> Duration {
        self.ttl_at(began, Instant::now())
    }

    /// For the absence of a name; `None`: not to be kept at all.
    pub(super) fn negative_ttl(&self, began: Began) -> Option<Duration> {
        (self.begin() == began).then_some(NEGATIVE)
    }

    fn ttl_at(&self, began: Began, now: Instant) -> Duration {
        if self.begin() != began {
            return Duration::ZERO;
        }
        let mut state = self.state.lock();
        if state.short_until.is_some_and(|until| now >= until) {
            state.short_until = None;
        }
        if state.live && state.short_until.is_none() { LONG } else { SHORT }
    }
}

/// How long one answer may be kept, judged when it is sent.
pub(super) struct Keep {
    caching: Arc<Caching>,
    began: Began,
}

impl Keep {
    /// To be taken before the filesystem is asked.
    pub(super) fn begin(caching: &Arc<Caching>) -> Self {
        Keep { began: caching.begin(), caching: Arc::clone(caching) }
    }

    pub(super) fn ttl(&self) -> Duration {
        self.caching.ttl(self.began)
    }

    pub(super) fn negative_ttl(&self) -> Option<Duration> {
        self.caching.negative_ttl(self.began)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_long_only_while_invalidation_works() {
        let caching = Caching::new();
        assert_eq!(caching.ttl(caching.begin()), SHORT);
        caching.set_live(true);
        assert_eq!(caching.ttl(caching.begin()), LONG);
        caching.set_live(false);
        assert_eq!(caching.ttl(caching.begin()), SHORT);
    }

    #[test]
    fn an_answer_overtaken_by_an_invalidation_is_not_kept() {
        let caching = Caching::new();
        caching.set_live(true);
        let began = caching.begin();
        caching.invalidated();
        assert_eq!(caching.ttl(began), Duration::ZERO);
        assert_eq!(caching.negative_ttl(began), None);
        assert_eq!(caching.ttl(caching.begin()), LONG);
        assert_eq!(caching.negative_ttl(caching.begin()), Some(NEGATIVE));
    }

    #[test]
    fn lost_invalidations_shorten_timeouts_until_the_long_ones_have_expired() {
        let caching = Caching::new();
        caching.set_live(true);
        caching.lost();
        let now = Instant::now();
        assert_eq!(caching.ttl_at(caching.begin(), now), SHORT);
        assert_eq!(caching.ttl_at(caching.begin(), now + LONG + SHORT), LONG);
    }
}
