//! Reading: ranged, resumed where it broke, decrypted on the way, verified where it is whole.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::time::sleep;

use super::Core;
use super::errors::of_read;
use super::objects::Object;
use crate::api::{self, Download, Lane, Retry, Verdict};
use crate::block;
use crate::crypto::{Cipher, ContentHasher, content};
use crate::remote::session::Failure;
use crate::remote::{Body, ByteStream, Error, Result};
use crate::types::{Urgency, Version};

struct Reader {
    core: Arc<Core>,
    of: Version,
    object: Arc<Object>,
    at: u64,
    end: u64,
    cipher: Cipher,
    /// Plaintext of the block that is being received.
    block: BytesMut,
    /// Ciphertext of it, and of later ones.
    arrived: Bytes,
    /// Of the ciphertext so far, if the whole of it will come by.
    hasher: Option<ContentHasher>,
    body: Option<Download>,
    retry: Retry,
    renewed: bool,
    lane: Lane,
}

pub(super) async fn read(
    core: &Arc<Core>,
    of: &Version,
    size: u64,
    range: Range<u64>,
    urgency: Urgency,
) -> Result<ByteStream> {
    let range = range.start..range.end.min(size);
    if range.start >= range.end {
        return Ok(Box::pin(stream::empty()));
    }
    let lane = Lane::from(urgency);
    let object = core.object(of, None, lane).await?;
    check_size(&object, size)?;
    let mut reader = Reader::new(core, of, object, range, lane);
    // What is wrong from the start is told at once.
    reader.open().await?;
    Ok(Box::pin(stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|bytes| (bytes, reader)))
    })))
}

/// All of a small object, verified. Its link is not kept: nobody reads it twice.
pub(super) async fn whole(core: &Arc<Core>, of: &Version, most: u64, lane: Lane) -> Result<Bytes> {
    let object = Arc::new(core.ask(of, lane).await?);
    let size = object.size;
    if size > most {
        return Err(Error::Unreadable(format!("it has {size} bytes, and should have {most} at most")));
    }
    let mut reader = Reader::new(core, of, object, 0..size, lane);
    let mut all = BytesMut::new();
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

impl Reader {
    fn new(core: &Arc<Core>, of: &Version, object: Arc<Object>, range: Range<u64>, lane: Lane) -> Self {
        Reader {
            lane,
            at: range.start,
            end: range.end,
            cipher: Cipher::at(&object.key, range.start),
            block: BytesMut::new(),
            arrived: Bytes::new(),
            hasher: (range.start == 0 && range.end == object.size).then(ContentHasher::default),
            body: None,
            retry: Retry::new(core.session.http().tuning()),
            renewed: false,
            core: core.clone(),
            of: of.clone(),
            object,
        }
    }

    /// What comes next, up to the end of a block: the buffer it is decrypted in is what the cache keeps.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(block) = self.decrypt() {
                return Ok(Some(block));
            }
            if self.at == self.end {
                self.body = None;
                return self.finish().map(|()| None);
            }
            let body = match &mut self.body {
                Some(body) => body,
                None => self.open().await?,
            };
            match body.chunk().await {
                Ok(Some(bytes)) => self.take(bytes),
                Ok(None) => self.body = None,
                Err(e) => {
                    self.body = None;
                    self.wait_or_fail(e).await?;
                }
            }
        }
    }

    fn take(&mut self, bytes: Bytes) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        self.at += bytes.len() as u64;
        self.arrived = bytes;
        // Progress: whatever happens next is counted afresh.
        self.retry = Retry::new(self.core.session.http().tuning());
        self.renewed = false;
    }

    /// Moves what has arrived to its block, once and while it is in the processor's cache; gives the block if that
    /// completes it.
    fn decrypt(&mut self) -> Option<Bytes> {
        if self.arrived.is_empty() {
            return None;
        }
        let at = self.at - self.arrived.len() as u64;
        let end = block::range(block::index(at)).end.min(self.end);
        let whole = usize::try_from(end - at).unwrap_or(usize::MAX);
        let part = self.arrived.split_to(whole.min(self.arrived.len()));
        let from = self.block.len();
        self.block.reserve(whole);
        self.block.extend_from_slice(&part);
        self.cipher.apply(&mut self.block[from..]);
        (part.len() == whole).then(|| self.block.split().freeze())
    }

    fn finish(&mut self) -> Result<()> {
        match self.hasher.take() {
            Some(hasher) => check(&self.object, &hasher.finish()),
            None => Ok(()),
        }
    }

    /// Asks for what is still missing.
    async fn open(&mut self) -> Result<&mut Download> {
        loop {
            let (url, size) = (&self.object.url, self.object.size);
            match self.core.storage.get(url, self.at..self.end, size, self.lane).await {
                Ok(body) => return Ok(self.body.insert(body)),
                Err(e) => match e.status() {
                    Some(404) => return Err(Error::NotFound),
                    Some(416) => {
                        return Err(Error::Corrupt(
                            "the stored object is shorter than it should be".to_owned(),
                        ));
                    }
                    Some(400 | 403) if !self.renewed => self.renew().await?,
                    Some(400 | 403) => {
                        return Err(Error::Offline(format!("the object store refuses a fresh link: {e}")));
                    }
                    _ => self.wait_or_fail(e).await?,
                },
            }
        }
    }

    /// A new link in place of one that ran out.
    async fn renew(&mut self) -> Result<()> {
        self.renewed = true;
        let fresh = self.core.object(&self.of, Some(&self.object), self.lane).await?;
        if fresh.size != self.object.size || fresh.hash != self.object.hash {
            return Err(Error::Corrupt("the object changed, which objects never do".to_owned()));
        }
        self.object = fresh;
        Ok(())
    }

    async fn wait_or_fail(&mut self, e: api::Error) -> Result<()> {
        match self.retry.after(&e, true) {
            Verdict::GiveUp => Err(of_read(Failure::Wire(e))),
            Verdict::Wait(wait) => {
                sleep(wait).await;
                Ok(())
            }
        }
    }
}

