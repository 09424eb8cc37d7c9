//! Keys, ciphers, hashes, sealing.

pub mod backup_key;
pub mod seal;
