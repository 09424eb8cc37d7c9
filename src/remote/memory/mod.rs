//! The cloud in memory: the executable specification of the service behind [`crate::remote::Remote`].
//!
//! A [`Memory`] is one account; [`Memory::client`] gives any number of clients that see one state. It
//! does what the service was seen to do, the harmful things too: a replace destroys the old object at once and
//! asks nobody, two rows may be given one object, a folder may be moved below itself, folders can be
//! made below deleted ones. [`Memory::check`] then finds the damage. Files and folders have namespaces
//! of their own; names are compared by their two columns, byte for byte, among living rows only.
//!
//! Nothing here reads a clock or rolls dice. Time is logical: each mutation moves it on by a millisecond,
//! [`Memory::advance`] by more. Replicas lag by a number of mutations ([`Memory::set_lag`]), and what the
//! service does late happens at [`Memory::settle`].

mod calls;
mod check;
mod client;
mod plan;
mod reads;
mod state;
#[cfg(test)]
mod tests;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

pub use calls::Call;
pub use client::MemoryRemote;
pub use plan::{Plan, Versions};

use crate::names::RemoteName;
use crate::remote::{Account, Event, Method, Row, Status};
use crate::types::{Kind, NodeId, Timestamp, Version};
use state::{Object, State};

/// The number announcements made by hooks carry: no client's.
const NOBODY: u64 = 0;

