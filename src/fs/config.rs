//! How a mount behaves.

use std::time::Duration;

use super::cache::Gauge;
use super::temporary::is_temporary;
use crate::remote::{Budget, Throttle};
use crate::types::Kind;

/// What becomes of a modification time that a program sets on what the server has already. The service sets times only
/// together with content; that of a file whose content is still to be sent travels with it in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mtimes {
    /// It is shown here, for as long as that version is; nothing is sent.
    #[default]
    Local,
    /// Success, and the server's time stays.
    Ignore,
    /// Refused with [`Error::NotPermitted`](super::Error::NotPermitted).
    Strict,
}

/// How a mount behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Refuse every change with [`Error::ReadOnly`](super::Error::ReadOnly).
    pub read_only: bool,
    /// Quiet time after the last change before it is sent.
    pub writeback_delay: Duration,
    /// How long a file must stay empty before it is sent as an empty one.
    pub empty_delay: Duration,
    /// How long a file must rest that is called like something temporary (a lock, a partial download).
    pub temporary_delay: Duration,
    /// What becomes of times that programs set.
    pub mtimes: Mtimes,
    /// Time between looks at the change feeds.
    pub poll_interval: Duration,
    /// While the service announces changes, a look comes only after so many intervals.
    pub poll_while_told: u32,
    /// The unit of waits after a failure or an unclear answer: the first retry comes after one, a second look for
    /// what a lost answer may have done after two, and so on. The default suits the service; replicas lag by less.
    pub pace: Duration,
    /// Time between rounds of the syncer. An acknowledged close survives a loss of power after this, and what the disk
    /// takes for it.
    pub sync_every: Duration,
    /// Bytes the block cache may take; staged writes are not counted and never evicted. Less while the disk is fuller
    /// than nine tenths.
    pub cache_size: u64,
    /// How full the cache's disk is.
    pub disk: Gauge,
    /// Nodes pushed at the same time.
    pub uploads: usize,
    /// More deletes than this within [`Config::brake_window`] are held back, if they are also more than
    /// [`Config::brake_percent`] of the drive. 0: never.
    pub brake_count: u64,
    /// See [`Config::brake_count`]; of 100.
    pub brake_percent: u8,
    /// See [`Config::brake_count`].
    pub brake_window: Duration,
    /// Bounds on the bytes a second, shared with the remote.
    pub throttle: Throttle,
    /// Memory for what is on its way between the network and the disk, shared with the remote.
    pub memory: Budget,
    /// This machine's name, for conflict copies.
    pub host: String,
    /// Whose trash is in the root, by the number of the user.
    pub owner: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            read_only: false,
            writeback_delay: Duration::from_secs(5),
            empty_delay: Duration::from_secs(30),
            temporary_delay: Duration::from_secs(600),
            mtimes: Mtimes::default(),
            poll_interval: Duration::from_secs(30),
            poll_while_told: 10,
            pace: Duration::from_secs(1),
            sync_every: Duration::from_secs(3),
            cache_size: 10 << 30,
            disk: Gauge::default(),
            uploads: 12,
            brake_count: 2000,
            brake_percent: 20,
            brake_window: Duration::from_secs(600),
            throttle: Throttle::default(),
            memory: Budget::default(),
            host: "localhost".to_owned(),
            owner: rustix::process::geteuid().as_raw(),
        }
    }
}

impl Config {
    /// When a change made at `now` (milliseconds) is due.
    pub(super) fn due(&self, now: i64) -> i64 {
        now.saturating_add(millis(self.writeback_delay))
    }

    /// `n` units of waiting, in milliseconds.
    pub(super) fn paced(&self, n: i64) -> i64 {
        millis(self.pace).saturating_mul(n)
    }

    /// When something that has been called so since `now`, and empty or not, is due.
    pub(super) fn due_as(&self, kind: Kind, name: &str, empty: bool, now: i64) -> i64 {
        let mut delay = self.writeback_delay;
        if kind == Kind::File && empty {
            delay = delay.max(self.empty_delay);
        }
        if kind == Kind::File && is_temporary(name) {
            delay = delay.max(self.temporary_delay);
        }
        now.saturating_add(millis(delay))
    }

    /// The longest of those waits, in milliseconds.
    pub(super) fn longest_rest(&self) -> i64 {
        millis(self.writeback_delay.max(self.empty_delay).max(self.temporary_delay))
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
