//! Content: the seekable cipher, the hash of the ciphertext, and the keyed code over that hash.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use ripemd::Ripemd160;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::FileKey;

/// AES-256-CTR with a 128-bit big-endian counter that wraps. Plaintext and ciphertext have the same
/// length and the same offsets; encrypting and decrypting are one operation.
pub struct Cipher(Ctr128BE<Aes256>);

impl Cipher {
    /// The keystream from byte `offset` on; no alignment needed.
    #[must_use]
    pub fn at(key: &FileKey, offset: u64) -> Self {
        // The keystream ends after 2^128 blocks, a seek takes a position in bytes and starts from
        // the IV: every u64 is in reach.
        let mut cipher = Ctr128BE::<Aes256>::new(&key.key.into(), &key.iv.into());
        cipher.seek(offset);
        Cipher(cipher)
    }

    /// Encrypts or decrypts the next bytes in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }

    /// Encrypts or decrypts the next bytes into a buffer of the same length.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn apply_to(&mut self, from: &[u8], to: &mut [u8]) {
        self.0.apply_keystream_b2b(from, to);
    }
}

/// The service's content hash, `RIPEMD160(SHA256(ciphertext))`, fed in order.
#[derive(Clone, Default)]
pub struct ContentHasher(Sha256);

impl ContentHasher {
    /// The next ciphertext.
    pub fn update(&mut self, ciphertext: &[u8]) {
        self.0.update(ciphertext);
    }

    /// The hash of all that was fed.
    #[must_use]
    pub fn finish(self) -> [u8; 20] {
        Ripemd160::digest(self.0.finalize()).into()
    }
}

fn hmac_key(key: &FileKey) -> Zeroizing<[u8; 64]> {
    let mut out = Zeroizing::new([0; 64]);
    let hkdf = Hkdf::<Sha512>::new(Some(&[0; 64]), &key.key);
    // 64 bytes are one block of SHA-512: the length is always legal.
    let _ = hkdf.expand(b"for hmac", out.as_mut());
    out
}

/// The code that proves, to whoever has the key, that `hash` is what the uploader computed.
#[must_use]
pub fn hmac(key: &FileKey, hash: &[u8; 20]) -> [u8; 64] {
    let mac_key = hmac_key(key);
    match Hmac::<Sha512>::new_from_slice(mac_key.as_ref()) {
        Ok(mac) => mac.chain_update(hash).finalize().into_bytes().into(),
        // HMAC takes keys of every length.
        Err(_) => [0; 64],
    }
}

/// Compares codes without telling where they differ.
#[must_use]
pub fn same_code(a: &[u8; 64], b: &[u8]) -> bool {
    a.as_slice().ct_eq(b).into()
}

#[cfg(test)]
pub(super) fn hmac_key_for_tests(key: &FileKey) -> Zeroizing<[u8; 64]> {
    hmac_key(key)
}
