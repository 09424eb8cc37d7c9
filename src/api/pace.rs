//! Bounds on the bytes a second of all transfers together.

use std::num::NonZeroU64;
use std::sync::Arc;
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
    /// When what has passed is paid for; `None`: long ago.
    free: Mutex<Option<Instant>>,
    /// One waits for that, the others for their turn.
    turn: Gate,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { rate: watch::Sender::new(None), free: Mutex::default(), turn: Gate::new(1) }
    }
}

impl Pace {
    fn get(&self) -> Option<NonZeroU64> {
        *self.rate.borrow()
    }

    fn set(&self, rate: Option<NonZeroU64>) {
        // What was owed at the old rate would be paid at a wrong one.
        *self.free.lock() = None;
        self.rate.send_replace(rate);
    }

    /// How many bytes to take at a time: little enough that nobody waits long, and nothing comes in bursts.
    pub(super) fn grain(&self) -> u64 {
        self.get().map_or(u64::MAX, |rate| (rate.get() / 16).clamp(512, GRAIN))
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
            let free = *self.free.lock();
            match free.filter(|free| *free > Instant::now()) {
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
        let Some(rate) = self.get() else { return };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let now = Instant::now();
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let mut free = self.free.lock();
        // A bound that was just set has nothing left over from before.
        *free = Some(free.map_or(now, |free| free.max(earliest)) + cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bytes: u64) -> Option<NonZeroU64> {
        NonZeroU64::new(bytes)
    }

    /// Passes `total` bytes in grains and tells when each passed.
    async fn pass(pace: &Pace, total: u64, lane: Lane) -> Vec<(Duration, u64)> {
        let (start, mut left, mut passed) = (Instant::now(), total, Vec::new());
        while left > 0 {
            let bytes = pace.grain().min(left);
            pace.take(bytes, lane).await;
            passed.push((start.elapsed(), bytes));
            left -= bytes;
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_rate_and_never_in_bursts() {
        for bound in [8_000, 500_000, 2_000_000, 100_000_000] {
            let pace = Pace::default();
            pace.set(rate(bound));
            // An idle time before saves nothing up.
            pass(&pace, 1, Lane::Read).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            let passed = pass(&pace, bound * 10, Lane::Read).await;
            let took = passed.last().unwrap().0;
            assert!(took > Duration::from_millis(9_700) && took < Duration::from_millis(10_300), "{took:?}");
            for (i, (from, _)) in passed.iter().enumerate().step_by(7) {
                let within =
                    passed[i..].iter().take_while(|(at, _)| *at <= *from + Duration::from_millis(250));
                let bytes: u64 = within.map(|(_, bytes)| bytes).sum();
                assert!(bytes <= bound / 2, "{bytes} bytes of {bound} a second within a quarter of one");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_share_fairly_and_urgent_ones_go_before() {
        let pace = Arc::new(Pace::default());
        pace.set(rate(100_000));
        let start = Instant::now();
        let spawn = |bytes, lane| {
            let pace = pace.clone();
            tokio::spawn(async move {
                pass(&pace, bytes, lane).await;
                start.elapsed()
            })
        };
        let slow = [spawn(500_000, Lane::Send), spawn(500_000, Lane::Send)];
        let urgent = spawn(100_000, Lane::Read).await.unwrap();
        assert!(urgent < Duration::from_millis(1_400), "{urgent:?}");
        for transfer in slow {
            let took = transfer.await.unwrap();
            assert!(took > Duration::from_millis(10_400) && took < Duration::from_millis(11_200), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_bound_holds_at_once_also_for_who_waits() {
        let pace = Arc::new(Pace::default());
        pace.set(rate(8_000));
        let start = Instant::now();
        let transfer = {
            let pace = pace.clone();
            tokio::spawn(async move {
                // An hour's worth.
                pace.charge(8_000 * 3600);
                pace.take(1, Lane::Send).await;
                start.elapsed()
            })
        };
        tokio::time::sleep(Duration::from_secs(5)).await;
        pace.set(None);
        assert_eq!(transfer.await.unwrap(), Duration::from_secs(5));
        assert_eq!(pass(&pace, 1 << 40, Lane::Send).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_holds_nobody_up() {
        let pace = Pace::default();
        pace.set(rate(8_000));
        pace.charge(80_000);
        for _ in 0..3 {
            let waiting = pace.take(500, Lane::Read);
            assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
        }
        let start = Instant::now();
        pace.take(500, Lane::Background).await;
        assert!(start.elapsed() < Duration::from_millis(7_100));
    }
}
