//! The plain filesystem the drive is compared with: names, numbers, bytes, and no cloud.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use inxtfs::fs::Error;
use inxtfs::types::{Ino, Kind, Timestamp};

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errno {
    NotFound,
    Exists,
    NotDir,
    IsDir,
    NotEmpty,
    Invalid,
    Other,
}

impl From<&Error> for Errno {
    fn from(e: &Error) -> Self {
        match e {
            Error::NotFound => Errno::NotFound,
            Error::Exists => Errno::Exists,
            Error::NotDir => Errno::NotDir,
            Error::IsDir => Errno::IsDir,
            Error::NotEmpty => Errno::NotEmpty,
            Error::Invalid(_) => Errno::Invalid,
            _ => Errno::Other,
        }
    }
}

pub type Outcome<T> = Result<T, Errno>;

/// A file's inode.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// What a reader sees; `None`: not known, since it cannot be read now.
    pub bytes: Option<Bytes>,
    /// The modification time, where the user set it.
    pub mtime: Option<Timestamp>,
    /// What it held since the last close or sync, that state included: a kill leaves one of these.
    pub since: Vec<Bytes>,
    /// The content that was acknowledged last.
    pub safe: Option<Bytes>,
}

impl File {
    pub fn holding(bytes: Option<Bytes>) -> Self {
        File { since: bytes.iter().cloned().collect(), safe: bytes.clone(), bytes, mtime: None }
    }

    pub fn size(&self) -> Option<u64> {
        self.bytes.as_ref().map(|b| b.len() as u64)
    }
}

/// What a name leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub kind: Kind,
    pub ino: Ino,
}

/// The whole.
#[derive(Clone, Default)]
pub struct Reference {
    pub names: BTreeMap<String, Entry>,
    /// By number, those that are open and have no name (any more) included.
    pub files: HashMap<Ino, File>,
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Reference {
    /// The entry at a path, found name by name.
    pub fn look(&self, path: &str) -> Outcome<Entry> {
        for (at, _) in path.match_indices('/') {
            self.names.get(&path[..at]).ok_or(Errno::NotFound).and_then(folder)?;
        }
        self.names.get(path).copied().ok_or(Errno::NotFound)
    }

    /// Whether a path's folder is there.
    fn folder_of(&self, path: &str) -> Outcome<()> {
        match split(path).0 {
            "" => Ok(()),
            above => self.look(above).and_then(|e| folder(&e)),
        }
    }

    pub fn file(&self, path: &str) -> Outcome<Ino> {
        match self.look(path)? {
            Entry { kind: Kind::File, ino } => Ok(ino),
            _ => Err(Errno::IsDir),
        }
    }

    pub fn of_kind(&self, kind: Kind) -> Vec<String> {
        self.names.iter().filter(|(_, e)| e.kind == kind).map(|(p, _)| p.clone()).collect()
    }

    fn below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        self.names.keys().filter(|p| p.starts_with(&prefix)).cloned().collect()
    }

    /// Whether a file can be created or opened there: the number of the one that is there already.
    pub fn can_create(&self, path: &str, exclusive: bool) -> Outcome<Option<Ino>> {
        self.folder_of(path)?;
        match self.names.get(path) {
            None => Ok(None),
            Some(_) if exclusive => Err(Errno::Exists),
            Some(Entry { kind: Kind::Folder, .. }) => Err(Errno::IsDir),
            Some(Entry { ino, .. }) => Ok(Some(*ino)),
        }
    }

    /// A new, empty file, of which the service has told the number.
    pub fn create(&mut self, path: &str, ino: Ino) {
        self.names.insert(path.to_owned(), Entry { kind: Kind::File, ino });
        let former = self.files.insert(ino, File::holding(Some(Bytes::new())));
        assert!(former.is_none(), "{ino} was given twice");
    }

    pub fn can_mkdir(&self, path: &str) -> Outcome<()> {
        self.folder_of(path)?;
        if self.names.contains_key(path) { Err(Errno::Exists) } else { Ok(()) }
    }

    pub fn can_remove(&self, path: &str, kind: Kind) -> Outcome<()> {
        match (self.look(path)?.kind, kind) {
            (Kind::Folder, Kind::File) => Err(Errno::IsDir),
            (Kind::File, Kind::Folder) => Err(Errno::NotDir),
            (Kind::Folder, _) if !self.below(path).is_empty() => Err(Errno::NotEmpty),
            _ => Ok(()),
        }
    }

    pub fn can_rename(&self, from: &str, to: &str, noreplace: bool) -> Outcome<()> {
        self.folder_of(from)?;
        self.folder_of(to)?;
        let source = self.look(from)?;
        if source.kind == Kind::Folder && to.starts_with(&format!("{from}/")) {
            return Err(Errno::Invalid);
        }
        let Some(target) = self.names.get(to) else { return Ok(()) };
        match (source.kind, target.kind) {
            _ if noreplace => Err(Errno::Exists),
            (Kind::Folder, Kind::File) => Err(Errno::NotDir),
            (Kind::File, Kind::Folder) => Err(Errno::IsDir),
            (Kind::Folder, Kind::Folder) if !self.below(to).is_empty() => Err(Errno::NotEmpty),
            _ => Ok(()),
        }
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        let mut moving = self.below(from);
        moving.push(from.to_owned());
        for path in moving {
            let entry = self.names.remove(&path).unwrap();
            self.names.insert(format!("{to}{}", &path[from.len()..]), entry);
        }
    }

    /// A file's content becomes what `change` makes of it. Nothing if it is not known.
    pub fn change(&mut self, ino: Ino, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.files.get_mut(&ino).unwrap();
        let Some(former) = &file.bytes else { return };
        let mut bytes = former.to_vec();
        change(&mut bytes);
        let bytes = Bytes::from(bytes);
        (file.bytes, file.mtime) = (Some(bytes.clone()), None);
        file.since.push(bytes);
    }

    /// Closed or synced. What was acknowledged before, and what is now.
    pub fn journalled(&mut self, ino: Ino) -> (Option<Bytes>, Option<Bytes>) {
        let file = self.files.get_mut(&ino).unwrap();
        file.since = file.bytes.iter().cloned().collect();
        (std::mem::replace(&mut file.safe, file.bytes.clone()), file.bytes.clone())
    }

    fn named(&self) -> HashSet<Ino> {
        self.names.values().map(|e| e.ino).collect()
    }

    pub fn is_named(&self, ino: Ino) -> bool {
        self.names.values().any(|e| e.ino == ino)
    }

    /// No file is open any more.
    pub fn forget_nameless(&mut self) {
        let named = self.named();
        self.files.retain(|ino, _| named.contains(ino));
    }
}

fn folder(e: &Entry) -> Outcome<()> {
    if e.kind == Kind::Folder { Ok(()) } else { Err(Errno::NotDir) }
}

/// Contents for people: their beginning, length and sum.
pub fn short(bytes: &Bytes) -> String {
    let sum = bytes.iter().fold(0u32, |h, x| h.rotate_left(5) ^ u32::from(*x).wrapping_mul(0x9e37_79b9));
    format!(
        "{} {} {sum:x}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(7)]).escape_debug(),
        bytes.len()
    )
}
