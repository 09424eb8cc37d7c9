//! One of two machines that work on one drive at the same time, and what it may expect to find again.
//!
//! Files `a-…` and `b-…` are one side's: only it changes or deletes them. Files `both-…` are everybody's: nobody
//! deletes them, and who rewrites one has read, through the same handle, what is replaced. So it is known
//! of every content whether somebody gave it up.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::rng::Rng;

/// Folders that both make, at the same time.
const SHARED: [&str; 3] = ["shared0", "shared1", "shared2"];
const BOTH: u64 = 5;
const OWN: usize = 8;

/// What one side has written, all of it, and what of it nobody has given up.
#[derive(Default)]
pub struct Ledger {
    /// Every content ever written, by its first line.
    pub written: BTreeMap<String, Vec<u8>>,
    /// What this side has replaced or deleted, knowingly; of either side.
    pub given_up: Vec<String>,
    /// This side's own files by their name: the content they have.
    pub own: BTreeMap<String, String>,
    pub story: Vec<String>,
}

pub struct Side {
    tag: char,
    root: PathBuf,
    rng: Rng,
    pub ledger: Ledger,
    count: u32,
}

impl Side {
    pub fn new(tag: char, root: &Path, seed: u64) -> Self {
        Side { tag, root: root.to_owned(), rng: Rng::new(seed), ledger: Ledger::default(), count: 0 }
    }

    /// Does so many things. Reading may fail in bad weather; what is local never may.
    pub fn work(&mut self, things: u32) -> Result<(), String> {
        for dir in SHARED {
            self.tolerate(fs::create_dir(self.root.join(dir)), "mkdir", &[ErrorKind::AlreadyExists])?;
        }
        for _ in 0..things {
            self.one()?;
            std::thread::sleep(Duration::from_millis(self.rng.below(90)));
        }
        Ok(())
    }

    fn one(&mut self) -> Result<(), String> {
        match self.rng.below(14) {
            0..=2 => self.own_new(),
            3 | 4 => self.own_save(),
            5 => self.own_move(),
            6 => self.own_delete(),
            7 => self.own_dir(),
            8 => self.both_rename(),
            _ => self.both_write(),
        }
    }

    /// A name that was never used.
    fn named(&mut self, infix: &str, ending: &str) -> String {
        self.count += 1;
        format!("{}{infix}{}{ending}", self.tag, self.count)
    }

    fn note(&mut self, line: String) {
        self.ledger.story.push(format!("{}: {line}", self.tag));
    }

    /// `false`: it failed in a way that may be.
    fn tolerate<T>(
        &mut self,
        done: io::Result<T>,
        what: &str,
        but: &[ErrorKind],
    ) -> Result<Option<T>, String> {
        match done {
            Ok(out) => Ok(Some(out)),
            Err(e) if but.contains(&e.kind()) => {
                self.note(format!("   {what}: {e}"));
                Ok(None)
            }
            Err(e) => Err(format!("{}: {what}: {e}", self.tag)),
        }
    }

    /// A content that no other is.
    fn content(&mut self) -> (String, Vec<u8>) {
        let id = self.named("", "");
        let size = if self.rng.one_in(6) { 70_000 + self.rng.below(50_000) } else { self.rng.below(4000) };
        let mut bytes = format!("{id}\n").into_bytes();
        bytes.extend(self.rng.bytes(size));
        (id, bytes)
    }

    fn some_dir(&mut self) -> PathBuf {
        let mut dirs = vec![self.root.clone()];
        if let Ok(entries) = fs::read_dir(&self.root) {
            dirs.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
        }
        dirs.sort();
        self.rng.pick(&dirs).clone()
    }

