//! Opened blocks, kept in memory for a while: a block is larger than a read of the kernel.

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use super::slot::Label;

/// Bytes kept: what one reader has fetched ahead of it.
const BUDGET: usize = 32 << 20;
/// What an entry costs besides its bytes, about.
const OVERHEAD: usize = 128;

type Name = (super::slot::Cid, u64, u64);

/// The opened blocks of all contents, least recently used first out.
pub(super) struct Plain(Mutex<Kept>);

struct Kept {
    lru: LruCache<Name, Bytes>,
    bytes: usize,
}

fn name(l: &Label) -> Name {
    (l.cid, l.block, l.generation)
}

impl Plain {
    pub(super) fn new() -> Plain {
        Plain(Mutex::new(Kept { lru: LruCache::unbounded(), bytes: 0 }))
    }

    pub(super) fn get(&self, label: &Label) -> Option<Bytes> {
        self.0.lock().lru.get(&name(label)).cloned()
    }

    pub(super) fn holds(&self, label: &Label) -> bool {
        self.0.lock().lru.contains(&name(label))
    }

    /// `bytes` must own about as much memory as it shows.
    pub(super) fn put(&self, label: &Label, bytes: Bytes) {
        let mut kept = self.0.lock();
        kept.bytes += bytes.len() + OVERHEAD;
        if let Some(old) = kept.lru.put(name(label), bytes) {
            kept.bytes -= old.len() + OVERHEAD;
        }
        while kept.bytes > BUDGET {
            let Some((_, old)) = kept.lru.pop_lru() else { break };
            kept.bytes -= old.len() + OVERHEAD;
        }
    }

    /// A block that goes from the disk goes from memory, too: what is read from here is taken to be there.
    pub(super) fn remove(&self, label: &Label) {
        let mut kept = self.0.lock();
        if let Some(old) = kept.lru.pop(&name(label)) {
            kept.bytes -= old.len() + OVERHEAD;
        }
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        let mut kept = self.0.lock();
        kept.lru.clear();
        kept.bytes = 0;
    }
}
