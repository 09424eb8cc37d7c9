//! The service of Internxt as a [`Remote`].

mod changes;
mod download;
mod errors;
mod keep;
mod objects;
mod proof;
mod rows;
mod thumbnails;
mod tree;
mod upload;

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use futures_util::{StreamExt, try_join};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::errors::of_read;
pub use self::keep::{Former, Trashed};
pub use self::proof::Proof;
use super::session::{Secrets, Session, SessionHealth};
use super::{
    Account, Body, ByteStream, Cursor, Error, Event, EventStream, Limits, NewFile, Page, Remote, Replacement,
    Result, Row, Scope, THUMBNAIL_MAX, Thumbnails, Usage,
};
use crate::api::events::{Announcement, Events};
use crate::api::{ClientId, Gateway, Http, Lane, Storage, Tuning, drive};
use crate::crypto::{BucketKey, Mnemonic};
use crate::names::RemoteName;
use crate::types::{Kind, NodeId, Timestamp, Urgency, Version};

/// Objects whose links and keys are kept.
const OBJECTS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Buckets whose keys are kept; an account has two or three.
const BUCKETS: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Uploads that are remembered for a while.
const UPLOADS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// How to speak to the service.
#[derive(Clone, Debug)]
pub struct Options {
    /// Another gateway than the one the login used.
    pub gateway: Option<Gateway>,
    /// Who we say we are; one a mount.
    pub client: ClientId,
    /// Patience and budgets.
    pub tuning: Tuning,
}

impl Default for Options {
    fn default() -> Self {
        Options { gateway: None, client: ClientId::random(), tuning: Tuning::default() }
    }
}

/// A drive at Internxt. Cheap to clone.
#[derive(Clone)]
pub struct Internxt(Arc<Core>);

struct Core {
    session: Session,
    storage: Storage,
    seed: Zeroizing<[u8; 64]>,
    keys: Mutex<LruCache<String, BucketKey>>,
    objects: Mutex<LruCache<Version, objects::Slot>>,
    /// When we uploaded what.
    young: Mutex<LruCache<String, Instant>>,
    /// Objects that are, or may be, in a row.
    registered: Mutex<LruCache<String, ()>>,
}

impl Internxt {
    /// Takes up the stored session; no network.
    ///
    /// # Errors
    /// [`Error::SessionLost`] if nothing is stored, [`Error::Local`] if it cannot be read.
    pub fn connect(secrets: Arc<dyn Secrets>, options: Options) -> Result<Self> {
        let stored = secrets.load().map_err(|e| Error::Local(std::io::Error::other(e)))?;
        let credentials = stored.ok_or(Error::SessionLost)?;
        let seed = credentials.mnemonic()?.seed();
        let gateway = match options.gateway {
            Some(gateway) => gateway,
            None => Gateway::parse(&credentials.gateway)
                .map_err(|e| Error::Protocol(format!("the stored gateway is no use: {e}")))?,
        };
        let offline = |e: crate::api::Error| Error::Offline(e.to_string());
        let storage = Storage::new(&gateway, options.tuning.clone()).map_err(offline)?;
        let http = Http::new(gateway, options.client, options.tuning).map_err(offline)?;
        Ok(Internxt(Arc::new(Core {
            session: Session::new(http, secrets, credentials),
            storage,
            seed,
            keys: Mutex::new(LruCache::new(BUCKETS)),
            objects: Mutex::new(LruCache::new(OBJECTS)),
            young: Mutex::new(LruCache::new(UPLOADS)),
            registered: Mutex::new(LruCache::new(UPLOADS)),
        })))
    }

    /// The seed of the account's master key, from which the local store's key is wrapped.
    #[must_use]
    pub fn account_seed(&self) -> Zeroizing<[u8; 64]> {
        self.0.seed.clone()
    }

    /// The account's master key.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if the stored words are damaged.
    pub fn mnemonic(&self) -> Result<Mnemonic> {
        self.0.session.credentials().mnemonic()
    }

    /// How the session fares, now and from now on.
    #[must_use]
    pub fn session(&self) -> watch::Receiver<SessionHealth> {
        self.0.session.health()
    }
}

