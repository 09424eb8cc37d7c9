//! Pins: what the user wants to be here always, whatever else is used.
//!
//! A pin is a node's; what lies below a pinned folder is pinned by it for as long as it lies there. Which contents that
//! keeps from eviction is derived by a look at all of it, after each change of the tree that may matter: so a new version
//! or a new file is kept and fetched, and what was moved out is not any more. The fetching gives way to all other
//! transfers. What does not fit, or cannot be had, is told in the status.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Error, Fs, Pinned, Result};
use crate::block::BLOCK;
use crate::store::nodes::{self, PinnedFile};
use crate::store::{self, Content, ContentId};
use crate::types::{Ino, Urgency, Version};

/// Files fetched at a time.
const PARALLEL: usize = 4;
/// Fetched before the next look whether it is still wanted.
const STEP: u64 = 16 << 20;
/// Contents marked in one transaction.
const CHUNK: usize = 64;
/// The units until what was not to be had is tried again.
const AGAIN: i64 = 60;
/// The longest sleep; wakes are expected before.
const NAP: Duration = Duration::from_secs(24 * 3600);

const NO_ROOM: &str =
    "there is no room for all of it: raise --cache-size, free some disk, or unpin something";

/// A file or folder that is pinned itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its inode number.
    pub id: u64,
    /// Where it is, from the drive's root.
    pub path: String,
    /// Files that it pins.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of them, here.
    pub here: u64,
}

#[derive(Default)]
pub(super) struct Pins {
    wake: Notify,
    any: AtomicBool,
    told: Mutex<Pinned>,
    /// What the last fetching could not bring.
    failing: Mutex<Option<String>>,
    /// One look at a time.
    one: Mutex<()>,
}

impl Pins {
    /// What is pinned may have changed.
    pub fn wake(&self) {
        if self.any.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// As of the last look.
    pub fn told(&self) -> Pinned {
        self.told.lock().clone()
    }
}

/// What a look found.
#[derive(Default)]
struct Look {
    told: Pinned,
    /// Not (known to be) wholly here.
    lacking: Vec<Ino>,
    /// Not kept from eviction yet.
    unkept: Vec<Ino>,
    kept: HashSet<ContentId>,
}

impl Look {
    fn add(&mut self, file: &PinnedFile) {
        self.told.files += 1;
        self.told.bytes += file.size;
        self.told.here += here(file);
        if file.version.is_none() {
            return;
        }
        match file.content {
            Some((id, true, whole, _)) => {
                self.kept.insert(id);
                if !whole {
                    self.lacking.push(file.ino);
                }
            }
            _ => {
                self.unkept.push(file.ino);
                self.lacking.push(file.ino);
            }
        }
    }
}

/// Bytes of a file that are here, about.
fn here(file: &PinnedFile) -> u64 {
    match (&file.version, &file.content) {
        (None, _) | (_, Some((_, _, true, _))) => file.size,
        (_, Some((_, _, false, bytes))) => file.size.min(*bytes),
        (_, None) => 0,
    }
}

/// Of the cache, what pins may take: what is read besides needs some room.
fn share(bound: u64) -> u64 {
    bound - bound / 8
}

/// What became of a file to be fetched.
enum Brought {
    /// It is here, or not wanted any more.
    Done,
    NoRoom,
    /// There is no use in asking for others now.
    Away,
    Failed(Error),
}

impl Fs {
    /// Pins a file, or a folder with all that is and will be below it.
    ///
    /// # Errors
    /// [`Error::Stale`] if there is no such node; [`Error::Denied`] for one that is not the drive's own.
    pub fn pin(self: &Arc<Self>, ino: Ino) -> Result<Pin> {
        let ino = self.inward(ino);
        if ino == Ino::RECOVERY || !self.node(ino)?.linked {
            return Err(if ino == Ino::RECOVERY { Error::Denied } else { Error::Stale });
        }
        self.db().write(|tx| nodes::pin(tx, ino))?;
        self.pins.any.store(true, Ordering::Release);
        self.look_at_pins()?;
        self.pins.wake();
        self.described(ino)
    }

