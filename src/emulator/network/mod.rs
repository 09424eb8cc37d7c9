//! The network API ("bridge"): bucket entries, the uploads that become them, and quota.

mod entries;
mod finish;
mod limiter;
mod reply;
mod routes;
mod start;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::knobs::Knobs;
use super::objects::{Catalogue, Objects, Store, temporary_dir, write_atomically};
use super::wire::{millis, object_id, random_hex};
use super::world::World;
use limiter::Limiter;
use state::{Entry, Shard, State};

pub(super) use routes::serve;

/// The network's state: one lock over the rows, another within the object store; never both.
pub struct Network {
    world: Arc<World>,
    knobs: Arc<Knobs>,
    objects: Objects,
    state: Mutex<State>,
    limiter: Limiter,
    changed: AtomicBool,
    saving: Mutex<()>,
    dir: PathBuf,
    /// The directory is ours alone, and goes with us.
    temporary: bool,
}

/// A piece of a file in the old layout.
#[derive(Clone, Debug)]
pub struct V1Shard {
    /// Its ciphertext.
    pub bytes: Vec<u8>,
    /// Redundancy that no reader wants.
    pub parity: bool,
    /// How many listings leave out its link before one has it.
    pub missing_url: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    secret: String,
    state: State,
    catalogue: Catalogue,
}

impl Network {
    /// As it was left in `data`, or new; without `data` it lives in a directory that goes with it.
    pub(super) fn open(
        data: Option<&Path>,
        world: Arc<World>,
        knobs: Arc<Knobs>,
    ) -> io::Result<Arc<Network>> {
        let (dir, temporary) = match data {
            Some(dir) => (dir.to_owned(), false),
            None => (temporary_dir()?, true),
        };
        let blobs = dir.join("blobs");
        fs::create_dir_all(&blobs)?;
        let saved = match fs::read(dir.join("network.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::other(format!("{}/network.json is damaged ({error}): remove it", dir.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = random_hex::<20>();
                Saved { secret, state: State::default(), catalogue: Catalogue::default() }
            }
            Err(error) => return Err(error),
        };
        let store = Store::new(blobs, temporary, saved.catalogue);
        store.sweep()?;
        Ok(Arc::new(Network {
            world,
            knobs,
            objects: Objects { store, secret: saved.secret },
            state: Mutex::new(saved.state),
            limiter: Limiter::default(),
            changed: AtomicBool::new(true),
            saving: Mutex::default(),
            dir,
            temporary,
        }))
    }

    /// Writes the state down. Nothing to do where there is no data directory.
    pub fn save(&self) -> io::Result<()> {
        if self.temporary {
            return Ok(());
        }
        let _one_at_a_time = self.saving.lock();
        self.changed.store(false, Ordering::Release);
        let state = self.state.lock().clone();
        let secret = self.objects.secret.clone();
        let saved = Saved { secret, state, catalogue: self.objects.store.catalogue() };
        let bytes = serde_json::to_vec(&saved).map_err(io::Error::other)?;
        write_atomically(&self.dir.join("network.json"), &bytes).inspect_err(|_| self.touch())
    }

    /// [`Network::save`] where something changed since.
    pub(super) fn save_changes(&self) -> io::Result<()> {
        if self.changed.load(Ordering::Acquire) { self.save() } else { Ok(()) }
    }

    /// Something changed.
    pub(super) fn touch(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Where files of this emulator are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Deletes a file's content, as the drive does behind the user's back. Its bytes are gone at
    /// once, its space stays counted for [`Settings::free_delay`](super::Settings::free_delay).
    /// Unknown ids are nothing to do.
    pub fn delete_object(&self, bucket: &str, object: &str) {
        self.remove(bucket, object, self.knobs.free_delay());
    }

    /// Bytes counted against the account.
    pub fn usage_of(&self, account: &str) -> u64 {
        self.state.lock().usage(account, millis(self.world.now()))
    }

    /// The size of a file's content; `None` where there is no such object.
    pub fn object_size(&self, bucket: &str, object: &str) -> Option<u64> {
        self.state.lock().entry(bucket, object).filter(|entry| entry.complete).map(|entry| entry.size)
    }

    /// Changes a byte of a file's ciphertext and nothing that is said of it. Whether there was one.
    pub fn damage_object(&self, bucket: &str, object: &str) -> io::Result<bool> {
        let shards = self.state.lock().entry(bucket, object).map(|entry| entry.shards.clone());
        match shards.as_deref() {
            Some([.., last]) => self.objects.store.damage(&last.uuid),
            _ => Ok(false),
        }
    }

    /// Puts ciphertext into a bucket as a finished upload would; its id.
    pub(super) fn add_object(
        &self,
        bucket: &str,
        index: &str,
        hash: &str,
        bytes: Vec<u8>,
    ) -> io::Result<String> {
        let (uuid, size) = (uuid::Uuid::new_v4().to_string(), bytes.len() as u64);
        self.objects.store.put_bytes(&uuid, bytes.into(), millis(self.world.now()))?;
        let hash = hash.to_owned();
        let shard = Shard { index: 0, size, hash, uuid, parity: false, missing_url: 0 };
        Ok(self.add_entry(bucket, index, 2, vec![shard]))
    }

    /// Puts a file in the old layout into a bucket, as accounts of former years have them; its id.
    pub fn add_v1_object(&self, bucket: &str, index: &str, shards: &[V1Shard]) -> io::Result<String> {
        let rows = shards.iter().enumerate().map(|(n, shard)| self.keep_v1(n, shard));
        Ok(self.add_entry(bucket, index, 1, rows.collect::<io::Result<_>>()?))
    }

    fn add_entry(&self, bucket: &str, index: &str, version: u8, shards: Vec<Shard>) -> String {
        let now = self.world.now();
        let id = object_id(now);
        let entry = Entry {
            bucket: bucket.to_owned(),
            index: index.to_owned(),
            size: shards.iter().filter(|shard| !shard.parity).map(|shard| shard.size).sum(),
            created: millis(now),
            filename: uuid::Uuid::new_v4().to_string(),
            version,
            frame: (version == 1).then(|| object_id(now)),
            shards,
            hmac: None,
            complete: true,
        };
        let owner = self.world.bucket_owner(bucket);
        let mut state = self.state.lock();
        if let Some(owner) = owner {
            state.count(&owner, entry.size);
        }
        state.insert(id.clone(), entry);
        drop(state);
        self.touch();
        id
    }

    fn keep_v1(&self, n: usize, shard: &V1Shard) -> io::Result<Shard> {
        let uuid = uuid::Uuid::new_v4().to_string();
        let size = shard.bytes.len() as u64;
        self.objects.store.put_bytes(&uuid, shard.bytes.clone().into(), millis(self.world.now()))?;
        let hash = random_hex::<20>();
        let index = u64::try_from(n).unwrap_or(u64::MAX);
        Ok(Shard { index, size, hash, uuid, parity: shard.parity, missing_url: shard.missing_url })
    }

    fn remove(&self, bucket: &str, id: &str, delay: std::time::Duration) -> bool {
        let owner = self.world.bucket_owner(bucket);
        let free_at = millis(self.world.now() + delay);
        let entry = {
            let mut state = self.state.lock();
            let Some(entry) = state.remove(bucket, id) else { return false };
            if let (Some(owner), true) = (owner, entry.complete) {
                state.free(owner, entry.size, free_at);
            }
            entry
        };
        entry.shards.iter().for_each(|shard| self.objects.store.remove(&shard.uuid));
        self.touch();
        true
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
