//! Bounds on the bytes a second of all transfers together.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::lanes::{Gate, Lane};

/// What was not used lately may be used at once: as much as this time would have brought. Bridges the late wake-ups of
/// timers.
const SLACK: Duration = Duration::from_millis(100);
/// Bytes that pass at a time, at most.
const GRAIN: u64 = 64 << 10;

/// Bounds in bytes a second; `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Of what is sent.
    pub up: Option<NonZeroU64>,
    /// Of what is fetched.
    pub down: Option<NonZeroU64>,
}

impl Bandwidth {
    /// The lowest bound: below it a transfer would look as if it stood still.
    pub const LEAST: u64 = 8_000;
}

/// Bytes of contents that have passed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Sent, those of failed tries included.
    pub up: u64,
    /// Fetched.
    pub down: u64,
}

/// The bounds in force. Cheap to clone; clones are one. Counts the bytes of contents, not of requests.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Arc<Both>);

#[derive(Debug, Default)]
struct Both {
    up: Pace,
    down: Pace,
}

impl Throttle {
    /// With these bounds for now.
    #[must_use]
    pub fn new(bounds: Bandwidth) -> Self {
        let throttle = Throttle::default();
        throttle.set(bounds);
        throttle
    }

    /// The bounds.
    #[must_use]
    pub fn get(&self) -> Bandwidth {
        Bandwidth { up: self.0.up.get(), down: self.0.down.get() }
    }

    /// Sets both, also for transfers that run.
    pub fn set(&self, bounds: Bandwidth) {
        self.0.up.set(bounds.up);
        self.0.down.set(bounds.down);
    }

    /// What has passed so far.
    #[must_use]
    pub fn passed(&self) -> Traffic {
        let of = |pace: &Pace| pace.passed.load(Ordering::Relaxed);
        Traffic { up: of(&self.0.up), down: of(&self.0.down) }
    }

    pub(super) fn up(&self) -> &Pace {
        &self.0.up
    }

    pub(super) fn down(&self) -> &Pace {
        &self.0.down
    }
}

/// A bound in one direction.
#[derive(Debug)]
pub(super) struct Pace {
    rate: watch::Sender<Option<NonZeroU64>>,
    debt: Mutex<Debt>,
    passed: AtomicU64,
    /// One waits for that, the others for their turn.
    turn: Gate,
}

/// When what has passed will be paid for; `None`: nothing has passed yet.
#[derive(Clone, Copy, Debug, Default)]
struct Debt(Option<Instant>);

impl Debt {
    /// Until when the next bytes have to wait.
    fn until(self, now: Instant) -> Option<Instant> {
        self.0.filter(|free| *free > now)
    }

    fn add(&mut self, now: Instant, bytes: u64, rate: NonZeroU64) {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        // A bound that was just set has nothing left over from before.
        self.0 = Some(self.0.map_or(now, |free| free.max(earliest)) + cost);
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            rate: watch::Sender::new(None),
            debt: Mutex::default(),
            passed: AtomicU64::default(),
            turn: Gate::new(1),
        }
    }
}

impl Pace {
    fn get(&self) -> Option<NonZeroU64> {
        *self.rate.borrow()
    }

    fn set(&self, rate: Option<NonZeroU64>) {
        // What was owed at the old rate would be paid at a wrong one.
        *self.debt.lock() = Debt::default();
        self.rate.send_replace(rate);
    }

