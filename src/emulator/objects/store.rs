//! Objects and unfinished multipart uploads: where their bytes are.
//!
//! An object is a row of segments, so completing a multipart upload moves no byte. Segments are
//! files, but without a data directory small ones stay in memory. A segment's file is never
//! written twice: whoever opened it reads it to the end, however the object changes meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use bytes::Bytes;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::emulator::wire::random_hex;

/// Parts but the last are at least this large.
const MIN_PART: u64 = 5 << 20;
/// Objects held in memory are at most this large, and all of them together at most [`RAM`].
const RAM_OBJECT: u64 = 256 << 10;
const RAM: u64 = 256 << 20;

/// Where the bytes of a segment are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// A file in the store's directory.
    File(String),
    /// Here; never saved, for a store with a data directory does not use it.
    #[serde(skip)]
    Ram(Bytes),
}

/// Some bytes of an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) place: Place,
    pub(crate) len: u64,
    /// MD5, in hex.
    pub(crate) md5: String,
}

/// An object as it was last put.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) segments: Vec<Segment>,
    pub(crate) size: u64,
    /// With its quotes.
    pub(crate) etag: String,
    pub(crate) content_type: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
}

/// An upload in parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Multipart {
    key: String,
    parts: BTreeMap<u32, Segment>,
}

/// Why a multipart upload could not be completed: the words of the object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomplete {
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload,
    #[error(
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    )]
    InvalidPart,
    #[error("The list of parts was not in ascending order. Parts must be ordered by part number.")]
    InvalidPartOrder,
    #[error("Your proposed upload is smaller than the minimum allowed size")]
    EntityTooSmall,
}

/// What is kept over a restart.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    #[serde(serialize_with = "write_objects", deserialize_with = "read_objects")]
    objects: HashMap<String, Arc<Object>>,
    multiparts: HashMap<String, Multipart>,
}

fn write_objects<S: Serializer>(objects: &HashMap<String, Arc<Object>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(objects.iter().map(|(key, object)| (key, &**object)))
}

fn read_objects<'de, D: Deserializer<'de>>(from: D) -> Result<HashMap<String, Arc<Object>>, D::Error> {
    let objects = HashMap::<String, Object>::deserialize(from)?;
    Ok(objects.into_iter().map(|(key, object)| (key, Arc::new(object))).collect())
}

/// The store.
pub(crate) struct Store {
    dir: PathBuf,
    in_memory: bool,
    state: Mutex<State>,
}

struct State {
    catalogue: Catalogue,
    ram: u64,
}

impl Store {
    /// Segments live in `dir`, which exists.
    pub(crate) fn new(dir: PathBuf, in_memory: bool, catalogue: Catalogue) -> Self {
        Store { dir, in_memory, state: Mutex::new(State { catalogue, ram: 0 }) }
    }

    pub(crate) fn catalogue(&self) -> Catalogue {
        self.state.lock().catalogue.clone()
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.state.lock().catalogue.objects.get(key).cloned()
    }

    /// Whether a segment of this length is to be kept in memory.
    pub(crate) fn fits_ram(&self, len: u64) -> bool {
        self.in_memory && len <= RAM_OBJECT && self.state.lock().ram + len <= RAM
    }

