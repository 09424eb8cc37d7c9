//! What a disk holds, and what of it a loss of power leaves. Pure: no kernel, no clock.
//!
//! Of a file, what was synced holds; of what was written since, every sector is kept or not by itself, in any order. Of
//! a folder's entries, those synced hold, and of the changes since, the first few. A file whose name was not synced is
//! gone, whatever was synced of its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub const ROOT: u64 = 1;
const PAGE: u64 = 4096;
/// What a disk writes whole.
const SECTOR: u64 = 512;

/// A small generator: the same seed, the same loss.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d);
        (0..4).for_each(|_| _ = dice.next());
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

/// Sparse bytes; clones share their pages.
#[derive(Clone, Default)]
struct Image {
    pages: BTreeMap<u64, Arc<[u8]>>,
    size: u64,
}

impl Image {
    fn read(&self, range: Range<u64>) -> Vec<u8> {
        let end = range.end.min(self.size);
        let mut out = Vec::new();
        let mut at = range.start;
        while at < end {
            let (page, from) = (at / PAGE, (at % PAGE) as usize);
            let len = (PAGE - at % PAGE).min(end - at) as usize;
            match self.pages.get(&page) {
                Some(p) => out.extend_from_slice(&p[from..from + len]),
                None => out.resize(out.len() + len, 0),
            }
            at += len as u64;
        }
        out
    }

    fn write(&mut self, mut at: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let from = (at % PAGE) as usize;
            let len = data.len().min(PAGE as usize - from);
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Arc::from(vec![0; PAGE as usize]));
            if Arc::get_mut(page).is_none() {
                *page = Arc::from(page.to_vec());
            }
            Arc::get_mut(page).unwrap()[from..from + len].copy_from_slice(&data[..len]);
            at += len as u64;
            data = &data[len..];
        }
        self.size = self.size.max(at);
    }

    fn punch(&mut self, range: Range<u64>) {
        let mut at = range.start;
        let end = range.end.min(self.size);
        while at < end {
            let len = (PAGE - at % PAGE).min(end - at);
            if len == PAGE {
                self.pages.remove(&(at / PAGE));
            } else if self.pages.contains_key(&(at / PAGE)) {
                self.write(at, &vec![0; len as usize]);
            }
            at += len;
        }
    }

    fn resize(&mut self, size: u64) {
        if size < self.size {
            let old = self.size;
            self.punch(size..old.next_multiple_of(PAGE).max(size));
            self.pages.split_off(&size.div_ceil(PAGE));
        }
        self.size = size;
    }
}

/// A change of a file that was not synced.
#[derive(Clone)]
enum Change {
    Write(u64, Arc<[u8]>),
    Punch(Range<u64>),
    Resize(u64),
}

/// How much of a file's unsynced changes gets lost.
#[derive(Clone, Copy)]
enum Loss {
    All,
    Nothing,
    /// Each piece of so many bytes by itself, kept once in so many.
    Pieces(u64, u64),
    /// Everything after some point.
    Tail,
}

#[derive(Clone, Default)]
struct File {
    now: Image,
    durable: Image,
    since: Vec<Change>,
}

impl File {
    fn apply(image: &mut Image, change: &Change) {
        match change {
            Change::Write(at, data) => image.write(*at, data),
            Change::Punch(range) => image.punch(range.clone()),
            Change::Resize(size) => image.resize(*size),
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.now, &change);
        self.since.push(change);
    }

    fn sync(&mut self) {
        self.since.clear();
        self.durable = self.now.clone();
    }

