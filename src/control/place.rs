//! Where the sockets are.
//!
//! The first usable of: `$XDG_RUNTIME_DIR/inxtfs`, `/run/user/UID/inxtfs`, and `run` below the state directory
//! (machines without a login manager, cron, plain `su`). A mount binds in the first; clients look into all,
//! since their environment may differ from the mount's.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;

/// The directories that may hold sockets of this user, the preferred first.
#[must_use]
pub fn directories(state: &Path) -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let mut all = Vec::new();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute());
    for base in runtime.into_iter().chain([PathBuf::from(format!("/run/user/{uid}"))]) {
        let dir = base.join("inxtfs");
        if !all.contains(&dir) && fs::metadata(&base).is_ok_and(|m| m.is_dir() && m.uid() == uid) {
            all.push(dir);
        }
    }
    all.push(state.join("run"));
    all
}

/// Makes a directory that only we may enter.
///
/// # Errors
/// [`Error::Place`] if it exists and is somebody else's or open to others.
pub fn prepare(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let meta = fs::symlink_metadata(dir)?;
    let shown = || dir.display().to_string();
    if !meta.is_dir() {
        return Err(Error::Place(shown(), "is not a directory"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::Place(shown(), "belongs to another user"));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Error::Place(shown(), "is open to other users; run `chmod 700` on it"));
    }
    Ok(())
}

/// The name by which a mountpoint is known: absolute, symlinks resolved. Works on a dead mount too, where
/// the last part itself cannot be looked at.
#[must_use]
pub fn canonical(mountpoint: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(mountpoint) {
        return path;
    }
    let absolute = std::path::absolute(mountpoint).unwrap_or_else(|_| mountpoint.to_owned());
    match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

/// The socket's file name for a canonical mountpoint.
#[must_use]
pub fn socket_name(canonical: &Path) -> String {
    let digest = Sha256::digest(canonical.as_os_str().as_bytes());
    format!("{}.sock", hex::encode(&digest[..10]))
}

/// Every socket there is, alive or not.
#[must_use]
pub fn sockets(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = dirs
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension() == Some(OsStr::new("sock")))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn one_mountpoint_has_one_name_however_it_is_written() {
        let tmp = tempfile::tempdir().unwrap();
        let real = tmp.path().join("drive");
        fs::create_dir(&real).unwrap();
        symlink(&real, tmp.path().join("link")).unwrap();
        let name = socket_name(&canonical(&real));
        assert_eq!(socket_name(&canonical(&tmp.path().join("link"))), name);
        assert_eq!(socket_name(&canonical(&tmp.path().join("./drive/"))), name);
        assert_ne!(socket_name(&canonical(tmp.path())), name);
        assert!(name.len() < 32, "socket paths are limited to 107 bytes");
    }

    #[test]
    fn a_mountpoint_that_cannot_be_looked_at_keeps_its_name() {
        let tmp = tempfile::tempdir().unwrap();
        let parent = fs::canonicalize(tmp.path()).unwrap();
        assert_eq!(canonical(&tmp.path().join("gone")), parent.join("gone"));
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("run");
        prepare(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(prepare(&dir), Err(Error::Place(..))));
    }
}
