//! The drive as the user sees it.
//!
//! Every operation is a method of [`Fs`] named after the request it serves. What local state can
//! answer is answered at once ([`Answer::Now`]); what may touch the network or block for long comes
//! as a future ([`Answer::Later`]), which the caller runs under a deadline.
//!
//! **Promise.** Once `flush`, `fsync` or `release` has answered, bytes, name and times survive the death of the
//! process; no failure of the network or the service ever deletes a staged byte.
//!
//! **Lock order.** An open file's state ([`files::File::state`]) before the database's writer, before the small
//! tables (open files, fetches, push), which are leaves: nothing is called with one of them held. Within a
//! transaction no file state is locked; what merges need of it are atomics. No lock is held across an await.

mod cache;
mod change;
mod clock;
mod config;
mod damage;
mod desk;
mod discard;
mod drain;
mod error;
mod export;
mod failed;
mod fetch;
mod files;
mod front;
mod health;
mod invalidate;
mod open;
mod ops;
mod pins;
mod pull;
mod push;
mod quota;
mod read;
mod readahead;
mod rename;
mod status;
mod sync;
mod temporary;
mod thumbs;
mod torn;
mod tree;
mod upkeep;
mod write;
mod xattr;

#[cfg(test)]
mod tests;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use cache::{Disk, Gauge};
pub use config::{Config, Mtimes};
pub use discard::Discarded;
pub use error::{Error, Result};
pub use export::{Export, Part};
pub use failed::FailedItem;
pub use ops::{Answer, Attr, DirEntry, Kernel, OpenFlags, Opened, SetAttr, StatFs};
pub use pins::Pin;
pub use status::{
    Bandwidth, Brake, Conflicts, ItemState, Pinned, QueueItem, SessionState, Status, Totals, Traffic,
};
pub use thumbs::Thumbnails;
pub use upkeep::Conflict;

use crate::remote::Remote;
use crate::remote::session::SessionHealth;
use crate::store::nodes::{self, Node};
use crate::store::{Blocks, Db, Store};
use crate::types::{Ino, Kind, Row, Status as RowStatus, Timestamp};

/// A mounted drive, without the kernel.
pub struct Fs {
    config: Config,
    store: Store,
    remote: Arc<dyn Remote>,
    rt: Handle,
    /// The node the kernel sees as its root.
    root: AtomicU64,
    files: Arc<files::Files>,
    desk: desk::Desk,
    fetcher: fetch::Fetcher,
    push: push::Push,
    pull: pull::Pull,
    sync: sync::Syncer,
    cache: cache::Keeper,
    pins: pins::Pins,
    health: health::Health,
    quota: quota::Quota,
    thumbs: thumbs::Thumbs,
    removed: tree::Removed,
    /// What a loss of power took, for the status.
    lost: parking_lot::Mutex<Vec<String>>,
    invalidate: invalidate::Invalidator,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Milliseconds since 1970 by the local clock.
fn now_ms() -> i64 {
    Timestamp::now().as_millis()
}

impl Fs {
    /// Opens the drive over its local state and starts the background tasks (push, pull, sync). Needs no
    /// network: what is not known locally is asked for when it is wanted.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn start(config: Config, store: Store, remote: Arc<dyn Remote>, rt: Handle) -> Result<Arc<Fs>> {
        plant_root(store.db(), &*remote)?;
        let fs = Arc::new(Fs {
            files: Arc::default(),
            desk: desk::Desk::default(),
            fetcher: fetch::Fetcher::default(),
            push: push::Push::new(config.uploads),
            pull: pull::Pull::default(),
            sync: sync::Syncer::default(),
            cache: cache::Keeper::default(),
            pins: pins::Pins::default(),
            health: health::Health::default(),
            quota: quota::Quota::default(),
            thumbs: thumbs::Thumbs::default(),
            removed: tree::Removed::default(),
            lost: parking_lot::Mutex::default(),
            invalidate: invalidate::Invalidator::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            root: AtomicU64::new(Ino::ROOT.0),
            config,
            store,
            remote,
            rt,
        });
        fs.recover()?;
        fs.set_desk()?;
        fs.spawn(sync::run(fs.clone()));
        fs.spawn(sync::tidy(fs.clone()));
        fs.spawn(pull::run(fs.clone()));
        fs.spawn(pull::listen(fs.clone()));
        fs.spawn(quota::run(fs.clone()));
        fs.spawn(health::heal(fs.clone()));
        fs.spawn(pins::run(fs.clone()));
        fs.spawn(clock::run(fs.clone()));
        thumbs::spawn(&fs);
        if !fs.config.read_only {
            fs.spawn(push::run(fs.clone()));
        }
        Ok(fs)
    }

