//! The account's space and the plan's limits, for `statfs` and for refusing at `write()` what could never be
//! uploaded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Error, Fs, Result, StatFs};
use crate::remote::{Limits, Usage};
use crate::store::nodes::{self, News};

/// What is shown while nothing is known: large enough that nobody is stopped by it.
const UNKNOWN_TOTAL: u64 = 1 << 40;
/// What was refused is tried again after this long even if nothing was seen to change.
const TRY_ANYHOW: Duration = Duration::from_secs(3600);

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

impl Known {
    /// Takes in what the service said. What of it is news, to those that were refused something.
    fn learn(&mut self, usage: Option<Usage>, limits: Option<Limits>) -> Option<News> {
        let (before, plan_before) = (self.usage, self.limits);
        if let Some(u) = usage {
            *self = Known { usage: Some(u), since: 0, ..*self };
        }
        self.limits = limits.or(self.limits);
        if self.limits != plan_before {
            return Some(News::Plan);
        }
        (self.usage != before).then_some(News::Usage)
    }
}

/// Asks for usage and limits at the start, every ten minutes, and sooner while they are unknown.
pub(super) async fn run(fs: Arc<Fs>) {
    let (mut tried, mut announced) = (Instant::now(), false);
    loop {
        let usage = fs.health.note(fs.remote.usage().await);
        let limits = fs.health.note(fs.remote.limits().await);
        let complete = usage.is_ok() && limits.is_ok();
        let mut news = fs.quota.known.lock().learn(usage.ok(), limits.ok());
        if complete && (announced || tried.elapsed() >= TRY_ANYHOW) {
            news = Some(News::Plan);
            (tried, announced) = (Instant::now(), false);
        }
        // Space may have been freed, the plan changed: what was refused for want of it may go now.
        if let Some(news) = news
            && let Err(e) = fs.retry_after(news)
        {
            tracing::warn!(error = %e, "what was blocked could not be tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(if complete { 600 } else { 20 })) => {}
            () = fs.quota.again.notified() => announced = true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_news() {
        let usage = |used| Some(Usage { used, total: 100 });
        let limits = |max_file| Some(Limits { max_file });
        let mut known = Known::default();
        assert_eq!(known.learn(None, None), None);
        assert_eq!(known.learn(usage(5), limits(None)), Some(News::Plan), "a start may follow anything");
        known.since = 7;
        assert_eq!(known.learn(usage(5), limits(None)), None, "our own uploads are not news");
        assert_eq!(known.learn(usage(4), None), Some(News::Usage));
        assert_eq!(known.learn(None, limits(Some(9))), Some(News::Plan));
        assert_eq!(known.learn(None, None), None);
    }
}
