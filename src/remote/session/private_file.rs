//! Files for their owner alone, replaced in one step and destroyed before they go.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::SecretsError;

/// No file of ours is larger.
const MAX: u64 = 64 << 10;
/// How often, and how far apart, a lock is tried for.
const TRIES: u32 = 200;
const TICK: Duration = Duration::from_millis(50);

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SecretsError {
    let path = path.to_owned();
    |source| SecretsError::Io { path, source }
}

/// A file's bytes, if nobody else may read them.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io(path))?,
    };
    let meta = file.metadata().map_err(io(path))?;
    if meta.mode() & 0o077 != 0 {
        return Err(SecretsError::Exposed { path: path.to_owned() });
    }
    bounded(file).map(Some).map_err(io(path))
}

/// A file's bytes, whoever may read them.
pub(super) fn read_shared(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    bounded(File::open(path)?)
}

fn bounded(file: File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file in one step and durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), SecretsError> {
    let temp = write_temp(path, bytes)?;
    fs::rename(&temp, path).map_err(|e| {
        let _ = fs::remove_file(&temp);
        io(path)(e)
    })?;
    sync_dir(path)
}

/// Makes a file that is not there; of two processes that come here at once, one wins for both.
pub(super) fn make(path: &Path, bytes: &[u8]) -> Result<(), SecretsError> {
    let temp = write_temp(path, bytes)?;
    // A link never replaces.
    let linked = fs::hard_link(&temp, path);
    let _ = fs::remove_file(&temp);
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(io(path)(e)),
        _ => Ok(()),
    }
}

/// Overwrites a file and removes it. None there is success.
pub(super) fn destroy(path: &Path) -> Result<(), SecretsError> {
    let overwritten = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len().min(MAX)).unwrap_or(0);
        file.write_all(&vec![0; len])?;
        file.sync_all()?;
        fs::remove_file(path)
    };
    match overwritten() {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(path)(e)),
        _ => Ok(()),
    }
}

/// Makes the folder of a file, closed to others.
pub(super) fn make_dir(path: &Path) -> Result<(), SecretsError> {
    let dir = dir_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))
}

pub(super) fn sync_dir(path: &Path) -> Result<(), SecretsError> {
    let dir = dir_of(path);
    File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))
}

/// Keeps other processes of ours from changing what is in the folder of a file. A filesystem that has no locks is no
/// reason to stop, nor is a process that holds one for ever.
pub(super) fn lock(path: &Path) -> Option<File> {
    let dir = File::open(dir_of(path)).ok()?;
    for _ in 0..TRIES {
        match dir.try_lock() {
            Ok(()) => return Some(dir),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TICK),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a new private file beside `path` and syncs it.
fn write_temp(path: &Path, bytes: &[u8]) -> Result<PathBuf, SecretsError> {
    let mut temp = path.to_owned().into_os_string();
    temp.push(format!(".{}", uuid::Uuid::new_v4()));
    let temp = PathBuf::from(temp);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).map_err(io(&temp))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| {
        let _ = fs::remove_file(&temp);
        io(path)(e)
    })?;
    Ok(temp)
}
