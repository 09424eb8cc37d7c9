//! Following the feeds: probes, deltas, announcements.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::hydrate::hydrate;
use super::look::{Missing, look_at};
use super::walk::{Walk, is_plausible};
use super::{From, apply, settle_strays, watch};
use crate::fs::{Error, Fs, Result, now_ms};
use crate::remote::{Cursor, Event, Scope};
use crate::store::nodes;
use crate::types::{Kind, NodeId, Timestamp};

/// Deltas reach back this far: stamps are only roughly in the order of commits, and replicas lag.
const OVERLAP_MS: i64 = 120_000;
/// A delta is read after this long, whatever the probe says.
const UNCONDITIONAL: Duration = Duration::from_secs(300);
/// Now and then a delta reaches back far: what came late, or was left out once, is seen after all.
const STEP_BACK_EVERY: Duration = Duration::from_secs(3600);
const STEP_BACK_MS: i64 = 86_400_000;
/// A row that may be an echo of our own write is read again after this many units.
pub(super) const DOUBT: u32 = 75;
/// Between an announcement and the look.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two tries to hear announcements.
const RECONNECT_MIN: Duration = Duration::from_secs(5);
const RECONNECT_MAX: Duration = Duration::from_secs(600);
/// Units between tries to hydrate.
const RETRY: u32 = 5;

const KINDS: [Kind; 2] = [Kind::Folder, Kind::File];

/// What the last complete delta saw.
#[derive(Default)]
pub(in crate::fs) struct Seen {
    newest: [Option<(NodeId, Timestamp)>; 2],
    last_delta: Option<Instant>,
    last_step_back: Option<Instant>,
}

pub(super) fn key(what: &str, kind: Kind) -> String {
    format!("{what}.{}", if kind == Kind::File { "file" } else { "folder" })
}

pub(in crate::fs) async fn run(fs: Arc<Fs>) {
    while let Err(e) = hydrate(&fs).await {
        tracing::debug!(error = %e, "reading the tree was interrupted; will go on");
        fs.invalidate.set_live(false);
        tokio::time::sleep(fs.config.pace.saturating_mul(RETRY)).await;
    }
    loop {
        let looked = poll(&fs).await;
        // While the feeds cannot be followed, the kernel is to ask again soon.
        fs.invalidate.set_live(looked.is_ok());
        if let Err(e) = looked {
            tracing::debug!(error = %e, "looking for changes failed");
        }
        tokio::select! {
            () = tokio::time::sleep(fs.health.look_again(fs.pull.interval(&fs.config))) => {}
            () = fs.pull.wake.notified() => {}
        }
    }
}

/// Announcements shorten the wait for the next look; they are hints, and polling does without them.
pub(in crate::fs) async fn listen(fs: Arc<Fs>) {
    let (mut wait, mut starting) = (RECONNECT_MIN, true);
    loop {
        if let Ok(events) = fs.remote.events().await {
            // Its end is met twice where it comes right after an announcement.
            let mut events = events.fuse();
            wait = RECONNECT_MIN;
            fs.pull.told.store(true, Ordering::Release);
            while let Some(event) = events.next().await {
                heard(&fs, event, starting);
                // What was announced reaches the replicas a little later. One look does for all that comes till then.
                tokio::time::sleep(SETTLING).await;
                while let Some(Some(event)) = events.next().now_or_never() {
                    heard(&fs, event, starting);
                }
                fs.pull.wake();
            }
            // What changes from now on is found by looking, and as often as that needs.
            fs.pull.told.store(false, Ordering::Release);
            fs.pull.wake();
        }
        starting = false;
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT_MAX);
    }
}

fn heard(fs: &Fs, event: Event, starting: bool) {
    match event {
        Event::Plan => fs.quota.ask_again(),
        // What was announced meanwhile was announced to nobody.
        Event::Connected if !starting => fs.quota.look_again(),
        _ => {}
    }
}

/// Something is wrong with a feed.
pub(super) fn lying(fs: &Fs, why: &str) -> Error {
    let why = format!("the service's list of changes cannot be followed ({why}); looking again");
    let mut trouble = fs.pull.trouble.lock();
    if trouble.as_ref() != Some(&why) {
        tracing::warn!("{why}");
    }
    *trouble = Some(why.clone());
    Error::Io(why)
}

/// Moves the checkpoint, which only what the server said may move, and no stamp from the future.
pub(super) fn advance(
    tx: &crate::store::Tx,
    kind: Kind,
    newest: Option<Timestamp>,
) -> crate::store::Result<()> {
    let Some(newest) = newest.filter(|t| is_plausible(*t)).map(Timestamp::as_millis) else { return Ok(()) };
    if checkpoint(tx, kind)?.is_none_or(|c| newest > c) {
        nodes::set_meta(tx, &key("checkpoint", kind), &newest.to_string())?;
    }
    Ok(())
}

fn checkpoint(c: &crate::store::Conn, kind: Kind) -> crate::store::Result<Option<i64>> {
    Ok(nodes::meta(c, &key("checkpoint", kind))?.and_then(|s| s.parse().ok()))
}