    /// `mild`: of so many files, all but one lose nothing.
    fn after_cut(&self, dice: &mut Dice, mild: u64) -> File {
        let mut left = self.durable.clone();
        let loss = match dice.roll(6) {
            _ if mild > 0 && !dice.once_in(mild) => Loss::Nothing,
            0 => Loss::All,
            1 => Loss::Nothing,
            2 => Loss::Pieces(SECTOR, 2),
            3 => Loss::Pieces(PAGE, 2),
            4 => Loss::Pieces(PAGE, 5),
            _ => Loss::Tail,
        };
        let tail = dice.roll(self.since.len() as u64 + 1) as usize;
        for (i, change) in self.since.iter().enumerate() {
            match (loss, change) {
                (Loss::All, _) => break,
                (Loss::Nothing, _) => Self::apply(&mut left, change),
                (Loss::Tail, _) if i < tail => Self::apply(&mut left, change),
                (Loss::Tail, Change::Write(at, data)) if i == tail => {
                    let whole = dice.roll(data.len() as u64 / SECTOR + 1) * SECTOR;
                    left.write(*at, &data[..whole as usize]);
                    break;
                }
                (Loss::Tail, _) => break,
                (Loss::Pieces(unit, of), Change::Write(at, data)) => {
                    let mut from = 0;
                    while from < data.len() as u64 {
                        let end = (((at + from) / unit + 1) * unit - at).min(data.len() as u64);
                        if !dice.once_in(of) {
                            left.write(at + from, &data[from as usize..end as usize]);
                        }
                        from = end;
                    }
                    // The size may be on the disk before the bytes: what was not written reads as zeros.
                    if dice.once_in(2) {
                        left.size = left.size.max(at + data.len() as u64);
                    }
                }
                (Loss::Pieces(_, _), _) if dice.once_in(2) => Self::apply(&mut left, change),
                (Loss::Pieces(_, _), _) => {}
            }
        }
        File { now: left.clone(), durable: left, since: Vec::new() }
    }
}

/// A change of entries that was not synced; one of a rename changes two folders at once.
#[derive(Clone)]
struct Entry {
    number: u64,
    name: String,
    to: Option<u64>,
}

#[derive(Clone, Default)]
struct Folder {
    now: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    since: Vec<Entry>,
}

impl Folder {
    fn apply(entries: &mut BTreeMap<String, u64>, e: &Entry) {
        match e.to {
            Some(ino) => entries.insert(e.name.clone(), ino),
            None => entries.remove(&e.name),
        };
    }
}

#[derive(Clone)]
enum Inode {
    File(File),
    Folder(Folder),
}

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Missing,
    Full,
    /// The power is gone: nothing changes any more.
    Dead,
    NotEmpty,
    WrongKind,
}

/// A file's or a folder's attributes.
pub struct Info {
    pub ino: u64,
    pub folder: bool,
    pub size: u64,
    pub pages: u64,
}

/// A disk.
#[derive(Clone)]
pub struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    numbers: u64,
    /// Bytes that may be in use.
    pub capacity: u64,
    used: u64,
    /// Changes until the power goes.
    pub fuse: Option<u64>,
    pub dead: bool,
    /// Syncs of files in `blocks`, and of others.
    pub syncs: (u64, u64),
    blocks: BTreeSet<u64>,
}

type Outcome<T> = Result<T, Fault>;

impl Disk {
    pub fn new() -> Disk {
        let inodes = BTreeMap::from([(ROOT, Inode::Folder(Folder::default()))]);
        Disk {
            inodes,
            next: ROOT + 1,
            numbers: 0,
            capacity: u64::MAX,
            used: 0,
            fuse: None,
            dead: false,
            syncs: (0, 0),
            blocks: BTreeSet::new(),
        }
    }

    /// Before each change: whether there is still power.
    fn alive(&mut self) -> Outcome<()> {
        match &mut self.fuse {
            Some(0) => self.dead = true,
            Some(n) => *n -= 1,
            None => {}
        }
        if self.dead { Err(Fault::Dead) } else { Ok(()) }
    }

    fn file(&mut self, ino: u64) -> Outcome<&mut File> {
        match self.inodes.get_mut(&ino) {
            Some(Inode::File(f)) => Ok(f),
            Some(Inode::Folder(_)) => Err(Fault::WrongKind),
            None => Err(Fault::Missing),
        }
    }

    fn folder(&mut self, ino: u64) -> Outcome<&mut Folder> {
        match self.inodes.get_mut(&ino) {
            Some(Inode::Folder(f)) => Ok(f),
            Some(Inode::File(_)) => Err(Fault::WrongKind),
            None => Err(Fault::Missing),
        }
    }

    pub fn info(&self, ino: u64) -> Outcome<Info> {
        match self.inodes.get(&ino).ok_or(Fault::Missing)? {
            Inode::File(f) => {
                Ok(Info { ino, folder: false, size: f.now.size, pages: f.now.pages.len() as u64 })
            }
            Inode::Folder(_) => Ok(Info { ino, folder: true, size: 0, pages: 1 }),
        }
    }

    pub fn lookup(&mut self, folder: u64, name: &str) -> Outcome<u64> {
        self.folder(folder)?.now.get(name).copied().ok_or(Fault::Missing)
    }

