//! The ciphertext of a part as a stream, made on the fly: memory holds a piece, never a part.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::stream;
use parking_lot::Mutex;

use super::super::download::{PIECE, read_exactly};
use super::meter::Attempt;
use crate::crypto::{Cipher, ContentHasher, FileKey};
use crate::remote::Body;

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
        let state = Pieces {
            body: self.body.clone(),
            cipher: Cipher::at(&self.key, self.range.start),
            at: self.range.start,
            end: self.range.end,
            attempt: self.attempt.clone(),
            shared: self.shared.clone(),
            run,
        };
        stream::try_unfold(
            state,
            |mut state| async move { Ok(state.next().await?.map(|piece| (piece, state))) },
        )
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

struct Pieces {
    body: Body,
    cipher: Cipher,
    at: u64,
    end: u64,
    attempt: Attempt,
    shared: Arc<Mutex<Shared>>,
    run: u64,
}

impl Pieces {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.at == self.end {
            return Ok(None);
        }
        let end = (self.at + PIECE).min(self.end);
        let piece = match read_exactly(&self.body, self.at..end).await {
            Ok(piece) => piece,
            Err(e) => {
                let text = e.to_string();
                self.shared.lock().error = Some(e);
                return Err(io::Error::other(text));
            }
        };
        let mut piece = piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        self.cipher.apply(&mut piece);
        self.at = end;
        let mut shared = self.shared.lock();
        if shared.run == self.run {
            if let Some(hasher) = &mut shared.hasher {
                hasher.update(&piece);
            }
            shared.sent += piece.len() as u64;
            drop(shared);
            self.attempt.add(piece.len() as u64);
        }
        Ok(Some(piece.freeze()))
    }
}

/// The hash of the whole ciphertext.
pub(super) async fn hash_all(body: &Body, key: &FileKey) -> io::Result<[u8; 20]> {
    let mut cipher = Cipher::at(key, 0);
    let mut hasher = ContentHasher::default();
    let mut at = 0;
    while at < body.size {
        let end = (at + PIECE).min(body.size);
        let piece = read_exactly(body, at..end).await?;
        let mut piece = piece.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        cipher.apply(&mut piece);
        hasher.update(&piece);
        at = end;
    }
    Ok(hasher.finish())
}
