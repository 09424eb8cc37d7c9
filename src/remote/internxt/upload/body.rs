//! The ciphertext of a part as a stream, made on the fly: memory holds a few pieces, never a part. While one is being sent
//! the next ones are read and encrypted on other threads.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::super::download::read_exactly;
use super::meter::Attempt;
use crate::crypto::{Cipher, ContentHasher, FileKey};
use crate::remote::Body;

/// Bytes read and encrypted at a time.
const PIECE: u64 = 256 << 10;
/// Pieces of a stream that are being made, or wait to be sent.
const AHEAD: usize = 2;
/// Bytes that a stream has in memory: those, the one that is being sent, and a copy while one is made.
pub(super) const IN_MEMORY: u64 = (AHEAD as u64 + 2) * PIECE;

/// A part that can be streamed again and again.
pub(super) struct Source {
    body: Body,
    key: FileKey,
    range: Range<u64>,
    attempt: Attempt,
    shared: Arc<Mutex<Shared>>,
}

/// What a stream leaves behind.
struct Shared {
    hasher: Option<ContentHasher>,
    sent: u64,
    error: Option<io::Error>,
    /// Streams begun: one that was given up may be polled no more, but must not count either.
    run: u64,
}

impl Source {
    /// `hashing`: the range is the whole, and its hash is wanted.
    pub(super) fn new(
        body: &Body,
        key: &FileKey,
        range: Range<u64>,
        attempt: &Attempt,
        hashing: bool,
    ) -> Self {
        let hasher = hashing.then(ContentHasher::default);
        let shared = Shared { hasher, sent: 0, error: None, run: 0 };
        Source {
            body: body.clone(),
            key: key.clone(),
            range,
            attempt: attempt.clone(),
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The ciphertext from the beginning of the part; what an earlier stream counted is taken back.
    pub(super) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let run = {
            let mut shared = self.shared.lock();
            self.attempt.take_back(shared.sent);
            shared.sent = 0;
            shared.hasher = shared.hasher.take().map(|_| ContentHasher::default());
            shared.run += 1;
            shared.run
        };
        let (shared, attempt) = (self.shared.clone(), self.attempt.clone());
        ciphertext(&self.body, &self.key, self.range.clone()).map(move |piece| {
            let mut shared = shared.lock();
            match piece {
                Ok(piece) => {
                    if shared.run == run {
                        shared.count(&piece);
                        drop(shared);
                        attempt.add(piece.len() as u64);
                    }
                    Ok(piece)
                }
                Err(e) => {
                    let text = e.to_string();
                    shared.error = Some(e);
                    Err(io::Error::other(text))
                }
            }
        })
    }

    /// The hash, if the last stream was read to its end.
    pub(super) fn hash(&self) -> Option<[u8; 20]> {
        let shared = self.shared.lock();
        shared.hasher.clone().filter(|_| shared.sent == self.len()).map(ContentHasher::finish)
    }

    /// What went wrong on this side, if it did.
    pub(super) fn local_error(&self) -> Option<io::Error> {
        self.shared.lock().error.take()
    }
}

impl Shared {
    fn count(&mut self, piece: &Bytes) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        self.sent += piece.len() as u64;
    }
}

/// The ciphertext of a range, in order.
fn ciphertext(
    body: &Body,
    key: &FileKey,
    range: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let (body, key, end) = (body.clone(), key.clone(), range.end);
    let count = (end - range.start).div_ceil(PIECE);
    stream::iter(0..count)
        .map(move |n| {
            let at = range.start + n * PIECE;
            let made = encrypted(body.clone(), key.clone(), at..(at + PIECE).min(end));
            // Begun here, not when it is asked for.
            let made = AbortOnDropHandle::new(tokio::spawn(made));
            async move { made.await.map_err(io::Error::other)? }
        })
        .buffered(AHEAD)
}

async fn encrypted(body: Body, key: FileKey, range: Range<u64>) -> io::Result<Bytes> {
    let at = range.start;
    let piece = read_exactly(&body, range).await?;
    let mut piece = piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    Cipher::at(&key, at).apply(&mut piece);
    Ok(piece.freeze())
}

/// The hash of the whole ciphertext.
pub(super) async fn hash_all(body: &Body, key: &FileKey) -> io::Result<[u8; 20]> {
    let pieces = ciphertext(body, key, 0..body.size);
    let hasher = pieces.try_fold(ContentHasher::default(), |mut hasher, piece| {
        hasher.update(&piece);
        std::future::ready(Ok(hasher))
    });
    Ok(hasher.await?.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::{BucketKey, Index};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test]
    async fn the_next_piece_is_made_while_one_is_sent_and_no_more() {
        let size = 10 * PIECE;
        let read = Arc::new(AtomicU64::new(0));
        let counting = read.clone();
        let body = Body {
            size,
            read: Arc::new(move |r: Range<u64>| {
                counting.fetch_add(1, Ordering::Relaxed);
                let len = usize::try_from(r.end - r.start).unwrap();
                Box::pin(std::future::ready(Ok(Bytes::from(vec![7; len]))))
            }),
            progress: Arc::new(|_| {}),
        };
        let bucket = BucketKey::derive(&[1; 64], "0123456789abcdef01234567").unwrap();
        let key = bucket.file_key(&Index::fresh().unwrap());
        let mut pieces = std::pin::pin!(ciphertext(&body, &key, 0..size));
        let first = pieces.next().await.unwrap().unwrap();
        assert_eq!(first.len() as u64, PIECE);
        // Nobody asks for the second, and it is made all the same.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(read.load(Ordering::Relaxed), AHEAD as u64);
        let rest = pieces.try_fold(first.len() as u64, |n, p| std::future::ready(Ok(n + p.len() as u64)));
        assert_eq!(rest.await.unwrap(), size);
        assert_eq!(read.load(Ordering::Relaxed), 10);
    }
}