    /// So many have passed.
    pub(super) fn count(&self, bytes: u64) {
        self.passed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes to take at a time, if there is a bound: little enough that nobody waits long, and nothing comes in
    /// bursts.
    pub(super) fn grain(&self) -> Option<u64> {
        self.get().map(|rate| (rate.get() / 16).clamp(512, GRAIN))
    }

    /// Waits until `bytes` more may pass. Transfers take turns, the more urgent ones first.
    pub(super) async fn take(&self, bytes: u64, lane: Lane) {
        if self.get().is_none() {
            return;
        }
        let _turn = self.turn.enter(lane).await;
        let mut rate = self.rate.subscribe();
        loop {
            if rate.borrow_and_update().is_none() {
                return;
            }
            let debt = *self.debt.lock();
            match debt.until(Instant::now()) {
                None => return self.charge(bytes),
                Some(free) => tokio::select! {
                    () = sleep_until(free) => {}
                    _ = rate.changed() => {}
                },
            }
        }
    }

    /// So many bytes have passed without asking: who comes next waits the longer.
    pub(super) fn charge(&self, bytes: u64) {
        if let Some(rate) = self.get() {
            self.debt.lock().add(Instant::now(), bytes, rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn bytes_pass_at_the_rate_and_never_in_bursts() {
        let ms = Duration::from_millis;
        for bound in [8_000, 500_000, 2_000_000, 100_000_000] {
            let (rate, pace) = (NonZeroU64::new(bound).unwrap(), Pace::default());
            pace.set(Some(rate));
            let grain = pace.grain().unwrap();
            let (mut debt, mut now) = (Debt::default(), Instant::now());
            debt.add(now, 1, rate);
            // An idle time saves little up.
            now += Duration::from_secs(60);
            let (start, mut left, mut passed) = (now, bound * 10, Vec::new());
            while left > 0 {
                // A timer is late by a millisecond or two.
                now = debt.until(now).map_or(now, |at| at + ms(left % 3));
                let bytes = grain.min(left);
                debt.add(now, bytes, rate);
                passed.push((now, bytes));
                left -= bytes;
            }
            let took = now - start;
            assert!(took > ms(9_700) && took < ms(10_010), "{took:?}");
            for (i, (from, _)) in passed.iter().enumerate().step_by(7) {
                let within = passed[i..].iter().take_while(|(at, _)| *at <= *from + ms(250));
                let bytes: u64 = within.map(|(_, bytes)| bytes).sum();
                assert!(bytes <= bound / 2, "{bytes} bytes of {bound} a second within a quarter of one");
            }
        }
    }

    fn slow() -> Arc<Pace> {
        let pace = Arc::new(Pace::default());
        pace.set(NonZeroU64::new(8_000));
        // An hour's worth.
        pace.charge(8_000 * 3600);
        pace
    }

    #[tokio::test]
    async fn a_new_bound_holds_at_once_also_for_who_waits() {
        let pace = slow();
        let waiting = {
            let pace = pace.clone();
            tokio::spawn(async move { pace.take(1, Lane::Send).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        pace.set(NonZeroU64::new(9_000));
        waiting.await.unwrap();
        pace.set(None);
        assert_eq!(pace.grain(), None);
        assert!(pace.take(1 << 40, Lane::Background).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_up() {
        let pace = slow();
        for lane in [Lane::Read, Lane::Send, Lane::Read] {
            assert!(pace.take(1, lane).now_or_never().is_none());
        }
        assert_eq!(pace.turn.waiting(), 0);
        pace.set(NonZeroU64::new(9_000));
        assert!(pace.take(1, Lane::Background).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_more_urgent_pass_first() {
        let pace = slow();
        let order = Arc::new(Mutex::new(Vec::new()));
        let spawn = |lane| {
            let (pace, order) = (pace.clone(), order.clone());
            tokio::spawn(async move {
                pace.take(1, lane).await;
                order.lock().push(lane);
            })
        };
        let first = spawn(Lane::Background);
        tokio::task::yield_now().await;
        let mut rest = Vec::new();
        for (n, lane) in [Lane::Send, Lane::Background, Lane::Ahead, Lane::Read].into_iter().enumerate() {
            rest.push(spawn(lane));
            while pace.turn.waiting() <= n {
                tokio::task::yield_now().await;
            }
        }
        pace.set(NonZeroU64::new(1_000_000));
        for task in rest.into_iter().chain([first]) {
            task.await.unwrap();
        }
        let expected = [Lane::Background, Lane::Read, Lane::Ahead, Lane::Send, Lane::Background];
        assert_eq!(*order.lock(), expected);
    }
}
