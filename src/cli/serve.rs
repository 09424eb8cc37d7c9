//! The life of a mount's process: build from the ground up, wait for a reason to end, take down from the top.
//!
//! Taking down: first the kernel lets go (so that no new change comes in), then what is left is sent, for a while; then
//! `fs` makes everything durable and closes the store, last the control socket hangs up, which is what `inxtfs umount`
//! waits for. A second signal skips to the closing: all of it is kept for the next mount.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::context::Context;
use super::exit::Exit;
use super::{brake, flush, inhibit, notices, systemd, term};
use crate::control::server::{Served, Server, Stuck};
use crate::control::wire::{self, Identity};
use crate::crypto::seal::Key;
use crate::fs::{self, Config, Fs, Status};
use crate::fuse::{self, MountError, MountOptions, Mounted};
use crate::remote::Remote;
use crate::remote::session::SessionHealth;
use crate::store::{Notice, Store};

/// How long a lazy unmount may take to become a real one.
const LETTING_GO: Duration = Duration::from_secs(5);
/// `inxtfs umount` waits for the end of the process, but not for ever.
const UMOUNT_FLUSH: Duration = Duration::from_secs(30);

/// Everything a mount is made of.
pub struct Plan {
    /// Canonical.
    pub mountpoint: PathBuf,
    /// For the kernel.
    pub options: MountOptions,
    /// Tell a person on the desktop what needs one.
    pub notify: bool,
    /// For the filesystem.
    pub config: Config,
    /// How long the end of the mount may take to send what is left.
    pub flush: Duration,
    /// Show this folder of the drive (`/a/b`) instead of its root.
    pub folder: Option<String>,
    /// The directory of the local state.
    pub cache: PathBuf,
    /// The account's uuid.
    pub account: String,
    /// The account's email.
    pub email: String,
    /// Opens the local state.
    pub seed: Zeroizing<[u8; 64]>,
    /// The cloud.
    pub remote: Arc<dyn Remote>,
    /// How its session fares.
    pub session: watch::Receiver<SessionHealth>,
}

/// A mount that answers.
pub struct Ready {
    /// Whose drive.
    pub email: String,
    /// Where.
    pub mountpoint: PathBuf,
}

/// Mounts, announces, and returns when the mount is gone and local state is closed; the status is the last one.
pub fn serve(
    rt: Runtime,
    plan: &Plan,
    ctx: &Context,
    announce: &mut dyn FnMut(&Ready),
) -> anyhow::Result<Status> {
    let last = run(&rt, plan, ctx, announce);
    // Tasks that wait for the network have nothing left to lose.
    rt.shutdown_timeout(Duration::from_secs(5));
    last
}

/// The runtime of a mount.
pub fn runtime() -> anyhow::Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8));
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

fn run(rt: &Runtime, plan: &Plan, ctx: &Context, announce: &mut dyn FnMut(&Ready)) -> anyhow::Result<Status> {
    let opened = Store::open(&plan.cache, &plan.account, &Key::from_seed(&plan.seed))
        .with_context(|| format!("the cache {} cannot be used", plan.cache.display()))?;
    for Notice::Quarantined { path, reason } in &opened.notices {
        let path = path.display();
        eprintln!("inxtfs: local state was unreadable ({reason}); it is kept, whole, in {path}");
    }
    let fs = Fs::start(plan.config.clone(), opened.store, Arc::clone(&plan.remote), rt.handle().clone())?;
    fs.attach_session(plan.session.clone());
    let outcome = rt.block_on(async {
        if let Some(folder) = &plan.folder {
            fs.enter(folder).await.map_err(|e| not_shown(folder, e))?;
        }
        // Before the mount: a signal must never find one that nobody takes down.
        let signals = Signals::listen()?;
        let standing = Standing::start(plan, &fs, ctx).await?;
        standing.live(plan, &fs, ctx, signals, announce).await
    });
    let status = fs.status();
    rt.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            () = fs.stop() => {}
            () = signals.next() => eprintln!("inxtfs: ended in haste; the queue is kept"),
        }
        anyhow::Ok(())
    })?;
    outcome?;
    Ok(status)
}

/// Why `--folder` cannot be shown.
fn not_shown(folder: &str, e: fs::Error) -> anyhow::Error {
    match e {
        fs::Error::NotFound => Exit::Usage.because(format!("the drive has no folder {folder}")),
        fs::Error::NotDir => {
            Exit::Usage.because(format!("{folder} is a file; --folder takes a folder of the drive"))
        }
        e => anyhow::Error::from(e).context(format!("showing the folder {folder}")),
    }
}

/// Says what is left, and gives the matching code.
pub fn farewell(status: &Status, cache: &Path, ctx: &Context) -> Exit {
    let left = status.totals;
    if left.items == 0 {
        ctx.say("Unmounted. Everything is on the server.");
        return Exit::Ok;
    }
    let (changes, bytes) = (term::changes(left.items), term::bytes(left.bytes));
    let (why, cache) = (flush::why(status), cache.display());
    eprintln!("Unmounted. {changes} ({bytes}) kept in {cache}, to be sent with the next mount{why}.");
    if let Some(words) = brake::words(status, None) {
        eprintln!("{words}");
    }
    match flush::rest(status) {
        Exit::Blocked => Exit::Blocked,
        _ => Exit::Unsent,
    }
}

