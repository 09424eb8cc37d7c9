//! Rows with the indexes that answer every request without a scan, and the two copies of them:
//! the primary that writes go to and the replica that reads are answered from.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::collate;
use super::rows::{FileRow, FolderRow, Row, Status};

type LiveKey = (Uuid, String, Option<String>);

/// The order of a folder's listing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Order {
    /// What comes out unasked: rows as they were last written.
    Heap,
    /// What comes out unasked for folders: byte order of the name.
    NameBytes,
    Id,
    Name,
    Uuid,
    Updated,
    Size,
}

/// One kind of rows. Rows are never taken out: a deleted one stays, with its status.
#[derive(Debug)]
pub(crate) struct Table<R> {
    rows: HashMap<Uuid, Arc<R>>,
    by_uuid: BTreeSet<(u32, Uuid)>,
    by_updated: BTreeSet<(u32, i64, Uuid)>,
    /// Rows that are not deleted, by parent and numeric id.
    children: HashMap<Uuid, BTreeMap<u64, Uuid>>,
    /// EXISTS rows by place and name. More than one row a key: a raced create without type.
    live: HashMap<LiveKey, Vec<Uuid>>,
    /// Sizes of the rows of an account that are not deleted, and how many of them are empty.
    bytes: HashMap<u32, (u64, usize)>,
    /// Sorted listings of the current generation, so that paging sorts once.
    sorted: HashMap<(Uuid, Order), Arc<Vec<Uuid>>>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            by_uuid: BTreeSet::new(),
            by_updated: BTreeSet::new(),
            children: HashMap::new(),
            live: HashMap::new(),
            bytes: HashMap::new(),
            sorted: HashMap::new(),
        }
    }
}

fn live_key<R: Row>(row: &R) -> Option<LiveKey> {
    let parent = row.parent()?;
    let exists = row.status() == Status::Exists;
    exists.then(|| (parent, row.name().to_owned(), row.kind().map(str::to_owned)))
}

impl<R: Row> Table<R> {
    /// Inserts a row or replaces the one of the same uuid.
    pub(crate) fn put(&mut self, row: Arc<R>) {
        let (uuid, account) = (row.uuid(), row.account());
        if let Some(old) = self.rows.insert(uuid, row.clone()) {
            self.unindex(&old);
        }
        self.by_uuid.insert((account, uuid));
        self.by_updated.insert((account, row.updated(), uuid));
        if row.status() != Status::Deleted {
            if let Some(parent) = row.parent() {
                self.children.entry(parent).or_default().insert(row.id(), uuid);
            }
            let (bytes, empty) = self.bytes.entry(account).or_default();
            *bytes += row.bytes();
            *empty += usize::from(row.bytes() == 0);
        }
        if let Some(key) = live_key(&*row) {
            self.live.entry(key).or_default().push(uuid);
        }
        if let Some(parent) = row.parent() {
            self.forget_order(parent);
        }
    }

    fn unindex(&mut self, old: &R) {
        self.by_updated.remove(&(old.account(), old.updated(), old.uuid()));
        if old.status() != Status::Deleted {
            if let Some(siblings) = old.parent().and_then(|parent| self.children.get_mut(&parent)) {
                siblings.remove(&old.id());
            }
            if let Some((bytes, empty)) = self.bytes.get_mut(&old.account()) {
                *bytes = bytes.saturating_sub(old.bytes());
                *empty = empty.saturating_sub(usize::from(old.bytes() == 0));
            }
        }
        if let Some(key) = live_key(old)
            && let Some(uuids) = self.live.get_mut(&key)
        {
            uuids.retain(|uuid| *uuid != old.uuid());
            if uuids.is_empty() {
                self.live.remove(&key);
            }
        }
        if let Some(parent) = old.parent() {
            self.forget_order(parent);
        }
    }

    fn forget_order(&mut self, parent: Uuid) {
        if !self.sorted.is_empty() {
            self.sorted.retain(|(folder, _), _| *folder != parent);
        }
    }

    pub(crate) fn get(&self, uuid: Uuid) -> Option<&Arc<R>> {
        self.rows.get(&uuid)
    }

