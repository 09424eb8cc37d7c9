//! What a content is at this moment: pure bookkeeping, no disk.
//!
//! A block is in up to three places: *open* (plaintext being written), in the *map* (sealed to a slot) and in
//! a *row* of the database. `changed` remembers what the row says where it differs from the map. A slot that
//! a row names, or that a transaction under way may make a row name, is never written again; it is freed
//! only after the row has moved on.

use std::collections::btree_map::Entry as Spot;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::ContentId;
use super::place::{Alloc, Loc};
use crate::block::{self, BLOCK};
use crate::extent::ByteSet;
use crate::types::Version;

/// Which bytes of a sealed block count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held(Option<Box<ByteSet>>);

impl Held {
    /// All that was sealed: the usual case, which costs no memory.
    pub(super) fn all() -> Held {
        Held(None)
    }

    pub(super) fn of(set: ByteSet, len: u32) -> Held {
        if set.contains(0..u64::from(len)) && set.end() <= u64::from(len) {
            return Held::all();
        }
        Held(Some(Box::new(set)))
    }

    pub(super) fn partial(&self) -> Option<&ByteSet> {
        self.0.as_deref()
    }
}

/// A sealed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub loc: Loc,
    pub generation: u64,
    /// Bytes sealed; what counts of them may end earlier.
    pub len: u32,
    pub held: Held,
}

impl Entry {
    /// The bytes that count.
    pub(super) fn set(&self) -> ByteSet {
        match self.held.partial() {
            Some(set) => set.clone(),
            None => std::iter::once(0..u64::from(self.len)).collect(),
        }
    }

    /// The same without what lies behind `size`; `None` if nothing is left.
    fn cut(&self, block: u64, size: u64) -> Option<Entry> {
        let mut set = self.set();
        set.truncate(block::len(block, size) as u64);
        (!set.is_empty()).then(|| Entry { held: Held::of(set, self.len), ..self.clone() })
    }
}

/// A block being written.
#[derive(Default, Debug)]
pub(super) struct Open {
    /// The bytes; they mean nothing where nothing is held.
    pub data: Vec<u8>,
    pub held: ByteSet,
    /// When it was last written to.
    pub tick: u64,
}

/// What a transaction is about to make of the rows.
#[derive(Default, Debug)]
pub(super) struct Sent {
    was: BTreeMap<u64, Option<Entry>>,
    now: HashMap<u64, Loc>,
}

#[derive(Default)]
pub(super) struct State {
    pub staged: bool,
    /// There is a row.
    pub enrolled: bool,
    pub version: Option<Version>,
    pub size: u64,
    /// The size that goes to the row: what is still open does not count.
    pub sealed_size: u64,
    pub base: Option<(ContentId, u64)>,
    pub frozen: bool,
    pub map: BTreeMap<u64, Entry>,
    pub open: BTreeMap<u64, Open>,
    pub changed: BTreeMap<u64, Option<Entry>>,
    pub meta_changed: bool,
    pub generation: u64,
    pub tick: u64,
    /// Slots of the own file.
    pub alloc: Alloc,
    /// Where fetched bytes go, for a content of one block.
    pub fill_at: Option<Loc>,
    /// Fetched blocks known to be here, and known not to be.
    pub present: ByteSet,
    pub absent: ByteSet,
    pub filling: HashSet<u64>,
    /// When segments were last used, by a clock of the content's own; see `trim`.
    pub used: BTreeMap<u64, u64>,
    pub clock: u64,
    /// Counts the times blocks were taken by an eviction.
    pub trims: u64,
    /// Bytes on disk.
    pub bytes: u64,
    pub last_used: i64,
    /// Counts sealings; and its value at the last commit and the last sync.
    pub sealed: u64,
    pub committed: u64,
    pub synced: u64,
    pub durable: bool,
    /// Places written since the last sync, a bit each.
    pub unsynced: u8,
}

impl State {
    /// What a part of the block in the map becomes; returns what can be freed at once.
    pub(super) fn replace(&mut self, block: u64, new: Option<Entry>) -> Option<Entry> {
        let new_loc = new.as_ref().map(|e| e.loc);
        let old = match new {
            Some(e) => self.map.insert(block, e),
            None => self.map.remove(&block),
        };
        match self.changed.entry(block) {
            // The row (or one under way) names the old slot.
            Spot::Vacant(v) => {
                v.insert(old);
                None
            }
            Spot::Occupied(o) => {
                let row = o.get().as_ref().map(|e| e.loc);
                old.filter(|e| Some(e.loc) != row && Some(e.loc) != new_loc)
            }
        }
    }

