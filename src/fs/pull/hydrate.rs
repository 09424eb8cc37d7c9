//! Reading the whole tree once.
//!
//! The feed of files is cut into stretches of about equal length, by the stamps of rows that lie that far apart, and
//! several are walked at one time, each a page ahead of its merging. What changes meanwhile gets a newer stamp: the
//! last stretch or the delta that follows finds it, wherever it was before. Where each walk stands is kept, so what
//! was interrupted goes on there.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinHandle;

use super::feed::{advance, key, lying, refresh};
use super::walk::{Walk, is_plausible};
use super::{From, apply};
use crate::fs::{Error, Fs, Result};
use crate::remote::{Cursor, Scope};
use crate::store::nodes;
use crate::types::{Kind, Row, Timestamp};

/// Rows of a page that the one before it has not shown, about; the shortest stretch.
const PAGE: u64 = 980;
/// Stretches of a long feed, at most.
const STRETCHES: u64 = 16;
/// Of them, walked at one time.
const AT_ONCE: usize = 4;
/// No feed is measured beyond this many rows.
const LONGEST: u64 = 1 << 24;
/// Numbers that are looked at in one transaction when all is known.
const WINDOW: u64 = 2000;

/// Part of a feed.
struct Stretch {
    kind: Kind,
    /// Where its progress is kept.
    key: String,
    walk: Walk,
    /// The stamp of the next stretch's first rows; `None`: it goes on to the end.
    until: Option<Timestamp>,
}

/// Reads the whole tree once. Goes on where it was interrupted.
pub(super) async fn hydrate(fs: &Arc<Fs>) -> Result<()> {
    if fs.is_hydrated()? {
        fs.pull.listings.all_known();
        return Ok(());
    }
    let (folders, files) = tokio::join!(read_kind(fs, Kind::Folder), read_kind(fs, Kind::File));
    folders?;
    files?;
    mark_all_listed(fs)?;
    fs.pull.listings.all_known();
    tracing::info!("the whole tree is known");
    // What changed while it was being read.
    refresh(fs).await
}

/// All children of all folders are known. The last transaction says so.
fn mark_all_listed(fs: &Fs) -> Result<()> {
    let mut from = 0;
    loop {
        let done = fs.db().write(|tx| {
            nodes::set_listed(tx, from, WINDOW)?;
            let done = nodes::highest(tx)? <= from + WINDOW;
            if done {
                nodes::set_meta(tx, "hydrated", "1")?;
            }
            Ok(done)
        })?;
        if done {
            return Ok(());
        }
        from += WINDOW;
    }
}

async fn read_kind(fs: &Arc<Fs>, kind: Kind) -> Result<()> {
    let cuts = cuts(fs, kind).await?;
    let mut todo = Vec::new();
    for (i, start) in std::iter::once(None).chain(cuts.iter().copied().map(Some)).enumerate() {
        let key = if i == 0 { key("hydrate", kind) } else { format!("{}.{i}", key("hydrate", kind)) };
        let saved = fs.db().read(|c| nodes::meta(c, &key))?;
        if saved.as_deref() == Some("done") {
            continue;
        }
        let start = start.map(before).unwrap_or_default();
        let walk = Walk::from(saved.and_then(|s| parse_cursor(&s)).unwrap_or(start));
        todo.push(Stretch { kind, key, walk, until: cuts.get(i).copied() });
    }
    let walks = todo.into_iter().map(|stretch| Ok(read_stretch(fs, stretch)));
    stream::iter(walks).try_for_each_concurrent(AT_ONCE, |walk| walk).await
}

/// Behind which rows of that stamp are yet to come.
fn before(stamp: Timestamp) -> Cursor {
    Cursor::since(Timestamp::from_millis(stamp.as_millis() - 1))
}

