//! The kernel's side.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::fs::Fs;

/// How the drive appears in the tree.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The kernel refuses every change.
    pub read_only: bool,
    /// Other users may enter, within the permissions below. Without it not even `root` may, and an
    /// `uid` other than the mounting user's is locked out of its own files.
    pub allow_other: bool,
    /// Owner of everything.
    pub uid: u32,
    /// Group of everything.
    pub gid: u32,
    /// Permissions to take from 0666 (files) and 0777 (folders).
    pub umask: u16,
    /// The source shown by `mount` and `df`: `inxtfs:` and the account's email.
    pub fsname: String,
    /// Further options by the words of `mount(8)`, such as `noexec`. Words that only tell `mount`,
    /// `systemd` or `fstab` something are ignored.
    pub extra: Vec<String>,
}

impl Default for MountOptions {
    fn default() -> Self {
        MountOptions {
            read_only: false,
            allow_other: false,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            umask: 0o077,
            fsname: "inxtfs".to_owned(),
            extra: Vec::new(),
        }
    }
}

/// Why not.
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

/// A mount.
#[derive(Debug)]
pub struct Mounted;

impl Mounted {
    /// Until unmounted by anyone.
    pub async fn wait(&self) {}
    /// Unmounts.
    pub async fn unmount(&self) -> Result<(), MountError> {
        Ok(())
    }
    /// Lazily.
    pub async fn unmount_lazily(&self) -> Result<(), MountError> {
        Ok(())
    }
}

/// Mounts.
pub fn mount(_fs: Arc<Fs>, _rt: Handle, _at: &Path, _options: &MountOptions) -> Result<Mounted, MountError> {
    Err(MountError::NoDevice)
}

/// A dead mount.
#[must_use]
pub fn is_stale(_at: &Path) -> bool {
    false
}

/// Clears it.
pub fn clear_stale(_at: &Path) -> Result<(), MountError> {
    Ok(())
}
