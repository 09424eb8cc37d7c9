//! The pause that the whole client keeps when the service asks one request to slow down.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::super::lanes::{Gate, Lane, Pass};
use super::{Error, Result};

/// An instant before which nothing is sent.
#[derive(Debug, Default)]
pub(in crate::api) struct Pause(Mutex<Option<Instant>>);

impl Pause {
    /// Nobody sends for `after` from now; a longer pause already in force stays.
    pub(in crate::api) fn extend(&self, after: Duration) {
        let until = Instant::now() + after;
        let mut slot = self.0.lock();
        *slot = Some(slot.map_or(until, |present| present.max(until)));
    }

    /// A turn to send outside of any pause, also of one that began while others were served.
    pub(in crate::api) async fn admit(&self, gate: &Gate, lane: Lane, patience: Duration) -> Result<Pass> {
        loop {
            self.wait(patience).await?;
            let pass = gate.enter(lane).await;
            if self.0.lock().is_none_or(|until| until <= Instant::now()) {
                return Ok(pass);
            }
        }
    }

    /// Sits the pause out, or fails at once if it is longer than `patience`.
    async fn wait(&self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let Some(until) = *self.0.lock() else { return Ok(()) };
            let now = Instant::now();
            if until <= now {
                return Ok(());
            }
            if until - start > patience {
                return Err(Error::Busy { after: until - now });
            }
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_pause_never_cuts_a_long_one() {
        let pause = Pause::default();
        assert!(pause.wait(Duration::ZERO).await.is_ok());
        pause.extend(Duration::from_secs(600));
        pause.extend(Duration::from_millis(1));
        let Err(Error::Busy { after }) = pause.wait(Duration::from_secs(60)).await else {
            panic!("waited out ten minutes")
        };
        assert!(after > Duration::from_secs(590));
    }
}
