//! The parts that every byte or every name goes through, one by one: `cargo bench --bench micro -- [FILTER]`.
//!
//! Names are not among them: the service stores and gives them in the clear.
#![allow(clippy::unwrap_used, missing_docs)]

mod crypto;
mod store;

fn main() {
    if std::env::args().any(|arg| arg == "--bench") {
        crypto::report_hardware();
    }
    divan::main();
}

/// Bytes that compress to nothing shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
