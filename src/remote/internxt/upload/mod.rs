//! Uploading: always under a new index, encrypted on the way, hashed once, sealed once.
//!
//! The finish is never repeated: it is not idempotent, and an index it has seen is spent. What it leaves
//! unclear is thrown away and uploaded anew, once; a link that ran out likewise, twice.

mod body;
mod meter;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use futures_util::try_join;
use tokio::time::sleep;

use super::Core;
use super::errors::{of_change, of_read};
use crate::api::network::{self, Slot};
use crate::api::{self, Lane, Retry, SignedUrl, Verdict};
use crate::crypto::{FileKey, Index, content};
use crate::remote::session::Failure;
use crate::remote::{Body, Error, Result};
use crate::types::Version;

use body::Source;
use meter::{Attempt, Meter};

/// From this size on in parts; the service refuses parts below it.
const MULTIPART_FROM: u64 = 100 << 20;
/// Parts are at least this large,
const PART: u64 = 30 << 20;
/// and never more than this many.
const PARTS: u64 = 9_000;
/// Parts in flight of one upload.
const AT_ONCE: usize = 4;
/// Beginnings because a link ran out, at most.
const EXPIRIES: u32 = 2;
/// Beginnings because the finish was unclear, at most.
const UNCLEAR: u32 = 1;

/// How an attempt ended without an object.
enum Fate {
    /// The links do not work (any more).
    Expired(Error),
    /// Nobody knows whether the object exists; its index is spent.
    Unclear(Error),
    /// No new attempt would help now.
    Final(Error),
}

type Attempted<T> = std::result::Result<T, Fate>;

impl From<Error> for Fate {
    fn from(e: Error) -> Self {
        Fate::Final(e)
    }
}

pub(super) async fn put(core: &Arc<Core>, bucket: Option<&str>, body: Body, lane: Lane) -> Result<Version> {
    if body.size == 0 {
        return Err(Error::Protocol("empty content has no object; register the file without one".to_owned()));
    }
    let own = core.session.credentials();
    let bucket = bucket.unwrap_or(&own.bucket);
    let meter = Arc::new(Meter::new(body.size, body.progress.clone()));
    let (mut expiries, mut unclear) = (0, 0);
    loop {
        let error = match attempt(core, bucket, &body, &meter, lane).await {
            Ok(object) => {
                core.note_young(&object);
                return Ok(Version { bucket: bucket.to_owned(), object });
            }
            Err(Fate::Expired(e)) => {
                expiries += 1;
                if expiries > EXPIRIES {
                    return Err(e);
                }
                e
            }
            Err(Fate::Unclear(e)) => {
                unclear += 1;
                if unclear > UNCLEAR {
                    return Err(e);
                }
                e
            }
            Err(Fate::Final(e)) => return Err(e),
        };
        tracing::debug!(%error, "uploading anew, under a new index");
    }
}

async fn attempt(
    core: &Arc<Core>,
    bucket: &str,
    body: &Body,
    meter: &Arc<Meter>,
    lane: Lane,
) -> Attempted<String> {
    let index = Index::fresh().map_err(|e| Error::Local(std::io::Error::other(e)))?;
    let key = core.bucket_key(bucket)?.file_key(&index);
    let parts = parts_of(body.size);
    let count = parts.map_or(1, |part| body.size.div_ceil(part));
    let started = core.session.network(&network::start(bucket, body.size, count).lane(lane)).await;
    let slot = started.map_err(of_read)?.uploads.into_iter().next().ok_or_else(no_slot)?;
    let attempt = Attempt::new(meter, lane);
    let sent = match parts {
        None => single(core, &slot, body, &key, &attempt).await?,
        Some(part) => multi(core, &slot, body, &key, part, count, &attempt).await?,
    };
    let hash = hex::encode(sent.hash);
    let finish = network::Finish {
        index: &index.to_hex(),
        hash: &hash,
        uuid: &slot.uuid,
        hmac: &hex::encode(content::hmac(&key, &sent.hash)),
        parts: slot.upload_id.as_deref().zip(sent.tags.as_deref()),
    };
    let sealed = core.session.network(&network::finish(bucket, &finish).lane(lane)).await;
    sealed.map(|entry| entry.id).map_err(unsealed)
}