fn check_size(object: &Object, size: u64) -> Result<()> {
    if object.size == size {
        return Ok(());
    }
    Err(Error::Corrupt(format!("the stored object has {} bytes, its file {size}", object.size)))
}

/// The hash of the ciphertext against what the service holds, and that against what the uploader said.
fn check(object: &Object, hash: &[u8; 20]) -> Result<()> {
    if *hash != object.hash {
        return Err(Error::Corrupt("its hash is not that of the upload".to_owned()));
    }
    match &object.code {
        Some(code) if !content::same_code(&content::hmac(&object.key, hash), code) => Err(Error::Corrupt(
            "its code is not the uploader's: changed on the server, or another key".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Compares a version with plaintext at hand, without fetching it.
pub(super) async fn verify(core: &Arc<Core>, of: &Version, body: Body) -> Result<()> {
    let object = core.object(of, None, Lane::Read).await?;
    check_size(&object, body.size)?;
    let mut cipher = Cipher::at(&object.key, 0);
    let mut hasher = ContentHasher::default();
    let mut ciphertext = vec![0; block::LEN];
    for block in 0..block::count(body.size) {
        let range = block::range(block);
        let piece = read_exactly(&body, range.start..range.end.min(body.size)).await?;
        let ciphertext = &mut ciphertext[..piece.len()];
        cipher.apply_to(&piece, ciphertext);
        hasher.update(ciphertext);
    }
    check(&object, &hasher.finish())
}

/// A piece of a body; one of another length would shift all that follows.
pub(super) async fn read_exactly(body: &Body, range: Range<u64>) -> std::io::Result<Bytes> {
    let want = range.end - range.start;
    let piece = (body.read)(range).await?;
    if piece.len() as u64 == want {
        return Ok(piece);
    }
    let text = format!("the local content gave {} bytes in place of {want}", piece.len());
    Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text))
}