    /// Takes a pin away: `None` if it had one, else what pins it all the same, if something does.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn unpin(self: &Arc<Self>, ino: Ino) -> Result<Option<Option<String>>> {
        let ino = self.inward(ino);
        if self.db().write(|tx| nodes::unpin(tx, ino))? {
            self.look_at_pins()?;
            return Ok(None);
        }
        let above = self.db().read(|c| match nodes::pin_above(c, ino)? {
            Some(folder) => nodes::path_of(c, folder),
            None => Ok(None),
        })?;
        Ok(Some(above))
    }

    /// Up to `limit` pins whose id is above `after`.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn pins(&self, after: u64, limit: usize) -> Result<Vec<Pin>> {
        let pins = self.db().read(|c| nodes::pins(c, Ino(after), limit))?;
        pins.into_iter().map(|ino| self.described(ino)).collect()
    }

    fn described(&self, ino: Ino) -> Result<Pin> {
        let mut pin = Pin { id: ino.0, path: String::new(), files: 0, bytes: 0, here: 0 };
        self.db().read(|c| {
            pin.path = nodes::path_of(c, ino)?.unwrap_or_else(|| "(removed)".to_owned());
            nodes::below_pins(c, Some(ino), |file| {
                pin.files += 1;
                pin.bytes += file.size;
                pin.here += here(&file);
            })
        })?;
        Ok(pin)
    }

    /// Looks at all that is pinned, keeps its contents from eviction and no others.
    fn look_at_pins(self: &Arc<Self>) -> Result<Vec<Ino>> {
        let _one = self.pins.one.lock();
        let (mut look, before) = self.db().read(|c| {
            let mut look = Look::default();
            look.told.pins = nodes::pins(c, Ino(0), usize::MAX)?.len() as u64;
            nodes::below_pins(c, None, |file| look.add(&file))?;
            Ok((look, self.blocks().kept(c)?))
        })?;
        let gone: Vec<ContentId> = before.into_iter().filter(|id| !look.kept.contains(id)).collect();
        for some in look.unkept.chunks(CHUNK) {
            self.db().write(|tx| some.iter().try_for_each(|ino| self.keep_content(tx, *ino)))?;
        }
        for some in gone.chunks(CHUNK) {
            self.db().write(|tx| some.iter().try_for_each(|id| self.blocks().keep(tx, *id, false, false)))?;
        }
        self.pins.any.store(look.told.pins > 0, Ordering::Release);
        look.told.problem = if look.told.bytes > share(self.cache_bound()) {
            Some(NO_ROOM.to_owned())
        } else {
            self.pins.failing.lock().clone().filter(|_| !look.lacking.is_empty())
        };
        *self.pins.told.lock() = look.told;
        Ok(look.lacking)
    }

    fn keep_content(&self, tx: &store::Tx, ino: Ino) -> store::Result<()> {
        let Some(node) = nodes::get(tx, ino)?.filter(|n| !n.content_dirty()) else { return Ok(()) };
        let (Some(version), Some(row)) = (node.version(), &node.remote) else { return Ok(()) };
        let content = self.blocks().cached(tx, version, row.size)?;
        self.blocks().keep(tx, content.id(), true, false)
    }

    /// What of a file is to be fetched: its content, if that is kept.
    fn wanted(&self, ino: Ino) -> Result<Option<(Arc<Content>, Version)>> {
        let found = self.db().read(|c| {
            let Some(node) = nodes::get(c, ino)?.filter(|n| !n.content_dirty()) else { return Ok(None) };
            let Some(version) = node.version() else { return Ok(None) };
            let id = self.blocks().kept_as(c, version)?;
            Ok(id.map(|id| (id, version.clone())))
        })?;
        let Some((id, version)) = found else { return Ok(None) };
        match self.blocks().open(id) {
            Ok(content) => Ok(Some((content, version))),
            Err(store::Error::Gone(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// Keeps what is pinned here, and up to date.
pub(super) async fn run(fs: Arc<Fs>) {
    // Of an earlier mount, which may have died between the end of a pin and what follows from it.
    let any = fs.db().read(|c| Ok(nodes::any_pin(c)? || !fs.blocks().kept(c)?.is_empty()));
    match any {
        Ok(any) => fs.pins.any.store(any, Ordering::Release),
        Err(e) => tracing::error!(error = %e, "what is pinned cannot be read"),
    }
    loop {
        let pause = match round(&fs).await {
            Ok(true) => NAP,
            Ok(false) => Duration::from_millis(u64::try_from(fs.config.paced(AGAIN)).unwrap_or(u64::MAX)),
            Err(e) => {
                tracing::warn!(error = %e, "what is pinned could not be looked at; will be tried again");
                Duration::from_secs(60)
            }
        };
        tokio::select! {
            () = fs.pins.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // Changes come in bunches.
        tokio::time::sleep(fs.config.pace).await;
    }
}

/// One look, and what it finds lacking is fetched. Says whether nothing is lacking any more.
async fn round(fs: &Arc<Fs>) -> Result<bool> {
    if !fs.pins.any.load(Ordering::Acquire) {
        return Ok(true);
    }
    let lacking = look(fs).await?;
    if lacking.is_empty() {
        return Ok(true);
    }
    let taken = Arc::new(AtomicU64::new(fs.pins.told().here));
    let mut failing = None;
    let mut bringing = futures_util::stream::iter(lacking)
        .map(|ino| {
            let (fs, taken) = (fs.clone(), taken.clone());
            async move { bring(&fs, ino, &taken).await.unwrap_or_else(Brought::Failed) }
        })
        .buffer_unordered(PARALLEL);
    while let Some(brought) = bringing.next().await {
        match brought {
            Brought::Done => {}
            Brought::NoRoom => {
                failing.get_or_insert_with(|| NO_ROOM.to_owned());
            }
            Brought::Away => {
                failing = Some("the service cannot be reached; the rest is fetched when it can".to_owned());
                break;
            }
            Brought::Failed(e) => failing = Some(format!("some of it could not be fetched: {e}")),
        }
    }
    drop(bringing);
    *fs.pins.failing.lock() = failing.clone();
    look(fs).await?;
    Ok(failing.is_none())
}

async fn look(fs: &Arc<Fs>) -> Result<Vec<Ino>> {
    let looking = fs.clone();
    fs.rt.spawn_blocking(move || looking.look_at_pins()).await.map_err(|e| Error::Io(e.to_string()))?
}

/// Fetches what a file lacks. `taken`: bytes of the cache that pins have, or are about to have.
async fn bring(fs: &Arc<Fs>, ino: Ino, taken: &AtomicU64) -> Result<Brought> {
    let Some((content, version)) = fs.wanted(ino)? else { return Ok(Brought::Done) };
    let missing = missing(fs, &content).await?;
    let need: u64 = missing.iter().map(|r| r.end - r.start).sum();
    if taken.fetch_add(need, Ordering::AcqRel) + need > share(fs.cache_bound()) {
        taken.fetch_sub(need, Ordering::AcqRel);
        return Ok(Brought::NoRoom);
    }
    for range in missing {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at + STEP) / BLOCK * BLOCK);
            if fs.wanted(ino)?.is_none_or(|(_, now)| now != version) {
                return Ok(Brought::Done);
            }
            if !fs.make_room(end - at).await {
                return Ok(Brought::NoRoom);
            }
            match fs.fetch(&content, &version, at..end, Urgency::Someday).await {
                Ok(()) => at = end,
                Err(Error::Offline | Error::LoggedOut | Error::TimedOut) => return Ok(Brought::Away),
                Err(e) => return Err(e),
            }
        }
    }
    if !self::missing(fs, &content).await?.is_empty() {
        return Ok(Brought::NoRoom);
    }
    fs.db().write(|tx| {
        // It may have been unpinned meanwhile.
        match fs.blocks().kept_as(tx, &version)? {
            Some(id) => fs.blocks().keep(tx, id, true, true),
            None => Ok(()),
        }
    })?;
    Ok(Brought::Done)
}

/// Reads the heads of blocks of which nothing is known, so not on a thread that others need.
async fn missing(fs: &Arc<Fs>, content: &Arc<Content>) -> Result<Vec<std::ops::Range<u64>>> {
    let content = content.clone();
    let looking = fs.rt.spawn_blocking(move || content.missing(0..content.size()));
    Ok(looking.await.map_err(|e| Error::Io(e.to_string()))??)
}
