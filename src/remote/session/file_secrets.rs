//! Credentials in a sealed file: readable by its owner only, and useless on another machine.

use std::path::PathBuf;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use parking_lot::Mutex;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key_place::{KEY, KeyPlace, Keys};
use super::private_file as file;
use super::{Credentials, Secrets, SecretsError};

/// First bytes of a file whose key lies beside it.
const BESIDE: &[u8; 8] = b"inxtsec1";
/// First bytes of any other; the mark of the key's place follows.
const ELSEWHERE: &[u8; 8] = b"inxtsec2";
const NONCE: usize = 12;

/// A file `NAME`, sealed with a random key that is kept in a [`KeyPlace`], together with the machine's id: neither a copied
/// file nor a copied folder opens elsewhere. What the file begins with tells, readably, where the key is, so file and
/// place change in one step.
pub struct FileSecrets {
    file: PathBuf,
    keys: Keys,
    machine: Vec<u8>,
    /// Where the next save puts the key; `None`: where it is.
    wanted: Option<KeyPlace>,
    /// A key from elsewhere that opened the file: a running mount, which holds what it opens, goes on without the keyring.
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    place: KeyPlace,
    key: Zeroizing<Vec<u8>>,
}

/// The file's parts.
struct Sealed<'a> {
    place: KeyPlace,
    /// Bound into the seal.
    head: &'a [u8],
    rest: &'a [u8],
}

impl FileSecrets {
    /// Keeps the credentials in `file`. Its folder is created when something is saved.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        let machine =
            ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|p| std::fs::read(p).ok());
        let handed = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::on_machine(file, machine.unwrap_or_default(), handed)
    }

    pub(super) fn on_machine(file: PathBuf, machine: Vec<u8>, handed: Option<PathBuf>) -> Self {
        let (keys, machine) = (Keys::new(&file, handed), machine.trim_ascii().to_vec());
        FileSecrets { file, keys, machine, wanted: None, known: Mutex::default() }
    }

    /// From the next save on, the key is kept there.
    #[must_use]
    pub fn keeping(self, place: KeyPlace) -> Self {
        FileSecrets { wanted: Some(place), ..self }
    }

    /// Where the key of a new login is best: what systemd handed in, else an open keyring, else a file.
    #[must_use]
    pub fn best_place(&self) -> KeyPlace {
        self.keys.best()
    }

    /// Whether a key can be kept there, before anything depends on it.
    ///
    /// # Errors
    /// It cannot; the error says what would help.
    pub fn check_place(&self, place: KeyPlace) -> Result<(), SecretsError> {
        self.keys.check(place)
    }

    /// Where the key of the stored login is; `None` if there is no login.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of ours.
    pub fn place(&self) -> Result<Option<KeyPlace>, SecretsError> {
        match file::read(&self.file)? {
            Some(bytes) => self.parse(&bytes).map(|sealed| Some(sealed.place)),
            None => Ok(None),
        }
    }

    fn damaged(&self, why: &'static str) -> SecretsError {
        SecretsError::Damaged { path: self.file.clone(), why }
    }

    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Sealed<'a>, SecretsError> {
        let (place, head) = match (bytes.get(..8), bytes.get(8)) {
            (Some(magic), _) if magic == BESIDE => (Some(KeyPlace::File), 8),
            (Some(magic), Some(mark)) if magic == ELSEWHERE => (KeyPlace::of_mark(*mark), 9),
            _ => return Err(self.damaged("it is not a credentials file")),
        };
        let place =
            place.ok_or_else(|| self.damaged("a newer version of inxtfs keeps its key somewhere else"))?;
        let (head, rest) = bytes.split_at(head);
        Ok(Sealed { place, head, rest })
    }

    fn cipher(&self, key: &[u8]) -> Result<Aes256Gcm, SecretsError> {
        let mut derived = Zeroizing::new([0; KEY]);
        Hkdf::<Sha256>::new(Some(&self.machine), key)
            .expand(b"inxtfs credentials", derived.as_mut())
            .map_err(|_| self.damaged("no key can be derived"))?;
        Aes256Gcm::new_from_slice(derived.as_ref()).map_err(|_| self.damaged("no key can be derived"))
    }

    fn open(&self, sealed: &Sealed<'_>, key: &[u8]) -> Result<Credentials, SecretsError> {
        let (nonce, body) =
            sealed.rest.split_first_chunk::<NONCE>().ok_or_else(|| self.damaged("it is cut short"))?;
        let plain = self
            .cipher(key)?
            .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: sealed.head })
            .map(Zeroizing::new)
            .map_err(|_| self.damaged("it was changed, or sealed on another machine or with another key"))?;
        serde_json::from_slice(&plain).map_err(|_| self.damaged("it holds something else"))
    }

    fn seal(&self, credentials: &Credentials, place: KeyPlace, key: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let head = match place {
            KeyPlace::File => BESIDE.to_vec(),
            other => [ELSEWHERE.as_slice(), &[other.mark()]].concat(),
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SecretsError::Random)?;
        let plain = Zeroizing::new(
            serde_json::to_vec(credentials).map_err(|_| self.damaged("it cannot be written"))?,
        );
        let body = self
            .cipher(key)?
            .encrypt(&Nonce::from(nonce), Payload { msg: &plain, aad: &head })
            .map_err(|_| self.damaged("it cannot be sealed"))?;
        Ok([head.as_slice(), &nonce, &body].concat())
    }

    fn load_from(&self, bytes: &[u8]) -> Result<Credentials, SecretsError> {
        let sealed = self.parse(bytes)?;
        let known = self.known.lock().clone();
        if let Some(known) = known.filter(|k| k.place == sealed.place)
            && let Ok(credentials) = self.open(&sealed, &known.key)
        {
            return Ok(credentials);
        }
        let key = self.keys.get(sealed.place)?.ok_or_else(|| {
            self.damaged(match sealed.place {
                KeyPlace::File => "its key file is missing",
                KeyPlace::Keyring => "its key is not in the keyring any more",
                KeyPlace::Systemd => "its key was not handed in",
            })
        })?;
        let credentials = self.open(&sealed, &key)?;
        self.remember(sealed.place, key);
        Ok(credentials)
    }

    /// A file is looked at each time: it costs nothing, and one that went is to be missed.
    fn remember(&self, place: KeyPlace, key: Zeroizing<Vec<u8>>) {
        *self.known.lock() = (place != KeyPlace::File).then_some(Known { place, key });
    }

    /// Place and key for a save over `present`.
    fn key_for(&self, present: Option<&Sealed<'_>>) -> Result<(KeyPlace, Zeroizing<Vec<u8>>), SecretsError> {
        let known = self.known.lock().clone();
        let place = self.wanted.or(present.map(|p| p.place)).or(known.as_ref().map(|k| k.place));
        let place = place.unwrap_or(KeyPlace::File);
        if let (Some(known), Some(present)) = (known, present)
            && known.place == place
            && present.place == place
            && self.open(present, &known.key).is_ok()
        {
            return Ok((place, known.key));
        }
        Ok((place, self.keys.get_or_make(place)?))
    }

    /// A key that opens nothing any more is not left lying about.
    fn drop_former(&self, present: Option<KeyPlace>, place: KeyPlace) {
        for former in [KeyPlace::File, KeyPlace::Keyring] {
            let there = former == KeyPlace::File || present == Some(former);
            if former != place
                && there
                && let Err(e) = self.keys.remove(former)
            {
                tracing::warn!(error = %e, "the former key, which opens nothing any more, was not removed");
            }
        }
    }
}