    /// A name for a new segment's file, and its path.
    pub(crate) fn new_file(&self) -> (String, PathBuf) {
        let name = random_hex::<16>();
        let path = self.path(&name);
        (name, path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The object is now this one segment. Its tag.
    pub(crate) fn put(&self, key: &str, segment: Segment, content_type: String, now_ms: i64) -> String {
        let etag = format!("\"{}\"", segment.md5);
        let object = Object {
            size: segment.len,
            etag: etag.clone(),
            content_type,
            modified: now_ms,
            segments: vec![segment],
        };
        self.replace(key, object);
        etag
    }

    /// Makes an object of bytes at hand.
    pub(crate) fn put_bytes(&self, key: &str, bytes: Bytes, now_ms: i64) -> io::Result<()> {
        let (md5, len) = (hex::encode(Md5::digest(&bytes)), bytes.len() as u64);
        let place = if self.fits_ram(len) {
            Place::Ram(bytes)
        } else {
            let (name, path) = self.new_file();
            fs::write(path, &bytes)?;
            Place::File(name)
        };
        self.put(key, Segment { place, len, md5 }, "application/octet-stream".to_owned(), now_ms);
        Ok(())
    }

    /// Turns the bits of an object's last byte; whether there was one. Its tag goes on telling of the old bytes.
    pub(crate) fn damage(&self, key: &str) -> io::Result<bool> {
        let Some(object) = self.get(key) else { return Ok(false) };
        let Some((last, before)) = object.segments.split_last() else { return Ok(false) };
        let mut bytes = match &last.place {
            Place::Ram(bytes) => bytes.to_vec(),
            Place::File(name) => fs::read(self.path(name))?,
        };
        let Some(byte) = bytes.last_mut() else { return Ok(false) };
        *byte = !*byte;
        // Beside the old file: whoever reads that one reads it to the end.
        let (name, path) = self.new_file();
        fs::write(path, &bytes)?;
        let segment = Segment { place: Place::File(name), ..last.clone() };
        let segments = before.iter().cloned().chain([segment]).collect();
        let damaged = Object { segments, ..(*object).clone() };
        self.state.lock().catalogue.objects.insert(key.to_owned(), Arc::new(damaged));
        self.discard([last]);
        Ok(true)
    }

    /// Removes files that no object or upload knows: what a crash left.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let catalogue = self.catalogue();
        let of_objects = catalogue.objects.values().flat_map(|object| &object.segments);
        let of_uploads = catalogue.multiparts.values().flat_map(|upload| upload.parts.values());
        let name = |segment: &Segment| match &segment.place {
            Place::File(name) => Some(name.clone()),
            Place::Ram(_) => None,
        };
        let known: HashSet<String> = of_objects.chain(of_uploads).filter_map(name).collect();
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            if file.file_name().to_str().is_none_or(|name| !known.contains(name)) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, key: &str) {
        let old = self.state.lock().catalogue.objects.remove(key);
        self.discard(old.iter().flat_map(|object| &object.segments));
    }

    /// Begins an upload in parts of `key`; its id.
    pub(crate) fn begin(&self, key: &str) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let upload = Multipart { key: key.to_owned(), parts: BTreeMap::new() };
        self.state.lock().catalogue.multiparts.insert(id.clone(), upload);
        id
    }

    /// Keeps a part, in place of an earlier one of its number. Its tag.
    pub(crate) fn put_part(
        &self,
        key: &str,
        id: &str,
        number: u32,
        segment: Segment,
    ) -> Result<String, Incomplete> {
        let etag = format!("\"{}\"", segment.md5);
        let old = {
            let mut state = self.state.lock();
            match state.catalogue.multiparts.get_mut(id).filter(|upload| upload.key == key) {
                None => Err(segment),
                Some(upload) => {
                    let old = upload.parts.insert(number, segment.clone());
                    state.ram += in_ram(&segment);
                    Ok(old)
                }
            }
        };
        match old {
            Ok(old) => {
                self.discard(&old);
                Ok(etag)
            }
            Err(late) => {
                self.unlink(&late.place);
                Err(Incomplete::NoSuchUpload)
            }
        }
    }

    /// Makes the object of its parts, `listed` by number and tag.
    pub(crate) fn complete(
        &self,
        key: &str,
        id: &str,
        listed: &[(u32, String)],
        now_ms: i64,
    ) -> Result<(), Incomplete> {
        let mut parts = {
            let state = self.state.lock();
            let upload = state.catalogue.multiparts.get(id).filter(|upload| upload.key == key);
            upload.ok_or(Incomplete::NoSuchUpload)?.parts.clone()
        };
        if listed.is_sorted_by_key(|(number, _)| *number) && !listed.is_empty() {
            let mut segments = Vec::with_capacity(listed.len());
            let mut md5s = Md5::new();
            for (n, (number, etag)) in listed.iter().enumerate() {
                let part = parts.remove(number).filter(|part| part.md5 == etag.trim_matches('"'));
                let part = part.ok_or(Incomplete::InvalidPart)?;
                if part.len < MIN_PART && n + 1 < listed.len() {
                    return Err(Incomplete::EntityTooSmall);
                }
                md5s.update(hex::decode(&part.md5).unwrap_or_default());
                segments.push(part);
            }
            let etag = format!("\"{}-{}\"", hex::encode(md5s.finalize()), listed.len());
            let size = segments.iter().map(|segment| segment.len).sum();
            let content_type = "application/octet-stream".to_owned();
            if self.state.lock().catalogue.multiparts.remove(id).is_none() {
                return Err(Incomplete::NoSuchUpload);
            }
            self.discard(parts.values());
            self.replace(key, Object { segments, size, etag, content_type, modified: now_ms });
            Ok(())
        } else {
            Err(Incomplete::InvalidPartOrder)
        }
    }

