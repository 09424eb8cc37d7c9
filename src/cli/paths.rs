//! Where things are on this machine, and their modes.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

/// The largest default cache.
const CACHE_MAX: u64 = 10 << 30;

/// `~/.config/inxtfs`: the login.
pub fn config() -> anyhow::Result<PathBuf> {
    base(dirs::config_dir(), "--config-dir or INXTFS_CONFIG_DIR")
}

/// `~/.local/state/inxtfs`: logs, and sockets where there is no runtime directory.
pub fn state() -> anyhow::Result<PathBuf> {
    base(dirs::state_dir(), "XDG_STATE_HOME")
}

/// An account's cache: as given, else `INXTFS_CACHE_DIR`, else `~/.cache/inxtfs/ACCOUNT`.
pub fn cache(given: Option<&Path>, account: &str) -> anyhow::Result<PathBuf> {
    match given {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(base(dirs::cache_dir(), "--cache-dir or INXTFS_CACHE_DIR")?.join(account)),
    }
}

/// `~/.cache`, in which desktops keep small pictures.
pub fn desktop_cache() -> anyhow::Result<PathBuf> {
    dirs::cache_dir().ok_or_else(|| anyhow!("there is no home directory; set HOME or XDG_CACHE_HOME"))
}

/// The user's home.
pub fn home() -> anyhow::Result<PathBuf> {
    dirs::home_dir().ok_or_else(|| anyhow!("there is no home directory; set HOME"))
}

fn base(dir: Option<PathBuf>, instead: &str) -> anyhow::Result<PathBuf> {
    let dir = dir.ok_or_else(|| anyhow!("there is no home directory; set HOME or {instead}"))?;
    Ok(dir.join("inxtfs"))
}

/// Makes a directory, closed to others.
pub fn make_private(dir: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making {}", dir.display()))
}

/// A tenth of the disk that holds `dir`, at most 10 GiB.
pub fn default_cache_size(dir: &Path) -> u64 {
    let existing = dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(existing).map(|s| s.f_blocks.saturating_mul(s.f_frsize));
    disk.map_or(CACHE_MAX, |bytes| (bytes / 10).min(CACHE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_cache_fits_the_disk_even_before_it_exists() {
        let tmp = tempfile::tempdir().unwrap();
        let size = default_cache_size(&tmp.path().join("not/yet"));
        assert_eq!(size, default_cache_size(tmp.path()));
        assert!((1..=CACHE_MAX).contains(&size));
    }

    #[test]
    fn an_explicit_cache_is_taken_as_it_is() {
        assert_eq!(cache(Some(Path::new("/c/d")), "account").unwrap(), Path::new("/c/d"));
    }
}
