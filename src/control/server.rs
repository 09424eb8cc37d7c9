//! The mount's end of the control socket.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncWrite, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::wire::{self, Envelope, Identity, Reply, Request};
use super::{Error, acts, place};
use crate::fs::{Fs, Status};

/// Connections served at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 32;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two lines of progress. Well below the client's patience: they are the sign of life.
const TICK: Duration = Duration::from_millis(250);

/// Why an unmount did not happen.
#[derive(Debug)]
pub enum Stuck {
    /// Files are open below the mountpoint.
    Busy(String),
    /// Anything else.
    Failed(String),
}

/// A mount as its socket sees it.
pub struct Served {
    /// Who it is.
    pub identity: Identity,
    /// What it knows.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// Sends everything; dropping the future only stops the waiting.
    pub drain: Box<dyn Fn() -> BoxFuture<'static, Status> + Send + Sync>,
    /// Takes the mount away and lets the process end: at once if told so (`true`), else after a last flush.
    pub unmount: Box<dyn Fn(bool) -> BoxFuture<'static, Result<(), Stuck>> + Send + Sync>,
    /// For bounds, pins, and what a person decides about failed items; none refuses all of that.
    pub fs: Option<Arc<Fs>>,
    /// Decides on deletes that are not sent: [`Request::Resume`] or [`Request::Restore`].
    pub decide: Box<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>,
}

impl Served {
    /// Over a running filesystem.
    pub fn new(
        identity: Identity,
        fs: Arc<Fs>,
        unmount: impl Fn(bool) -> BoxFuture<'static, Result<(), Stuck>> + Send + Sync + 'static,
    ) -> Self {
        let (drained, decided) = (Arc::clone(&fs), Arc::clone(&fs));
        Served {
            identity,
            fs: Some(Arc::clone(&fs)),
            status: Box::new(move || fs.status()),
            drain: Box::new(move || {
                let fs = Arc::clone(&drained);
                Box::pin(async move {
                    // Who asks wants it sent, and may have made room: what was refused is tried again, once.
                    fs.pause(false);
                    if let Err(e) = fs.retry_blocked() {
                        tracing::warn!(error = %e, "what was blocked could not be tried again");
                    }
                    fs.drain().await
                })
            }),
            unmount: Box::new(unmount),
            decide: Box::new(move |request| {
                let fs = Arc::clone(&decided);
                Box::pin(async move { decide(&fs, request).await })
            }),
        }
    }
}

/// What becomes of deletes that are not sent.
async fn decide(fs: &Arc<Fs>, request: Request) -> Reply {
    let done = match request {
        Request::Restore => fs.restore_pending().await.map(|(back, sent)| Reply::Restored { back, sent }),
        _ => {
            fs.pause(false);
            fs.resume_deletes().map(|deletes| Reply::Resumed { deletes })
        }
    };
    done.unwrap_or_else(|e| Reply::Refused { why: e.to_string() })
}

/// A listening socket. Dropping it removes the file; open connections live on until the runtime ends.
pub struct Server {
    path: PathBuf,
    accepting: AbortHandle,
}

impl Server {
    /// Listens in `dir` for the mount that `served` describes. Must be called within a runtime.
    ///
    /// # Errors
    /// [`Error::Refused`] if a live process listens there already.
    pub fn start(dir: &Path, served: Served) -> Result<Server, Error> {
        place::prepare(dir)?;
        let path = dir.join(place::socket_name(Path::new(&served.identity.mountpoint)));
        let listener = bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let accepting = tokio::spawn(accept(listener, Arc::new(served))).abort_handle();
        Ok(Server { path, accepting })
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Binds, over a dead socket if there is one. The caller owns the mountpoint by now, so no other
/// process is about to bind the same name.
fn bind(path: &Path) -> Result<UnixListener, Error> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(Error::Refused("another process serves this mountpoint".to_owned()));
            }
            std::fs::remove_file(path)?;
            Ok(UnixListener::bind(path)?)
        }
        other => Ok(other?),
    }
}

