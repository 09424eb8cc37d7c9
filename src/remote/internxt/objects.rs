//! Where objects are and how they are keyed: asked once a version, until the link runs out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::Core;
use super::errors::{answer, of_change, of_read};
use crate::api::{Lane, SignedUrl, network};
use crate::crypto::{BucketKey, FileKey, Index};
use crate::remote::{Error, Result};
use crate::types::Version;

/// The storage layout this program reads.
const LAYOUT: u32 = 2;
/// Right after an upload the service's replicas may not know the object.
const YOUNG: Duration = Duration::from_secs(60);
/// How long to wait for them, each time.
const LAG: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// All it takes to read an object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) key: FileKey,
    pub(super) size: u64,
    pub(super) url: SignedUrl,
    /// Of the ciphertext.
    pub(super) hash: [u8; 20],
    /// The uploader's code over the hash, if it sent one that we know.
    pub(super) code: Option<Vec<u8>>,
    usable_until: Instant,
}

/// One version's place in the cache; its lock makes concurrent readers ask once.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Arc<Object>>>>;

impl Core {
    /// The key of a bucket, derived once.
    pub(super) fn bucket_key(&self, bucket: &str) -> Result<BucketKey> {
        let mut keys = self.keys.lock();
        if let Some(key) = keys.get(bucket) {
            return Ok(key.clone());
        }
        let key = BucketKey::derive(&self.seed, bucket).map_err(|e| Error::Unreadable(e.to_string()))?;
        keys.put(bucket.to_owned(), key.clone());
        Ok(key)
    }

    /// An object with a usable link. `refused`: a link the store would not take, to be replaced.
    pub(super) async fn object(
        &self,
        of: &Version,
        refused: Option<&Arc<Object>>,
        lane: Lane,
    ) -> Result<Arc<Object>> {
        let slot = self.objects.lock().get_or_insert(of.clone(), Slot::default).clone();
        let mut held = slot.lock().await;
        if let Some(object) = &*held {
            let stale = refused.is_some_and(|r| Arc::ptr_eq(r, object));
            if !stale && object.usable_until > Instant::now() {
                return Ok(object.clone());
            }
        }
        // Somebody may come who waits for this very answer, so it is never among the last.
        let object = Arc::new(self.ask(of, lane.min(Lane::Ahead)).await?);
        *held = Some(object.clone());
        Ok(object)
    }

    /// Asks for an object, whose link is not kept.
    pub(super) async fn ask(&self, of: &Version, lane: Lane) -> Result<Object> {
        let request = network::info(&of.bucket, &of.object).lane(lane);
        let mut lag = LAG.iter();
        let info = loop {
            let failure = match self.session.network(&request).await {
                Ok(info) => break info,
                Err(failure) => failure,
            };
            match answer(&failure).0 {
                404 if self.is_young(of) => match lag.next() {
                    Some(wait) => sleep(*wait).await,
                    None => return Err(Error::NotFound),
                },
                400 => return Err(Error::NotFound),
                _ => return Err(of_read(failure)),
            }
        };
        self.understand(of, info)
    }

    fn understand(&self, of: &Version, info: network::Info) -> Result<Object> {
        let unreadable = |what: &str| Err(Error::Unreadable(what.to_owned()));
        if info.version != Some(LAYOUT) {
            return unreadable("the object has the old layout (version 1), or an unknown one");
        }
        let Some([shard]) = info.shards.as_deref() else {
            return unreadable("the object is not stored in one piece");
        };
        let index = Index::from_hex(&info.index).map_err(|e| Error::Unreadable(e.to_string()))?;
        let Some(size) = info.size else { return unreadable("the object has no size") };
        let mut hash = [0; 20];
        if hex::decode_to_slice(&shard.hash, &mut hash).is_err() {
            return unreadable("the object has no hash of the known kind");
        }
        let code = info.hmac.filter(|code| code.kind == "sha512").map(|code| {
            // What is no hex can match nothing, and must not pass for absent.
            hex::decode(&code.value).unwrap_or_default()
        });
        let life = shard.url.usable_for(SystemTime::now());
        Ok(Object {
            key: self.bucket_key(&of.bucket)?.file_key(&index),
            size,
            url: shard.url.clone(),
            hash,
            code,
            usable_until: Instant::now() + life,
        })
    }

    pub(super) fn note_young(&self, object: &str) {
        self.young.lock().put(object.to_owned(), Instant::now());
    }

    fn is_young(&self, of: &Version) -> bool {
        self.young.lock().get(&of.object).is_some_and(|since| since.elapsed() < YOUNG)
    }

    pub(super) async fn discard(&self, version: &Version) -> Result<()> {
        if self.may_be_registered(&version.object) {
            return Err(Error::Protocol(
                "the object may be in a row; deleting it would lose the file".to_owned(),
            ));
        }
        self.objects.lock().pop(version);
        match self.session.network(&network::delete(&version.bucket, &version.object)).await {
            Err(failure) if answer(&failure).0 != 404 => Err(of_change(failure)),
            _ => Ok(()),
        }
    }
}
