//! Helpers of the integration tests.
#![allow(dead_code)] // each test program uses its own share

pub mod secrets;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use inxtfs::remote::{Body, ByteStream, Error};

/// Bytes that differ at every offset a test cares about, the same for the same seed.
pub fn pattern(len: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect::<Vec<u8>>().into()
}

/// All bytes of a stream, or its error.
pub async fn collect(mut stream: ByteStream) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all.freeze())
}

/// A body of the given bytes.
pub fn body(bytes: &Bytes) -> Body {
    Body::from_bytes(bytes.clone())
}
