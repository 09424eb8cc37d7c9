//! One life: what the user of this machine does, and what must be seen after each step.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use inxtfs::fs::{Attr, Error, OpenFlags, SetAttr};
use inxtfs::types::{Fh, Ino, Kind, Timestamp};

use super::super::harness::{APPEND, Engine, READ, TRUNCATE, WRITE, noise};
use super::reference::{Entry, Errno, Outcome, Reference, short};
use super::world::World;
use super::{Dice, steps};

const STEPS: usize = 20;
const NAMES: [&str; 6] = ["a", "b", "c.txt", "d", "e.x.y", "f.pdf"];
/// Handles at the same time.
const OPEN_MAX: usize = 5;

/// An open file.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    pub fh: Fh,
    pub ino: Ino,
    pub flags: OpenFlags,
}

pub struct Life {
    pub e: Engine,
    pub world: Box<dyn World>,
    pub dice: Dice,
    /// Nobody else is about.
    pub alone: bool,
    /// Changes are sent while the next ones are made.
    pub eager: bool,
    pub steps: usize,
    pub plain: Reference,
    pub open: Vec<Open>,
    /// Contents that were acknowledged and have not been superseded: they must be in the tree in the end.
    pub dear: HashSet<Bytes>,
    /// Of them, those that the other client put into the trash: they must be there at least.
    pub binned: HashSet<Bytes>,
    /// Everything that anybody ever wrote.
    pub known: HashSet<Bytes>,
    pub offline: bool,
    pub log: Vec<String>,
    serial: u64,
}

impl Life {
    pub fn new(e: Engine, world: Box<dyn World>, seed: u64, alone: bool, eager: bool) -> Self {
        Life {
            e,
            world,
            dice: Dice::new(seed),
            alone,
            eager,
            steps: steps(STEPS),
            plain: Reference::default(),
            open: Vec::new(),
            dear: HashSet::new(),
            binned: HashSet::new(),
            known: HashSet::from([Bytes::new()]),
            offline: false,
            log: Vec::new(),
            serial: 0,
        }
    }

    pub fn live(&mut self) {
        self.look();
        self.take_over();
        for _ in 0..self.steps {
            if self.eager && self.dice.one_in(3) {
                self.world.rough(&self.e, &mut self.dice);
            }
            self.step();
            self.world.fair(&self.e);
            self.compare_in_company();
        }
        self.end();
    }

    fn step(&mut self) {
        match self.dice.below(if self.alone { 38 } else { 49 }) {
            0..=4 => self.put(),
            5..=7 => self.open_one(),
            8..=13 => self.use_one(),
            14 | 15 => self.patch(),
            16 => self.truncate(),
            17 => self.set_mtime(),
            18..=21 => self.rename(),
            22 | 23 => self.unlink(),
            24 | 25 => self.mkdir(),
            26 => self.rmdir(),
            27..=29 => self.drain(),
            30 => self.nudge(),
            31 | 32 => self.crash(),
            33 => self.restart(),
            34 | 35 => {
                // What others did is seen before the network goes, or not at all; whatever waited for it looks when it is back.
                self.look();
                self.offline = !self.offline;
                self.note(format!("offline {}", self.offline));
                self.unplug(self.offline);
                self.look();
                self.resync();
            }
            36 => {
                self.note("poll".to_owned());
                self.look();
            }
            37 => {
                let minutes = self.dice.below(5) as u64;
                self.note(format!("{minutes} minutes pass there"));
                self.world.advance(std::time::Duration::from_secs(60 * minutes));
            }
            _ => self.other(),
        }
    }

    pub fn unplug(&mut self, unplugged: bool) {
        self.e.fault.set_offline(unplugged);
    }

    pub fn note(&mut self, what: String) {
        self.log.push(what);
    }

    // What is written, and what becomes of it.

    pub fn fresh(&mut self) -> Bytes {
        self.serial += 1;
        let mut bytes = format!("<{:05}>", self.serial).into_bytes();
        bytes.extend(noise([1, 10, 300, 70_000][self.dice.below(4)], self.serial));
        let bytes = Bytes::from(bytes);
        self.known.insert(bytes.clone());
        bytes
    }

    /// Too short to be told from others by itself.
    fn is_nondescript(bytes: &Bytes) -> bool {
        bytes.len() < 8
    }

    pub fn gains(&mut self, bytes: Option<Bytes>) {
        self.dear.extend(bytes.filter(|b| !Self::is_nondescript(b)));
    }

    pub fn loses(&mut self, bytes: Option<Bytes>) {
        if let Some(bytes) = bytes {
            self.dear.remove(&bytes);
            self.binned.remove(&bytes);
        }
    }

    fn changed(&mut self, ino: Ino, change: impl FnOnce(&mut Vec<u8>)) {
        self.plain.change(ino, change);
        self.known.extend(self.plain.files[&ino].bytes.clone());
    }

