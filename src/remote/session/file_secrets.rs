//! Credentials in a sealed file: readable by its owner only, and useless on another machine.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Credentials, Secrets, SecretsError};

/// First bytes of the file; bound into the seal.
const MAGIC: &[u8; 8] = b"inxtsec1";
const NONCE: usize = 12;
const KEY: usize = 32;
/// No file of ours is larger.
const MAX: u64 = 64 << 10;

/// A file `NAME` and, beside it, `NAME.key` with a random key. Both are for their owner only. What
/// seals is that key together with the machine's id: neither a copied file nor a copied
/// folder opens elsewhere. Someone who is the user, or root, here can open it.
#[derive(Clone, Debug)]
pub struct FileSecrets {
    file: PathBuf,
    key: PathBuf,
    machine: Vec<u8>,
}

impl FileSecrets {
    /// Keeps the credentials in `file`. Its folder is created when something is saved.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|p| fs::read(p).ok());
        Self::on_machine(file, machine.unwrap_or_default())
    }

    pub(super) fn on_machine(file: PathBuf, machine: Vec<u8>) -> Self {
        let mut key = file.clone().into_os_string();
        key.push(".key");
        FileSecrets { file, key: key.into(), machine: machine.trim_ascii().to_vec() }
    }

    fn damaged(&self, why: &'static str) -> SecretsError {
        SecretsError::Damaged { path: self.file.clone(), why }
    }

    fn cipher(&self, key: &[u8]) -> Result<Aes256Gcm, SecretsError> {
        let mut derived = Zeroizing::new([0; KEY]);
        Hkdf::<Sha256>::new(Some(&self.machine), key)
            .expand(b"inxtfs credentials", derived.as_mut())
            .map_err(|_| self.damaged("no key can be derived"))?;
        Aes256Gcm::new_from_slice(derived.as_ref()).map_err(|_| self.damaged("no key can be derived"))
    }

    fn stored_key(&self) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
        match read_private(&self.key)? {
            Some(key) if key.len() != KEY => {
                Err(SecretsError::Damaged { path: self.key.clone(), why: "it is not a key" })
            }
            key => Ok(key),
        }
    }

    fn key_or_new(&self) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        if let Some(key) = self.stored_key()? {
            return Ok(key);
        }
        let mut fresh = Zeroizing::new([0; KEY]);
        getrandom::fill(fresh.as_mut()).map_err(|_| SecretsError::Random)?;
        let temp = write_temp(&self.key, fresh.as_ref())?;
        // A link never replaces: of two processes that come here at once, one wins for both.
        let linked = fs::hard_link(&temp, &self.key);
        let _ = fs::remove_file(&temp);
        match linked {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(io(&self.key)(e)),
            _ => self.stored_key()?.ok_or_else(|| self.damaged("its key file vanished")),
        }
    }

    fn open(&self, sealed: &[u8], key: &[u8]) -> Result<Credentials, SecretsError> {
        let rest = sealed.strip_prefix(MAGIC).ok_or_else(|| self.damaged("it is not a credentials file"))?;
        let (nonce, body) =
            rest.split_first_chunk::<NONCE>().ok_or_else(|| self.damaged("it is cut short"))?;
        let plain = self
            .cipher(key)?
            .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: MAGIC })
            .map(Zeroizing::new)
            .map_err(|_| self.damaged("it was changed, or sealed on another machine or with another key"))?;
        serde_json::from_slice(&plain).map_err(|_| self.damaged("it holds something else"))
    }
}

impl Secrets for FileSecrets {
    fn load(&self) -> Result<Option<Credentials>, SecretsError> {
        let Some(sealed) = read_private(&self.file)? else { return Ok(None) };
        let key = self.stored_key()?.ok_or_else(|| self.damaged("its key file is missing"))?;
        self.open(&sealed, &key).map(Some)
    }

    fn save(&self, credentials: &Credentials) -> Result<(), SecretsError> {
        if let Some(dir) = self.file.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io(dir))?;
        }
        let key = self.key_or_new()?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SecretsError::Random)?;
        let plain = Zeroizing::new(
            serde_json::to_vec(credentials).map_err(|_| self.damaged("it cannot be written"))?,
        );
        let body = self
            .cipher(&key)?
            .encrypt(&Nonce::from(nonce), Payload { msg: &plain, aad: MAGIC })
            .map_err(|_| self.damaged("it cannot be sealed"))?;
        let temp = write_temp(&self.file, &[MAGIC.as_slice(), &nonce, &body].concat())?;
        fs::rename(&temp, &self.file).map_err(|e| {
            let _ = fs::remove_file(&temp);
            io(&self.file)(e)
        })?;
        sync_dir(&self.file)
    }

    fn forget(&self) -> Result<(), SecretsError> {
        // Without the key the rest is noise, whatever becomes of it.
        for path in [&self.key, &self.file] {
            match destroy(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(path)(e)),
                _ => {}
            }
        }
        if self.key.parent().is_some_and(Path::exists) { sync_dir(&self.key) } else { Ok(()) }
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SecretsError {
    let path = path.to_owned();
    |source| SecretsError::Io { path, source }
}

/// Overwrites a file before it goes.
fn destroy(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len().min(MAX)).unwrap_or(0);
    file.write_all(&vec![0; len])?;
    file.sync_all()?;
    fs::remove_file(path)
}

/// A file's bytes, if nobody else may read them.
fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io(path))?,
    };
    let meta = file.metadata().map_err(io(path))?;
    if meta.mode() & 0o077 != 0 {
        return Err(SecretsError::Exposed { path: path.to_owned() });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX).read_to_end(&mut bytes).map_err(io(path))?;
    Ok(Some(bytes))
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

fn sync_dir(path: &Path) -> Result<(), SecretsError> {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))
}