    pub fn entries(&mut self, folder: u64) -> Outcome<Vec<(String, u64)>> {
        Ok(self.folder(folder)?.now.iter().map(|(n, i)| (n.clone(), *i)).collect())
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn enter(&mut self, folder: u64, number: u64, name: &str, to: Option<u64>) -> Outcome<()> {
        let folder = self.folder(folder)?;
        let entry = Entry { number, name: name.to_owned(), to };
        Folder::apply(&mut folder.now, &entry);
        folder.since.push(entry);
        Ok(())
    }

    pub fn make(&mut self, folder: u64, name: &str, is_folder: bool) -> Outcome<u64> {
        self.alive()?;
        let ino = self.next;
        self.next += 1;
        let inode = if is_folder { Inode::Folder(Folder::default()) } else { Inode::File(File::default()) };
        self.inodes.insert(ino, inode);
        if self.blocks.contains(&folder) || name == "blocks" {
            self.blocks.insert(ino);
        }
        let number = self.number();
        self.enter(folder, number, name, Some(ino))?;
        Ok(ino)
    }

    pub fn remove(&mut self, folder: u64, name: &str) -> Outcome<()> {
        self.alive()?;
        let ino = self.lookup(folder, name)?;
        if matches!(self.inodes.get(&ino), Some(Inode::Folder(f)) if !f.now.is_empty()) {
            return Err(Fault::NotEmpty);
        }
        let number = self.number();
        self.enter(folder, number, name, None)
    }

    pub fn rename(&mut self, from: u64, name: &str, to: u64, to_name: &str) -> Outcome<()> {
        self.alive()?;
        let ino = self.lookup(from, name)?;
        let number = self.number();
        self.enter(from, number, name, None)?;
        self.enter(to, number, to_name, Some(ino))
    }

    pub fn read(&mut self, ino: u64, range: Range<u64>) -> Outcome<Vec<u8>> {
        Ok(self.file(ino)?.now.read(range))
    }

    pub fn write(&mut self, ino: u64, at: u64, data: &[u8]) -> Outcome<()> {
        self.alive()?;
        let room = self.capacity.saturating_sub(self.used);
        let file = self.file(ino)?;
        let pages = at / PAGE..(at + data.len() as u64).div_ceil(PAGE);
        let fresh = pages.filter(|p| !file.now.pages.contains_key(p)).count() as u64 * PAGE;
        if fresh > room {
            return Err(Fault::Full);
        }
        file.change(Change::Write(at, Arc::from(data)));
        self.used += fresh;
        Ok(())
    }

    fn shrink(&mut self, ino: u64, change: Change) -> Outcome<()> {
        self.alive()?;
        let file = self.file(ino)?;
        let before = file.now.pages.len();
        file.change(change);
        let after = file.now.pages.len();
        self.used = (self.used + after as u64 * PAGE).saturating_sub(before as u64 * PAGE);
        Ok(())
    }

    pub fn punch(&mut self, ino: u64, range: Range<u64>) -> Outcome<()> {
        self.shrink(ino, Change::Punch(range))
    }

    pub fn resize(&mut self, ino: u64, size: u64) -> Outcome<()> {
        self.shrink(ino, Change::Resize(size))
    }

    /// A file's bytes, or a folder's entries, hold from here on.
    pub fn sync(&mut self, ino: u64) -> Outcome<()> {
        self.alive()?;
        if self.blocks.contains(&ino) {
            self.syncs.0 += 1
        } else {
            self.syncs.1 += 1
        }
        match self.inodes.get_mut(&ino).ok_or(Fault::Missing)? {
            Inode::File(f) => f.sync(),
            Inode::Folder(f) => {
                f.durable = f.now.clone();
                let done: BTreeSet<u64> = f.since.drain(..).map(|e| e.number).collect();
                // The other half of a rename.
                self.settle(&done);
            }
        }
        Ok(())
    }

    /// Changes with these numbers are durable, wherever they are, with all before them in the same folder.
    fn settle(&mut self, done: &BTreeSet<u64>) {
        for inode in self.inodes.values_mut() {
            let Inode::Folder(f) = inode else { continue };
            if let Some(last) = f.since.iter().rposition(|e| done.contains(&e.number)) {
                f.since.drain(..=last).for_each(|e| Folder::apply(&mut f.durable, &e));
            }
        }
    }

    /// What is left after the power went and came back.
    pub fn after_cut(&self, seed: u64) -> Disk {
        let mut dice = Dice::new(seed);
        let mut left = self.clone();
        let mild = [0, 0, 0, 2, 4, u64::MAX][dice.roll(6) as usize];
        // Names: of each folder's changes a beginning; a rename is there in both folders or in none.
        let mut kept = BTreeSet::new();
        for inode in self.inodes.values() {
            let Inode::Folder(f) = inode else { continue };
            let n = match dice.roll(3) {
                _ if mild > 0 && !dice.once_in(mild) => f.since.len(),
                0 => 0,
                1 => f.since.len(),
                _ => dice.roll(f.since.len() as u64 + 1) as usize,
            };
            kept.extend(f.since[..n].iter().map(|e| e.number));
        }
        left.settle(&kept);
        for inode in left.inodes.values_mut() {
            match inode {
                Inode::File(f) => *f = f.after_cut(&mut dice, mild),
                Inode::Folder(f) => {
                    f.since.clear();
                    f.now = f.durable.clone();
                }
            }
        }
        // What has no name any more is gone.
        let mut reached = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if let Some(Inode::Folder(f)) = left.inodes.get(&ino) {
                todo.extend(f.now.values().filter(|i| reached.insert(**i)));
            }
        }
        left.inodes.retain(|ino, _| reached.contains(ino));
        left.used = left.inodes.keys().filter_map(|i| left.info(*i).ok()).map(|i| i.pages * PAGE).sum();
        (left.fuse, left.dead) = (None, false);
        left
    }
}