async fn accept(listener: UnixListener, served: Arc<Served>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    // Whoever unmounts waits for the end of the connection. Where the end of the runtime brings it, what is
                    // declared last goes first: the local state is closed before the line is.
                    let _line = stream.as_fd().try_clone_to_owned();
                    let served = served;
                    if let Err(e) = serve(stream, &served).await {
                        tracing::debug!(error = %e, "control connection");
                    }
                    drop(slot);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "control socket");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The mode of the file keeps others out already; this holds where a directory was opened by mistake.
fn is_trusted(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| [0, rustix::process::geteuid().as_raw()].contains(&peer.uid()))
}

async fn serve(mut stream: UnixStream, served: &Served) -> Result<(), Error> {
    if !is_trusted(&stream) {
        return Err(Error::Refused("a request of another user".to_owned()));
    }
    // Borrowed halves end nothing when they go.
    let (from, mut to) = stream.split();
    let mut from = BufReader::new(from);
    let received =
        tokio::time::timeout(PATIENCE, wire::receive::<Envelope>(&mut from, wire::MAX_REQUEST)).await;
    let request = match received.map_err(|_| Error::Silent)? {
        Ok(None) => return Ok(()),
        Ok(Some(envelope)) => envelope.open(),
        Err(e) => Err(Reply::Refused { why: e.to_string() }),
    };
    let request = match request {
        Ok(request) => request,
        Err(refusal) => return wire::send(&mut to, &refusal).await,
    };
    // A client has nothing more to say: bytes or the end both mean that it no longer waits.
    tokio::select! {
        done = answer(request, served, &mut to) => done,
        _ = wire::receive::<Envelope>(&mut from, wire::MAX_REQUEST) => Ok(()),
    }
}

async fn answer(request: Request, served: &Served, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Error> {
    match request {
        Request::Ping => wire::send(to, &Reply::Pong(served.identity.clone())).await,
        Request::Status => {
            let status = Box::new((served.status)());
            wire::send(to, &Reply::Status { mount: served.identity.clone(), status }).await
        }
        Request::Drain => {
            let status = drain(served, to).await?;
            wire::send(to, &Reply::Done { status }).await
        }
        Request::Resume | Request::Restore => wire::send(to, &(served.decide)(request).await).await,
        Request::Failed { .. }
        | Request::Retry { .. }
        | Request::Discard { .. }
        | Request::Export { .. }
        | Request::Bwlimit { .. }
        | Request::Pin { .. }
        | Request::Unpin { .. }
        | Request::Pins { .. }
        | Request::Refresh { .. }
        | Request::Clear
        | Request::Pause
        | Request::Conflicts { .. } => match &served.fs {
            Some(fs) => acts::answer(request, fs, to).await,
            None => wire::send(to, &Reply::Refused { why: "nothing to decide here".to_owned() }).await,
        },
        Request::Unmount { detach } => {
            if !detach {
                let status = drain(served, to).await?;
                let left = status.totals.items > 0;
                wire::send(to, &Reply::Done { status }).await?;
                if left {
                    return Ok(());
                }
            }
            // Told before it begins: once the mount is gone, this process may end at any moment.
            wire::send(to, &Reply::Unmounting).await?;
            match (served.unmount)(detach).await {
                // The client waits for the end of the connection, which the end of the process brings.
                Ok(()) => std::future::pending().await,
                Err(Stuck::Busy(why)) => wire::send(to, &Reply::Busy { why }).await,
                Err(Stuck::Failed(why)) => wire::send(to, &Reply::Refused { why }).await,
            }
        }
    }
}

async fn drain(served: &Served, to: &mut (impl AsyncWrite + Unpin)) -> Result<Box<Status>, Error> {
    let mut draining = (served.drain)();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            biased;
            status = &mut draining => return Ok(Box::new(status)),
            _ = tick.tick() => wire::send(to, &Reply::Progress { status: Box::new((served.status)()) }).await?,
        }
    }
}