    /// All rows, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<R>> {
        self.rows.values()
    }

    /// EXISTS rows of this very name and type in a folder.
    pub(crate) fn live(&self, folder: Uuid, name: &str, kind: Option<&str>) -> Vec<Arc<R>> {
        let key = (folder, name.to_owned(), kind.map(str::to_owned));
        let uuids = self.live.get(&key).map(Vec::as_slice).unwrap_or_default();
        uuids.iter().filter_map(|uuid| self.rows.get(uuid).cloned()).collect()
    }

    /// Rows of a folder that are not deleted, by id.
    pub(crate) fn children(&self, folder: Uuid) -> impl Iterator<Item = &Arc<R>> {
        self.children.get(&folder).into_iter().flat_map(BTreeMap::values).filter_map(|uuid| self.get(*uuid))
    }

    /// EXISTS rows of a folder in an order, one page of them.
    pub(crate) fn page(&mut self, folder: Uuid, order: Order, down: bool, page: Page) -> Vec<Arc<R>> {
        let sorted = match self.sorted.get(&(folder, order)) {
            Some(sorted) => sorted.clone(),
            None => {
                let sorted = Arc::new(self.sort(folder, order));
                if self.sorted.len() >= 64 {
                    self.sorted.clear();
                }
                self.sorted.insert((folder, order), sorted.clone());
                sorted
            }
        };
        let pick = |uuid: &Uuid| self.rows.get(uuid).cloned();
        if down {
            sorted.iter().rev().skip(page.offset).take(page.limit).filter_map(pick).collect()
        } else {
            sorted.iter().skip(page.offset).take(page.limit).filter_map(pick).collect()
        }
    }

    fn sort(&self, folder: Uuid, order: Order) -> Vec<Uuid> {
        let mut rows: Vec<&Arc<R>> =
            self.children(folder).filter(|row| row.status() == Status::Exists).collect();
        match order {
            Order::Id => {}
            Order::Heap | Order::Updated => rows.sort_by_key(|row| row.updated()),
            Order::NameBytes => rows.sort_by(|a, b| a.name().cmp(b.name())),
            Order::Name => rows.sort_by_cached_key(|row| collate::Key::new(row.name())),
            Order::Uuid => rows.sort_by_key(|row| row.uuid()),
            Order::Size => rows.sort_by_key(|row| row.bytes()),
        }
        rows.into_iter().map(|row| row.uuid()).collect()
    }

    /// Rows of an account by uuid.
    pub(crate) fn by_uuid(&self, account: u32) -> impl DoubleEndedIterator<Item = &Arc<R>> {
        let range = (account, Uuid::nil())..=(account, Uuid::max());
        self.by_uuid.range(range).filter_map(|(_, uuid)| self.get(*uuid))
    }

    /// Rows of an account by time of change, those at or after a time.
    pub(crate) fn changed(&self, account: u32, from: i64) -> impl DoubleEndedIterator<Item = &Arc<R>> {
        let range = (account, from, Uuid::nil())..=(account, i64::MAX, Uuid::max());
        self.by_updated.range(range).filter_map(|(_, _, uuid)| self.get(*uuid))
    }

    /// Bytes of an account's rows that are not deleted.
    pub(crate) fn bytes(&self, account: u32) -> u64 {
        self.bytes.get(&account).map_or(0, |(bytes, _)| *bytes)
    }

    /// How many of an account's rows are empty and not deleted.
    pub(crate) fn empty(&self, account: u32) -> usize {
        self.bytes.get(&account).map_or(0, |(_, empty)| *empty)
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub limit: usize,
    pub offset: usize,
}

impl Page {
    pub(crate) const EVERYTHING: Self = Self { limit: usize::MAX, offset: 0 };
}

/// Files and folders together.
#[derive(Default, Debug)]
pub(crate) struct Tables {
    pub files: Table<FileRow>,
    pub folders: Table<FolderRow>,
}

/// One written row, on its way to the replica.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    File(Arc<FileRow>),
    Folder(Arc<FolderRow>),
}

impl Tables {
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::File(row) => self.files.put(row),
            Change::Folder(row) => self.folders.put(row),
        }
    }
}

/// Primary and replica. The replica trails by the lag of the latest read.
#[derive(Default, Debug)]
pub(crate) struct Replicated {
    pub primary: Tables,
    replica: Tables,
    trail: VecDeque<(i64, Change)>,
    lag: i64,
}

impl Replicated {
    /// Writes a row at a time. With no lag in force the replica follows at once.
    pub(crate) fn write(&mut self, now: i64, change: Change) {
        self.primary.apply(change.clone());
        self.trail.push_back((now, change));
        self.catch_up(now);
    }

    fn catch_up(&mut self, now: i64) {
        while self.trail.front().is_some_and(|(at, _)| at + self.lag <= now) {
            if let Some((_, change)) = self.trail.pop_front() {
                self.replica.apply(change);
            }
        }
    }

    /// The view a read sees: everything written up to `lag` before now.
    pub(crate) fn view(&mut self, now: i64, lag: i64) -> &mut Tables {
        self.lag = lag;
        self.catch_up(now);
        &mut self.replica
    }
}
