//! Random lives of a drive. Alone, it shows what a plain tree in memory shows, whatever the weather. With another
//! client about, both sides agree in the end, and nothing that was acknowledged is lost.
//!
//! `INXTFS_SEED` repeats one sequence, `INXTFS_SEQUENCES` runs more of them.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use inxtfs::fs::Config;
use inxtfs::remote::fault::Random;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Kind, Row, Status};

use super::harness::{Engine, noise, patient};

const SEQUENCES: u64 = 120;
const STEPS: usize = 30;
const NAMES: [&str; 6] = ["a", "b", "c.txt", "d", "e.x.y", "f.pdf"];

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % n as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len())].clone()) }
    }
}

/// A tree to be compared and read by people: contents by their beginning, length and sum.
fn short(tree: &BTreeMap<String, Option<Bytes>>) -> Vec<String> {
    let sum =
        |b: &Bytes| b.iter().fold(0u32, |h, x| h.rotate_left(5) ^ u32::from(*x).wrapping_mul(0x9e37_79b9));
    let one = |b: &Bytes| {
        format!("{} {} {:x}", String::from_utf8_lossy(&b[..b.len().min(7)]).escape_debug(), b.len(), sum(b))
    };
    tree.iter().map(|(p, b)| format!("{p}: {}", b.as_ref().map_or("/".to_owned(), one))).collect()
}

struct Life {
    e: Engine,
    dice: Dice,
    serial: u64,
    /// What the user sees, where nobody else is about: paths, folders without bytes.
    alone: Option<BTreeMap<String, Option<Bytes>>>,
    /// Contents that must be somewhere in the end.
    dear: HashSet<Bytes>,
    offline: bool,
    log: Vec<String>,
}

#[test]
fn alone_the_drive_is_a_plain_tree_in_any_weather() {
    run("alone", true);
}

#[test]
fn with_another_client_about_both_sides_agree_in_the_end_and_nothing_is_lost() {
    run("together", false);
}

fn run(what: &str, alone: bool) {
    let number = |name| std::env::var(name).ok().map(|v| v.parse::<u64>().unwrap());
    let seeds = match number("INXTFS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("INXTFS_SEQUENCES").unwrap_or(SEQUENCES),
    };
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let mut life = Life::new(seed, alone);
                    if let Err(e) = catch_unwind(AssertUnwindSafe(|| life.live())) {
                        eprintln!("{what}: INXTFS_SEED={seed}\n{}", life.log.join("\n"));
                        std::panic::resume_unwind(e);
                    }
                }
            });
        }
    });
}

impl Life {
    fn new(seed: u64, alone: bool) -> Self {
        // Others' changes are seen when a step says so.
        let config = Config { poll_interval: Duration::from_secs(3600), ..patient() };
        Life {
            e: Engine::seeded(Memory::new(), config, seed),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            serial: 0,
            alone: alone.then(BTreeMap::new),
            dear: HashSet::new(),
            offline: false,
            log: Vec::new(),
        }
    }

    fn live(&mut self) {
        self.look();
        for _ in 0..STEPS {
            self.step();
            if let Some(tree) = self.alone.as_ref().filter(|_| !self.offline) {
                let calm = self.calm();
                assert_eq!(short(&calm), short(tree));
            }
        }
        self.log.push("heal".to_owned());
        self.e.fault.clear();
        self.offline = false;
        self.settle();
    }

    /// The view, the weather being fair meanwhile.
    fn calm(&self) -> BTreeMap<String, Option<Bytes>> {
        self.e.fault.random(None);
        self.e.tree()
    }

    /// Sends and reads until both sides are at rest; then they agree.
    fn settle(&mut self) {
        for _ in 0..3 {
            let status = self.e.drained();
            let lost =
                |i: &inxtfs::fs::QueueItem| i.error.as_ref().is_some_and(|e| e.contains("cannot be read"));
            if status.totals.items > 0 && self.alone.is_none() && status.queue.iter().all(lost) {
                // The base of a partial write was replaced by the other before it could be fetched.
                return;
            }
            assert_eq!(status.totals.items, 0, "{:#?}", status.queue);
            self.e.polls(2);
        }
        self.e.drain();
        let tree = self.e.tree();
        assert_eq!(self.e.cloud.tree().len(), tree.len(), "doubles in {:?}", self.e.cloud.tree());
        assert_eq!(short(&tree), short(&self.e.cloud_tree()));
        if let Some(wanted) = &self.alone {
            assert_eq!(short(&tree), short(wanted));
        }
        let rows = self.e.cloud.rows();
        let kept: HashSet<_> = rows
            .iter()
            .filter(|r| r.status != Status::Deleted)
            .filter_map(|r| self.e.cloud.content(&r.id))
            .collect();
        for bytes in &self.dear {
            assert!(
                kept.contains(bytes),
                "lost: {:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(8)])
            );
        }
    }