/// The two orders to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Signals { terminate, interrupt })
    }

    /// Ends with the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A mount that stands.
struct Standing {
    mounted: Arc<Mounted>,
    /// How long whoever unmounts wants to wait for what is left.
    patience: Arc<Mutex<Duration>>,
    _server: Server,
}

impl Standing {
    async fn start(plan: &Plan, fs: &Arc<Fs>, ctx: &Context) -> anyhow::Result<Self> {
        let (fs_of_kernel, at, options) = (Arc::clone(fs), plan.mountpoint.clone(), plan.options.clone());
        let rt = Handle::current();
        let mounting = move || fuse::mount(fs_of_kernel, rt, &at, &options);
        let mounted = Arc::new(tokio::task::spawn_blocking(mounting).await??);
        let patience = Arc::new(Mutex::new(plan.flush));
        match serve_control(plan, fs, &mounted, &patience, ctx) {
            Ok(server) => Ok(Standing { mounted, patience, _server: server }),
            Err(e) => {
                let _ = mounted.unmount().await;
                Err(e)
            }
        }
    }

    /// Until it is gone, by whoever's hand.
    async fn live(
        self,
        plan: &Plan,
        fs: &Arc<Fs>,
        ctx: &Context,
        mut signals: Signals,
        announce: &mut dyn FnMut(&Ready),
    ) -> anyhow::Result<()> {
        // It answers by now; nobody asks through the kernel to make sure. A process that is killed while it waits for
        // its own mount waits for ever, and takes the mount along.
        announce(&Ready { email: plan.email.clone(), mountpoint: plan.mountpoint.clone() });
        systemd::notify("READY=1");
        let asked = tokio::select! {
            () = self.mounted.wait() => false,
            () = systemd::tell(Arc::clone(fs)) => false,
            () = notices::tell(Arc::clone(fs)), if plan.notify => false,
            () = inhibit::keep(Arc::clone(fs)) => false,
            () = signals.next() => true,
        };
        systemd::notify("STOPPING=1");
        let ending = async {
            if asked {
                self.take_down().await;
            }
            self.flush(fs, ctx).await;
        };
        tokio::select! {
            () = ending => {}
            () = signals.next() => eprintln!("inxtfs: told twice; ending without sending the rest"),
        }
        Ok(())
    }

    /// Sends what is left, for a while.
    async fn flush(&self, fs: &Arc<Fs>, ctx: &Context) {
        let limit = *self.patience.lock();
        let left = fs.status().totals;
        if left.items > left.blocked && !limit.is_zero() {
            let (changes, secs) = (term::changes(left.items - left.blocked), limit.as_secs());
            ctx.say(&format!("Sending {changes}, for {secs} s at most; a second signal ends that."));
        }
        fs.flush_within(limit).await;
    }

    /// Unmounts; if files are open, the name goes at once and this process ends without waiting for ever: a
    /// signal is an order.
    async fn take_down(&self) {
        let refused = match self.mounted.unmount().await {
            Err(busy @ MountError::Busy(..)) => {
                eprintln!("inxtfs: {busy}; ending nevertheless. What was closed is safe");
                self.mounted.unmount_lazily().await.err()
            }
            other => other.err(),
        };
        if let Some(e) = refused {
            eprintln!("inxtfs: {e}");
        }
        let _ = tokio::time::timeout(LETTING_GO, self.mounted.wait()).await;
    }
}

fn serve_control(
    plan: &Plan,
    fs: &Arc<Fs>,
    mounted: &Arc<Mounted>,
    patience: &Arc<Mutex<Duration>>,
    ctx: &Context,
) -> anyhow::Result<Server> {
    let identity = Identity {
        v: wire::VERSION,
        pid: std::process::id(),
        mountpoint: plan.mountpoint.display().to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        read_only: plan.config.read_only,
        profile: ctx.account.clone(),
    };
    let (mounted, patience, usual) = (Arc::clone(mounted), Arc::clone(patience), plan.flush);
    let served = Served::new(identity, Arc::clone(fs), move |detach| {
        let (mounted, patience) = (Arc::clone(&mounted), Arc::clone(&patience));
        Box::pin(async move {
            // Before the unmount, whose success another task takes for the end.
            *patience.lock() = if detach { Duration::ZERO } else { usual.min(UMOUNT_FLUSH) };
            let done = mounted.unmount().await.map_err(stuck);
            if done.is_err() {
                *patience.lock() = usual;
            }
            done
        })
    });
    let dirs = ctx.control_dirs()?;
    let dir = dirs.first().ok_or_else(|| anyhow::anyhow!("no place for the control socket"))?;
    Ok(Server::start(dir, served)?)
}

fn stuck(error: MountError) -> Stuck {
    match error {
        MountError::Busy(..) => Stuck::Busy(error.to_string()),
        other => Stuck::Failed(other.to_string()),
    }
}
