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
            dir,
            temporary,
        }))
    }

    /// Writes the state down. Nothing to do where there is no data directory.
    pub fn save(&self) -> io::Result<()> {
        if self.temporary {
            return Ok(());
        }
        let state = self.state.lock().clone();
        let saved =
            Saved { secret: self.objects.secret.clone(), state, catalogue: self.objects.store.catalogue() };
        let bytes = serde_json::to_vec(&saved).map_err(io::Error::other)?;
        write_atomically(&self.dir.join("network.json"), &bytes)
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

    /// Puts a file in the old layout into a bucket, as accounts of former years have them; its id.
    pub fn add_v1_object(&self, bucket: &str, index: &str, shards: &[V1Shard]) -> io::Result<String> {
        let now = self.world.now();
        let id = object_id(now);
        let rows = shards.iter().enumerate().map(|(n, shard)| self.keep_v1(n, shard));
        let rows: Vec<Shard> = rows.collect::<io::Result<_>>()?;
        let entry = Entry {
            bucket: bucket.to_owned(),
            index: index.to_owned(),
            size: rows.iter().filter(|shard| !shard.parity).map(|shard| shard.size).sum(),
            created: millis(now),
            filename: uuid::Uuid::new_v4().to_string(),
            version: 1,
            frame: Some(object_id(now)),
            shards: rows,
            hmac: None,
            complete: true,
        };
        let owner = self.world.bucket_owner(bucket);
        let mut state = self.state.lock();
        if let Some(owner) = owner {
            state.count(&owner, entry.size);
        }
        state.insert(id.clone(), entry);
        Ok(id)
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