    /// Where one of the own files is: the other side may have moved its folder.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let mut dirs = vec![self.root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).ok()?.flatten() {
                let path = entry.path();
                if entry.file_name() == name {
                    return Some(path);
                }
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    dirs.push(path);
                }
            }
        }
        None
    }

    fn some_own(&mut self) -> Option<(String, PathBuf)> {
        let names: Vec<_> = self.ledger.own.keys().cloned().collect();
        if names.is_empty() {
            return None;
        }
        let name = self.rng.pick(&names).clone();
        let path = self.find(&name)?;
        Some((name, path))
    }

    /// Writes a new file whole; it must not be there.
    fn write_new(&mut self, path: &Path) -> Result<Option<String>, String> {
        let (id, bytes) = self.content();
        self.note(format!("write {id} to {}", path.display()));
        // The folder may have gone with the other side.
        let opened = OpenOptions::new().write(true).create_new(true).open(path);
        let Some(mut file) = self.tolerate(opened, "create", &[ErrorKind::NotFound])? else {
            return Ok(None);
        };
        let written = file.write_all(&bytes);
        self.tolerate(written, "write", &[])?;
        drop(file);
        self.ledger.written.insert(id.clone(), bytes);
        Ok(Some(id))
    }

    fn own_new(&mut self) -> Result<(), String> {
        if self.ledger.own.len() >= OWN {
            return self.own_delete();
        }
        let dir = self.some_dir();
        let name = self.named("-", ".txt");
        if let Some(id) = self.write_new(&dir.join(&name))? {
            self.ledger.own.insert(name, id);
        }
        Ok(())
    }

    /// As editors save.
    fn own_save(&mut self) -> Result<(), String> {
        let Some((name, path)) = self.some_own() else { return Ok(()) };
        let temporary = path.with_file_name(self.named("-", ".tmp"));
        let Some(id) = self.write_new(&temporary)? else { return Ok(()) };
        self.note(format!("rename over {}", path.display()));
        let renamed = fs::rename(&temporary, &path);
        if self.tolerate(renamed, "rename", &[ErrorKind::NotFound])?.is_some() {
            let old = self.ledger.own.insert(name, id);
            self.ledger.given_up.extend(old);
        } else {
            let name = temporary.file_name().unwrap().to_str().unwrap().to_owned();
            self.ledger.own.insert(name, id);
        }
        Ok(())
    }

    fn own_move(&mut self) -> Result<(), String> {
        let Some((name, path)) = self.some_own() else { return Ok(()) };
        let new = self.named("-", ".txt");
        let to = self.some_dir().join(&new);
        self.note(format!("move {} to {}", path.display(), to.display()));
        let moved = renameat_with(CWD, &path, CWD, &to, RenameFlags::NOREPLACE).map_err(io::Error::from);
        if self.tolerate(moved, "move", &[ErrorKind::NotFound])?.is_some() {
            let id = self.ledger.own.remove(&name).unwrap();
            self.ledger.own.insert(new, id);
        }
        Ok(())
    }

    fn own_delete(&mut self) -> Result<(), String> {
        let Some((name, path)) = self.some_own() else { return Ok(()) };
        self.note(format!("delete {}", path.display()));
        let gone = fs::remove_file(&path);
        if self.tolerate(gone, "delete", &[ErrorKind::NotFound])?.is_some() {
            let old = self.ledger.own.remove(&name);
            self.ledger.given_up.extend(old);
        }
        Ok(())
    }

    /// Makes, renames or removes a folder that only this side renames or removes.
    fn own_dir(&mut self) -> Result<(), String> {
        let new = self.named("-dir", "");
        let new = self.root.join(new);
        let prefix = format!("{}-dir", self.tag);
        let mine = |e: &fs::DirEntry| e.file_name().to_str().is_some_and(|n| n.starts_with(&prefix));
        let entries = fs::read_dir(&self.root);
        let Some(entries) = self.tolerate(entries, "list", &[])? else { return Ok(()) };
        let dirs: Vec<_> = entries.flatten().filter(mine).map(|e| e.path()).collect();
        if dirs.len() < 2 {
            self.note(format!("mkdir {}", new.display()));
            return self.tolerate(fs::create_dir(&new), "mkdir", &[]).map(|_| ());
        }
        let dir = self.rng.pick(&dirs).clone();
        if self.rng.one_in(3) {
            self.note(format!("rmdir {}", dir.display()));
            let but = [ErrorKind::DirectoryNotEmpty, ErrorKind::NotFound];
            return self.tolerate(fs::remove_dir(&dir), "rmdir", &but).map(|_| ());
        }
        self.note(format!("rename {} to {}", dir.display(), new.display()));
        self.tolerate(fs::rename(&dir, &new), "rename", &[ErrorKind::NotFound]).map(|_| ())
    }

    fn both_path(&mut self) -> PathBuf {
        let name = format!("both-{}.txt", self.rng.below(BOTH));
        match self.rng.below(4) {
            0 => self.root.join(name),
            _ => self.root.join(self.rng.pick(&SHARED)).join(name),
        }
    }

    fn both_write(&mut self) -> Result<(), String> {
        let path = self.both_path();
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let Some(mut file) = self.tolerate(opened, "open", &[ErrorKind::NotFound])? else { return Ok(()) };
        let mut old = Vec::new();
        if let Err(e) = file.read_to_end(&mut old) {
            self.note(format!("   reading {}: {e}", path.display()));
            return Ok(());
        }
        let (id, bytes) = self.content();
        let replaced = id_of(&old);
        self.note(format!("write {id} to {} over {replaced:?}", path.display()));
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&bytes));
        self.tolerate(written, "write", &[])?;
        drop(file);
        self.ledger.written.insert(id, bytes);
        self.ledger.given_up.extend(replaced);
        Ok(())
    }

    fn both_rename(&mut self) -> Result<(), String> {
        let path = self.both_path();
        let to = path.with_file_name(format!("both-{}", self.named("", ".txt")));
        self.note(format!("rename {} to {}", path.display(), to.display()));
        let moved = renameat_with(CWD, &path, CWD, &to, RenameFlags::NOREPLACE).map_err(io::Error::from);
        self.tolerate(moved, "rename", &[ErrorKind::NotFound]).map(|_| ())
    }
}

/// Which content this is; `None` for none.
pub fn id_of(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|b| *b == b'\n').next().filter(|line| !line.is_empty())?;
    Some(String::from_utf8_lossy(line).into_owned())
}
