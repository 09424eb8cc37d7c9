//! The kernel's side.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::fs::Fs;

/// How to mount.
#[derive(Clone, Debug, Default)]
pub struct MountOptions {
    /// No changes.
    pub read_only: bool,
    /// Other users too.
    pub allow_other: bool,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Mode bits to clear.
    pub umask: Option<u32>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// No device.
    #[error("no /dev/fuse")]
    NoFuse,
}

/// A mount.
pub struct Mounted;

impl Mounted {
    /// Until unmounted by anyone.
    pub fn wait(&self) {}
    /// Unmounts.
    ///
    /// # Errors
    /// Busy.
    pub fn unmount(&self) -> Result<(), MountError> {
        Ok(())
    }
}

/// Mounts.
///
/// # Errors
/// See [`MountError`].
pub fn mount(_fs: Arc<Fs>, _rt: Handle, _at: &Path, _options: MountOptions) -> Result<Mounted, MountError> {
    Err(MountError::NoFuse)
}

/// A dead mount.
#[must_use]
pub fn is_stale(_at: &Path) -> bool {
    false
}

/// Clears it.
///
/// # Errors
/// Not permitted.
pub fn clear_stale(_at: &Path) -> Result<(), MountError> {
    Ok(())
}