/// What the finish needs to know.
struct Sent {
    hash: [u8; 20],
    tags: Option<Vec<String>>,
}

/// The size of the parts, where there are parts.
fn parts_of(size: u64) -> Option<u64> {
    const STEP: u64 = 1 << 20;
    (size >= MULTIPART_FROM).then(|| size.div_ceil(PARTS).next_multiple_of(STEP).max(PART))
}

fn no_slot() -> Error {
    Error::Protocol("the service starts an upload without saying where to".to_owned())
}

/// Which failures of a finish leave room for doubt.
fn unsealed(failure: Failure) -> Fate {
    let doubtful = match &failure {
        // 404: the object is not there (yet); 409: sizes differ, or it was sealed before.
        Failure::Wire(api::Error::Status(answer)) => matches!(answer.status, 404 | 408 | 409 | 500..),
        Failure::Wire(e) => e.class() == api::Class::Ambiguous,
        Failure::Session(_) => false,
    };
    if !doubtful {
        return Fate::Final(of_change(failure));
    }
    let text = match failure {
        Failure::Wire(e) => e.to_string(),
        Failure::Session(e) => e.to_string(),
    };
    Fate::Unclear(Error::Ambiguous(format!("the upload could not be sealed: {text}")))
}

async fn single(core: &Core, slot: &Slot, body: &Body, key: &FileKey, attempt: &Attempt) -> Attempted<Sent> {
    let url = slot.url.as_ref().ok_or_else(no_slot)?;
    let source = Source::new(body, key, 0..body.size, attempt, true);
    send(core, url, &source, attempt.lane()).await?;
    let hash = source.hash().ok_or_else(|| {
        Fate::Expired(Error::Ambiguous("the object store did not read the whole upload".to_owned()))
    })?;
    Ok(Sent { hash, tags: None })
}

async fn multi(
    core: &Core,
    slot: &Slot,
    body: &Body,
    key: &FileKey,
    part: u64,
    count: u64,
    attempt: &Attempt,
) -> Attempted<Sent> {
    let urls = slot.urls.as_ref().filter(|urls| urls.len() as u64 == count).ok_or_else(no_slot)?;
    if slot.upload_id.is_none() {
        return Err(no_slot().into());
    }
    let tags = stream::iter((0..count).zip(urls.clone()))
        .map(|(n, url)| async move {
            let range = n * part..((n + 1) * part).min(body.size);
            let source = Source::new(body, key, range, attempt, false);
            let tag = send(core, &url, &source, attempt.lane()).await?;
            tag.ok_or_else(|| Fate::Final(Error::Protocol("the object store gave a part no tag".to_owned())))
        })
        .buffered(AT_ONCE)
        .try_collect::<Vec<String>>();
    // The hash is over the whole in order, the parts go out of order: it reads by itself.
    let hash = async {
        let _memory = core.session.http().tuning().memory.take_to_send(body::IN_MEMORY).await;
        body::hash_all(body, key).await.map_err(|e| Fate::Final(Error::Local(e)))
    };
    let (tags, hash) = try_join!(tags, hash)?;
    Ok(Sent { hash, tags: Some(tags) })
}

/// Sends the same bytes to the same link until they arrive, within reason.
async fn send(core: &Core, url: &SignedUrl, source: &Source, lane: Lane) -> Attempted<Option<String>> {
    let mut retry = Retry::new(core.session.http().tuning());
    loop {
        let error = match core.storage.put(url, source.len(), source.stream(), body::IN_MEMORY, lane).await {
            Ok(tag) => return Ok(tag),
            Err(error) => error,
        };
        if let Some(local) = source.local_error() {
            return Err(Fate::Final(Error::Local(local)));
        }
        if matches!(error.status(), Some(400 | 403 | 404)) {
            return Err(Fate::Expired(Error::Offline(format!("the object store refuses the link: {error}"))));
        }
        match retry.after(&error, true) {
            Verdict::GiveUp => return Err(Fate::Final(of_read(Failure::Wire(error)))),
            Verdict::Wait(wait) => sleep(wait).await,
        }
    }
}
