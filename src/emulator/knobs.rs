//! The weather: what can be turned while the emulator runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::faults::{Action, Fault, Rules};
use super::probes::{Call, Moment, Probe, Probes};

/// The knobs' positions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Added once to every request.
    pub latency: Duration,
    /// Bytes a second for bodies, all connections together, each direction for itself.
    pub bandwidth: Option<u64>,
    /// Requests a second that the gateway takes; what is beyond is refused with 429.
    pub rate: Option<u32>,
    /// How long rows and objects just written stay out of sight of reads from replicas.
    pub replica_lag: Duration,
    /// Added for each row of a listing.
    pub row_cost: Duration,
    /// Life of a login's token.
    pub token_life: Duration,
    /// Life of a refreshed token.
    pub refresh_life: Duration,
    /// Life of a presigned link.
    pub url_life: Duration,
    /// How long space of a file deleted through the drive stays counted. The service takes its
    /// time (minutes and more were seen); none here, so that a test need not ask for it.
    pub free_delay: Duration,
    /// Trouble from the start.
    pub faults: Vec<Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Settings {
            latency: Duration::ZERO,
            bandwidth: None,
            rate: None,
            replica_lag: Duration::ZERO,
            row_cost: Duration::ZERO,
            token_life: Duration::from_secs(3 * DAY),
            refresh_life: Duration::from_secs(7 * DAY),
            url_life: Duration::from_secs(3600),
            free_delay: Duration::ZERO,
            faults: Vec::new(),
        }
    }
}

/// The knobs themselves.
pub struct Knobs {
    set: RwLock<Settings>,
    rules: Mutex<Rules>,
    probes: Mutex<Probes>,
    met: AtomicU64,
    pub(super) up: Throttle,
    pub(super) down: Throttle,
    second: Mutex<Second>,
}

/// The requests of the current second.
struct Second {
    began: Instant,
    taken: u32,
}

macro_rules! knob {
    ($(#[$doc:meta])* $get:ident, $set:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $get(&self) -> Duration {
            self.set.read().$get
        }

        /// Turns the knob of the same name.
        pub fn $set(&self, to: Duration) {
            self.set.write().$get = to;
        }
    };
}

impl Knobs {
    /// In these positions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let knobs = Knobs {
            rules: Mutex::default(),
            probes: Mutex::default(),
            met: AtomicU64::new(0),
            up: Throttle::new(settings.bandwidth),
            down: Throttle::new(settings.bandwidth),
            second: Mutex::new(Second { began: Instant::now(), taken: 0 }),
            set: RwLock::new(Settings { faults: Vec::new(), ..settings }),
        };
        knobs.set_faults(settings.faults);
        knobs
    }

    knob!(
        /// Added once to every request.
        latency,
        set_latency
    );
    knob!(
        /// How long what was just written stays out of sight.
        replica_lag,
        set_replica_lag
    );
    knob!(
        /// Added for each row of a listing.
        row_cost,
        set_row_cost
    );
    knob!(
        /// Life of a login's token.
        token_life,
        set_token_life
    );
    knob!(
        /// Life of a refreshed token.
        refresh_life,
        set_refresh_life
    );
    knob!(
        /// Life of a presigned link.
        url_life,
        set_url_life
    );
    knob!(
        /// How long space deleted through the drive stays counted.
        free_delay,
        set_free_delay
    );

    /// Bytes a second, shared by all bodies of a direction; unlimited for `None`.
    pub fn set_bandwidth(&self, rate: Option<u64>) {
        self.set.write().bandwidth = rate;
        self.up.set_rate(rate);
        self.down.set_rate(rate);
    }

    /// Requests a second that the gateway takes; unlimited for `None`.
    pub fn set_rate(&self, rate: Option<u32>) {
        self.set.write().rate = rate;
    }

    /// Whether a request to the gateway is one too many.
    pub(super) fn is_beyond_rate(&self, now: Instant) -> bool {
        let Some(rate) = self.set.read().rate else { return false };
        let mut second = self.second.lock();
        if now.saturating_duration_since(second.began) >= Duration::from_secs(1) {
            *second = Second { began: now, taken: 0 };
        }
        second.taken = second.taken.saturating_add(1);
        second.taken > rate
    }

    /// These rules and no others, their counts at nought.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        let mut rules = Rules::default();
        faults.into_iter().for_each(|fault| rules.add(fault));
        *self.rules.lock() = rules;
    }

    /// One more rule, after the others.
    pub fn add_fault(&self, fault: Fault) {
        self.rules.lock().add(fault);
    }

    /// One more probe, which is called once.
    pub fn add_probe(&self, probe: Probe) {
        self.probes.lock().add(probe);
    }

    /// Forgets the probes that were not called.
    pub fn clear_probes(&self) {
        self.probes.lock().clear();
    }

    pub(super) fn probe_for(&self, method: &str, path: &str) -> Option<(Moment, Call)> {
        self.probes.lock().meet(method, path)
    }

    /// How many requests have met a rule, whichever rules there were.
    #[must_use]
    pub fn faults_met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    pub(super) fn fault_for(&self, method: &str, path: &str) -> Option<Action> {
        let action = self.rules.lock().meet(method, path);
        self.met.fetch_add(u64::from(action.is_some()), Ordering::Relaxed);
        action
    }
}

