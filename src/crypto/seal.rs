//! Sealing at rest: keys that derive keys, and AES-256-GCM over what lies on the local disk.
//!
//! Two implementations of one cipher: keys are wrapped by `aes-gcm`, which wipes what it expanded; blocks are sealed by `ring`,
//! whose code for each processor does both halves in one pass and is four times as fast.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use ring::aead;
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
        let nonce = fresh_nonce()?;
        body.copy_from_slice(&key.0);
        let proof = self
            .wrapper()
            .encrypt_inout_detached(&Nonce::from(nonce), WRAPPING, body.into())
            .map_err(|_| Error::DoesNotOpen)?;
        head.copy_from_slice(&nonce);
        tag.copy_from_slice(&proof);
        Ok(out)
    }

    /// The key that was wrapped by this one.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<Key, Error> {
        let wrapped: &[u8; WRAPPED] = wrapped.try_into().map_err(|_| Error::DoesNotOpen)?;
        let (mut nonce, mut body, mut tag) = ([0; NONCE], Zeroizing::new([0; 32]), [0; TAG]);
        nonce.copy_from_slice(&wrapped[..NONCE]);
        body.copy_from_slice(&wrapped[NONCE..NONCE + 32]);
        tag.copy_from_slice(&wrapped[NONCE + 32..]);
        self.wrapper()
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                WRAPPING,
                body.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .map_err(|_| Error::DoesNotOpen)?;
        Ok(Key(*body))
    }

    fn wrapper(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

/// The associated data of a wrapped key.
const WRAPPING: &[u8] = b"inxtfs wrapped key";

fn fresh_nonce() -> Result<[u8; NONCE], Error> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| Error::Random)?;
    Ok(nonce)
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

/// A key made ready for many blocks (the key schedule costs more than a small block). The schedule is freed without being
/// wiped; the keys it is made of serve one content each.
pub struct Sealer(aead::LessSafeKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Prepares `key`.
    ///
    /// # Panics
    /// Never: the cipher takes every key of this length.
    #[must_use]
    pub fn new(key: &Key) -> Sealer {
        #[allow(clippy::expect_used)]
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &key.0).expect("a key of 32 bytes");
        Sealer(aead::LessSafeKey::new(key))
    }

    /// Encrypts `plain` to `out` (of the same length) under a fresh random nonce.
    pub fn seal_into(&self, aad: &[u8], plain: &[u8], out: &mut [u8]) -> Result<Seal, Error> {
        let nonce = fresh_nonce()?;
        if plain.len() != out.len() {
            return Err(Error::DoesNotOpen);
        }
        out.copy_from_slice(plain);
        let tag = self
            .0
            .seal_in_place_separate_tag(aead::Nonce::assume_unique_for_key(nonce), aead::Aad::from(aad), out)
            .map_err(|_| Error::DoesNotOpen)?;
        let mut seal = Seal { nonce, tag: [0; TAG] };
        seal.tag.copy_from_slice(tag.as_ref());
        Ok(seal)
    }

    /// Decrypts in place. The buffer holds nothing of use if it does not open.
    pub fn open_in_place(&self, aad: &[u8], seal: &Seal, buf: &mut [u8]) -> Result<(), Error> {
        self.open_within(aad, seal, buf, 0)
    }

    /// Decrypts what begins at `from`, to the beginning of the buffer. That holds nothing of use if it does not open.
    pub fn open_within(&self, aad: &[u8], seal: &Seal, buf: &mut [u8], from: usize) -> Result<(), Error> {
        let (nonce, tag) = (aead::Nonce::assume_unique_for_key(seal.nonce), aead::Tag::from(seal.tag));
        self.0
            .open_in_place_separate_tag(nonce, aead::Aad::from(aad), tag, buf, from..)
            .map(|_| ())
            .map_err(|_| Error::DoesNotOpen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed() {
        let (k, other) = (Key::random().unwrap(), Key::random().unwrap());
        let plain = vec![7u8; 5000];
        let mut sealed = vec![0; 5000];
        let seal = Sealer::new(&k).seal_into(b"here", &plain, &mut sealed).unwrap();
        let open = |key: &Key, aad: &[u8], seal: &Seal, sealed: &[u8]| {
            let mut out = sealed.to_vec();
            Sealer::new(key).open_in_place(aad, seal, &mut out).map(|()| out)
        };
        assert_eq!(open(&k, b"here", &seal, &sealed).unwrap(), plain);
        assert!(open(&k, b"there", &seal, &sealed).is_err());
        assert!(open(&other, b"here", &seal, &sealed).is_err());
        assert!(open(&k, b"here", &seal, &sealed[..4999]).is_err());
        sealed[4999] ^= 1;
        assert_eq!(open(&k, b"here", &seal, &sealed), Err(Error::DoesNotOpen));
        let again = Sealer::new(&k).seal_into(b"here", &plain, &mut sealed).unwrap();
        assert_ne!(again.nonce, seal.nonce);
        assert!(Sealer::new(&k).seal_into(b"here", &plain, &mut sealed[1..]).is_err());
    }

    /// Blocks that one of the two implementations sealed are blocks to the other: what lies on disks stays readable.
    #[test]
    fn what_either_cipher_seals_the_other_opens() {
        let key = Key::random().unwrap();
        for len in [0, 1, 15, 16, 17, 4096, 65_536, 65_537] {
            let plain: Vec<u8> = (0..len).map(|i: usize| (i * 31) as u8).collect();
            let mut sealed = vec![0; len];
            let seal = Sealer::new(&key).seal_into(b"aad", &plain, &mut sealed).unwrap();
            let (nonce, tag) = (Nonce::from(seal.nonce), Tag::from(seal.tag));
            key.wrapper().decrypt_inout_detached(&nonce, b"aad", sealed.as_mut_slice().into(), &tag).unwrap();
            assert_eq!(sealed, plain);
            let tag =
                key.wrapper().encrypt_inout_detached(&nonce, b"aad", sealed.as_mut_slice().into()).unwrap();
            let seal = Seal { nonce: seal.nonce, tag: tag.into() };
            Sealer::new(&key).open_in_place(b"aad", &seal, &mut sealed).unwrap();
            assert_eq!(sealed, plain);
        }
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
