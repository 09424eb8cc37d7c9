//! The same random system calls on the mount and on a local folder have the same results.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::harness::{Drive, noise};
use crate::dice::Dice;
use crate::trees::{difference, tree};

const STEPS: usize = 250;
const HANDLES: usize = 4;
const PATHS: [&str; 12] =
    ["a", "b.txt", "c.txt", "d", "e", "d/a", "d/b.txt", "d/f", "d/f/a", "e/a", "e/d", "Ünï cödé.tar.gz"];

#[derive(Clone, Debug)]
enum Op {
    Write { path: &'static str, len: usize },
    Append { path: &'static str, len: usize },
    Truncate { path: &'static str, len: u64 },
    Remove { path: &'static str },
    Mkdir { path: &'static str },
    Rmdir { path: &'static str },
    Rename { from: &'static str, to: &'static str, noreplace: bool },
    Touch { path: &'static str, secs: u64 },
    Open { slot: usize, path: &'static str, create: bool, exclusive: bool, truncate: bool, append: bool },
    Close { slot: usize },
    WriteAt { slot: usize, at: u64, len: usize },
    ReadAt { slot: usize, at: u64, len: usize },
    SetLen { slot: usize, len: u64 },
    Sync { slot: usize },
}

fn path(dice: &mut Dice) -> &'static str {
    dice.of(&PATHS)
}

fn len(dice: &mut Dice) -> usize {
    dice.of(&[0, 1, 10, 4096, 65_535, 65_536, 65_537, 150_001])
}

fn op(dice: &mut Dice) -> Op {
    let slot = dice.below(HANDLES);
    let at = len(dice) as u64 + dice.below(3) as u64;
    match dice.below(20) {
        0..=2 => Op::Write { path: path(dice), len: len(dice) },
        3 => Op::Append { path: path(dice), len: len(dice) },
        4 => Op::Truncate { path: path(dice), len: at },
        5 => Op::Remove { path: path(dice) },
        6 | 7 => Op::Mkdir { path: ["d", "e", "d/f", "e/d", "a"][dice.below(5)] },
        8 => Op::Rmdir { path: path(dice) },
        9 | 10 => Op::Rename { from: path(dice), to: path(dice), noreplace: dice.chance(4) },
        11 => Op::Touch { path: path(dice), secs: at * 1000 },
        12 | 13 => Op::Open {
            slot,
            path: path(dice),
            create: dice.chance(2),
            exclusive: dice.chance(6),
            truncate: dice.chance(4),
            append: dice.chance(5),
        },
        14 => Op::Close { slot },
        15 | 16 => Op::WriteAt { slot, at, len: len(dice) },
        17 => Op::ReadAt { slot, at, len: len(dice) },
        18 => Op::SetLen { slot, len: at },
        _ => Op::Sync { slot },
    }
}

/// A folder and what is open in it.
struct Side<'a> {
    root: &'a Path,
    handles: [Option<File>; HANDLES],
}

impl<'a> Side<'a> {
    fn new(root: &'a Path) -> Self {
        Side { root, handles: [const { None }; HANDLES] }
    }

    /// What the program saw: bytes, or an errno.
    fn apply(&mut self, op: &Op, seed: u64) -> Result<Vec<u8>, i32> {
        self.run(op, seed).map_err(|e| e.raw_os_error().unwrap_or(-1))
    }

    fn run(&mut self, op: &Op, seed: u64) -> io::Result<Vec<u8>> {
        let at = |path: &str| self.root.join(path);
        match *op {
            Op::Write { path, len } => fs::write(at(path), noise(len, seed))?,
            Op::Append { path, len } => {
                OpenOptions::new().append(true).open(at(path))?.write_all(&noise(len, seed))?;
            }
            Op::Truncate { path, len } => OpenOptions::new().write(true).open(at(path))?.set_len(len)?,
            Op::Remove { path } => fs::remove_file(at(path))?,
            Op::Mkdir { path } => fs::create_dir(at(path))?,
            Op::Rmdir { path } => fs::remove_dir(at(path))?,
            Op::Rename { from, to, noreplace } => {
                let flags = if noreplace { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
                renameat_with(CWD, at(from), CWD, at(to), flags)?;
            }
            Op::Touch { path, secs } => {
                let time = UNIX_EPOCH + Duration::new(secs, 123_456_789);
                File::open(at(path))?.set_modified(time)?;
                let seen = fs::metadata(at(path))?.modified()?;
                return Ok(format!("{:?}", seen.duration_since(UNIX_EPOCH)).into_bytes());
            }
            Op::Open { slot, path, create, exclusive, truncate, append } => {
                let mut options = OpenOptions::new();
                options.read(true).append(append).write(!append);
                // std refuses to truncate what is appended to.
                options.truncate(truncate && !append).create(create).create_new(create && exclusive);
                self.handles[slot] = Some(options.open(at(path))?);
            }
            Op::Close { slot } => self.handles[slot] = None,
            Op::WriteAt { slot, at, len } => self.with(slot, |f| f.write_all_at(&noise(len, seed), at))?,
            Op::ReadAt { slot, at, len } => {
                let Some(file) = &self.handles[slot] else { return Ok(Vec::new()) };
                let mut bytes = vec![0; len];
                let mut got = 0;
                while got < len {
                    match file.read_at(&mut bytes[got..], at + got as u64)? {
                        0 => break,
                        n => got += n,
                    }
                }
                bytes.truncate(got);
                return Ok(bytes);
            }
            Op::SetLen { slot, len } => self.with(slot, |f| f.set_len(len))?,
            Op::Sync { slot } => self.with(slot, File::sync_all)?,
        }
        Ok(Vec::new())
    }

    fn with(&self, slot: usize, f: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        self.handles[slot].as_ref().map_or(Ok(()), f)
    }
}

/// Names the first difference, without printing contents.
fn assert_same(context: &str, mount: &Path, local: &Path) {
    assert_eq!(difference(&tree(mount), &tree(local)), None, "{context}: the mount (first) and the folder");
}

/// One run; `now_and_then` is called every 40 steps.
fn compare(seed: u64, mount: &Path, local: &Path, mut now_and_then: impl FnMut()) {
    let mut dice = Dice::new(seed);
    let (mut left, mut right) = (Side::new(mount), Side::new(local));
    for step in 0..STEPS {
        let op = op(&mut dice);
        let context = format!("INXTFS_SEED={seed}, step {step}, {op:?}");
        let marker = seed * 1000 + step as u64;
        let (got, wanted) = (left.apply(&op, marker), right.apply(&op, marker));
        match (&got, &wanted) {
            (Ok(a), Ok(b)) => assert!(a == b, "{context}: {} and {} bytes differ", a.len(), b.len()),
            _ => assert_eq!(got.as_ref().err(), wanted.as_ref().err(), "{context}: another errno"),
        }
        assert_same(&context, mount, local);
        if step % 40 == 39 {
            now_and_then();
        }
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("INXTFS_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![1, 2, 3],
    }
}

#[test]
fn a_mount_and_a_local_folder_agree_after_every_call() {
    for seed in seeds() {
        println!("INXTFS_SEED={seed}");
        let drive = Drive::new();
        let local = tempfile::tempdir().unwrap();
        compare(seed, drive.root(), local.path(), || ());
    }
}

#[test]
fn they_agree_while_uploads_run_in_between() {
    for seed in seeds() {
        println!("INXTFS_SEED={seed}");
        let mut setup = super::harness::Setup::default();
        setup.config.writeback_delay = Duration::from_millis(20);
        let drive = Drive::with(setup);
        let local = tempfile::tempdir().unwrap();
        compare(seed, drive.root(), local.path(), || std::thread::sleep(Duration::from_millis(50)));
        drive.drain();
        assert_same("after the last upload", drive.root(), local.path());
    }
}

#[test]
fn the_comparison_itself_finds_no_fault_with_two_local_folders() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    compare(7, a.path(), b.path(), || ());
}
