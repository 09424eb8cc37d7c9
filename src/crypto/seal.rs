//! Sealing at rest: keys that derive keys, and AES-256-GCM over what lies on the local disk.

use std::fmt;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a nonce.
pub const NONCE: usize = 12;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;
/// Bytes of a wrapped key.
pub const WRAPPED: usize = NONCE + 32 + TAG;

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another key, other associated data, or changed bytes. Which of them cannot be told.
    #[error("does not open with this key")]
    DoesNotOpen,
    /// The operating system gives no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

/// A secret key of 256 bits. Wiped when dropped, shown by nothing.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A fresh key.
    pub fn random() -> Result<Key, Error> {
        let mut key = Key([0; 32]);
        getrandom::fill(&mut key.0).map_err(|_| Error::Random)?;
        Ok(key)
    }

    /// A key that was kept elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// The account's key: what seals everything local. From the seed of the account's mnemonic.
    #[must_use]
    pub fn from_seed(seed: &[u8; 64]) -> Key {
        expand(seed, b"inxtfs account key", &[])
    }

    /// The key for one purpose (`label`) and one thing (`context`). Independent of all others.
    #[must_use]
    pub fn derive(&self, label: &[u8], context: &[u8]) -> Key {
        expand(&self.0, label, context)
    }

    /// The raw bytes, for those who must hand them on.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// `key`, sealed by this one.
    pub fn wrap(&self, key: &Key) -> Result<[u8; WRAPPED], Error> {
        let mut out = [0; WRAPPED];
        let (head, tail) = out.split_at_mut(NONCE);
        let (body, tag) = tail.split_at_mut(32);
        let seal = Sealer::new(self).seal_into(b"inxtfs wrapped key", &key.0, body)?;
        head.copy_from_slice(&seal.nonce);
        tag.copy_from_slice(&seal.tag);
        Ok(out)
    }

    /// The key that was wrapped by this one.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Key, Error> {
        let wrapped: &[u8; WRAPPED] = wrapped.try_into().map_err(|_| Error::DoesNotOpen)?;
        let (head, tail) = wrapped.split_at(NONCE);
        let (body, tag) = tail.split_at(32);
        let mut seal = Seal { nonce: [0; NONCE], tag: [0; TAG] };
        seal.nonce.copy_from_slice(head);
        seal.tag.copy_from_slice(tag);
        let mut plain = Zeroizing::new([0; 32]);
        Sealer::new(self).open_into(b"inxtfs wrapped key", &seal, body, plain.as_mut())?;
        Ok(Key(*plain))
    }
}

fn expand(secret: &[u8], label: &[u8], context: &[u8]) -> Key {
    let mut key = Key([0; 32]);
    // The label's length comes first, so that no label and context run into another pair.
    let len = u32::try_from(label.len()).unwrap_or(u32::MAX).to_be_bytes();
    let hkdf = Hkdf::<Sha256>::new(None, secret);
    let done = hkdf.expand_multi_info(&[&len, label, context], &mut key.0);
    debug_assert!(done.is_ok(), "32 bytes are always within what HKDF gives");
    key
}

/// What must be kept with a ciphertext.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Random, once a sealing.
    pub nonce: [u8; NONCE],
    /// Proves the ciphertext and the associated data.
    pub tag: [u8; TAG],
}

/// A key made ready for many blocks (the key schedule costs more than a small block).
pub struct Sealer(Aes256Gcm);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Prepares `key`.
    #[must_use]
    pub fn new(key: &Key) -> Sealer {
        Sealer(Aes256Gcm::new(&key.0.into()))
    }

    /// Encrypts `plain` to `out` (of the same length) under a fresh random nonce.
    pub fn seal_into(&self, aad: &[u8], plain: &[u8], out: &mut [u8]) -> Result<Seal, Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| Error::Random)?;
        let buf = InOutBuf::new(plain, out).map_err(|_| Error::DoesNotOpen)?;
        let tag =
            self.0.encrypt_inout_detached(&Nonce::from(nonce), aad, buf).map_err(|_| Error::DoesNotOpen)?;
        Ok(Seal { nonce, tag: tag.into() })
    }

    /// Decrypts `sealed` to `out` (of the same length). `out` is untouched if it does not open.
    pub fn open_into(&self, aad: &[u8], seal: &Seal, sealed: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let buf = InOutBuf::new(sealed, out).map_err(|_| Error::DoesNotOpen)?;
        self.open(aad, seal, buf)
    }

    /// Decrypts in place. The buffer keeps the ciphertext if it does not open.
    pub fn open_in_place(&self, aad: &[u8], seal: &Seal, buf: &mut [u8]) -> Result<(), Error> {
        self.open(aad, seal, buf.into())
    }

    fn open(&self, aad: &[u8], seal: &Seal, buf: InOutBuf<'_, '_, u8>) -> Result<(), Error> {
        let (nonce, tag) = (Nonce::from(seal.nonce), Tag::from(seal.tag));
        self.0.decrypt_inout_detached(&nonce, aad, buf, &tag).map_err(|_| Error::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed() {
        let (k, other) = (Key::random().unwrap(), Key::random().unwrap());
        let plain = vec![7u8; 5000];
        let mut sealed = vec![0; 5000];
        let seal = Sealer::new(&k).seal_into(b"here", &plain, &mut sealed).unwrap();
        let mut out = vec![1; 5000];
        Sealer::new(&k).open_into(b"here", &seal, &sealed, &mut out).unwrap();
        assert_eq!(out, plain);
        assert!(Sealer::new(&k).open_into(b"there", &seal, &sealed, &mut out).is_err());
        assert!(Sealer::new(&other).open_into(b"here", &seal, &sealed, &mut out).is_err());
        sealed[4999] ^= 1;
        assert_eq!(Sealer::new(&k).open_in_place(b"here", &seal, &mut sealed), Err(Error::DoesNotOpen));
        let again = Sealer::new(&k).seal_into(b"here", &plain, &mut sealed).unwrap();
        assert_ne!(again.nonce, seal.nonce);
    }

    #[test]
    fn wraps_and_derives() {
        let (k, inner) = (Key::random().unwrap(), Key::random().unwrap());
        let mut wrapped = k.wrap(&inner).unwrap();
        assert_eq!(k.unwrap(&wrapped).unwrap().expose(), inner.expose());
        assert_eq!(inner.unwrap(&wrapped).unwrap_err(), Error::DoesNotOpen);
        wrapped[20] ^= 1;
        assert!(k.unwrap(&wrapped).is_err());
        assert_ne!(k.derive(b"ab", b"c").expose(), k.derive(b"a", b"bc").expose());
        assert_eq!(k.derive(b"ab", b"c").expose(), k.derive(b"ab", b"c").expose());
        assert_eq!(format!("{k:?}"), "Key(..)");
    }

    /// Pinned: a change of the derivation would lock people out of what they have staged.
    #[test]
    fn the_account_key_does_not_change() {
        let k = Key::from_seed(&[42; 64]);
        assert_eq!(hex::encode(k.derive(b"pin", b"ned").expose()), PINNED);
    }
    const PINNED: &str = "cb049c48dfb9b1e48149424b5c1dfa34ddf7b91dd2e6abf0d2ef04d267c19041";
}
