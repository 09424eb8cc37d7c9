//! How long the kernel may keep what it was told.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::kernel::Notice;
use crate::fs::Fs;
use crate::types::Ino;

/// Without invalidation: short enough for a person not to notice.
const SHORT: Duration = Duration::from_secs(1);
/// With invalidation, of names that are not there, too: whatever appears, vanishes or changes is told. The kernel
/// keeps lookups and notifications of one folder apart by that folder's lock, and an answer that a notification
/// overtook here is not kept; so this only bounds what a lost notification costs, and those are noticed.
const LONG: Duration = Duration::from_secs(3600);

/// Timeouts of entries and attributes of one mount.
pub(super) struct Caching {
    /// Invalidations so far. An answer computed before one and sent after it must not be kept.
    epoch: AtomicU64,
    state: Mutex<State>,
    /// Called with what an answer may have brought back.
    overtaken: OnceLock<Box<dyn Fn(Notice) + Send + Sync>>,
}

impl fmt::Debug for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caching")
            .field("epoch", &self.epoch)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
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
        let state = Mutex::new(State { live: false, short_until: None });
        Caching { epoch: AtomicU64::new(0), state, overtaken: OnceLock::new() }
    }

    /// To be called before the filesystem is asked.
    pub(super) fn begin(&self) -> Began {
        Began(self.epoch.load(Ordering::SeqCst))
    }

    /// To be called before the notification is queued.
    pub(super) fn invalidated(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// What to do with what an answer may have brought back that had just been invalidated. Once.
    pub(super) fn when_overtaken(&self, tell: impl Fn(Notice) + Send + Sync + 'static) {
        let _ = self.overtaken.set(Box::new(tell));
    }

    /// Whether remote changes reach the kernel by notification: it is told of them, and we hear of them.
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
        Some(self.ttl(began)).filter(|ttl| !ttl.is_zero())
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

    /// For what is told of a file: not to be kept while its picture is on its way, since who asks then is to wait for that.
    pub(super) fn ttl_of(&self, fs: &Fs, file: Ino) -> Duration {
        if fs.awaits_picture(file) { Duration::ZERO } else { self.ttl() }
    }

    /// The same for one that is listed.
    pub(super) fn ttl_of_listed(&self, fs: &Fs, folder: Ino, name: &str) -> Duration {
        if fs.awaits_pictures(folder, name) { Duration::ZERO } else { self.ttl() }
    }

    pub(super) fn negative_ttl(&self) -> Option<Duration> {
        self.caching.negative_ttl(self.began)
    }

    /// To be called after the answer has been sent. If something was invalidated since the request began, the two may
    /// have crossed: what the answer was about is invalidated once more.
    pub(super) fn sent(&self, about: impl FnOnce() -> Notice) {
        if self.caching.begin() != self.began
            && let Some(tell) = self.caching.overtaken.get()
        {
            tell(about());
        }
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
        assert_eq!(caching.negative_ttl(caching.begin()), Some(LONG));
        caching.set_live(false);
        assert_eq!(caching.negative_ttl(caching.begin()), Some(SHORT));
    }

    #[test]
    fn what_an_overtaken_answer_was_about_is_told_once_more() {
        let caching = Arc::new(Caching::new());
        let told = Arc::new(Mutex::new(Vec::new()));
        let by_test = Arc::clone(&told);
        caching.when_overtaken(move |notice| by_test.lock().push(notice));
        let about = || Notice::Inode { ino: crate::types::Ino(7), data: true };
        let keep = Keep::begin(&caching);
        keep.sent(about);
        assert!(told.lock().is_empty());
        caching.invalidated();
        keep.sent(about);
        assert_eq!(*told.lock(), [about()]);
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