    /// Gives up an upload in parts.
    pub(crate) fn abort(&self, id: &str) {
        let old = self.state.lock().catalogue.multiparts.remove(id);
        self.discard(old.iter().flat_map(|upload| upload.parts.values()));
    }

    fn replace(&self, key: &str, object: Object) {
        let old = {
            let mut state = self.state.lock();
            // The parts of an upload were counted when they came.
            if object.segments.len() == 1 {
                state.ram += object.segments.iter().map(in_ram).sum::<u64>();
            }
            state.catalogue.objects.insert(key.to_owned(), Arc::new(object))
        };
        self.discard(old.iter().flat_map(|object| &object.segments));
    }

    fn discard<'a>(&self, segments: impl IntoIterator<Item = &'a Segment>) {
        for segment in segments {
            let mut state = self.state.lock();
            state.ram = state.ram.saturating_sub(in_ram(segment));
            drop(state);
            self.unlink(&segment.place);
        }
    }

    fn unlink(&self, place: &Place) {
        if let Place::File(name) = place {
            // A file that is gone already, or stays behind, harms nobody.
            let _ = fs::remove_file(self.path(name));
        }
    }
}

fn in_ram(segment: &Segment) -> u64 {
    match segment.place {
        Place::Ram(_) => segment.len,
        Place::File(_) => 0,
    }
}

/// A directory for a store without one, private to this user.
pub(crate) fn temporary_dir() -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = std::env::temp_dir().join(format!("inxtfs-emulator-{}", random_hex::<8>()));
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

/// Writes a file so that there is never half of one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let half = path.with_extension("tmp");
    fs::write(&half, bytes)?;
    fs::rename(&half, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(byte: u8, len: u64) -> Segment {
        let bytes = Bytes::from(vec![byte; usize::try_from(len).unwrap()]);
        Segment { md5: hex::encode(Md5::digest(&bytes)), len, place: Place::Ram(bytes) }
    }

    fn store() -> Store {
        Store::new(PathBuf::from("/nonexistent"), true, Catalogue::default())
    }

    #[test]
    fn parts_make_an_object_in_the_listed_order() {
        let store = store();
        let id = store.begin("k");
        let one = store.put_part("k", &id, 1, part(1, MIN_PART)).unwrap();
        store.put_part("k", &id, 2, part(9, 7)).unwrap();
        let two = store.put_part("k", &id, 2, part(2, 3)).unwrap();
        let list = vec![(1, one.clone()), (2, two.trim_matches('"').to_owned())];
        store.complete("k", &id, &list, 0).unwrap();
        let object = store.get("k").unwrap();
        assert_eq!(object.size, MIN_PART + 3);
        assert!(object.etag.ends_with("-2\""), "{}", object.etag);
        assert_eq!(store.state.lock().ram, MIN_PART + 3);
        assert_eq!(store.complete("k", &id, &list, 0), Err(Incomplete::NoSuchUpload));
        store.remove("k");
        assert_eq!(store.state.lock().ram, 0);
    }

    #[test]
    fn wrong_lists_are_refused_and_leave_the_upload() {
        let store = store();
        let id = store.begin("k");
        let one = store.put_part("k", &id, 1, part(1, 10)).unwrap();
        let two = store.put_part("k", &id, 2, part(2, 10)).unwrap();
        let with = |list: &[(u32, &String)]| {
            let list: Vec<_> = list.iter().map(|(n, e)| (*n, (*e).clone())).collect();
            store.complete("k", &id, &list, 0)
        };
        assert_eq!(with(&[(2, &two), (1, &one)]), Err(Incomplete::InvalidPartOrder));
        assert_eq!(with(&[(1, &two)]), Err(Incomplete::InvalidPart));
        assert_eq!(with(&[(1, &one), (3, &two)]), Err(Incomplete::EntityTooSmall));
        assert_eq!(with(&[]), Err(Incomplete::InvalidPartOrder));
        assert_eq!(with(&[(1, &one)]), Ok(()), "the last part may be small");
        assert_eq!(store.put_part("k", &id, 3, part(3, 1)), Err(Incomplete::NoSuchUpload));
    }
}
