//! The life of a mount's process: build from the ground up, wait for a reason to end, take down from the top.
//!
//! Taking down: first the kernel lets go (so that no new change comes in), then `fs` makes everything durable and closes
//! the store, last the control socket hangs up, which is what `inxtfs umount` waits for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::context::Context;
use super::exit::Exit;
use super::{flush, term};
use crate::control::server::{Served, Server, Stuck};
use crate::control::wire::{self, Identity};
use crate::crypto::seal::Key;
use crate::fs::{Config, Fs, Status};
use crate::fuse::{self, MountOptions, Mounted};
use crate::remote::Remote;
use crate::store::Store;

/// How long the kernel may take to let go after a successful unmount.
const LETTING_GO: Duration = Duration::from_secs(20);
/// How long a fresh mount may take to answer its first question.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Everything a mount is made of.
pub struct Plan {
    /// Canonical.
    pub mountpoint: PathBuf,
    /// For the kernel.
    pub options: MountOptions,
    /// For the filesystem.
    pub config: Config,
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
}

/// A mount that answers.
pub struct Ready {
    /// Whose drive.
    pub email: String,
    /// Where.
    pub mountpoint: PathBuf,
}

/// Mounts, announces, and returns when the mount is gone and local state is closed; the status is the last one.
pub fn serve(plan: &Plan, ctx: &Context, announce: &mut dyn FnMut(&Ready)) -> anyhow::Result<Status> {
    let rt = runtime()?;
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
    let opened = Store::open(&plan.cache, &plan.account, &Key::from_seed(&plan.seed))?;
    for notice in &opened.notices {
        eprintln!("inxtfs: {notice}");
    }
    let fs = Fs::start(plan.config.clone(), opened.store, Arc::clone(&plan.remote), rt.handle().clone())?;
    let outcome = match Standing::start(rt, plan, &fs, ctx) {
        Ok(standing) => rt.block_on(standing.live(plan, announce)),
        Err(e) => Err(e),
    };
    let status = fs.status();
    rt.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = fs.stop() => {}
            _ = interrupt.recv() => eprintln!("inxtfs: ended in haste; the queue is kept"),
        }
        anyhow::Ok(())
    })?;
    outcome?;
    Ok(status)
}

/// Says what is left, and gives the matching code.
pub fn farewell(status: &Status, cache: &Path, ctx: &Context) -> Exit {
    let left = status.totals;
    if left.items == 0 {
        ctx.say("Unmounted. Everything is on the server.");
        return Exit::Ok;
    }
    let (changes, bytes) = (term::changes(left.items), term::bytes(left.bytes));
    eprintln!("Unmounted. {changes} ({bytes}) kept in {}, to be sent with the next mount.", cache.display());
    match flush::rest(status) {
        Exit::Blocked => Exit::Blocked,
        _ => Exit::Unsent,
    }
}

/// A mount that stands.
struct Standing {
    mounted: Arc<Mounted>,
    gone: watch::Receiver<bool>,
    _server: Server,
}

impl Standing {
    fn start(rt: &Runtime, plan: &Plan, fs: &Arc<Fs>, ctx: &Context) -> anyhow::Result<Self> {
        let handle = rt.handle().clone();
        let mounted = fuse::mount(Arc::clone(fs), handle.clone(), &plan.mountpoint, plan.options.clone())?;
        let mounted = Arc::new(mounted);
        let gone = watch_end(Arc::clone(&mounted));
        let server = serve_control(&handle, plan, fs, &mounted, ctx);
        match server {
            Ok(server) => Ok(Standing { mounted, gone, _server: server }),
            Err(e) => {
                let _ = mounted.unmount();
                Err(e)
            }
        }
    }

    /// Until it is gone, by whoever's hand.
    async fn live(mut self, plan: &Plan, announce: &mut dyn FnMut(&Ready)) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        if let Err(e) = answers(&plan.mountpoint).await {
            self.take_down(&plan.mountpoint).await;
            return Err(e);
        }
        announce(&Ready { email: plan.email.clone(), mountpoint: plan.mountpoint.clone() });
        notify_systemd("READY=1");
        let asked = tokio::select! {
            _ = self.gone.wait_for(|gone| *gone) => false,
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
        };
        notify_systemd("STOPPING=1");
        if asked {
            self.take_down(&plan.mountpoint).await;
        }
        Ok(())
    }

    /// Unmounts; if files are open, the name goes at once and the rest when they are closed, or when this
    /// process ends.
    async fn take_down(&mut self, at: &Path) {
        let (mounted, path) = (Arc::clone(&self.mounted), at.to_owned());
        let unmounted = tokio::task::spawn_blocking(move || {
            mounted.unmount().or_else(|e| {
                tracing::info!(error = %e, "unmounting lazily");
                fuse::clear_stale(&path)
            })
        });
        match unmounted.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => eprintln!("inxtfs: {} could not be unmounted: {e}", at.display()),
            Err(e) => tracing::error!(error = %e, "unmounting"),
        }
        if tokio::time::timeout(LETTING_GO, self.gone.wait_for(|gone| *gone)).await.is_err() {
            eprintln!("inxtfs: files are still open below {}; what was closed is safe", at.display());
        }
    }
}

/// Waits for the end of the kernel's session on a thread of its own.
fn watch_end(mounted: Arc<Mounted>) -> watch::Receiver<bool> {
    let (tell, gone) = watch::channel(false);
    std::thread::spawn(move || {
        mounted.wait();
        let _ = tell.send(true);
    });
    gone
}

fn serve_control(
    rt: &Handle,
    plan: &Plan,
    fs: &Arc<Fs>,
    mounted: &Arc<Mounted>,
    ctx: &Context,
) -> anyhow::Result<Server> {
    let identity = Identity {
        v: wire::VERSION,
        pid: std::process::id(),
        mountpoint: plan.mountpoint.display().to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        read_only: plan.config.read_only,
    };
    let mounted = Arc::clone(mounted);
    let served = Served::new(identity, Arc::clone(fs), move || {
        let mounted = Arc::clone(&mounted);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || mounted.unmount()).await;
            match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(e)) => Err(stuck(e)),
                Err(e) => Err(Stuck::Failed(e.to_string())),
            }
        })
    });
    let dirs = ctx.control_dirs()?;
    let _in = rt.enter();
    let dir = dirs.first().ok_or_else(|| anyhow::anyhow!("no place for the control socket"))?;
    Ok(Server::start(dir, served)?)
}

fn stuck(error: fuse::MountError) -> Stuck {
    Stuck::Failed(error.to_string())
}

/// Asks the mount for its root through the kernel.
async fn answers(at: &Path) -> anyhow::Result<()> {
    let path = at.to_owned();
    let asked = tokio::task::spawn_blocking(move || std::fs::metadata(path));
    match tokio::time::timeout(FIRST_ANSWER, asked).await {
        Ok(answer) => {
            answer??;
            Ok(())
        }
        Err(_) => Err(Exit::Mountpoint.because("the mount does not answer")),
    }
}

/// Tells systemd, if it asked to be told (`Type=notify`).
fn notify_systemd(what: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str());
    let address = match bytes.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address.and_then(|to| UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &to));
    if let Err(e) = sent {
        tracing::debug!(error = %e, "notifying systemd");
    }
}