/// A line of limited width. Who takes bytes is told when they are through.
pub(super) struct Throttle {
    rate: AtomicU64,
    free_at: Mutex<Option<Instant>>,
}

/// A line that was idle may run ahead by this much; below timer resolution waiting is pointless.
const BURST: Duration = Duration::from_millis(5);

impl Throttle {
    fn new(rate: Option<u64>) -> Self {
        Throttle { rate: AtomicU64::new(rate.unwrap_or(0)), free_at: Mutex::new(None) }
    }

    fn set_rate(&self, rate: Option<u64>) {
        self.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
        *self.free_at.lock() = None;
    }

    /// The most that goes over the line in one piece: a millisecond's worth, as packets of all who share it go in
    /// turn. What waits for the first bytes of an answer must not wait for a long stretch of it.
    pub(super) fn piece(&self) -> usize {
        match self.rate.load(Ordering::Relaxed) {
            0 => usize::MAX,
            rate => usize::try_from(rate / 1000).unwrap_or(usize::MAX).max(1 << 10),
        }
    }

    /// Books the line for `bytes`; when they are through, if that is not at once.
    pub(super) fn take(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 || bytes == 0 {
            return None;
        }
        let nanos = u128::try_from(bytes).unwrap_or(0) * 1_000_000_000 / u128::from(rate);
        let need = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free_at = self.free_at.lock();
        let start = free_at.map_or(now, |at| at.max(now));
        let end = start + need;
        *free_at = Some(end);
        (end > now + BURST).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shared_by_all_who_take_from_it() {
        let line = Throttle::new(Some(1_000_000));
        let now = Instant::now();
        assert_eq!(line.take(1000, now), None, "one millisecond is within the burst");
        assert_eq!(line.take(100_000, now), Some(now + Duration::from_millis(101)));
        assert_eq!(line.take(100_000, now), Some(now + Duration::from_millis(201)));
        let later = now + Duration::from_secs(10);
        assert_eq!(
            line.take(1_000_000, later),
            Some(later + Duration::from_secs(1)),
            "idle time is not saved up"
        );
    }

    #[test]
    fn a_second_takes_as_many_requests_as_the_rate_says() {
        let knobs = Knobs::new(Settings { rate: Some(2), ..Settings::default() });
        let now = Instant::now();
        let beyond = |after: u64| knobs.is_beyond_rate(now + Duration::from_millis(after));
        assert_eq!([beyond(0), beyond(10), beyond(900)], [false, false, true]);
        assert_eq!([beyond(1100), beyond(1200), beyond(1300)], [false, false, true]);
        knobs.set_rate(None);
        assert!(!beyond(1400));
    }

    #[test]
    fn no_limit_is_no_wait() {
        assert_eq!(Throttle::new(None).take(usize::MAX, Instant::now()), None);
    }
}