    /// Cuts at, or extends to, `size`. Returns what can be freed at once.
    pub(super) fn resize(&mut self, size: u64) -> Vec<Entry> {
        let mut free = Vec::new();
        if size < self.size {
            self.open.split_off(&block::count(size));
            let edge = block::index(size);
            if let Some(open) = self.open.get_mut(&edge) {
                let len = block::len(edge, size);
                open.data.truncate(len);
                open.held.truncate(len as u64);
            }
            free = self.drop_behind(size);
            if let Some((_, limit)) = &mut self.base {
                *limit = size.min(*limit);
            }
            self.sealed_size = self.sealed_size.min(size);
        }
        self.size = size;
        self.meta_changed = true;
        if self.open.is_empty() {
            self.sealed_size = size;
        }
        free
    }

    /// Takes what lies behind `size` out of the map. Returns what can be freed at once.
    pub(super) fn drop_behind(&mut self, size: u64) -> Vec<Entry> {
        let edge = block::index(size);
        let cuts: Vec<_> = self
            .map
            .range(edge..)
            .filter_map(|(b, e)| {
                let cut = e.cut(*b, size);
                (cut.as_ref() != Some(e)).then_some((*b, cut))
            })
            .collect();
        cuts.into_iter().filter_map(|(b, cut)| self.replace(b, cut)).collect()
    }

    /// Whether nothing waits to be sealed or committed.
    pub(super) fn is_clean(&self) -> bool {
        self.open.is_empty() && self.changed.is_empty() && !self.meta_changed
    }

    /// Takes the changes, for a transaction.
    pub(super) fn send(&mut self) -> Sent {
        self.meta_changed = false;
        let was = std::mem::take(&mut self.changed);
        let now = was.keys().filter_map(|b| Some((*b, self.map.get(b)?.loc))).collect();
        Sent { was, now }
    }

    /// The transaction has been committed. Returns what is to be freed once that is durable.
    pub(super) fn confirm(sent: Sent) -> Vec<Entry> {
        let Sent { was, now } = sent;
        was.into_iter().filter_map(|(b, e)| e.filter(|e| now.get(&b) != Some(&e.loc))).collect()
    }

    /// The transaction has been rolled back: the changes are still to be made. Returns what can be freed.
    /// Of several transactions' (or one's several) the last is undone first.
    pub(super) fn undo(&mut self, sent: Sent) -> Vec<Entry> {
        let mut free = Vec::new();
        self.meta_changed = true;
        for (block, was) in sent.was {
            let row = was.as_ref().map(|e| e.loc);
            let current = self.map.get(&block).map(|e| e.loc);
            if let Some(Some(sent)) = self.changed.insert(block, was)
                && Some(sent.loc) != row
                && Some(sent.loc) != current
            {
                free.push(sent);
            }
        }
        free
    }

    /// Slots that no row names: to be freed when the content goes without a commit.
    pub(super) fn uncommitted(&self) -> Vec<Entry> {
        let row = |b: &u64| self.changed.get(b).and_then(Option::as_ref).map(|e| e.loc);
        self.changed
            .keys()
            .filter_map(|b| self.map.get(b).filter(|e| Some(e.loc) != row(b)))
            .cloned()
            .collect()
    }

    /// Whether all bytes of `block` are determined without the base.
    pub(super) fn is_complete(&self, block: u64, entry: &Entry) -> bool {
        let limit = self.base.map_or(0, |(_, limit)| limit).saturating_sub(block * BLOCK);
        let counted = limit.min(block::len(block, self.size) as u64);
        entry.set().contains(0..counted)
    }

    /// All staged extents.
    pub(super) fn written(&self) -> ByteSet {
        let sealed = self.map.iter().filter(|(b, _)| !self.open.contains_key(b)).map(|(b, e)| (*b, e.set()));
        let open = self.open.iter().map(|(b, o)| (*b, o.held.clone()));
        let mut blocks: Vec<_> = sealed.chain(open).collect();
        blocks.sort_unstable_by_key(|(b, _)| *b);
        let all = blocks
            .iter()
            .flat_map(|(b, set)| set.iter().map(move |r| b * BLOCK + r.start..b * BLOCK + r.end));
        all.collect()
    }
}
