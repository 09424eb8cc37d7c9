//! The rows.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A bucket entry: what the drive calls a file id leads here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) bucket: String,
    pub(super) index: String,
    pub(super) size: u64,
    /// Milliseconds since 1970.
    pub(super) created: i64,
    pub(super) filename: String,
    pub(super) version: u8,
    /// Only in the old layout.
    pub(super) frame: Option<String>,
    pub(super) shards: Vec<Shard>,
    pub(super) hmac: Option<serde_json::Value>,
    /// Its finish went through. What is not complete is an orphan that nobody sees or pays for,
    /// but its index is taken.
    pub(super) complete: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Shard {
    pub(super) index: u64,
    pub(super) size: u64,
    pub(super) hash: String,
    pub(super) uuid: String,
    pub(super) parity: bool,
    pub(super) missing_url: u32,
}

/// An upload that was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) index: u64,
    pub(super) size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Freeing {
    account: String,
    size: u64,
    at: i64,
}

/// All rows of the network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    entries: HashMap<String, Entry>,
    /// The unique index of the entries' `index`; to the entry's id.
    indexes: HashMap<String, String>,
    uploads: HashMap<String, Upload>,
    used: HashMap<String, u64>,
    freeing: Vec<Freeing>,
}

impl State {
    pub(super) fn entry(&self, bucket: &str, id: &str) -> Option<&Entry> {
        self.entries.get(id).filter(|entry| entry.bucket == bucket)
    }

    pub(super) fn entry_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    pub(super) fn has_index(&self, index: &str) -> bool {
        self.indexes.contains_key(index)
    }

    pub(super) fn insert(&mut self, id: String, entry: Entry) {
        self.indexes.insert(entry.index.clone(), id.clone());
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, bucket: &str, id: &str) -> Option<Entry> {
        self.entry(bucket, id)?;
        let entry = self.entries.remove(id)?;
        self.indexes.remove(&entry.index);
        Some(entry)
    }

    pub(super) fn begin(&mut self, uuid: String, upload: Upload) {
        self.uploads.insert(uuid, upload);
    }

    pub(super) fn upload(&self, uuid: &str) -> Option<&Upload> {
        self.uploads.get(uuid)
    }

    pub(super) fn end(&mut self, uuid: &str) {
        self.uploads.remove(uuid);
    }

    pub(super) fn count(&mut self, account: &str, size: u64) {
        *self.used.entry(account.to_owned()).or_default() += size;
    }

    pub(super) fn free(&mut self, account: String, size: u64, at: i64) {
        self.freeing.push(Freeing { account, size, at });
    }

    pub(super) fn usage(&mut self, account: &str, now: i64) -> u64 {
        let due = self.freeing.extract_if(.., |freeing| freeing.at <= now);
        for freeing in due {
            if let Some(used) = self.used.get_mut(&freeing.account) {
                *used = used.saturating_sub(freeing.size);
            }
        }
        self.used.get(account).copied().unwrap_or(0)
    }
}
