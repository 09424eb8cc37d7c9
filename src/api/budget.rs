//! Memory that transfers share: bytes on their way between the network and the local disk.

use crate::types::Urgency;

use super::lanes::{Gate, Lane, Pass};

/// Bytes that all transfers of the process may hold at a time. Cheap to clone; clones are one budget.
///
/// An eighth is kept for what somebody waits for ([`Urgency::Now`]), and that never waits for anything but what holds
/// memory for that reason, too. So whoever holds some may wait for a read that takes some: it comes to pass. Memory is
/// taken before a turn at the object store, never while one is held: else holders of either could wait for each other.
#[derive(Clone, Debug)]
pub struct Budget(Gate);

/// Memory taken, given back when dropped.
#[derive(Debug)]
pub struct Held(Pass);

impl Budget {
    /// The least that is of use: a few transfers' worth.
    pub const LEAST: u64 = 16 << 20;
    /// The most that makes anything faster.
    pub const MOST: u64 = 4 << 30;

    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Budget(Gate::new(bytes))
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.width()
    }

    /// Waits for so many bytes; more than may be had at all counts as that.
    pub async fn take(&self, bytes: u64, urgency: Urgency) -> Held {
        Held(self.0.enter_with(Lane::from(urgency), bytes).await)
    }

    /// The same for what is sent.
    pub async fn take_to_send(&self, bytes: u64) -> Held {
        Held(self.0.enter_with(Lane::Send, bytes).await)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::new(64 << 20)
    }
}

impl Held {
    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: u64) {
        self.0.shrink(bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_reader_gets_memory_whatever_the_others_hold() {
        let budget = Budget::new(80);
        let mut sent = budget.take_to_send(1000).now_or_never().unwrap();
        assert!(budget.take_to_send(1).now_or_never().is_none());
        assert!(budget.take(1, Urgency::Soon).now_or_never().is_none());
        let read = budget.take(10, Urgency::Now).now_or_never().unwrap();
        assert!(budget.take(1, Urgency::Now).now_or_never().is_none());
        sent.shrink(60);
        drop(budget.take(10, Urgency::Now).now_or_never().unwrap());
        drop((read, sent));
        drop(budget.take(1000, Urgency::Now).now_or_never().unwrap());
    }
}
