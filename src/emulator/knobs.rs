//! Stub of the other half.
use std::time::Duration;

use parking_lot::Mutex;

/// Stub.
#[derive(Default)]
pub struct Knobs {
    lag: Mutex<Duration>,
}

impl Knobs {
    /// Stub.
    pub fn replica_lag(&self) -> Duration {
        *self.lag.lock()
    }
    /// Stub.
    pub fn set_replica_lag(&self, lag: Duration) {
        *self.lag.lock() = lag;
    }
    /// Stub.
    pub fn row_cost(&self) -> Duration {
        Duration::ZERO
    }
    /// Stub.
    pub fn token_life(&self) -> Duration {
        Duration::from_secs(3 * 86_400)
    }
    /// Stub.
    pub fn refresh_life(&self) -> Duration {
        Duration::from_secs(7 * 86_400)
    }
}
