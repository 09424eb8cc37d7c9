//! From the seed to the key of one upload.

use std::fmt;

use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Error;

/// The random heart of one upload: it decides key and IV, so it **never serves two plaintexts**.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Index([u8; 32]);

impl Index {
    /// A new one.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn fresh() -> Result<Self, Error> {
        super::random().map(Index)
    }

    /// From the wire's 64 hex digits.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::Index)?;
        Ok(Index(bytes))
    }

    /// As the wire has it.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(super) fn iv(&self) -> [u8; 16] {
        let mut iv = [0; 16];
        iv.copy_from_slice(&self.0[..16]);
        iv
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index(…)")
    }
}

/// The key of a bucket: derive it once and keep it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BucketKey([u8; 64]);

impl BucketKey {
    /// From the account's seed and the bucket's 24 hex digits.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub fn derive(seed: &[u8; 64], bucket: &str) -> Result<Self, Error> {
        let mut id = [0; 12];
        hex::decode_to_slice(bucket, &mut id).map_err(|_| Error::Bucket)?;
        Ok(BucketKey(Sha512::new().chain_update(seed).chain_update(id).finalize().into()))
    }

    /// The key of one upload. The index goes in as its 32 raw bytes, never as hex text.
    #[must_use]
    pub fn file_key(&self, index: &Index) -> FileKey {
        let mut wide: [u8; 64] =
            Sha512::new().chain_update(&self.0[..32]).chain_update(index.0).finalize().into();
        let mut key = [0; 32];
        key.copy_from_slice(&wide[..32]);
        wide.zeroize();
        FileKey { key, iv: index.iv() }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketKey(…)")
    }
}

/// Key and IV of one upload.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct FileKey {
    pub(super) key: [u8; 32],
    pub(super) iv: [u8; 16],
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(…)")
    }
}
