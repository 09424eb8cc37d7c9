//! Keys, ciphers, hashes, sealing.

pub mod seal;
pub mod backup_key;
pub use backup_key::{Mnemonic, parse as parse_backup_key};
