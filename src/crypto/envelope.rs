//! The `Salted__` envelope (OpenSSL's, MD5, one round) and the password hash of the login.
//!
//! The envelope has no authentication: a wrong passphrase may, once in 256 times, open to garbage.
//! Whatever comes out needs a check of its own.

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use md5::{Digest, Md5};
use sha1::Sha1;
use zeroize::{Zeroize, Zeroizing};

use super::Error;

/// The constant that every client of the service carries; it keeps nothing secret.
const APP_SECRET: &[u8] = b"6KYQBP847D4ATSFA";
const MAGIC: &[u8; 8] = b"Salted__";
const ROUNDS: u32 = 10_000;

fn key_iv(passphrase: &[u8], salt: &[u8; 8]) -> Zeroizing<[u8; 48]> {
    let mut out = Zeroizing::new([0; 48]);
    let mut last: [u8; 16] = [0; 16];
    for (i, slot) in out.chunks_exact_mut(16).enumerate() {
        let mut md5 = Md5::new();
        if i > 0 {
            md5.update(last);
        }
        last = md5.chain_update(passphrase).chain_update(salt).finalize().into();
        slot.copy_from_slice(&last);
    }
    last.zeroize();
    out
}

/// Opens an envelope in hex.
///
/// # Errors
/// [`Error::Envelope`].
pub fn open(hex_text: &str, passphrase: &[u8]) -> Result<Zeroizing<String>, Error> {
    let blob = hex::decode(hex_text).map_err(|_| Error::Envelope)?;
    let (head, body) = blob.split_at_checked(16).ok_or(Error::Envelope)?;
    let salt: &[u8; 8] = head.strip_prefix(MAGIC).and_then(|s| s.try_into().ok()).ok_or(Error::Envelope)?;
    let derived = key_iv(passphrase, salt);
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&derived[..32], &derived[32..])
        .map_err(|_| Error::Envelope)?;
    let plain = cipher.decrypt_padded_vec::<Pkcs7>(body).map_err(|_| Error::Envelope)?;
    String::from_utf8(plain).map(Zeroizing::new).map_err(|e| {
        e.into_bytes().zeroize();
        Error::Envelope
    })
}

/// Makes an envelope in hex, with a random salt.
///
/// # Errors
/// [`Error::Random`].
pub fn seal(plain: &str, passphrase: &[u8]) -> Result<String, Error> {
    seal_with_salt(plain, passphrase, &super::random()?)
}

pub(super) fn seal_with_salt(plain: &str, passphrase: &[u8], salt: &[u8; 8]) -> Result<String, Error> {
    let derived = key_iv(passphrase, salt);
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&derived[..32], &derived[32..])
        .map_err(|_| Error::Envelope)?;
    let body = cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes());
    Ok(hex::encode([MAGIC.as_slice(), salt, &body].concat()))
}

/// The password hash (64 hex digits) from the `sKey` of the login's first answer.
///
/// # Errors
/// [`Error::Envelope`] if the salt does not come out.
pub fn password_hash(password: &str, s_key: &str) -> Result<Zeroizing<String>, Error> {
    let salt = hex::decode(open(s_key, APP_SECRET)?.as_str()).map_err(|_| Error::Envelope)?;
    let mut hash = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), &salt, ROUNDS, hash.as_mut());
    Ok(Zeroizing::new(hex::encode(hash.as_ref())))
}

/// The password field of the login's second request: the hash in an envelope, 192 hex digits.
///
/// # Errors
/// [`Error::Envelope`], [`Error::Random`].
pub fn password_field(password: &str, s_key: &str) -> Result<Zeroizing<String>, Error> {
    seal(&password_hash(password, s_key)?, APP_SECRET).map(Zeroizing::new)
}

#[cfg(test)]
pub(super) fn app_secret() -> &'static [u8] {
    APP_SECRET
}

#[cfg(test)]
pub(super) fn key_iv_for_tests(passphrase: &[u8], salt: &[u8; 8]) -> Zeroizing<[u8; 48]> {
    key_iv(passphrase, salt)
}
