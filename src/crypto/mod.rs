//! Keys, ciphers, hashes, sealing.
//!
//! ```text
//! mnemonic ─BIP39─▶ seed ─┐
//! bucket id (12 bytes) ───┴─SHA-512─▶ bucket key ─first half─┐
//! index (32 random bytes, one an upload) ────────────────────┴─SHA-512─▶ first half = file key
//!                                         first half of the index = IV
//! ```
//! The content cipher (AES-256-CTR) has no authentication of its own: [`content`] has the hash of
//! the ciphertext and the keyed code over that hash, which together take its place.

pub mod backup_key;
pub mod content;
pub mod envelope;
pub mod keys;
pub mod mnemonic;
pub mod seal;
pub mod totp;

#[cfg(test)]
mod tests;

pub use backup_key::parse as parse_backup_key;
pub use content::{Cipher, ContentHasher};
pub use keys::{BucketKey, FileKey, Index};
pub use mnemonic::Mnemonic;

/// What can be wrong with keys and envelopes. Never tells a secret, not even a misspelt word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Neither 12, 15, 18, 21 nor 24 words.
    #[error("a mnemonic has 12, 15, 18, 21 or 24 words, this has {0}")]
    WordCount(usize),
    /// A word that is not in the English list; counted from 1.
    #[error("word {0} of the mnemonic is misspelt (it is not in the English BIP39 list)")]
    UnknownWord(usize),
    /// All words known, but not in an order that can be.
    #[error("the checksum of the mnemonic is wrong: a word is missing, swapped or another one of the list")]
    Checksum,
    /// Neither JSON with a mnemonic nor words.
    #[error(
        "this is not an Internxt backup key; \
         download INTERNXT-BACKUP-KEY.txt in the web app under Settings, Security, Backup key"
    )]
    NotABackupKey,
    /// An envelope that does not open: the passphrase is wrong or the text damaged.
    #[error("the encrypted text does not open: the password is wrong or the text is damaged")]
    Envelope,
    /// An index that is not 64 hex digits.
    #[error("the index of the content is not 64 hex digits")]
    Index,
    /// A bucket id that is not 24 hex digits.
    #[error("the bucket id is not 24 hex digits")]
    Bucket,
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

/// Fills a fresh array from the system's random generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}
