//! Progress that never goes back: what is sent again is not told again.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::api::Lane;

/// Of one upload, over all its attempts.
pub(super) struct Meter {
    size: u64,
    told: Mutex<u64>,
    tell: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Meter {
    pub(super) fn new(size: u64, tell: Arc<dyn Fn(u64) + Send + Sync>) -> Self {
        Meter { size, told: Mutex::new(0), tell }
    }

    fn reach(&self, sent: u64) {
        let more = {
            let mut told = self.told.lock();
            let more = sent.min(self.size).saturating_sub(*told);
            *told += more;
            more
        };
        if more > 0 {
            (self.tell)(more);
        }
    }
}

/// Of one attempt, over all its parts.
#[derive(Clone)]
pub(super) struct Attempt {
    meter: Arc<Meter>,
    sent: Arc<Mutex<u64>>,
    lane: Lane,
}

impl Attempt {
    pub(super) fn new(meter: &Arc<Meter>, lane: Lane) -> Self {
        Attempt { meter: meter.clone(), sent: Arc::default(), lane }
    }

    /// Who waits for it.
    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    pub(super) fn add(&self, bytes: u64) {
        let sent = {
            let mut sent = self.sent.lock();
            *sent += bytes;
            *sent
        };
        self.meter.reach(sent);
    }

    /// A part starts over.
    pub(super) fn take_back(&self, bytes: u64) {
        let mut sent = self.sent.lock();
        *sent = sent.saturating_sub(bytes);
    }
}