    fn fresh(&mut self) -> Bytes {
        self.serial += 1;
        let mut bytes = format!("<{:05}>", self.serial).into_bytes();
        let more = [0, 10, 300, 70_000][self.dice.below(4)];
        bytes.extend(noise(more, self.serial));
        bytes.into()
    }

    fn pick(&mut self, kind: Kind) -> Option<String> {
        let paths: Vec<_> = self.e.paths().into_iter().filter(|(_, k)| *k == kind).map(|(p, _)| p).collect();
        self.dice.of(&paths)
    }

    /// A path in some folder, taken or not.
    fn place(&mut self) -> String {
        let name = NAMES[self.dice.below(NAMES.len())];
        match self.dice.below(2) {
            0 => name.to_owned(),
            _ => self.pick(Kind::Folder).map_or(name.to_owned(), |d| format!("{d}/{name}")),
        }
    }

    fn step(&mut self) {
        match self.dice.below(if self.alone.is_some() { 17 } else { 23 }) {
            0..=3 => self.write(),
            4 | 5 => self.patch(),
            6..=8 => self.rename(),
            9 => self.unlink(),
            10 => self.mkdir(),
            11 => self.rmdir(),
            12 | 13 => self.drain(),
            14 => self.restart(),
            15 => {
                self.offline = !self.offline;
                self.log.push(format!("offline {}", self.offline));
                self.e.fault.set_offline(self.offline);
            }
            16 => {
                self.log.push("poll".to_owned());
                self.look();
            }
            _ => self.other(),
        }
    }

    fn drain(&mut self) {
        if self.offline {
            return;
        }
        let rough = self.dice.below(2) == 0;
        self.log.push(format!("drain, rough: {rough}"));
        self.e.fault.random(rough.then(|| Random::weather(100)));
        self.e.drained();
        self.e.fault.random(None);
        self.look();
        self.e.cloud.check().unwrap();
    }

    fn restart(&mut self) {
        let kill = self.dice.below(2) == 0;
        self.log.push(format!("restart, kill: {kill}"));
        if kill {
            self.e.kill();
            self.e.start();
        } else {
            self.e.restart();
        }
        self.look();
    }

    /// Waits for the looks at the feeds that are under way, so that none happens between two steps.
    fn look(&self) {
        if !self.offline {
            self.e.polls(1);
        }
    }

    /// What is there, if anything: `Err` where that cannot be told.
    fn there(&self, path: &str) -> Result<Option<Bytes>, ()> {
        match self.e.stat(path) {
            Ok(attr) if attr.kind == Kind::Folder => Err(()),
            Ok(_) => self.e.read(path).map(Some).map_err(|_| ()),
            Err(_) => Ok(None),
        }
    }

    fn gains(&mut self, path: &str, bytes: Bytes) {
        if !bytes.is_empty() {
            self.dear.insert(bytes.clone());
        }
        if let Some(tree) = &mut self.alone {
            tree.insert(path.to_owned(), Some(bytes));
        }
    }

    fn loses(&mut self, bytes: Option<Bytes>) {
        if let Some(bytes) = bytes {
            self.dear.remove(&bytes);
        }
    }

    fn write(&mut self) {
        let path = self.place();
        let Ok(former) = self.there(&path) else { return };
        let bytes = if self.dice.below(8) == 0 { Bytes::new() } else { self.fresh() };
        self.log.push(format!("write {path} {} {}", self.serial, bytes.len()));
        if self.e.put(&path, &bytes).is_ok() {
            self.loses(former);
            self.gains(&path, bytes);
        }
    }

