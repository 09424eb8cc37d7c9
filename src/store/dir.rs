//! The cache directory: who owns it, whose it is, and what becomes of it when it cannot be read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, Result};
use crate::crypto::seal::Key;
use crate::types::Timestamp;

/// What makes up a store, and goes into quarantine together.
const PARTS: [&str; 6] = [KEY_FILE, DB_FILE, "state.db-wal", "state.db-shm", "blocks", SUSPECT_FILE];
/// There while the database is known, or was found, to be damaged.
const SUSPECT_FILE: &str = "state.db.suspect";
/// The database.
pub(super) const DB_FILE: &str = "state.db";
pub(super) const KEY_FILE: &str = "store.key";
const KEY_VERSION: i64 = 1;

/// Makes a directory that only its owner can enter.
pub(super) fn private(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    Ok(())
}

/// The directory, locked for as long as this lives.
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Makes the directory if need be, and takes it.
    pub(super) fn take(dir: &Path) -> Result<Lock> {
        private(dir)?;
        let mut open = OpenOptions::new();
        let mut file =
            open.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                Err(Error::InUse { dir: dir.to_owned(), pid })
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Says who holds it. A courtesy: a full disk is no reason to fail.
    pub(super) fn sign(&mut self) {
        let _ = self.file.set_len(0).and_then(|()| writeln!(self.file, "{}", std::process::id()));
    }
}

/// `store.key`: the store's random key, wrapped by the account's.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: i64,
    /// Tells the account's own store from another's, and tells nobody else anything.
    account: String,
    wrapped: String,
    /// Tells a damaged file from another account's.
    check: String,
}

/// What `store.key` says.
pub(super) enum Found {
    /// There is no store here.
    Nothing,
    /// The store's key.
    Key(Key),
    /// The file is damaged, or missing beside a database.
    Damaged(&'static str),
}

fn fingerprint(account: &str, key: &Key) -> String {
    hex::encode(&key.derive(b"inxtfs account fingerprint", account.as_bytes()).expose()[..16])
}

fn check(account: &str, wrapped: &str) -> String {
    hex::encode(&Sha256::digest(format!("{KEY_VERSION}\n{account}\n{wrapped}").as_bytes())[..16])
}

/// Looks for the store's key. Touches nothing.
pub(super) fn find_key(dir: &Path, account: &str, account_key: &Key) -> Result<Found> {
    let path = dir.join(KEY_FILE);
    let text = match std::fs::read(&path) {
        Ok(t) => t,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let orphaned = dir.join(DB_FILE).exists();
            return Ok(if orphaned { Found::Damaged("its key file is missing") } else { Found::Nothing });
        }
        Err(e) => return Err(e.into()),
    };
    let damaged = Ok(Found::Damaged("its key file is damaged"));
    #[derive(Deserialize)]
    struct Any {
        version: i64,
    }
    let Ok(any) = serde_json::from_slice::<Any>(&text) else { return damaged };
    if any.version > KEY_VERSION {
        return Err(Error::TooNew { path, found: any.version, known: KEY_VERSION });
    }
    let Ok(file) = serde_json::from_slice::<KeyFile>(&text) else { return damaged };
    if file.version != KEY_VERSION || file.check != check(&file.account, &file.wrapped) {
        return damaged;
    }
    if file.account != fingerprint(account, account_key) {
        return Err(Error::ForeignAccount(dir.to_owned()));
    }
    let key = hex::decode(&file.wrapped).ok().and_then(|w| account_key.unwrap(&w).ok());
    Ok(key.map_or(Found::Damaged("its key does not open"), Found::Key))
}

/// Makes a key for a fresh store, on disk before anything is sealed with it.
pub(super) fn make_key(dir: &Path, account: &str, account_key: &Key) -> Result<Key> {
    let key = Key::random()?;
    let wrapped = hex::encode(account_key.wrap(&key)?);
    let account = fingerprint(account, account_key);
    let check = check(&account, &wrapped);
    let file = KeyFile { version: KEY_VERSION, account, wrapped, check };
    let text = serde_json::to_vec(&file).map_err(io::Error::from)?;
    let (temp, path) = (dir.join("store.key.new"), dir.join(KEY_FILE));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    out.write_all(&text)?;
    out.sync_all()?;
    std::fs::rename(&temp, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(key)
}

/// Puts the whole store aside. Says where.
pub(super) fn quarantine(dir: &Path) -> Result<PathBuf> {
    let now = Timestamp::now().as_millis();
    let to = (0..)
        .map(|n| {
            dir.join(format!("quarantine-{now}{}", if n == 0 { String::new() } else { format!("-{n}") }))
        })
        .find(|p| !p.exists())
        .unwrap_or_else(|| dir.join("quarantine"));
    private(&to)?;
    for part in PARTS {
        match std::fs::rename(dir.join(part), to.join(part)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => (),
        }
    }
    // The new names before the old ones go.
    File::open(&to)?.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(to)
}

/// The names in the directory, and its own, survive a loss of power.
pub(super) fn sync(dir: &Path) -> Result<()> {
    for dir in dir.canonicalize()?.ancestors().take(2) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Notes that the database is damaged: the next open is to look.
pub(super) fn suspect(dir: &Path) -> Result<()> {
    File::create(dir.join(SUSPECT_FILE))?;
    Ok(())
}

/// Whether that has been noted.
pub(super) fn is_suspect(dir: &Path) -> bool {
    dir.join(SUSPECT_FILE).exists()
}

/// The open has looked, and found it sound.
pub(super) fn clear_suspicion(dir: &Path) -> Result<()> {
    match std::fs::remove_file(dir.join(SUSPECT_FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Whether sealed bytes are here.
pub(super) fn has_blocks(dir: &Path) -> bool {
    std::fs::read_dir(dir.join("blocks")).is_ok_and(|mut d| d.next().is_some())
}

/// Nobody else may read what is here, whatever the umask was.
pub(super) fn tighten(dir: &Path) -> Result<()> {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    for part in PARTS {
        let mode = if part == "blocks" { 0o700 } else { 0o600 };
        match std::fs::set_permissions(dir.join(part), std::fs::Permissions::from_mode(mode)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => (),
        }
    }
    Ok(())
}

/// Changes with each start of the machine.
pub(super) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}