#[test]
fn what_is_synced_holds_and_what_is_not_may_be_lost_torn_or_reordered() {
    let mut disk = Disk::new();
    let (a, b) = (disk.make(ROOT, "a", false).unwrap(), disk.make(ROOT, "b", false).unwrap());
    disk.write(a, 0, &[1; 10_000]).unwrap();
    disk.sync(a).unwrap();
    disk.sync(ROOT).unwrap();
    disk.write(a, 0, &[2; 5000]).unwrap();
    disk.write(a, 5000, &[3; 5000]).unwrap();
    disk.write(b, 0, &[4; 3000]).unwrap();
    let (mut old, mut new, mut torn, mut reordered, mut zeros) = (0, 0, 0, 0, 0);
    for seed in 0..1000 {
        let mut left = disk.after_cut(seed);
        let bytes = left.read(a, 0..20_000).unwrap();
        assert_eq!(bytes.len(), 10_000);
        let sector = |b: u8| bytes.chunks(500).filter(|c| c.iter().all(|x| *x == b)).count();
        assert!(bytes.iter().all(|b| (1..=3).contains(b)), "synced bytes are never lost, only replaced");
        old += usize::from(sector(1) == 20);
        new += usize::from(sector(2) == 10 && sector(3) == 10);
        torn += usize::from(sector(1) > 0 && sector(2) > 0);
        reordered += usize::from(sector(2) == 0 && sector(3) > 0);
        let b = left.read(b, 0..20_000).unwrap();
        zeros += usize::from(b.contains(&0));
    }
    assert!(
        [old, new, torn, reordered, zeros].iter().all(|n| *n > 5),
        "{:?}",
        [old, new, torn, reordered, zeros]
    );
}

#[test]
fn names_hold_once_their_folder_is_synced_and_a_rename_is_whole() {
    let mut disk = Disk::new();
    let sub = disk.make(ROOT, "sub", true).unwrap();
    let f = disk.make(ROOT, "f", false).unwrap();
    disk.write(f, 0, b"bytes").unwrap();
    disk.sync(f).unwrap();
    assert!((0..50).any(|seed| disk.after_cut(seed).lookup(ROOT, "f").is_err()), "its name was not synced");
    disk.sync(ROOT).unwrap();
    disk.rename(ROOT, "f", sub, "g").unwrap();
    let (mut moved, mut stayed) = (0, 0);
    for seed in 0..100 {
        let mut left = disk.after_cut(seed);
        let (old, new) = (left.lookup(ROOT, "f"), left.lookup(sub, "g"));
        assert!(old.is_ok() != new.is_ok());
        moved += usize::from(new.is_ok());
        stayed += usize::from(old.is_ok());
        assert_eq!(left.read(f, 0..9).unwrap(), b"bytes");
    }
    assert!(moved > 10 && stayed > 10);
}