    /// A close or a sync was answered: from now on this content must not be lost. A file without a name is nobody's.
    pub fn acknowledged(&mut self, ino: Ino) {
        // What did not change here is not acknowledged again: others may have replaced it there.
        if self.plain.is_named(ino) && self.plain.files[&ino].since.len() > 1 {
            let (before, now) = self.plain.journalled(ino);
            self.loses(before);
            self.gains(now);
        }
    }

    /// A file that could not be read when it was last seen: what goes with it would not be known.
    fn is_unknown(&self, path: &str) -> bool {
        self.plain.file(path).is_ok_and(|ino| self.plain.files[&ino].safe.is_none())
    }

    /// The name is taken away, and with it what was safe under it.
    fn bereft(&mut self, ino: Ino) {
        let safe = self.plain.files.get(&ino).and_then(|f| f.safe.clone());
        self.loses(safe);
        if !self.open.iter().any(|o| o.ino == ino) {
            self.plain.files.remove(&ino);
        }
    }

    // Where.

    fn pick(&mut self, kind: Kind) -> Option<String> {
        let paths = self.plain.of_kind(kind);
        self.dice.of(&paths)
    }

    /// A path, taken or not, now and then in a folder that is none or not there.
    fn place(&mut self) -> String {
        let name = NAMES[self.dice.below(NAMES.len())];
        let folder = match self.dice.below(20) {
            0 => Some(NAMES[self.dice.below(NAMES.len())].to_owned()),
            1..=9 => None,
            _ => self.pick(Kind::Folder),
        };
        folder.map_or(name.to_owned(), |d| format!("{d}/{name}"))
    }

    fn expect<T>(&mut self, got: Result<T, Error>, want: Outcome<()>) -> Option<T> {
        let outcome = got.as_ref().map(|_| ()).map_err(Errno::from);
        if outcome.is_err() && outcome != want && !self.alone && !self.offline {
            // It looked by itself since the last step, and what was to be used is no more.
            self.note(format!("  {outcome:?}, after a look of its own"));
            self.look();
            return None;
        }
        assert_eq!(outcome, want, "{:?}", got.err().map(|e| e.to_string()));
        if let Err(e) = want {
            self.note(format!("  {e:?}"));
        }
        got.ok()
    }

    // The user's steps.

    fn put(&mut self) {
        let (path, exclusive) = (self.place(), self.dice.one_in(6));
        let want = self.plain.can_create(&path, exclusive);
        let bytes = if self.dice.one_in(8) { Bytes::new() } else { self.fresh() };
        self.note(format!("put {path} {}{}", short(&bytes), if exclusive { ", exclusively" } else { "" }));
        let got = self.e.create(&path, OpenFlags { exclusive, ..TRUNCATE });
        let Some(fh) = self.expect(got, want.map(|_| ())) else { return };
        let ino = match want.unwrap() {
            Some(ino) => {
                self.changed(ino, Vec::clear);
                ino
            }
            None => {
                let ino = self.e.stat(&path).unwrap().ino;
                self.plain.create(&path, ino);
                ino
            }
        };
        if self.plain.files[&ino].bytes.is_none() {
            // It could not be read; what is written whole is known again.
            self.plain.files.get_mut(&ino).unwrap().bytes = Some(Bytes::new());
        }
        let cut = self.dice.below(bytes.len() + 1);
        for (at, part) in [(0, &bytes[..cut]), (cut, &bytes[cut..])] {
            if !part.is_empty() {
                self.e.write_fh(fh, at as u64, part).unwrap();
                self.changed(ino, |b| b.extend_from_slice(part));
            }
        }
        self.open.push(Open { fh, ino, flags: TRUNCATE });
        if self.open.len() > OPEN_MAX || !self.dice.one_in(6) {
            self.close(self.open.len() - 1);
        } else {
            self.note("  stays open".to_owned());
        }
    }

    fn open_one(&mut self) {
        let Some(path) = self.pick(Kind::File).filter(|_| self.open.len() < OPEN_MAX) else { return };
        let flags = [READ, READ, WRITE, APPEND, TRUNCATE][self.dice.below(5)];
        let ino = self.plain.file(&path).unwrap();
        if self.plain.files[&ino].bytes.is_none() {
            return;
        }
        self.note(format!("open {path} {ino} {flags:?}"));
        let fh = self.e.open(&path, flags).unwrap();
        if flags.truncate {
            self.changed(ino, Vec::clear);
        }
        self.open.push(Open { fh, ino, flags });
    }