    fn patch(&mut self) {
        let Some(path) = self.pick(Kind::File) else { return };
        let Ok(Some(former)) = self.there(&path) else { return };
        let (data, at) = (self.fresh(), self.dice.below(former.len() + 20));
        self.log.push(format!("patch {path} {} at {at}", self.serial));
        self.e.patch(&path, at as u64, &data).unwrap();
        let mut bytes = former.to_vec();
        bytes.resize(bytes.len().max(at + data.len()), 0);
        bytes[at..at + data.len()].copy_from_slice(&data);
        self.loses(Some(former));
        self.gains(&path, bytes.into());
    }

    fn rename(&mut self) {
        let kind = if self.dice.below(3) == 0 { Kind::Folder } else { Kind::File };
        let Some(from) = self.pick(kind) else { return };
        let to = self.place();
        if from == to {
            return;
        }
        let former = self.there(&to);
        if former.is_err() && self.e.stat(&to).is_ok_and(|a| a.kind == Kind::File) {
            return;
        }
        self.log.push(format!("rename {from} {to}"));
        let done = self.e.rename(&from, &to);
        self.log.push(format!("  {done:?}"));
        if done.is_err() {
            return;
        }
        self.loses(former.unwrap_or(None));
        let Some(tree) = &mut self.alone else { return };
        let below = format!("{from}/");
        let moving: Vec<_> = tree.keys().filter(|p| **p == from || p.starts_with(&below)).cloned().collect();
        for path in moving {
            let what = tree.remove(&path).unwrap();
            tree.insert(format!("{to}{}", &path[from.len()..]), what);
        }
    }

    fn unlink(&mut self) {
        let Some(path) = self.pick(Kind::File) else { return };
        let Ok(former) = self.there(&path) else { return };
        self.log.push(format!("unlink {path}"));
        self.e.unlink(&path).unwrap();
        self.loses(former);
        if let Some(tree) = &mut self.alone {
            tree.remove(&path);
        }
    }

    fn mkdir(&mut self) {
        let path = self.place();
        self.log.push(format!("mkdir {path}"));
        if self.e.mkdir(&path).is_ok()
            && let Some(tree) = &mut self.alone
        {
            tree.insert(path, None);
        }
    }

    fn rmdir(&mut self) {
        let Some(path) = self.pick(Kind::Folder) else { return };
        self.log.push(format!("rmdir {path}"));
        if self.e.rmdir(&path).is_ok()
            && let Some(tree) = &mut self.alone
        {
            tree.remove(&path);
        }
    }

    /// The other client does something.
    fn other(&mut self) {
        let rows = self.e.cloud.tree();
        let folders = rows.iter().filter(|(_, r)| r.kind == Kind::Folder).map(|(_, r)| r.id.clone());
        let folders: Vec<_> = folders.chain([self.e.cloud_root()]).collect();
        let folder = self.dice.of(&folders).unwrap();
        let name = NAMES[self.dice.below(NAMES.len())];
        let taken = rows.iter().any(|(_, r)| r.parent.as_ref() == Some(&folder) && r.name.display() == name);
        let file = self.dice.of(&rows).map(|(path, row)| (path, row)).filter(|(_, r)| r.kind == Kind::File);
        match (self.dice.below(6), file) {
            (0, _) if !taken => {
                let bytes = self.fresh();
                self.log.push(format!("other: create {name} in {folder} {}", self.serial));
                self.e.foreign_file(&folder, name, &bytes);
                self.dear.insert(bytes);
            }
            (1, _) if !taken => {
                self.log.push(format!("other: mkdir {name} in {folder}"));
                self.e.cloud.add_folder(&folder, name);
            }
            (2, Some((path, row))) if !taken => {
                self.log.push(format!("other: move {path} to {name} in {folder}"));
                self.e.foreign_move(&row, &folder, name);
            }
            (3 | 4, Some((path, row))) => self.other_writes(&path, &row),
            (5, _) => {
                let Some((path, row)) = self.dice.of(&rows) else { return };
                self.log.push(format!("other: trash {path}"));
                self.e.foreign_trash(&row);
            }
            _ => {}
        }
    }

    fn other_writes(&mut self, path: &str, row: &Row) {
        let bytes = self.fresh();
        self.log.push(format!("other: write {path} {}", self.serial));
        let former = self.e.cloud.content(&row.id);
        self.e.foreign_write(&row.id, &bytes);
        self.loses(former);
        self.dear.insert(bytes);
    }
}