/// The cheap look: one newest row of each feed. A delta only if it shows something new, or it has been long.
async fn poll(fs: &Arc<Fs>) -> Result<()> {
    doubts(fs).await?;
    watch::check(fs).await?;
    let mut seen = fs.pull.gate.lock().await;
    // What bears a stamp from the future stays the newest whatever happens.
    let passed_over = fs.pull.again.swap(false, Ordering::AcqRel);
    let probe_tells = !passed_over && seen.newest.iter().flatten().all(|(_, t)| is_plausible(*t));
    if probe_tells && seen.last_delta.is_some_and(|at| at.elapsed() < UNCONDITIONAL) {
        let (folders, files) = tokio::join!(fs.remote.newest(Kind::Folder), fs.remote.newest(Kind::File));
        let newest = [fs.health.note(folders)?, fs.health.note(files)?];
        if newest == seen.newest {
            fs.pull.last_sync.store(now_ms() / 1000, Ordering::Relaxed);
            return Ok(());
        }
    }
    let read = delta(fs, &mut seen).await;
    if read.is_err() && passed_over {
        fs.pull.again.store(true, Ordering::Release);
    }
    read
}

/// Reads what changed, now.
///
/// # Errors
/// Those of the network and the local state.
pub(in crate::fs) async fn refresh(fs: &Arc<Fs>) -> Result<()> {
    let mut seen = fs.pull.gate.lock().await;
    delta(fs, &mut seen).await
}

async fn delta(fs: &Arc<Fs>, seen: &mut Seen) -> Result<()> {
    if !fs.is_hydrated()? {
        // Rows of folders that were listed on demand are followed all the same.
        tracing::trace!("a delta before the tree is known");
    }
    let (started, at) = (now_ms(), Instant::now());
    let far = seen.last_step_back.get_or_insert(at).elapsed() >= STEP_BACK_EVERY;
    let reach = if far { STEP_BACK_MS } else { OVERLAP_MS };
    // One that cannot be read does not keep the other from being read.
    let (folders, files) = tokio::join!(delta_of(fs, Kind::Folder, reach), delta_of(fs, Kind::File, reach));
    let newest = [folders?, files?];
    settle_strays(fs)?;
    // Checkpoints advance when both feeds are complete.
    fs.db().write(|tx| {
        for (kind, newest) in KINDS.into_iter().zip(&newest) {
            advance(tx, kind, newest.plausible)?;
        }
        nodes::forget_echoes(tx, started - 24 * 3_600_000)
    })?;
    for (slot, new) in seen.newest.iter_mut().zip(newest) {
        *slot = new.row.or(slot.take());
    }
    seen.last_delta = Some(at);
    if far {
        seen.last_step_back = Some(at);
    }
    *fs.pull.trouble.lock() = None;
    fs.pull.last_sync.store(started / 1000, Ordering::Relaxed);
    Ok(())
}

/// The newest of a feed's rows.
#[derive(Default)]
struct Newest {
    row: Option<(NodeId, Timestamp)>,
    /// The newest stamp that can be true.
    plausible: Option<Timestamp>,
}

/// One feed from `reach` milliseconds before its checkpoint on.
async fn delta_of(fs: &Arc<Fs>, kind: Kind, reach: i64) -> Result<Newest> {
    let from = fs.db().read(|c| checkpoint(c, kind))?;
    let start = from.map(|c| Cursor::since(Timestamp::from_millis(c - reach))).unwrap_or_default();
    let (mut walk, mut newest) = (Walk::from(start), Newest::default());
    loop {
        let page = fs.health.note(fs.remote.changes(kind, Scope::All, walk.cursor()).await)?;
        for row in &page.rows {
            if newest.row.as_ref().is_none_or(|(_, t)| row.updated >= *t) {
                newest.row = Some((row.id.clone(), row.updated));
            }
            if is_plausible(row.updated) {
                newest.plausible = newest.plausible.max(Some(row.updated));
            }
        }
        let more = walk.follow(&page);
        apply(fs, page.rows, From::Feed)?;
        if !more.map_err(|why| lying(fs, why))? {
            return Ok(newest);
        }
    }
}

/// Rows that may have been echoes of our own writes are read again, long enough after those.
async fn doubts(fs: &Arc<Fs>) -> Result<()> {
    let now = Instant::now();
    let due: Vec<_> = {
        let doubted = fs.pull.doubted.lock();
        doubted.iter().filter(|(_, (_, at))| *at <= now).map(|(id, (kind, _))| (id.clone(), *kind)).collect()
    };
    for (id, kind) in due {
        // Taken out first: the look may put it in again.
        let doubted = fs.pull.doubted.lock().remove(&id);
        let looked = look_at(fs, kind, &id, From::Fresh, Missing::Gone).await;
        if let (Err(e), Some(doubted)) = (looked, doubted) {
            fs.pull.doubted.lock().insert(id, doubted);
            return Err(e);
        }
    }
    Ok(())
}

impl Fs {
    /// Whether the whole tree has been read.
    pub(in crate::fs) fn is_hydrated(&self) -> Result<bool> {
        Ok(self.db().read(|c| nodes::meta(c, "hydrated"))?.is_some())
    }
}