/// Where the feed is cut, in the order of stamps. Decided once.
async fn cuts(fs: &Arc<Fs>, kind: Kind) -> Result<Vec<Timestamp>> {
    let plan = key("cuts", kind);
    let (saved, begun) =
        fs.db().read(|c| Ok((nodes::meta(c, &plan)?, nodes::meta(c, &key("hydrate", kind))?.is_some())))?;
    if let Some(saved) = saved {
        return Ok(saved.split(' ').filter_map(|ms| ms.parse().ok()).map(Timestamp::from_millis).collect());
    }
    // Folders are few, and cost the service little.
    if kind == Kind::Folder || begun {
        return Ok(Vec::new());
    }
    let cuts = measure(fs, kind).await;
    let text: Vec<_> = cuts.iter().map(|t| t.as_millis().to_string()).collect();
    fs.db().write(|tx| nodes::set_meta(tx, &plan, &text.join(" ")))?;
    Ok(cuts)
}

/// Stamps that lie about equally far apart. None where the feed is short, or does not tell: then it is walked whole.
async fn measure(fs: &Arc<Fs>, kind: Kind) -> Vec<Timestamp> {
    let at = |skip: u64| async move { fs.remote.stamp_at(kind, skip).await.ok().flatten() };
    let mut length = 2 * PAGE;
    while length < LONGEST && at(length).await.is_some() {
        length *= 2;
    }
    if length == 2 * PAGE {
        return Vec::new();
    }
    let step = (length / STRETCHES).max(PAGE);
    let asked = (1..STRETCHES).map(|i| at(i * step));
    let told: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut cuts: Vec<_> = told.into_iter().flatten().filter(|t| is_plausible(*t)).collect();
    cuts.sort();
    cuts.dedup();
    cuts
}

async fn read_stretch(fs: &Arc<Fs>, mut stretch: Stretch) -> Result<()> {
    let mut merging: Option<JoinHandle<Result<()>>> = None;
    loop {
        let asked = {
            let _turn = fs.pull.listings.turn().await;
            fs.remote.changes(stretch.kind, Scope::Live, stretch.walk.cursor()).await
        };
        // The page before this one was merged meanwhile.
        merged(merging.take()).await?;
        let page = fs.health.note(asked)?;
        fs.invalidate.set_live(true);
        let more = stretch.walk.follow(&page);
        let mut rows = page.rows;
        // What bears the stamp of its end or a newer one, the next stretch reads.
        let passed = stretch.until.is_some_and(|until| rows.last().is_some_and(|r| r.updated >= until));
        rows.retain(|r| stretch.until.is_none_or(|until| r.updated <= until));
        let goes_on = matches!(more, Ok(true)) && !passed;
        let progress = match more {
            Ok(_) if goes_on => show_cursor(&stretch.walk.cursor()),
            Ok(_) => "done".to_owned(),
            Err(why) => {
                apply(fs, rows, From::Feed)?;
                return Err(lying(fs, why));
            }
        };
        merging = Some(merge(fs, stretch.kind, rows, stretch.key.clone(), progress));
        if !goes_on {
            return merged(merging).await;
        }
    }
}

/// Merges a page away from the tasks, and keeps how far that is.
fn merge(fs: &Arc<Fs>, kind: Kind, rows: Vec<Row>, key: String, progress: String) -> JoinHandle<Result<()>> {
    let held = Arc::clone(fs);
    let work = move || {
        let newest = rows.iter().map(|r| r.updated).max();
        apply(&held, rows, From::Feed)?;
        held.db().write(|tx| {
            advance(tx, kind, newest)?;
            nodes::set_meta(tx, &key, &progress)
        })?;
        Ok(())
    };
    fs.tasks.spawn_blocking_on(work, &fs.rt)
}

async fn merged(merging: Option<JoinHandle<Result<()>>>) -> Result<()> {
    match merging {
        Some(work) => work.await.map_err(|e| Error::Io(e.to_string()))?,
        None => Ok(()),
    }
}

fn show_cursor(c: &Cursor) -> String {
    format!("{} {}", c.after.map_or(String::from("-"), |t| t.as_millis().to_string()), c.skip)
}

fn parse_cursor(s: &str) -> Option<Cursor> {
    let (after, skip) = s.split_once(' ')?;
    Some(Cursor { after: after.parse().ok().map(Timestamp::from_millis), skip: skip.parse().ok()? })
}
