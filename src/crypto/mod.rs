//! Keys, ciphers, hashes, sealing.