    /// Shows the folder at `path` (`/a/b`) as the root. Before the mount, once.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::NotDir`]; those of the network where the folder is not known yet.
    pub async fn enter(self: &Arc<Self>, path: &str) -> Result<()> {
        let mut at = Ino::ROOT;
        for name in path.split('/').filter(|p| !p.is_empty()) {
            let attr = self.lookup(at, name.as_bytes()).get().await?;
            if attr.kind != Kind::Folder {
                return Err(Error::NotDir);
            }
            at = attr.ino;
        }
        self.root.store(at.0, Ordering::Release);
        self.set_desk()
    }

    /// Tells the kernel about remote changes from now on. Called once, after the mount stands.
    pub fn attach_kernel(&self, kernel: Arc<dyn Kernel>) {
        self.invalidate.attach(kernel);
    }

    /// Tells in the status, too, what the session knows of itself. Once.
    pub fn attach_session(&self, session: watch::Receiver<SessionHealth>) {
        self.health.attach(session);
    }

    /// Sets bounds on the bytes a second, 0 for none; what is left out stays. Tells what holds then.
    pub fn set_bandwidth(&self, up: Option<u64>, down: Option<u64>) -> Result<Bandwidth> {
        if up.into_iter().chain(down).any(|rate| rate > 0 && rate < Bandwidth::LEAST) {
            return Err(Error::Invalid("a bound is at least 8000 bytes a second, or off"));
        }
        let old = self.config.throttle.get();
        let choose = |new: Option<u64>, old| new.map_or(old, NonZeroU64::new);
        self.config.throttle.set(Bandwidth { up: choose(up, old.up), down: choose(down, old.down) });
        Ok(self.config.throttle.get())
    }

    fn db(&self) -> &Db {
        self.store.db()
    }

    fn blocks(&self) -> &Blocks {
        self.store.blocks()
    }

    /// The node behind a number the kernel uses.
    fn inward(&self, ino: Ino) -> Ino {
        if ino == Ino::ROOT { Ino(self.root.load(Ordering::Acquire)) } else { ino }
    }

    /// The number the kernel uses for a node.
    fn outward(&self, ino: Ino) -> Ino {
        if ino.0 == self.root.load(Ordering::Acquire) { Ino::ROOT } else { ino }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn_on(
            async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = task => {}
                }
            },
            &self.rt,
        );
    }

    /// Runs what blocks for long (disk syncs) away from the caller's thread.
    fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&Arc<Fs>) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        let fs = self.clone();
        let rt = self.rt.clone();
        Answer::later(async move {
            rt.spawn_blocking(move || f(&fs)).await.map_err(|e| Error::Io(e.to_string()))?
        })
    }

    fn check_writable(&self) -> Result<()> {
        if self.config.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn node(&self, ino: Ino) -> Result<Node> {
        self.db().glance(|c| nodes::get(c, ino))?.ok_or(Error::Stale)
    }

    /// After a start: nodes that only open handles kept are dropped, staged content that nothing names too.
    fn recover(&self) -> Result<()> {
        self.clamp_waits()?;
        self.db().write(|tx| {
            if self.store.rebooted() {
                self.blocks().doubt_kept(tx)?;
            }
            nodes::unpin_unwatched(tx)?;
            for node in nodes::doomed(tx)? {
                nodes::delete(tx, node.ino)?;
            }
            for id in nodes::stray_contents(tx)? {
                self.blocks().forget(tx, id)?;
            }
            Ok(())
        })?;
        self.recover_torn()
    }
}

/// The root's node, and that it is still the same account's.
fn plant_root(db: &Db, remote: &dyn Remote) -> Result<()> {
    let account = remote.account();
    db.write(|tx| {
        nodes::begin_count(tx)?;
        if nodes::get(tx, Ino::ROOT)?.is_some() {
            return Ok(());
        }
        let epoch = Timestamp::default();
        let row = Row {
            id: account.root.clone(),
            parent: None,
            kind: Kind::Folder,
            name: crate::names::RemoteName::whole(""),
            status: RowStatus::Exists,
            bucket: None,
            content: None,
            size: 0,
            readable: true,
            created: epoch,
            modified: epoch,
            updated: epoch,
        };
        let now = Timestamp::now();
        let root =
            Node { ino: Ino::ROOT, mtime: now, ..Node::from_row(row, None, String::new(), false, now) };
        nodes::insert(tx, &root)?;
        Ok(())
    })?;
    Ok(())
}
