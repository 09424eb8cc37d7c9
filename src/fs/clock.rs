//! The local clock may be set while we run, by days. What is put off until a time of day is moved along, so that
//! nothing waits for days or counts as long past.
//!
//! The times of files are what the clock said, and stay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fs, Result, now_ms};
use crate::store::nodes;

/// Between two looks at the clock: what was put off is late by this at most, and an idle mount sleeps.
const EVERY: Duration = Duration::from_secs(30);
/// Smaller steps are drift, or a late look.
const STEP_MS: i64 = 2_000;
/// Nothing is ever put off for longer than the longest wait there is, and this (milliseconds).
const MARGIN_MS: i64 = 60_000;

/// One reading of both clocks.
#[derive(Clone, Copy)]
struct Reading {
    wall: i64,
    steady: Instant,
}

impl Reading {
    fn now() -> Self {
        Reading { wall: now_ms(), steady: Instant::now() }
    }

    /// By how many milliseconds the clock was set between this reading and a `later` one.
    fn jump(self, later: Reading) -> Option<i64> {
        let steady = later.steady.saturating_duration_since(self.steady).as_millis();
        let steady = i64::try_from(steady).unwrap_or(i64::MAX);
        let by = later.wall.saturating_sub(self.wall).saturating_sub(steady);
        (by.abs() > STEP_MS).then_some(by)
    }
}

/// Watches the clock.
pub(super) async fn run(fs: Arc<Fs>) {
    let mut last = Reading::now();
    loop {
        tokio::time::sleep(EVERY).await;
        let now = Reading::now();
        if let Some(by) = last.jump(now)
            && let Err(e) = fs.clock_was_set(by)
        {
            tracing::error!(error = %e, "what is put off could not be moved along with the clock");
        }
        last = now;
        // Others may have filled the disk.
        fs.has_room(0);
    }
}

impl Fs {
    /// The clock was set by `by` milliseconds. (So it seems after a suspend, too: waits that ended meanwhile have
    /// ended.)
    fn clock_was_set(self: &Arc<Self>, by: i64) -> Result<()> {
        tracing::warn!(seconds = by / 1000, "the local clock was set");
        self.db().write(|tx| nodes::rebase(tx, by, by < 0))?;
        self.push.wake();
        self.pull.wake();
        Ok(())
    }

    /// At a start: the clock may have been set since the last one.
    pub(super) fn clamp_waits(&self) -> Result<()> {
        let now = now_ms();
        let longest = self.config.longest_rest().max(self.config.paced(300)).max(600_000);
        self.db().write(|tx| nodes::clamp_due(tx, now.saturating_add(longest).saturating_add(MARGIN_MS)))?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::seal::Key;
    use crate::fs::{Config, OpenFlags};
    use crate::remote::memory::Memory;
    use crate::store::Store;
    use crate::types::Ino;

    const DAY: i64 = 86_400_000;

    #[test]
    fn steps_of_the_clock_are_told_from_time_that_passes() {
        let start = Reading { wall: 1_000_000, steady: Instant::now() };
        let after = |wall: i64, secs| Reading { wall, steady: start.steady + Duration::from_secs(secs) };
        assert_eq!(start.jump(after(1_060_500, 60)), None);
        assert_eq!(start.jump(after(1_060_000 + DAY, 60)), Some(DAY));
        assert_eq!(start.jump(after(1_060_000 - DAY, 60)), Some(-DAY));
    }

    fn started(dir: &std::path::Path, key: &Key, cloud: &Memory) -> (Arc<Fs>, tokio::runtime::Runtime) {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let remote = cloud.client("here");
        let store = Store::open(dir, &cloud.account().id, key).unwrap().store;
        // One that refuses nothing but is never in a hurry: only the clock makes anything due.
        let config = Config { writeback_delay: Duration::from_secs(3600), ..Config::default() };
        (Fs::start(config, store, remote, rt.handle().clone()).unwrap(), rt)
    }

    fn write(fs: &Arc<Fs>, rt: &tokio::runtime::Runtime) -> Ino {
        let flags = OpenFlags { write: true, truncate: true, ..OpenFlags::default() };
        rt.block_on(async {
            let (attr, opened) = fs.create(Ino::ROOT, b"f", flags).get().await.unwrap();
            fs.write(opened.fh, 0, b"bytes").get().await.unwrap();
            fs.flush(opened.fh).get().await.unwrap();
            fs.release(opened.fh);
            attr.ino
        })
    }

    fn due(fs: &Fs, ino: Ino) -> i64 {
        fs.db().read(|c| nodes::get(c, ino)).unwrap().unwrap().due
    }

    #[test]
    fn nothing_waits_for_days_after_the_clock_was_set_back() {
        let (dir, key, cloud) = (tempfile::tempdir().unwrap(), Key::random().unwrap(), Memory::new());
        let (fs, rt) = started(dir.path(), &key, &cloud);
        let ino = write(&fs, &rt);
        // Written when the clock was a day ahead.
        let before = due(&fs, ino);
        fs.db().write(|tx| nodes::defer(tx, ino, before + DAY)).unwrap();
        fs.clock_was_set(-DAY).unwrap();
        assert_eq!(due(&fs, ino), before);
        // Forwards, what is put off is due the sooner.
        fs.clock_was_set(DAY).unwrap();
        assert_eq!(due(&fs, ino), before);
        rt.block_on(fs.stop());
    }

    #[test]
    fn nothing_waits_for_days_after_a_start_with_the_clock_set_back() {
        let (dir, key, cloud) = (tempfile::tempdir().unwrap(), Key::random().unwrap(), Memory::new());
        let (fs, rt) = started(dir.path(), &key, &cloud);
        let ino = write(&fs, &rt);
        fs.db().write(|tx| nodes::defer(tx, ino, now_ms() + 30 * DAY)).unwrap();
        rt.block_on(fs.stop());
        drop((fs, rt));
        let (fs, rt) = started(dir.path(), &key, &cloud);
        assert!(due(&fs, ino) < now_ms() + 2 * 3_600_000);
        rt.block_on(fs.stop());
    }

    #[test]
    fn what_we_wrote_just_now_stays_just_written_when_the_clock_is_set() {
        let (dir, key, cloud) = (tempfile::tempdir().unwrap(), Key::random().unwrap(), Memory::new());
        let (fs, rt) = started(dir.path(), &key, &cloud);
        let ino = write(&fs, &rt);
        let at = now_ms();
        fs.db().write(|tx| nodes::note_echo(tx, ino, "an object", at)).unwrap();
        let echoed = |since| fs.db().read(|c| nodes::echoed(c, ino, "an object", since)).unwrap();
        fs.clock_was_set(3 * DAY).unwrap();
        assert!(echoed(at + 3 * DAY) && !echoed(at + 3 * DAY + 1));
        fs.clock_was_set(-5 * DAY).unwrap();
        assert!(echoed(at - 2 * DAY) && !echoed(at - 2 * DAY + 1));
        rt.block_on(fs.stop());
    }
}
