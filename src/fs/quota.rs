//! The account's space and the plan's limits, for `statfs` and for refusing at `write()` what could never be
//! uploaded.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Error, Fs, Result, StatFs};
use crate::remote::{Limits, Usage};
use crate::store::nodes;

/// What is shown while nothing is known: large enough that nobody is stopped by it.
const UNKNOWN_TOTAL: u64 = 1 << 40;

#[derive(Default)]
pub(super) struct Quota {
    known: Mutex<Known>,
    again: Notify,
}

#[derive(Clone, Copy, Default)]
struct Known {
    usage: Option<Usage>,
    limits: Option<Limits>,
    /// Uploaded since `usage` was asked; the service's own figure lags.
    since: u64,
}

impl Quota {
    pub fn usage(&self) -> Option<Usage> {
        let k = *self.known.lock();
        k.usage.map(|u| Usage { used: u.used.saturating_add(k.since), total: u.total })
    }

    /// The plan may have changed.
    pub fn ask_again(&self) {
        self.again.notify_one();
    }

    /// An upload was confirmed.
    pub fn add(&self, bytes: u64) {
        let mut k = self.known.lock();
        k.since = k.since.saturating_add(bytes);
    }

    /// The plan's largest file, if known.
    pub fn max_file(&self) -> Option<u64> {
        self.known.lock().limits.and_then(|l| l.max_file)
    }

    /// Whether a file may grow to `size` while `staged` bytes wait for their upload.
    pub fn check(&self, size: u64, staged: u64) -> Result<()> {
        let k = *self.known.lock();
        if k.limits.and_then(|l| l.max_file).is_some_and(|max| size > max) {
            return Err(Error::TooLarge);
        }
        if self.usage().is_some_and(|u| u.used.saturating_add(staged) > u.total) {
            return Err(Error::NoSpace("the account's storage is full"));
        }
        Ok(())
    }
}

/// Asks for usage and limits at the start, every ten minutes, and sooner while they are unknown.
pub(super) async fn run(fs: Arc<Fs>) {
    loop {
        let usage = fs.health.note(fs.remote.usage().await);
        let limits = fs.health.note(fs.remote.limits().await);
        let complete = usage.is_ok() && limits.is_ok();
        {
            let mut k = fs.quota.known.lock();
            if let Ok(u) = usage {
                *k = Known { usage: Some(u), since: 0, ..*k };
            }
            k.limits = limits.ok().or(k.limits);
        }
        // Space may have been freed, the plan changed: what was refused for want of it may go now.
        if complete && let Err(e) = fs.retry_blocked() {
            tracing::warn!(error = %e, "what was blocked could not be tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(if complete { 600 } else { 20 })) => {}
            () = fs.quota.again.notified() => {}
        }
    }
}

impl Fs {
    /// The quota, and what is left of it after usage and what is staged.
    pub fn statfs(self: &Arc<Self>) -> StatFs {
        let files = self.db().read(nodes::highest).unwrap_or(0);
        let staged = self.blocks().usage().staged;
        match self.quota.usage() {
            Some(u) => {
                StatFs { total: u.total, free: u.total.saturating_sub(u.used).saturating_sub(staged), files }
            }
            None => StatFs { total: UNKNOWN_TOTAL, free: UNKNOWN_TOTAL, files },
        }
    }
}
