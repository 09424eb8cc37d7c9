//! Sealed blocks: read cache and staging in one.
#![allow(unused_variables, missing_docs)]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Conn, Result, Tx};
use crate::extent::ByteSet;
use crate::types::Version;

/// A content's row. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ContentId(pub i64);

/// Part of what was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Bytes from this offset.
    Data(u64, Bytes),
    /// Not here. Staged: the base's byte below `base_limit`, else zero. Cached: to be fetched.
    Gap(Range<u64>),
}

/// Bytes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage { pub cached: u64, pub staged: u64 }

/// What a verification of a staged content found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict { Intact, Damaged(Vec<u64>) }

/// What a sweep did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept { pub removed: u64, pub quarantined: Vec<std::path::PathBuf> }

#[derive(Clone)]
pub struct Blocks(Arc<()>);
impl Blocks {
    pub fn stage(&self, tx: &Tx, base: Option<(ContentId, u64)>, size: u64) -> Result<Arc<Content>> { unimplemented!() }
    pub fn cached(&self, tx: &Tx, version: &Version, size: u64) -> Result<Arc<Content>> { unimplemented!() }
    pub fn find(&self, conn: &Conn, version: &Version) -> Result<Option<Arc<Content>>> { unimplemented!() }
    pub fn open(&self, id: ContentId) -> Result<Arc<Content>> { unimplemented!() }
    /// As `open`, within a transaction or read (`Tx` derefs to `Conn`).
    pub fn open_in(&self, conn: &Conn, id: ContentId) -> Result<Arc<Content>> { unimplemented!() }
    /// Takes effect in memory too once the transaction commits.
    pub fn adopt(&self, tx: &Tx, id: ContentId, version: &Version) -> Result<()> { unimplemented!() }
    pub fn forget(&self, tx: &Tx, id: ContentId) -> Result<()> { unimplemented!() }
    pub fn pin(&self, tx: &Tx, id: ContentId, pinned: bool) -> Result<()> { unimplemented!() }
    /// Returns the bytes freed. Runs its own transactions: not within one.
    pub fn evict(&self, limit: u64) -> Result<u64> { unimplemented!() }
    pub fn usage(&self) -> Usage { unimplemented!() }
    pub fn sweep(&self) -> Result<Swept> { unimplemented!() }
    pub fn check_after_boot(&self, conn: &Conn) -> Result<Vec<(ContentId, Verdict)>> { unimplemented!() }
}

/// Keep the `Arc` until `commit`: what was neither sealed nor committed goes with the last one.
pub struct Content {}
impl Content {
    pub fn id(&self) -> ContentId { unimplemented!() }
    pub fn size(&self) -> u64 { unimplemented!() }
    pub fn is_staged(&self) -> bool { unimplemented!() }
    pub fn version(&self) -> Option<Version> { unimplemented!() }
    pub fn base(&self) -> Option<(ContentId, u64)> { unimplemented!() }
    pub fn read(&self, range: Range<u64>) -> Result<Vec<Piece>> { unimplemented!() }
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> { unimplemented!() }
    pub fn truncate(&self, size: u64) -> Result<()> { unimplemented!() }
    pub fn seal(&self) -> Result<()> { unimplemented!() }
    /// Writes the changed rows. What follows from the commit or rollback happens by itself: there is no `committed()`.
    pub fn commit(&self, tx: &Tx) -> Result<()> { unimplemented!() }
    /// Whether there is anything to seal or commit.
    pub fn is_changed(&self) -> bool { unimplemented!() }
    pub fn sync(&self) -> Result<()> { unimplemented!() }
    /// Marks durable if `sync` covered all that is committed; says whether it did.
    pub fn mark_durable(&self, tx: &Tx) -> Result<bool> { unimplemented!() }
    pub fn is_durable(&self) -> bool { unimplemented!() }
    pub fn fill(&self, offset: u64, data: &[u8]) -> Result<()> { unimplemented!() }
    pub fn missing(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> { unimplemented!() }
    pub fn freeze(&self) { unimplemented!() }
    pub fn is_frozen(&self) -> bool { unimplemented!() }
    pub fn written(&self) -> ByteSet { unimplemented!() }
}
