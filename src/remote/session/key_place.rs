//! Where the key lives that seals a login: in a file beside it, in the desktop's keyring, or handed in by systemd.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::private_file as file;
use super::{SecretsError, random_key};
use crate::bus::{self, keyring};

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// The credential's name in a unit.
const CREDENTIAL: &str = "inxtfs.key";

/// Where the key of a login is kept. The login itself, sealed, is always a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyPlace {
    /// A file beside the login: whoever has both on this machine opens it.
    File,
    /// The desktop's keyring (Secret Service), which the user's password opens.
    Keyring,
    /// A credential that systemd hands to a service; never written here.
    Systemd,
}

impl KeyPlace {
    /// Noted in the login's file, readable.
    pub(super) fn mark(self) -> u8 {
        match self {
            KeyPlace::File => b'f',
            KeyPlace::Keyring => b'k',
            KeyPlace::Systemd => b's',
        }
    }

    pub(super) fn of_mark(mark: u8) -> Option<Self> {
        [KeyPlace::File, KeyPlace::Keyring, KeyPlace::Systemd].into_iter().find(|p| p.mark() == mark)
    }

    /// What would help where the key cannot be had from there.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            KeyPlace::File => "`inxtfs login` makes a new one",
            KeyPlace::Keyring => {
                "unlock it (logging in on the desktop does, and its own program: Passwords and Keys, \
                 KWalletManager), or do without it: `inxtfs login --keep-key file`"
            }
            KeyPlace::Systemd => {
                "only a unit with LoadCredential=inxtfs.key:FILE or LoadCredentialEncrypted= has it; \
                 or do without it: `inxtfs login --keep-key file`"
            }
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyPlace::File => "a file beside it",
            KeyPlace::Keyring => "the desktop's keyring",
            KeyPlace::Systemd => "systemd's credentials",
        })
    }
}

/// The keys of one login, one a place at most.
pub(super) struct Keys {
    file: PathBuf,
    /// Names the item in the keyring.
    login: PathBuf,
    /// The folder of the credentials that systemd handed in.
    handed: Option<PathBuf>,
}

impl Keys {
    pub(super) fn new(login: &Path, handed: Option<PathBuf>) -> Self {
        let mut file = login.to_owned().into_os_string();
        file.push(".key");
        Keys { file: file.into(), login: login.to_owned(), handed }
    }

    /// Where a new login's key is best: what was handed in first, then an open keyring, then a file.
    pub(super) fn best(&self) -> KeyPlace {
        [KeyPlace::Systemd, KeyPlace::Keyring]
            .into_iter()
            .find(|place| self.check(*place).is_ok())
            .unwrap_or(KeyPlace::File)
    }

    /// Whether a key can be had from there, or kept there.
    pub(super) fn check(&self, place: KeyPlace) -> Result<(), SecretsError> {
        match place {
            KeyPlace::File => Ok(()),
            KeyPlace::Keyring => keyring::check().map_err(away),
            KeyPlace::Systemd => self.credential().map(drop),
        }
    }

    /// The key that is there.
    pub(super) fn get(&self, place: KeyPlace) -> Result<Option<Zeroizing<Vec<u8>>>, SecretsError> {
        match place {
            KeyPlace::File => match file::read(&self.file)? {
                Some(key) if key.len() != KEY => {
                    Err(SecretsError::Damaged { path: self.file.clone(), why: "it is not a key" })
                }
                key => Ok(key),
            },
            KeyPlace::Keyring => match keyring::get(self.attributes()).map_err(away)? {
                None => Ok(None),
                Some(text) => parse(&text).map(Some).ok_or_else(|| SecretsError::Damaged {
                    path: self.login.clone(),
                    why: "what the keyring has for it is not a key",
                }),
            },
            KeyPlace::Systemd => self.credential().map(Some),
        }
    }

    /// The key that is there, or else a new one. Who calls holds the lock of the login.
    pub(super) fn get_or_make(&self, place: KeyPlace) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        match self.get(place) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {}
            // What is no key opens nothing.
            Err(SecretsError::Damaged { .. }) => self.remove(place)?,
            Err(e) => return Err(e),
        }
        let fresh = random_key()?;
        match place {
            KeyPlace::File => file::make(&self.file, &fresh)?,
            KeyPlace::Keyring => {
                // Text: some keyrings keep nothing else.
                let text = Zeroizing::new(hex::encode(&*fresh).into_bytes());
                let label = format!("inxtfs: what opens the login in {}", self.login.display());
                keyring::put(self.attributes(), label, text).map_err(away)?;
            }
            KeyPlace::Systemd => {}
        }
        // What counts is what others will find.
        let gone = || SecretsError::Damaged { path: self.login.clone(), why: "its key vanished" };
        self.get(place)?.ok_or_else(gone)
    }

    /// Removes the key from there. None there is success; what systemd hands in is not ours to remove.
    pub(super) fn remove(&self, place: KeyPlace) -> Result<(), SecretsError> {
        match place {
            KeyPlace::File => file::destroy(&self.file),
            KeyPlace::Keyring => keyring::remove(self.attributes()).map_err(away),
            KeyPlace::Systemd => Ok(()),
        }
    }

    fn attributes(&self) -> HashMap<String, String> {
        let pairs = [("application", "inxtfs".to_owned()), ("login", self.login.display().to_string())];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn credential(&self) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        let away = |why| SecretsError::KeyAway { place: KeyPlace::Systemd, why };
        let Some(dir) = &self.handed else {
            return Err(away("none was handed to this process".to_owned()));
        };
        let path = dir.join(CREDENTIAL);
        // Who may read it is systemd's matter.
        let bytes = file::read_shared(&path).map_err(|e| away(format!("{}: {e}", path.display())))?;
        parse(&bytes)
            .ok_or_else(|| away(format!("{} is not a key: 32 bytes, or as many in hex", path.display())))
    }
}

fn away(error: bus::Error) -> SecretsError {
    SecretsError::KeyAway { place: KeyPlace::Keyring, why: error.to_string() }
}

/// A key as it is, or in hex.
fn parse(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if bytes.len() == KEY {
        return Some(Zeroizing::new(bytes.to_vec()));
    }
    let key = Zeroizing::new(hex::decode(bytes.trim_ascii()).ok()?);
    (key.len() == KEY).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_thirty_two_bytes_or_as_many_in_hex() {
        let raw = vec![7; KEY];
        assert_eq!(*parse(&raw).unwrap(), raw);
        assert_eq!(*parse(format!("{}\n", hex::encode(&raw)).as_bytes()).unwrap(), raw);
        for bad in [&b""[..], b"secret", &[7; 31], &[b'a'; 62], &[b'x'; 64]] {
            assert!(parse(bad).is_none());
        }
    }

    #[test]
    fn every_place_is_known_by_its_mark() {
        for place in [KeyPlace::File, KeyPlace::Keyring, KeyPlace::Systemd] {
            assert_eq!(KeyPlace::of_mark(place.mark()), Some(place));
        }
        assert_eq!(KeyPlace::of_mark(b'1'), None);
    }
}