impl Secrets for FileSecrets {
    fn load(&self) -> Result<Option<Credentials>, SecretsError> {
        let mut bytes = file::read(&self.file)?;
        loop {
            let Some(present) = bytes else { return Ok(None) };
            let loaded = self.load_from(&present);
            if loaded.is_ok() {
                return loaded.map(Some);
            }
            // A login meanwhile may have taken the key elsewhere.
            bytes = file::read(&self.file)?;
            if bytes.as_ref().is_some_and(|now| *now == present) {
                return loaded.map(Some);
            }
        }
    }

    fn save(&self, credentials: &Credentials) -> Result<(), SecretsError> {
        file::make_dir(&self.file)?;
        let _lock = file::lock(&self.file);
        // One that cannot be read is replaced.
        let bytes = file::read(&self.file).ok().flatten();
        let present = bytes.as_ref().and_then(|b| self.parse(b).ok());
        let (place, key) = self.key_for(present.as_ref())?;
        file::replace(&self.file, &self.seal(credentials, place, &key)?)?;
        self.drop_former(present.map(|p| p.place), place);
        self.remember(place, key);
        Ok(())
    }

    fn forget(&self) -> Result<(), SecretsError> {
        let _lock = file::lock(&self.file);
        *self.known.lock() = None;
        let place = self.place().ok().flatten().unwrap_or(KeyPlace::File);
        // Without the key the rest is noise, whatever becomes of it.
        let key = self.keys.remove(place);
        if place != KeyPlace::File {
            self.keys.remove(KeyPlace::File)?;
        }
        file::destroy(&self.file)?;
        if self.file.parent().is_some_and(std::path::Path::exists) {
            file::sync_dir(&self.file)?;
        }
        key
    }
}
