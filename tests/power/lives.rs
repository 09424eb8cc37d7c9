//! Random lives of a machine that loses its power: what it shows afterwards is what it showed at some moment since
//! the last sync, whole; or it is told that a change was lost which had not been synced.
//!
//! More of them: `INXTFS_CUTS=N`, `INXTFS_SEED=N`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use inxtfs::fs::Error;
use inxtfs::types::Timestamp;

use super::disk::Dice;
use super::harness::{APPEND, TRUNCATE, eager, noise, patient};
use super::machine::Machine;

const NAMES: [&str; 6] = ["a", "b.txt", "c", "d/a", "d/b", "d/c.bin"];
/// Losses of power a machine lives through.
const LIVES: u64 = 8;
const STEPS: u64 = 25;

/// A file; no time where none was told.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    bytes: Bytes,
    mtime: Option<Timestamp>,
}

type Tree = BTreeMap<String, Known>;

/// A tree, for people.
fn brief(t: &Tree) -> String {
    let one = |(p, k): (&String, &Known)| {
        let sum = k.bytes.iter().fold(0u16, |s, b| s.rotate_left(3) ^ u16::from(*b));
        let time = k.mtime.map_or_else(|| "?".to_owned(), |t| format!("{}.{}", t.secs, t.nanos));
        format!("{p} {} bytes {sum:04x} at {time}", k.bytes.len())
    };
    t.iter().map(one).collect::<Vec<_>>().join(", ")
}

struct Life {
    m: Machine,
    dice: Dice,
    /// What was shown since the last sync, that moment first.
    moments: Vec<Tree>,
    /// Every content that was ever whole.
    ever: BTreeSet<Bytes>,
    log: Vec<String>,
    writes: u64,
}

/// The power is gone.
struct Gone;
type Step = Result<(), Gone>;

impl Life {
    fn new(seed: u64) -> Life {
        let mut dice = Dice::new(seed);
        let config = if dice.once_in(2) { eager() } else { patient() };
        let m = Machine::new(config);
        m.engine.mkdir("d").unwrap();
        m.tick();
        Life {
            m,
            dice,
            moments: vec![Tree::new()],
            ever: BTreeSet::from([Bytes::new()]),
            log: Vec::new(),
            writes: 0,
        }
    }

    fn now(&self) -> &Tree {
        self.moments.last().unwrap()
    }

