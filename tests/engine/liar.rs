//! A service whose feeds say what a test makes them say, and whose downloads get as far as it lets them.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use inxtfs::names::RemoteName;
use inxtfs::remote::fault::Fault;
use inxtfs::remote::memory::Memory;
use inxtfs::remote::{
    Account, Body, ByteStream, Cursor, EventStream, Limits, NewFile, Page, Remote, Replacement, Result, Row,
    Scope, Usage,
};
use inxtfs::types::{Kind, NodeId, Timestamp, Urgency, Version};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::harness::{Engine, patient};

type Lie = Box<dyn FnMut(Kind, Cursor, Page) -> Page + Send>;

/// Tells the truth but for its feeds.
pub struct Liar {
    inner: Arc<dyn Remote>,
    lie: Mutex<Option<Lie>>,
    dam: watch::Sender<u64>,
}

impl Liar {
    /// A drive that hears a liar. Not started yet.
    pub fn engine(cloud: &Memory) -> (Engine, Arc<Liar>) {
        let dam = watch::Sender::new(u64::MAX);
        let liar = Arc::new(Liar { inner: cloud.client("here"), lie: Mutex::default(), dam });
        (Engine::down(cloud.clone(), Fault::new(liar.clone(), 1), patient()), liar)
    }

    /// From now on a page of the feeds becomes what `lie` makes of it.
    pub fn lie(&self, lie: impl FnMut(Kind, Cursor, Page) -> Page + Send + 'static) {
        *self.lie.lock() = Some(Box::new(lie));
    }

    /// How many of its bytes each download gives, those under way too.
    pub fn dam(&self, bytes: u64) {
        self.dam.send_replace(bytes);
    }

    /// The truth again.
    pub fn repent(&self) {
        *self.lie.lock() = None;
    }
}

#[async_trait]
impl Remote for Liar {
    fn account(&self) -> Account {
        self.inner.account()
    }
    async fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
        self.inner.list(folder).await
    }
    async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page> {
        let page = self.inner.changes(kind, scope, from).await?;
        Ok(match self.lie.lock().as_mut() {
            Some(lie) => lie(kind, from, page),
            None => page,
        })
    }
    async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>> {
        self.inner.newest(kind).await
    }
    async fn stamp_at(&self, kind: Kind, skip: u64) -> Result<Option<Timestamp>> {
        self.inner.stamp_at(kind, skip).await
    }

    async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
        self.inner.stat(kind, id).await
    }
    async fn versions(&self, id: &NodeId) -> Result<u64> {
        self.inner.versions(id).await
    }
    async fn trashed(&self) -> Result<Vec<Row>> {
        self.inner.trashed().await
    }

    async fn find_all(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>> {
        self.inner.find_all(folder, displays).await
    }
    async fn read(&self, of: &Version, size: u64, range: Range<u64>, urgency: Urgency) -> Result<ByteStream> {
        let stream = self.inner.read(of, size, range, urgency).await?;
        let dam = self.dam.subscribe();
        let dammed = stream::unfold((stream, dam, 0), |(mut stream, mut dam, before)| async move {
            let item = stream.next().await?;
            let passed = before + item.as_ref().map_or(0, |bytes| bytes.len() as u64);
            dam.wait_for(|gives| *gives >= passed).await.ok()?;
            Some((item, (stream, dam, passed)))
        });
        Ok(dammed.boxed())
    }
    async fn prepare(&self, of: &Version, urgency: Urgency) -> Result<()> {
        self.inner.prepare(of, urgency).await
    }
    async fn verify(&self, of: &Version, body: Body) -> Result<()> {
        self.inner.verify(of, body).await
    }
    async fn put(&self, bucket: Option<&str>, body: Body) -> Result<Version> {
        self.inner.put(bucket, body).await
    }
    async fn discard(&self, version: &Version) -> Result<()> {
        self.inner.discard(version).await
    }
    async fn create(&self, file: &NewFile) -> Result<Row> {
        self.inner.create(file).await
    }
    async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row> {
        self.inner.replace(id, with).await
    }
    async fn mkdir(
        &self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row> {
        self.inner.mkdir(parent, name, modified, created).await
    }
    async fn relocate(&self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row> {
        self.inner.relocate(kind, id, parent, name).await
    }
    async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()> {
        self.inner.trash(items).await
    }
    async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()> {
        self.inner.delete(kind, id).await
    }
    async fn usage(&self) -> Result<Usage> {
        self.inner.usage().await
    }
    async fn limits(&self) -> Result<Limits> {
        self.inner.limits().await
    }
    async fn events(&self) -> Result<EventStream> {
        self.inner.events().await
    }
}
