//! What the cloud holds, its clock, and what a lagging replica shows of it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;

use super::calls::Call;
use super::plan::Plan;
use crate::names::RemoteName;
use crate::remote::{Account, Event, Row, Status, Thumbnail};
use crate::types::{Kind, NodeId, Timestamp, Version};

/// The first reading of the logical clock: 2026-01-01.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// A row and what the trait does not show of it.
#[derive(Clone, Debug)]
pub(super) struct Rec {
    pub row: Row,
    /// Former contents of a versionable file, oldest first.
    pub kept: Vec<(Version, u64)>,
    /// The small picture of a file. It stays when the content changes.
    pub thumbnail: Option<Thumbnail>,
}

/// The drive's table. Rows are shared with the snapshots of [`State::view`].
pub(super) type Rows = BTreeMap<NodeId, Arc<Rec>>;

/// An uploaded object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// What was uploaded: what the content hash vouches for.
    pub pristine: Bytes,
    /// What is served; differs after [`super::Memory::corrupt`].
    pub bytes: Bytes,
    /// Whether the program knows the layout.
    pub readable: bool,
}

pub(super) struct State {
    pub account: Account,
    pub buckets: HashSet<String>,
    pub rows: Rows,
    pub objects: HashMap<Version, Object>,
    /// Objects of deleted rows: gone, and off the quota, at the next settling.
    pub doomed: Vec<Version>,
    /// The row each object was first registered for. An object belongs to one row, ever.
    pub owners: HashMap<Version, NodeId>,
    pub violations: Vec<String>,
    pub plan: Plan,
    pub page: usize,
    pub calls: VecDeque<Call>,
    pub race: bool,
    pub stale_checks: bool,
    /// `None` while the cloud announces nothing.
    pub events: Option<broadcast::Sender<(u64, Event)>>,
    /// When usage was last computed, and the result.
    pub usage: Option<(i64, u64)>,
    clock: i64,
    serial: u64,
    lag: usize,
    past: VecDeque<Rows>,
}

impl State {
    pub fn new() -> Self {
        let mut state = State {
            account: Account {
                id: "00000000-0000-4000-9000-000000000001".into(),
                email: "someone@example.com".into(),
                root: NodeId::from("00000000-0000-4000-8000-000000000000"),
                bucket: "b00000000000000000000000".into(),
            },
            buckets: HashSet::new(),
            rows: Rows::new(),
            objects: HashMap::new(),
            doomed: Vec::new(),
            owners: HashMap::new(),
            violations: Vec::new(),
            plan: Plan::default(),
            page: 1000,
            calls: VecDeque::new(),
            race: false,
            stale_checks: false,
            events: Some(broadcast::channel(1024).0),
            usage: None,
            clock: EPOCH_MS,
            serial: 0,
            lag: 0,
            past: VecDeque::new(),
        };
        state.buckets.insert(state.account.bucket.clone());
        let now = state.now();
        let root = Row {
            id: state.account.root.clone(),
            parent: None,
            kind: Kind::Folder,
            name: RemoteName::whole("Root"),
            status: Status::Exists,
            bucket: Some(state.account.bucket.clone()),
            content: None,
            size: 0,
            readable: true,
            created: now,
            modified: now,
            updated: now,
        };
        state.put_row(root);
        state
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock)
    }

    pub fn now_ms(&self) -> i64 {
        self.clock
    }

    pub fn advance(&mut self, ms: i64) {
        self.clock = self.clock.saturating_add(ms.max(0));
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn fresh_id(&mut self) -> NodeId {
        NodeId(format!("00000000-0000-4000-8000-{:012x}", self.next_serial()))
    }

    pub fn fresh_version(&mut self, bucket: &str) -> Version {
        Version { bucket: bucket.to_owned(), object: format!("f{:023x}", self.next_serial()) }
    }

    /// Begins a mutation: the clock ticks, and a lagging replica keeps what was.
    /// Returns the instant that stamps what is changed.
    pub fn begin(&mut self) -> Timestamp {
        if self.lag > 0 {
            self.past.push_back(self.rows.clone());
            while self.past.len() > self.lag {
                self.past.pop_front();
            }
        }
        self.clock += 1;
        self.now()
    }

    pub fn set_lag(&mut self, mutations: usize) {
        self.lag = mutations;
        self.past.clear();
    }

    pub fn catch_up(&mut self) {
        self.past.clear();
    }

    /// What reads see.
    pub fn view(&self) -> &Rows {
        self.past.front().unwrap_or(&self.rows)
    }

    /// What the service's own checks before a write see.
    pub fn checked(&self) -> &Rows {
        if self.stale_checks { self.view() } else { &self.rows }
    }

    pub fn put_row(&mut self, row: Row) {
        self.own(&row);
        let (kept, thumbnail) =
            self.rows.get(&row.id).map(|r| (r.kept.clone(), r.thumbnail.clone())).unwrap_or_default();
        self.rows.insert(row.id.clone(), Arc::new(Rec { row, kept, thumbnail }));
    }

    /// Changes a row in the master; one that has vanished stays so.
    pub fn change(&mut self, id: &NodeId, edit: impl FnOnce(&mut Rec)) {
        if let Some(rec) = self.rows.get_mut(id) {
            let rec = Arc::make_mut(rec);
            edit(rec);
            let row = rec.row.clone();
            self.own(&row);
        }
    }

    fn own(&mut self, row: &Row) {
        let Some(version) = &row.content else { return };
        match self.owners.get(version) {
            Some(owner) if *owner != row.id => self.violations.push(format!(
                "object {} belongs to row {owner}, and was given to {}",
                version.object, row.id
            )),
            Some(_) => {}
            None => {
                self.owners.insert(version.clone(), row.id.clone());
            }
        }
    }

    pub fn announce(&self, by: u64, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.send((by, event)); // an error only says that nobody listens
        }
    }
}

/// A folder of any status.
pub(super) fn folder<'a>(rows: &'a Rows, id: &NodeId) -> Option<&'a Row> {
    rows.get(id).map(|r| &r.row).filter(|r| r.kind == Kind::Folder)
}

/// A folder that is not itself in the trash or deleted.
pub(super) fn living_folder<'a>(rows: &'a Rows, id: &NodeId) -> Option<&'a Row> {
    folder(rows, id).filter(|r| r.status == Status::Exists)
}

/// The living children of a folder, whatever became of the folder.
pub(super) fn children<'a>(rows: &'a Rows, parent: &'a NodeId) -> impl Iterator<Item = &'a Row> {
    rows.values()
        .map(|r| &r.row)
        .filter(move |r| r.status == Status::Exists && r.parent.as_ref() == Some(parent))
}

/// Whether a living sibling other than `but` holds the name. Byte-wise, a kind at a time.
pub(super) fn taken(
    rows: &Rows,
    kind: Kind,
    parent: &NodeId,
    name: &RemoteName,
    but: Option<&NodeId>,
) -> bool {
    children(rows, parent).any(|r| r.kind == kind && r.name == *name && Some(&r.id) != but)
}