    fn use_one(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.dice.below(self.open.len());
        let Open { fh, ino, flags } = self.open[at];
        match self.dice.below(8) {
            0..=2 if flags.write => self.write_one(fh, ino, flags),
            3 => {
                let size = self.dice.below(500) as u64;
                self.note(format!("ftruncate {ino} {size}"));
                let set = SetAttr { fh: Some(fh), size: Some(size), mtime: None };
                self.e.get(self.e.fs().setattr(ino, set)).unwrap();
                self.changed(ino, |b| b.resize(usize::try_from(size).unwrap(), 0));
            }
            4 => {
                self.note(format!("flush {ino}"));
                self.e.flush(fh).unwrap();
                self.acknowledged(ino);
            }
            5 => {
                self.note(format!("fsync {ino}"));
                self.e.get(self.e.fs().fsync(fh)).unwrap();
                self.acknowledged(ino);
            }
            6 => self.close(at),
            _ => self.read_one(fh, ino),
        }
    }

    fn write_one(&mut self, fh: Fh, ino: Ino, flags: OpenFlags) {
        let data = self.fresh();
        let size = usize::try_from(self.plain.files[&ino].size().unwrap()).unwrap();
        let at = if flags.append { size } else { self.dice.below(size + 20) };
        self.note(format!("write {ino} {} at {at}", short(&data)));
        self.e.write_fh(fh, at as u64, &data).unwrap();
        self.changed(ino, |b| overwrite(b, at, &data));
    }

    fn read_one(&mut self, fh: Fh, ino: Ino) {
        let bytes = self.plain.files[&ino].bytes.clone().unwrap();
        let (from, len) = (self.dice.below(bytes.len() + 10), self.dice.below(80_000));
        let wanted = bytes.slice(from.min(bytes.len())..bytes.len().min(from + len));
        self.note(format!("read {ino} {len} from {from}"));
        let got = self.e.read_fh(fh, from as u64, len).unwrap();
        assert!(got == wanted, "{ino} reads {} instead of {}", short(&got), short(&wanted));
    }

    pub fn close(&mut self, at: usize) {
        let Open { fh, ino, .. } = self.open.swap_remove(at);
        self.note(format!("close {ino}"));
        self.e.close(fh).unwrap();
        self.acknowledged(ino);
        if !self.plain.is_named(ino) && !self.open.iter().any(|o| o.ino == ino) {
            self.plain.files.remove(&ino);
        }
    }

    /// A file whose content is known.
    fn known_file(&mut self) -> Option<(String, Ino)> {
        let path = self.pick(Kind::File)?;
        let ino = self.plain.file(&path).unwrap();
        self.plain.files[&ino].bytes.is_some().then_some((path, ino))
    }

    fn patch(&mut self) {
        let Some((path, ino)) = self.known_file() else { return };
        let size = usize::try_from(self.plain.files[&ino].size().unwrap()).unwrap();
        let (data, at) = (self.fresh(), self.dice.below(size + 20));
        self.note(format!("patch {path} {} at {at}", short(&data)));
        self.e.patch(&path, at as u64, &data).unwrap();
        self.changed(ino, |b| overwrite(b, at, &data));
        self.acknowledged(ino);
    }

    fn truncate(&mut self) {
        let Some((path, ino)) = self.known_file() else { return };
        let size = usize::try_from(self.plain.files[&ino].size().unwrap()).unwrap();
        let to = if self.dice.one_in(3) { 0 } else { self.dice.below(size + 100) };
        self.note(format!("truncate {path} {to}"));
        self.e.truncate(&path, to as u64).unwrap();
        if to != size {
            self.changed(ino, |b| b.resize(to, 0));
            self.acknowledged(ino);
        }
        self.plain.files.get_mut(&ino).unwrap().mtime = None;
    }

    fn set_mtime(&mut self) {
        let Some((path, ino)) = self.known_file() else { return };
        let mtime = Timestamp { secs: 1_000_000 + self.dice.below(1_000_000) as i64, nanos: 123_456_789 };
        self.note(format!("touch {path} {}", mtime.secs));
        self.e.set_mtime(&path, mtime).unwrap();
        self.acknowledged(ino);
        self.plain.files.get_mut(&ino).unwrap().mtime = Some(mtime);
    }

    fn rename(&mut self) {
        let kind = if self.dice.one_in(3) { Kind::Folder } else { Kind::File };
        let from = if self.dice.one_in(12) { Some(self.place()) } else { self.pick(kind) };
        let (Some(from), noreplace) = (from, self.dice.one_in(6)) else { return };
        let to = self.place();
        if from == to || self.is_unknown(&to) {
            return;
        }
        self.note(format!("rename {from} {to}{}", if noreplace { ", over nothing" } else { "" }));
        let want = self.plain.can_rename(&from, &to, noreplace);
        let got = self.rename_there(&from, &to, noreplace);
        if self.expect(got, want).is_none() {
            return;
        }
        let over = self.plain.names.remove(&to);
        self.plain.rename(&from, &to);
        if let Some(Entry { kind: Kind::File, ino }) = over {
            self.bereft(ino);
        }
    }

