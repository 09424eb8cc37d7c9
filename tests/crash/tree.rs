//! A tree of files as it should be, or as it is.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Seconds and nanoseconds.
pub type Time = (i64, i64);

#[derive(Clone, PartialEq)]
pub enum Entry {
    Dir,
    /// `None` is a time that nobody could know.
    File(Arc<Vec<u8>>, Option<Time>),
}

impl Entry {
    pub fn file(bytes: Vec<u8>) -> Self {
        Entry::File(Arc::new(bytes), None)
    }

    /// The same at any time.
    pub fn timeless(&self) -> Entry {
        match self {
            Entry::Dir => Entry::Dir,
            Entry::File(bytes, _) => Entry::File(bytes.clone(), None),
        }
    }

    /// Whether `real` is what this should be.
    fn admits(&self, real: &Entry) -> bool {
        match (self, real) {
            (Entry::Dir, Entry::Dir) => true,
            (Entry::File(want, when), Entry::File(have, then)) => {
                want == have && (when.is_none() || when == then)
            }
            _ => false,
        }
    }

    fn told(&self) -> String {
        match self {
            Entry::Dir => "a folder".to_owned(),
            Entry::File(bytes, time) => {
                let head = hex::encode(&bytes[..bytes.len().min(6)]);
                let time = time.map_or("any time".to_owned(), |(s, n)| format!("{s}.{n:09}"));
                format!("{} bytes {head}…, {time}", bytes.len())
            }
        }
    }
}

/// Entries by their path below some folder.
#[derive(Clone, Default, PartialEq)]
pub struct Tree(pub BTreeMap<String, Entry>);

impl Tree {
    /// What lies below `root`, read to the last byte.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.read_below(root, "")?;
        Ok(tree)
    }

    fn read_below(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let meta = entry.metadata()?;
            if meta.is_dir() {
                self.0.insert(name.clone(), Entry::Dir);
                self.read_below(&entry.path(), &format!("{name}/"))?;
            } else {
                let bytes = std::fs::read(entry.path())?;
                if bytes.len() as u64 != meta.len() {
                    let told = format!("{name}: {} bytes, its attributes say {}", bytes.len(), meta.len());
                    return Err(io::Error::other(told));
                }
                let time = Some((meta.mtime(), meta.mtime_nsec()));
                self.0.insert(name, Entry::File(Arc::new(bytes), time));
            }
        }
        Ok(())
    }

    pub fn with(&self, path: &str, entry: Entry) -> Tree {
        let mut tree = self.clone();
        tree.0.insert(path.to_owned(), entry);
        tree
    }

    pub fn without(&self, path: &str) -> Tree {
        let mut tree = self.clone();
        tree.0.remove(path);
        tree
    }

    /// With `from`, and all below it, at `to`.
    pub fn moved(&self, from: &str, to: &str) -> Tree {
        let below = format!("{from}/");
        let moved = |(path, entry): (&String, &Entry)| {
            let path = match path.strip_prefix(&below) {
                Some(rest) => format!("{to}/{rest}"),
                None if path == from => to.to_owned(),
                None => path.clone(),
            };
            (path, entry.clone())
        };
        // What is replaced goes first.
        let mut tree = self.clone();
        if to != from {
            tree.0.remove(to);
        }
        Tree(tree.0.iter().map(moved).collect())
    }

    pub fn bytes(&self, path: &str) -> Arc<Vec<u8>> {
        match self.0.get(path) {
            Some(Entry::File(bytes, _)) => bytes.clone(),
            _ => panic!("{path} is no file"),
        }
    }

    pub fn files(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, e)| **e != Entry::Dir).map(|(p, _)| p.as_str()).collect()
    }

    pub fn dirs(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, e)| **e == Entry::Dir).map(|(p, _)| p.as_str()).collect()
    }

    pub fn is_empty_dir(&self, path: &str) -> bool {
        let below = format!("{path}/");
        !self.0.keys().any(|p| p.starts_with(&below))
    }

    /// What is not as it should be, a line each.
    pub fn differences(&self, real: &Tree) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, want) in &self.0 {
            match real.0.get(path) {
                None => lines.push(format!("{path}: missing, should be {}", want.told())),
                Some(have) if !want.admits(have) => {
                    lines.push(format!("{path}: is {}, should be {}", have.told(), want.told()));
                }
                Some(_) => {}
            }
        }
        let strangers = real.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        lines.extend(strangers.map(|(path, have)| format!("{path}: should not be, is {}", have.told())));
        lines
    }
}
