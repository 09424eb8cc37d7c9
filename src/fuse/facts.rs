//! What mounts need of this system, looked at without mounting.

use std::path::{Path, PathBuf};

use super::check::{check_device, helper, user_allow_other};
use super::{MountError, proc};

/// See the module.
#[derive(Debug)]
pub struct Facts {
    /// Whether `/dev/fuse` can be opened.
    pub device: Result<(), MountError>,
    /// The program that mounts for ordinary users.
    pub helper: Option<PathBuf>,
    /// Whether ordinary users may open their mounts to others.
    pub allow_other: bool,
    /// Where this program's mounts are, dead or alive, by the kernel's table.
    pub mounts: Vec<PathBuf>,
}

/// Looks. Asks no filesystem, so that a mount that hangs does not hang the caller.
#[must_use]
pub fn facts() -> Facts {
    Facts {
        device: check_device(Path::new("/dev/fuse")),
        helper: helper(),
        allow_other: user_allow_other(Path::new("/etc/fuse.conf")),
        mounts: proc::mounts_of("fuse.inxtfs"),
    }
}
