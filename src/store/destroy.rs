//! The end of a cache directory: first its keys, then all else.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Result, dir};

/// Destroys a cache directory, what was put aside in it included. The keys are overwritten and gone from the disk before
/// anything else is touched: without them the rest is noise. Nothing there is success.
///
/// # Errors
/// [`super::Error::InUse`] while a mount uses it; those of the disk, with which some of it is still there.
pub fn destroy(at: &Path) -> Result<()> {
    if !at.exists() {
        return Ok(());
    }
    let _lock = dir::Lock::take(at)?;
    let mut keys = Vec::new();
    keys_below(at, &mut keys)?;
    for key in keys {
        let mut file = OpenOptions::new().write(true).open(&key)?;
        let len = usize::try_from(file.metadata()?.len().min(1 << 20)).unwrap_or(0);
        file.write_all(&vec![0; len])?;
        file.sync_all()?;
        fs::remove_file(&key)?;
        if let Some(parent) = key.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(fs::remove_dir_all(at)?)
}

fn keys_below(at: &Path, keys: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        // Contents are many, and hold no keys.
        if entry.file_type()?.is_dir() && entry.file_name() != "blocks" {
            keys_below(&entry.path(), keys)?;
        } else if entry.file_name() == dir::KEY_FILE {
            keys.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::seal::Key;
    use crate::store::{Error, Store};

    #[test]
    fn a_destroyed_cache_leaves_nothing_and_one_in_use_is_left_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let at = tmp.path().join("cache");
        destroy(&at).unwrap();
        let opened = Store::open(&at, "account", &Key::from_seed(&[7; 64])).unwrap();
        assert!(matches!(destroy(&at), Err(Error::InUse { .. })));
        assert!(at.join(dir::KEY_FILE).exists());
        opened.store.close().unwrap();
        drop(opened);
        fs::create_dir(at.join("quarantine")).unwrap();
        fs::copy(at.join(dir::KEY_FILE), at.join("quarantine").join(dir::KEY_FILE)).unwrap();
        let mut keys = Vec::new();
        keys_below(&at, &mut keys).unwrap();
        assert_eq!(keys.len(), 2, "also the key of what was put aside");
        destroy(&at).unwrap();
        assert!(!at.exists());
    }
}
