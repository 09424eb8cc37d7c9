//! The service as a [`Remote`](super::Remote).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Result, session::Secrets};
use crate::api::Gateway;

/// How to connect.
pub struct Options {
    /// Where.
    pub gateway: Gateway,
}

/// The service.
pub struct Internxt;

impl Internxt {
    /// Needs no network.
    pub fn connect(_secrets: Arc<dyn Secrets>, _options: Options) -> Result<Internxt> {
        Err(super::Error::SessionLost)
    }
    /// The seed.
    #[must_use]
    pub fn account_seed(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new([0; 64])
    }
}

#[allow(unused_variables)]
mod stub {
    use super::super::*;
    #[async_trait]
    impl Remote for super::Internxt {
        fn account(&self) -> Account {
            unimplemented!()
        }
        async fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
            unimplemented!()
        }
        async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page> {
            unimplemented!()
        }
        async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>> {
            unimplemented!()
        }
        async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
            unimplemented!()
        }
        async fn find(&self, folder: &NodeId, display: &str) -> Result<Vec<Row>> {
            unimplemented!()
        }
        async fn read(&self, of: &Version, size: u64, range: Range<u64>) -> Result<ByteStream> {
            unimplemented!()
        }
        async fn verify(&self, of: &Version, body: Body) -> Result<()> {
            unimplemented!()
        }
        async fn put(&self, bucket: Option<&str>, body: Body) -> Result<Version> {
            unimplemented!()
        }
        async fn discard(&self, version: &Version) -> Result<()> {
            unimplemented!()
        }
        async fn create(&self, file: &NewFile) -> Result<Row> {
            unimplemented!()
        }
        async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row> {
            unimplemented!()
        }
        async fn mkdir(
            &self,
            parent: &NodeId,
            name: &str,
            modified: Timestamp,
            created: Timestamp,
        ) -> Result<Row> {
            unimplemented!()
        }
        async fn relocate(&self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row> {
            unimplemented!()
        }
        async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()> {
            unimplemented!()
        }
        async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()> {
            unimplemented!()
        }
        async fn usage(&self) -> Result<Usage> {
            unimplemented!()
        }
        async fn limits(&self) -> Result<Limits> {
            unimplemented!()
        }
        async fn events(&self) -> Result<EventStream> {
            unimplemented!()
        }
    }
}
