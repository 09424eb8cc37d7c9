//! Mounting and unmounting.

use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, Config, Notifier, Session};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::adapter::Adapter;
use super::attr::Modes;
use super::caching::Caching;
use super::check::{check, detach};
use super::kernel::Notifications;
use super::options::MountOptions;
use super::proc;
use super::readers::Readers;
use crate::fs::{Fs, Kernel};

/// The longest an unmount may take before it is given up: dirty pages are written to local disk only.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks at a mount that is busy without a user.
const BUSY_LOOKS: u32 = 40;

/// Why a mount or unmount failed, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// No such folder.
    #[error("{} does not exist; create it first", .0.display())]
    Missing(PathBuf),
    /// Something else is there.
    #[error("{} is not a folder", .0.display())]
    NotADirectory(PathBuf),
    /// Its entries would be hidden.
    #[error("{} is not empty; mount on an empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// A FUSE filesystem is mounted there.
    #[error("{at} is already mounted ({by}); unmount it first", at = .0.display(), by = .1)]
    AlreadyMounted(PathBuf, String),
    /// The program of an earlier mount has died.
    #[error("{at} is left over from a mount that died; clear it with `fusermount3 -uz {at}`", at = .0.display())]
    Stale(PathBuf),
    /// The folder or device cannot be looked at.
    #[error("cannot open {at}: {why}", at = .0.display(), why = .1)]
    Unreadable(PathBuf, #[source] io::Error),
    /// The kernel has no FUSE.
    #[error("/dev/fuse is missing; load the module with `modprobe fuse` (in a container: pass the device)")]
    NoDevice,
    /// The user may not use FUSE.
    #[error("no permission to open /dev/fuse; ask the administrator for read and write access to it")]
    DeviceDenied,
    /// Ordinary users mount through a helper.
    #[error("fusermount3 was not found; install the package fuse3")]
    NoHelper,
    /// Ordinary users may not open their mounts to others.
    #[error("allow_other needs the line `user_allow_other` in /etc/fuse.conf")]
    AllowOther,
    /// The kernel or the helper refused.
    #[error("cannot mount on {at}: {why}", at = .0.display(), why = .1)]
    Mount(PathBuf, #[source] io::Error),
    /// Programs still use the mount.
    #[error("{} is in use{}; close it there, or unmount lazily", .0.display(), by(.1))]
    Busy(PathBuf, Vec<String>),
    /// The unmount goes on in the background.
    #[error("{} is still being unmounted", .0.display())]
    Slow(PathBuf),
    /// The system refused to unmount.
    #[error("cannot unmount {at}: {why}", at = .0.display(), why = .1)]
    Unmount(PathBuf, #[source] io::Error),
}

fn by(users: &[String]) -> String {
    if users.is_empty() { String::new() } else { format!(" by {}", users.join(", ")) }
}

/// A mount that stands. Dropping it unmounts lazily.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    /// `major:minor` of our mount, so that nobody else's at the same place is ever unmounted.
    device: Option<String>,
    ended: watch::Receiver<bool>,
    kernel: Option<Arc<Notifications>>,
    /// Never dropped: the binding (0.18.0) would unmount whatever is at the mount point by then, also
    /// after our mount is gone. What this keeps is a thread handle and one descriptor.
    _session: ManuallyDrop<BackgroundSession>,
}

/// Mounts the drive and lets it tell the kernel about remote changes. When this returns, the mount
/// answers.
///
/// # Errors
/// [`MountError`], before anything has changed.
pub fn mount(fs: Arc<Fs>, rt: Handle, point: &Path, options: &MountOptions) -> Result<Mounted, MountError> {
    let canonical = check(point, options)?;
    let caching = Arc::new(Caching::new());
    let (ended_tx, ended) = watch::channel(false);
    let readers = Readers::new(&options.background);
    let adapter =
        Adapter::new(Arc::clone(&fs), rt, Modes::new(options), Arc::clone(&caching), readers, ended_tx);
    let (mut mounted, notifier) = start(adapter, canonical, &options.config(), ended)?;
    let kernel = Notifications::start(notifier, Arc::clone(&caching))
        .map_err(|e| MountError::Mount(mounted.point.clone(), e))?;
    mounted.kernel = Some(Arc::clone(&kernel));
    fs.attach_kernel(kernel as Arc<dyn Kernel>);
    Ok(mounted)
}

/// The binding answers the kernel's first request within `Session::new`, so errors surface here.
fn start<F: fuser::Filesystem>(
    filesystem: F,
    point: PathBuf,
    config: &Config,
    ended: watch::Receiver<bool>,
) -> Result<(Mounted, Notifier), MountError> {
    let failed = |e| MountError::Mount(point.clone(), in_one_line(e));
    let session = Session::new(filesystem, &point, config).map_err(failed)?;
    let session = session.spawn().map_err(failed)?;
    let notifier = session.notifier();
    let device = proc::mounted_at(&point).map(|m| m.device);
    Ok((Mounted { point, device, ended, kernel: None, _session: ManuallyDrop::new(session) }, notifier))
}

/// The helper's words end with a newline, and may be several lines.
fn in_one_line(e: io::Error) -> io::Error {
    let said = e.to_string();
    if said.contains('\n') { io::Error::new(e.kind(), said.trim().replace('\n', "; ")) } else { e }
}

impl Mounted {
    /// Where, as the kernel names it.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.point
    }

    /// Returns when the kernel's side has ended, by [`Mounted::unmount`] or by anybody's `umount`.
    pub async fn wait(&self) {
        // The other end vanishes only together with the session.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Unmounts, and waits until the kernel has sent its last request. Unmounted already is success.
    ///
    /// # Errors
    /// [`MountError::Busy`] names the users that can be seen; [`MountError::Slow`] after half a minute.
    pub async fn unmount(&self) -> Result<(), MountError> {
        self.detach(false).await?;
        tokio::time::timeout(PATIENCE, self.wait()).await.map_err(|_| MountError::Slow(self.point.clone()))
    }

    /// Takes the mount out of the tree at once. Programs that use it go on until they end;
    /// [`Mounted::wait`] tells when.
    ///
    /// # Errors
    /// [`MountError::Unmount`] if the system refuses.
    pub async fn unmount_lazily(&self) -> Result<(), MountError> {
        self.detach(true).await
    }

    async fn detach(&self, lazy: bool) -> Result<(), MountError> {
        if !self.is_ours() {
            return Ok(());
        }
        let point = self.point.clone();
        let work = tokio::task::spawn_blocking(move || detach_patiently(point, lazy));
        let failed = |e: tokio::task::JoinError| MountError::Unmount(self.point.clone(), io::Error::other(e));
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done.map_err(failed)?,
            Err(_) => Err(MountError::Slow(self.point.clone())),
        }
    }

    /// Whether our mount, and not another, is at the mount point.
    fn is_ours(&self) -> bool {
        !*self.ended.borrow() && proc::mounted_at(&self.point).map(|m| m.device) == self.device
    }
}

/// Unmounts. Files that were closed a moment ago keep the mount busy until the kernel has let go of them, without
/// anybody to name: that is waited for.
fn detach_patiently(point: PathBuf, lazy: bool) -> Result<(), MountError> {
    for _ in 0..BUSY_LOOKS {
        match detach(&point, lazy) {
            Ok(()) => return Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                let users = proc::users_of(&point);
                if !users.is_empty() {
                    return Err(MountError::Busy(point, users));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(e) => return Err(MountError::Unmount(point, e)),
        }
    }
    Err(MountError::Busy(point, Vec::new()))
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(kernel) = &self.kernel {
            kernel.close();
        }
        if self.is_ours()
            && let Err(e) = detach(&self.point, true)
        {
            tracing::warn!(mountpoint = %self.point.display(), error = %e, "cannot unmount");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