    fn pick(&mut self) -> &'static str {
        NAMES[self.dice.roll(NAMES.len() as u64) as usize]
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.dice.roll(5) {
            0 => self.dice.roll(100) + 1,
            1 | 2 => self.dice.roll(9000) + 1,
            3 => 65_536 * (1 + self.dice.roll(3)),
            _ => self.dice.roll(300_000) + 1,
        };
        self.writes += 1;
        noise(len as usize, self.writes << 8 | self.dice.roll(256))
    }

    /// A moment that is shown from now on, or may be if the call failed for want of power.
    fn moment(&mut self, change: impl FnOnce(&mut Tree)) {
        let mut next = self.now().clone();
        change(&mut next);
        self.ever.extend(next.values().map(|k| k.bytes.clone()));
        self.moments.push(next);
    }

    fn shows(&mut self, path: &str, bytes: &[u8], done: bool) {
        let mtime = done.then(|| self.m.engine.stat(path).unwrap().mtime);
        let known = Known { bytes: Bytes::copy_from_slice(bytes), mtime };
        self.moment(|t| _ = t.insert(path.to_owned(), known));
    }

    /// Whether a call was answered. A failure must be the power's.
    fn answered<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Gone> {
        match outcome {
            Ok(value) => Ok(value),
            Err(_) if self.m.plug.is_dead() => Err(Gone),
            Err(e) => panic!("{e}: {:?}", self.log),
        }
    }

    /// From here on the last moment holds.
    fn synced(&mut self) {
        self.moments.drain(..self.moments.len() - 1);
    }

    fn step(&mut self) -> Step {
        let path = self.pick();
        let what = self.dice.roll(14);
        self.log.push(format!("{what} {path}"));
        let there = self.now().get(path).cloned();
        match (what, there) {
            (0..=2, _) => self.put(path, false),
            (3, _) => self.put(path, true),
            (4, Some(old)) => {
                let more = self.bytes();
                let fh = self.m.engine.open(path, APPEND);
                let fh = self.answered(fh)?;
                self.write(path, fh, &old.bytes, &more)
            }
            (5, Some(old)) if !old.bytes.is_empty() => self.patch(path, &old.bytes),
            (6, Some(old)) => {
                let size = self.dice.roll(old.bytes.len() as u64 + 1000);
                let mut new = old.bytes.to_vec();
                new.resize(size as usize, 0);
                let done = self.m.engine.truncate(path, size);
                self.shows(path, &new, done.is_ok());
                self.answered(done)
            }
            (7, Some(old)) => {
                let time = Timestamp { secs: 1_000_000_000 + self.dice.roll(1 << 29) as i64, nanos: 7 };
                let done = self.m.engine.set_mtime(path, time);
                self.moment(|t| _ = t.insert(path.to_owned(), Known { mtime: Some(time), ..old }));
                self.answered(done)
            }
            (8, Some(_)) => self.remove(path),
            (9, Some(old)) => self.save_as_vim(path, &old),
            (10, Some(_)) => {
                let to = self.pick();
                self.rename(path, to)
            }
            (11, _) => {
                self.put("d/tmp", false)?;
                self.rename("d/tmp", path)
            }
            (12, Some(_)) => {
                let done = self.m.fsync(path);
                self.answered(done)?;
                self.synced();
                Ok(())
            }
            (13, _) => {
                self.m.tick();
                if self.m.plug.is_dead() {
                    return Err(Gone);
                }
                self.synced();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, path: &str, fsync: bool) -> Step {
        let new = !self.now().contains_key(path);
        let made = self.m.engine.create(path, TRUNCATE);
        if new {
            self.shows(path, b"", made.is_ok());
        }
        let fh = self.answered(made)?;
        let bytes = self.bytes();
        let written = self.m.engine.write_fh(fh, 0, &bytes);
        if written.is_ok() && fsync {
            let synced = self.m.engine.get(self.m.engine.fs().fsync(fh));
            self.shows(path, &bytes, synced.is_ok());
            self.answered(synced)?;
            self.synced();
        }
        let closed = self.m.engine.close(fh);
        self.shows(path, &bytes, closed.is_ok() && written.is_ok());
        self.answered(written.and(closed))
    }

    /// Appends; sometimes the syncer comes by meanwhile.
    fn write(&mut self, path: &str, fh: inxtfs::types::Fh, old: &[u8], more: &[u8]) -> Step {
        let half = more.len() / 2;
        let first = self.m.engine.write_fh(fh, 0, &more[..half.max(1)]);
        let mut all = old.to_vec();
        all.extend_from_slice(&more[..half.max(1)]);
        if first.is_ok() && self.dice.once_in(3) {
            self.m.tick();
            let dead = self.m.plug.is_dead();
            self.shows(path, &all, !dead);
            if !dead {
                self.synced();
            }
        }
        let rest = &more[half.max(1)..];
        let second = if rest.is_empty() { Ok(()) } else { self.m.engine.write_fh(fh, 0, rest) };
        all.extend_from_slice(rest);
        let closed = self.m.engine.close(fh);
        let done = first.and(second).and(closed);
        self.shows(path, &all, done.is_ok());
        self.answered(done)
    }

    fn patch(&mut self, path: &str, old: &[u8]) -> Step {
        let at = self.dice.roll(old.len() as u64) as usize;
        let bytes = self.bytes();
        let mut new = old.to_vec();
        new.resize(new.len().max(at + bytes.len()), 0);
        new[at..at + bytes.len()].copy_from_slice(&bytes);
        let done = self.m.engine.patch(path, at as u64, &bytes);
        self.shows(path, &new, done.is_ok());
        self.answered(done)
    }

    fn remove(&mut self, path: &str) -> Step {
        let done = self.m.engine.unlink(path);
        self.moment(|t| _ = t.remove(path));
        self.answered(done)
    }

    fn rename(&mut self, from: &str, to: &str) -> Step {
        if from == to {
            return Ok(());
        }
        let done = self.m.engine.rename(from, to);
        self.moment(|t| {
            let moved = t.remove(from).unwrap();
            t.insert(to.to_owned(), moved);
        });
        self.answered(done)
    }

    fn save_as_vim(&mut self, path: &str, old: &Known) -> Step {
        let backup = format!("{path}~");
        self.rename(path, &backup)?;
        assert_eq!(self.now().get(&backup), Some(old));
        self.put(path, false)?;
        self.remove(&backup)
    }

    /// One life, up to the loss of power, and a look at what is left.
    fn live(&mut self, seed: u64) {
        let changes = self.dice.roll(400);
        self.m.plug.goes_after(changes);
        self.log.push(format!("-- power for {changes} changes"));
        for _ in 0..STEPS {
            if self.step().is_err() {
                break;
            }
        }
        // Half-written, never closed: nothing was promised of it.
        if let Some(fh) =
            self.now().keys().next().cloned().and_then(|p| self.m.engine.open(&p, TRUNCATE).ok())
        {
            let _ = self.m.engine.write_fh(fh, 0, b"never closed");
        }
        self.m.cut(seed);
        self.look();
    }

    fn look(&mut self) {
        let told = self.m.told();
        let names: BTreeSet<_> = self.m.paths().into_keys().filter(|p| p != "d").collect();
        let mut shown = Tree::new();
        for path in &names {
            match self.m.shown(path).map(|s| (s.bytes, s.mtime)) {
                Ok((Ok(bytes), mtime)) => _ = shown.insert(path.clone(), Known { bytes, mtime: Some(mtime) }),
                other => {
                    assert_eq!(told.get(path), Some(&true), "{path}: {other:?}, not told: {:?}", self.log)
                }
            }
        }
        let fits = |tree: &Tree| {
            let same = |path: &String, known: &Known| match shown.get(path) {
                _ if told.contains_key(path) => true,
                Some(now) => now.bytes == known.bytes && known.mtime.is_none_or(|t| Some(t) == now.mtime),
                None => false,
            };
            tree.keys().eq(names.iter()) && tree.iter().all(|(p, k)| same(p, k))
        };
        let Some(at) = self.moments.iter().rposition(fits) else {
            let moments: Vec<_> = self.moments.iter().map(brief).collect();
            panic!(
                "it never looked like this:\n{}\n{names:?}\ntold {told:?}\nsince the sync: {moments:#?}\n{:?}",
                brief(&shown),
                self.log
            );
        };
        for (path, blocked) in &told {
            // What was durable here alone is never lost; what is shown instead of a lost change is whole.
            let always = self.moments[..=at].iter().all(|t| t.contains_key(path));
            assert!(!(always && *blocked), "{path} was there all the time and is blocked: {:?}", self.log);
            if let Some(now) = shown.get(path) {
                let known = |k: &Known| k.bytes == now.bytes;
                let own = self.moments[..=at].iter().filter_map(|t| t.get(path)).any(known);
                assert!(
                    self.ever.contains(&now.bytes) && (own || !always),
                    "{path} fell back to {} bytes that {}:\n{}\nsince the sync: {:#?}\n{:?}",
                    now.bytes.len(),
                    if self.ever.contains(&now.bytes) { "are older" } else { "were never there" },
                    brief(&shown),
                    self.moments[..=at].iter().map(brief).collect::<Vec<_>>(),
                    self.log
                );
            }
        }
        for (path, _) in told.iter().filter(|(_, blocked)| **blocked) {
            self.m.engine.unlink(path).unwrap();
            shown.remove(path);
        }
        self.m.tick();
        self.moments = vec![shown];
        self.log.push(format!("-- cut; told {told:?}"));
    }

    /// All that is shown is on the server, and nothing else ever was.
    fn settle(&mut self) {
        self.m.engine.drain();
        for bytes in self.m.sent() {
            assert!(
                self.ever.contains(&bytes),
                "the server has {} bytes nobody wrote: {:#?}",
                bytes.len(),
                self.log
            );
        }
        let there: BTreeMap<_, _> =
            self.m.engine.cloud_tree().into_iter().filter_map(|(p, b)| Some((p, b?))).collect();
        let here: BTreeMap<_, _> = self.now().iter().map(|(p, k)| (p.clone(), k.bytes.clone())).collect();
        let len = |of: Option<&Bytes>| of.map_or("nothing".to_owned(), |b| format!("{} bytes", b.len()));
        let all: BTreeSet<_> = here.keys().chain(there.keys()).collect();
        let differ = all.into_iter().filter(|p| here.get(*p) != there.get(*p));
        let differ: Vec<_> =
            differ.map(|p| format!("{p}: {} here, {} there", len(here.get(p)), len(there.get(p)))).collect();
        assert!(differ.is_empty(), "{differ:?}\n{:?}", self.log);
    }
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap())
}

#[test]
fn no_loss_of_power_takes_what_was_synced_or_leaves_a_mix() {
    let asked = env("INXTFS_CUTS");
    let cuts = asked.unwrap_or(40);
    // A machine that is busy makes fewer, unless so many are asked for.
    let begun = Instant::now();
    let enough = |done: u64| asked.is_none() && done >= LIVES && begun.elapsed() > Duration::from_secs(40);
    let first = env("INXTFS_SEED").unwrap_or(1);
    let (mut done, mut lost) = (0, 0);
    let mut seed = first;
    while done < cuts && !enough(done) {
        println!("INXTFS_SEED={seed}");
        let mut life = Life::new(seed);
        for n in 0..LIVES.min(cuts - done) {
            life.live(seed * 1000 + n);
            lost += usize::from(life.log.last().is_some_and(|l| !l.ends_with("{}")));
            if life.dice.once_in(3) {
                life.settle();
            }
            done += 1;
        }
        life.settle();
        seed += 1;
    }
    println!("{done} cuts, {lost} of them told of a loss");
}
