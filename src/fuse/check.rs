//! What can be said before a mount is tried, and the remains of one that died.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::{UnmountFlags, unmount};

use super::mount::MountError;
use super::options::{MountOptions, is_of_this_program};
use super::proc;

/// Checks everything whose failure the kernel or the helper would report in worse words. Returns the
/// mount point as the kernel will name it.
pub(super) fn check(point: &Path, options: &MountOptions) -> Result<PathBuf, MountError> {
    let canonical = check_point(point)?;
    check_device(Path::new("/dev/fuse"))?;
    if !rustix::process::geteuid().is_root() {
        if helper().is_none() {
            return Err(MountError::NoHelper);
        }
        if options.allow_other && !user_allow_other(Path::new("/etc/fuse.conf")) {
            return Err(MountError::AllowOther);
        }
    }
    Ok(canonical)
}

fn check_point(point: &Path) -> Result<PathBuf, MountError> {
    if is_stale(point) {
        return Err(MountError::Stale(point.to_owned()));
    }
    let meta = std::fs::metadata(point).map_err(|e| match e.raw_os_error() {
        Some(libc::ENOTCONN) => MountError::Stale(point.to_owned()),
        Some(libc::ENOENT) => MountError::Missing(point.to_owned()),
        Some(libc::ENOTDIR) => MountError::NotADirectory(point.to_owned()),
        _ => MountError::Unreadable(point.to_owned(), e),
    })?;
    if !meta.is_dir() {
        return Err(MountError::NotADirectory(point.to_owned()));
    }
    let unreadable = |e| MountError::Unreadable(point.to_owned(), e);
    let canonical = point.canonicalize().map_err(unreadable)?;
    if let Some(there) = proc::mounted_at(&canonical)
        && (there.kind == "fuse" || there.kind.starts_with("fuse."))
    {
        return Err(MountError::AlreadyMounted(canonical, there.source));
    }
    if std::fs::read_dir(&canonical).map_err(unreadable)?.next().is_some() {
        return Err(MountError::NotEmpty(canonical));
    }
    Ok(canonical)
}

pub(super) fn check_device(device: &Path) -> Result<(), MountError> {
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Err(MountError::NoDevice)
        }
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(MountError::DeviceDenied),
        Err(e) => Err(MountError::Unreadable(device.to_owned(), e)),
    }
}

/// Whether ordinary users may open their mounts to others. A file that cannot be read says nothing.
pub(super) fn user_allow_other(conf: &Path) -> bool {
    match std::fs::read_to_string(conf) {
        Ok(text) => text.lines().any(|line| line.trim() == "user_allow_other"),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}

/// The program that mounts and unmounts for ordinary users.
pub(super) fn helper() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        std::env::split_paths(&path).chain(["/bin", "/sbin", "/usr/bin", "/usr/sbin"].map(PathBuf::from));
    let places: Vec<PathBuf> = places.collect();
    ["fusermount3", "fusermount"]
        .iter()
        .find_map(|name| places.iter().map(|place| place.join(name)).find(|file| file.is_file()))
}

/// Unmounts; `lazy`: out of the tree now, gone when the last user is. Blocks while the kernel writes
/// dirty pages back.
pub(super) fn detach(point: &Path, lazy: bool) -> io::Result<()> {
    let flags = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match unmount(point, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM) => detach_by_helper(point, lazy),
        Err(e) => Err(e.into()),
    }
}

/// As ordinary users do it.
pub(super) fn detach_by_helper(point: &Path, lazy: bool) -> io::Result<()> {
    let helper = helper().ok_or_else(|| io::Error::other(MountError::NoHelper.to_string()))?;
    let mut command = Command::new(helper);
    command.arg("-u").stdin(Stdio::null());
    if lazy {
        command.arg("-z");
    }
    let output = command.arg("--").arg(point).env("LC_ALL", "C").output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("busy") {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    Err(io::Error::other(said))
}

/// Whether a mount is here whose program has died: every access says "Transport endpoint is not
/// connected".
#[must_use]
pub fn is_stale(point: &Path) -> bool {
    // Not by its attributes: those the kernel remembers for a while.
    let dead = |e: rustix::io::Errno| matches!(e.raw_os_error(), libc::ENOTCONN | libc::ECONNABORTED);
    rustix::fs::statvfs(point).is_err_and(dead)
}

/// Whether a mount of this program is here, by the kernel's table: asks no filesystem, so that one which hangs
/// does not hang the caller.
#[must_use]
pub fn is_ours(point: &Path) -> bool {
    proc::mounted_at(point).is_some_and(|there| is_of_this_program(&there.kind, &there.source))
}

/// Takes a mount of this program out of the tree, whether its process died, hangs or works. Does nothing to
/// others.
///
/// # Errors
/// [`MountError::Unmount`] if the system refuses, for instance another user's mount.
pub fn clear(point: &Path) -> Result<(), MountError> {
    if !is_ours(point) {
        return Ok(());
    }
    detach(point, true).map_err(|e| MountError::Unmount(point.to_owned(), e))
}

/// Removes the remains of a mount whose program has died. Nothing is lost by it: a dead mount holds
/// no data. Does nothing where there is none.
///
/// # Errors
/// [`MountError::Unmount`] if the system refuses, for instance another user's mount.
pub fn clear_stale(point: &Path) -> Result<(), MountError> {
    if !is_stale(point) {
        return Ok(());
    }
    detach(point, true).map_err(|e| MountError::Unmount(point.to_owned(), e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_refused_for_the_reason_that_holds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        let missing = dir.path().join("missing");
        assert!(matches!(check_point(&missing), Err(MountError::Missing(p)) if p == missing));
        assert!(matches!(check_point(&file), Err(MountError::NotADirectory(_))));
        assert!(matches!(check_point(&file.join("below")), Err(MountError::NotADirectory(_))));
        assert!(matches!(check_point(dir.path()), Err(MountError::NotEmpty(_))));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(check_point(dir.path()).unwrap(), dir.path().canonicalize().unwrap());
    }

    #[test]
    fn the_device_and_the_configuration_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(check_device(&dir.path().join("fuse")), Err(MountError::NoDevice)));
        let conf = dir.path().join("fuse.conf");
        assert!(!user_allow_other(&conf));
        std::fs::write(&conf, "#user_allow_other\nmount_max = 9\n").unwrap();
        assert!(!user_allow_other(&conf));
        std::fs::write(&conf, "mount_max = 9\n user_allow_other\n").unwrap();
        assert!(user_allow_other(&conf));
    }

    #[test]
    fn an_ordinary_folder_is_not_stale_and_clearing_it_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_stale(dir.path()));
        assert!(clear_stale(dir.path()).is_ok());
        assert!(dir.path().is_dir());
    }
}