/// A cloud with one account. Clones are the same cloud.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    clients: Arc<AtomicU64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty drive on a large plan.
    #[must_use]
    pub fn new() -> Self {
        Memory { state: Arc::new(Mutex::new(State::new())), clients: Arc::new(AtomicU64::new(NOBODY + 1)) }
    }

    /// Another client of the account. The name is for the log of calls.
    #[must_use]
    pub fn client(&self, name: &str) -> Arc<MemoryRemote> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        Arc::new(MemoryRemote { state: self.state.clone(), name: name.to_owned(), number })
    }

    /// Whose drive this is.
    #[must_use]
    pub fn account(&self) -> Account {
        self.state.lock().account.clone()
    }

    // Time and weather.

    /// The logical clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state.lock().now()
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.state.lock().advance(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// From now on reads show the rows as they were `mutations` mutations ago, though never as before this
    /// call. 0 ends it. Objects are not replicated and never lag.
    pub fn set_lag(&self, mutations: usize) {
        self.state.lock().set_lag(mutations);
    }

    /// The replicas catch up, once; the lag goes on from here.
    pub fn catch_up(&self) {
        self.state.lock().catch_up();
    }

    /// Whether the service's own checks (is the parent there, what is the old content) read a lagging
    /// replica too, as they may: a folder just made is then no parent yet. Names are always checked in
    /// the master.
    pub fn set_stale_checks(&self, stale: bool) {
        self.state.lock().stale_checks = stale;
    }

    /// What the service does late: deletions reach what lies below, objects of deleted rows go.
    pub fn settle(&self) {
        self.state.lock().settle();
    }

    /// Another bucket of the account (backups have their own), to put content into.
    #[must_use]
    pub fn add_bucket(&self) -> String {
        let mut state = self.state.lock();
        let bucket = format!("b{:023x}", state.buckets.len());
        state.buckets.insert(bucket.clone());
        bucket
    }

    /// Another plan, announced as such.
    pub fn set_plan(&self, edit: impl FnOnce(&mut Plan)) {
        let mut state = self.state.lock();
        edit(&mut state.plan);
        state.usage = None;
        state.announce(NOBODY, Event::Plan);
    }

    /// Rows a page of the feeds; the service's 1000 unless set. At least 1.
    pub fn set_page(&self, rows: usize) {
        self.state.lock().page = rows.max(1);
    }

    /// The next create of a name without extension does not see its rival: two rows of one name.
    pub fn race_next_create(&self) {
        self.state.lock().race = true;
    }

    /// Whether announcements are to be had. Either way, streams that are open end.
    pub fn set_events(&self, on: bool) {
        self.state.lock().events = on.then(|| tokio::sync::broadcast::channel(1024).0);
    }

    // Another program's work: no rule of the service is applied, others hear of it.

    /// Puts a row as it is, over one of the same identity. `bytes` become its content's object.
    pub fn insert_row(&self, row: Row, bytes: Option<Bytes>) {
        let mut state = self.state.lock();
        state.begin();
        if let (Some(version), Some(bytes)) = (&row.content, bytes) {
            let object = Object { pristine: bytes.clone(), bytes, readable: row.readable };
            state.buckets.insert(version.bucket.clone());
            state.objects.insert(version.clone(), object);
        }
        state.put_row(row);
        state.announce(NOBODY, Event::Changed);
    }

    /// A file, however odd its name, stamped now.
    pub fn add_file(&self, parent: &NodeId, name: RemoteName, bytes: &[u8]) -> Row {
        let mut row = self.blank_row(parent, Kind::File, name);
        let mut state = self.state.lock();
        let bucket = state.account.bucket.clone();
        row.size = bytes.len() as u64;
        row.content = (!bytes.is_empty()).then(|| state.fresh_version(&bucket));
        row.bucket = Some(bucket);
        drop(state);
        self.insert_row(row.clone(), Some(Bytes::copy_from_slice(bytes)));
        row
    }

    /// A folder, however odd its name, stamped now.
    pub fn add_folder(&self, parent: &NodeId, name: &str) -> Row {
        let row = self.blank_row(parent, Kind::Folder, RemoteName::whole(name));
        self.insert_row(row.clone(), None);
        row
    }

    /// A living row of a fresh identity and without content, stamped with the instant of the next mutation.
    #[must_use]
    pub fn blank_row(&self, parent: &NodeId, kind: Kind, name: RemoteName) -> Row {
        let mut state = self.state.lock();
        let at = Timestamp::from_millis(state.now_ms() + 1);
        Row {
            id: state.fresh_id(),
            parent: Some(parent.clone()),
            kind,
            name,
            status: Status::Exists,
            bucket: None,
            content: None,
            size: 0,
            readable: true,
            created: at,
            modified: at,
            updated: at,
        }
    }

    /// Changes a row in place and stamps it now, or as `edit` says.
    pub fn edit_row(&self, id: &NodeId, edit: impl FnOnce(&mut Row)) {
        let mut state = self.state.lock();
        let now = state.begin();
        state.change(id, |rec| {
            rec.row.updated = now;
            edit(&mut rec.row);
        });
        state.announce(NOBODY, Event::Changed);
    }

    /// Stamps rows with one instant, as a bulk statement of the service does.
    pub fn bulk_stamp<'a>(&self, ids: impl IntoIterator<Item = &'a NodeId>) -> Timestamp {
        let mut state = self.state.lock();
        let now = state.begin();
        for id in ids {
            state.change(id, |rec| rec.row.updated = now);
        }
        now
    }

    /// Damages an object: the same length, other bytes. Whether there was one.
    pub fn corrupt(&self, version: &Version) -> bool {
        let mut state = self.state.lock();
        let Some(object) = state.objects.get_mut(version) else { return false };
        let mut bytes = object.bytes.to_vec();
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 0x55;
        }
        object.bytes = bytes.into();
        true
    }

    /// Removes an object from under its row. Whether there was one.
    pub fn remove_object(&self, version: &Version) -> bool {
        self.state.lock().objects.remove(version).is_some()
    }

    // Looking in. The master's state, no matter how far replicas lag.

    /// Every row of every status, the root's too, ordered by identity.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.state.lock().rows.values().map(|r| r.row.clone()).collect()
    }

    /// One row.
    #[must_use]
    pub fn row(&self, id: &NodeId) -> Option<Row> {
        self.state.lock().rows.get(id).map(|r| r.row.clone())
    }

    /// The bytes a row shows: none for a folder or a lost object, empty for an empty file.
    #[must_use]
    pub fn content(&self, id: &NodeId) -> Option<Bytes> {
        let state = self.state.lock();
        let row = state.rows.get(id).map(|r| &r.row).filter(|r| r.kind == Kind::File)?;
        match &row.content {
            Some(version) => state.objects.get(version).map(|o| o.bytes.clone()),
            None => Some(Bytes::new()),
        }
    }

    /// Former contents the service keeps of a file, oldest first.
    #[must_use]
    pub fn kept_versions(&self, id: &NodeId) -> Vec<Version> {
        let state = self.state.lock();
        state.rows.get(id).map(|r| r.kept.iter().map(|(v, _)| v.clone()).collect()).unwrap_or_default()
    }

    /// The log of calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().calls.iter().cloned().collect()
    }

    /// How many calls of one kind the log holds.
    #[must_use]
    pub fn count(&self, method: Method) -> usize {
        self.state.lock().calls.iter().filter(|c| c.method == method).count()
    }

    /// How many calls of one kind were about one row (or folder).
    #[must_use]
    pub fn count_on(&self, method: Method, id: &NodeId) -> usize {
        self.state.lock().calls.iter().filter(|c| c.method == method && c.id.as_ref() == Some(id)).count()
    }

    /// Forgets the log of calls.
    pub fn clear_calls(&self) {
        self.state.lock().calls.clear();
    }
}