#[async_trait]
impl Remote for Internxt {
    fn account(&self) -> Account {
        self.0.session.credentials().as_account()
    }

    async fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
        self.0.list(folder).await
    }

    async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page> {
        self.0.changes(kind, scope, from).await
    }

    async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>> {
        self.0.newest(kind).await
    }

    async fn stamp_at(&self, kind: Kind, skip: u64) -> Result<Option<Timestamp>> {
        self.0.stamp_at(kind, skip).await
    }

    async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
        self.0.stat(kind, id).await
    }

    async fn versions(&self, id: &NodeId) -> Result<u64> {
        self.0.versions(id).await
    }

    async fn trashed(&self) -> Result<Vec<Row>> {
        Ok(self.0.trashed(keep::SHOWN).await?.into_iter().map(|t| t.row).collect())
    }

    async fn find_all(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>> {
        self.0.find_all(folder, displays).await
    }

    async fn read(&self, of: &Version, size: u64, range: Range<u64>, urgency: Urgency) -> Result<ByteStream> {
        download::read(&self.0, of, size, range, urgency).await
    }

    async fn prepare(&self, of: &Version, urgency: Urgency) -> Result<()> {
        self.0.object(of, None, urgency.into()).await.map(|_| ())
    }

    async fn verify(&self, of: &Version, body: Body) -> Result<()> {
        download::verify(&self.0, of, body).await
    }

    async fn put(&self, bucket: Option<&str>, body: Body) -> Result<Version> {
        upload::put(&self.0, bucket, body, Lane::Send).await
    }

    async fn discard(&self, version: &Version) -> Result<()> {
        self.0.discard(version).await
    }

    async fn thumbnails(&self, folder: &NodeId, skip: u64) -> Result<Thumbnails> {
        self.0.thumbnails(folder, skip).await
    }

    async fn thumbnail(&self, of: &Version) -> Result<Bytes> {
        download::whole(&self.0, of, THUMBNAIL_MAX, Lane::Background).await
    }

    async fn set_thumbnail(&self, id: &NodeId, bucket: Option<&str>, png: Bytes) -> Result<Version> {
        thumbnails::set(&self.0, id, bucket, png).await
    }

    async fn create(&self, file: &NewFile) -> Result<Row> {
        self.0.create(file).await
    }

    async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row> {
        self.0.replace(id, with).await
    }

    async fn mkdir(
        &self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row> {
        self.0.mkdir(parent, name, modified, created).await
    }

    async fn relocate(&self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row> {
        self.0.relocate(kind, id, parent, name).await
    }

    async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()> {
        self.0.trash(items).await
    }

    async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()> {
        self.0.delete(kind, id).await
    }

    async fn usage(&self) -> Result<Usage> {
        let (asked_used, asked_total) = (drive::space_used(), drive::space_limit());
        let (used, total) = try_join!(self.0.session.drive(&asked_used), self.0.session.drive(&asked_total))
            .map_err(of_read)?;
        let missing = || Error::Protocol("the service does not tell the space".to_owned());
        Ok(Usage {
            used: used.total.or(used.drive).ok_or_else(missing)?,
            total: total.max_space_bytes.ok_or_else(missing)?,
        })
    }

    async fn limits(&self) -> Result<Limits> {
        let limits = self.0.session.drive(&drive::limits()).await.map_err(of_read)?;
        Ok(Limits { max_file: limits.max_upload_file_size })
    }

    async fn events(&self) -> Result<EventStream> {
        let bearer = self.0.session.bearer().await.map_err(of_read)?;
        let http = self.0.session.http();
        let connected = Events::connect(http.gateway(), &bearer, http.client_id()).await;
        let events = connected.map_err(|e| Error::Offline(e.to_string()))?;
        let hints = stream::unfold(events, |mut events| async move {
            let hint = match events.next().await.ok()? {
                Announcement::Changed => Event::Changed,
                Announcement::Plan => Event::Plan,
            };
            Some((hint, events))
        });
        Ok(Box::pin(stream::once(async { Event::Connected }).chain(hints)))
    }
}