    fn rename_there(&self, from: &str, to: &str, noreplace: bool) -> Result<(), Error> {
        let (from, to) = (self.e.split(from)?, self.e.split(to)?);
        self.e.get(self.e.fs().rename(from.0, from.1, to.0, to.1, noreplace))
    }

    fn unlink(&mut self) {
        let path = if self.dice.one_in(6) { Some(self.place()) } else { self.pick(Kind::File) };
        let Some(path) = path.filter(|p| !self.is_unknown(p)) else { return };
        self.note(format!("unlink {path}"));
        let want = self.plain.can_remove(&path, Kind::File);
        let got = self.e.unlink(&path);
        if self.expect(got, want).is_some() {
            let entry = self.plain.names.remove(&path).unwrap();
            self.bereft(entry.ino);
        }
    }

    fn mkdir(&mut self) {
        let path = self.place();
        self.note(format!("mkdir {path}"));
        let want = self.plain.can_mkdir(&path);
        let got = self.e.mkdir(&path);
        if self.expect(got, want).is_some() {
            let ino = self.e.stat(&path).unwrap().ino;
            self.plain.names.insert(path, Entry { kind: Kind::Folder, ino });
        }
    }

    fn rmdir(&mut self) {
        let path = if self.dice.one_in(4) { Some(self.place()) } else { self.pick(Kind::Folder) };
        let Some(path) = path else { return };
        self.note(format!("rmdir {path}"));
        let want = self.plain.can_remove(&path, Kind::Folder);
        let got = self.e.rmdir(&path);
        if self.expect(got, want).is_some() {
            self.plain.names.remove(&path);
        }
    }

    // What is seen.

    /// Every path and what is there.
    pub fn walk(&self) -> BTreeMap<String, Attr> {
        let (mut found, mut todo) = (BTreeMap::new(), vec![String::new()]);
        while let Some(folder) = todo.pop() {
            for entry in self.e.entries(&folder).unwrap_or_else(|e| panic!("{folder}: {e}")) {
                let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                if entry.attr.kind == Kind::Folder {
                    todo.push(path.clone());
                }
                let double = found.insert(path.clone(), entry.attr).is_some();
                assert!(!double || !self.alone, "{path} twice");
            }
        }
        found
    }

    /// All that can be seen is as it is in the plain filesystem: names, numbers, sizes, times, bytes.
    pub fn compare(&self) {
        if let Some(difference) = self.difference() {
            panic!("{difference}");
        }
    }

    /// The same, while others' changes may be seen at any moment: the drive looks by itself, too, where it believes that the
    /// machine slept, after a failure, or before it goes on to delete. What that showed is taken for given, as after any look.
    fn compare_in_company(&mut self) {
        for _ in 0..3 {
            match self.difference() {
                None => return,
                Some(difference) if self.alone || self.offline => panic!("{difference}"),
                Some(_) => self.note("it looked by itself".to_owned()),
            }
            self.look();
        }
        self.compare();
    }

    pub fn difference(&self) -> Option<String> {
        let seen = self.walk();
        let line =
            |path: &str, kind: Kind, ino: Ino, size: Option<u64>| format!("{path} {kind:?} {ino} {size:?}");
        let shown = seen.iter().map(|(p, a)| {
            let known = self.plain.files.get(&a.ino).is_none_or(|f| f.bytes.is_some());
            line(p, a.kind, a.ino, Some(a.size).filter(|_| known && a.kind == Kind::File))
        });
        let wanted = self.plain.names.iter().map(|(p, e)| {
            let size = self.plain.files.get(&e.ino).and_then(|f| f.size());
            line(p, e.kind, e.ino, size)
        });
        let (shown, wanted): (Vec<_>, Vec<_>) = (shown.collect(), wanted.collect());
        if shown != wanted {
            return Some(format!("there is\n{}\ninstead of\n{}", shown.join("\n"), wanted.join("\n")));
        }
        for (path, attr) in seen.iter().filter(|(_, a)| a.kind == Kind::File) {
            let file = &self.plain.files[&attr.ino];
            if file.mtime.is_some_and(|m| m != attr.mtime) {
                return Some(format!("{path}: {:?} {:?}", file.mtime, attr.mtime));
            }
            let Some(wanted) = &file.bytes else { continue };
            match self.e.read(path) {
                Ok(got) if got == *wanted => {}
                Ok(got) => return Some(format!("{path} reads {} instead of {}", short(&got), short(wanted))),
                Err(e) => return Some(format!("{path}: {e}")),
            }
        }
        None
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(at + data.len()), 0);
    bytes[at..at + data.len()].copy_from_slice(data);
}
