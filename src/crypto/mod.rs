//! Keys, ciphers, hashes, sealing.

pub mod seal;
