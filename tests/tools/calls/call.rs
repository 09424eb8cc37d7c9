//! The calls.

use rustix::fs::{OFlags, RenameFlags};

use crate::dice::Dice;

pub const SLOTS: usize = 4;

/// Few, so that calls meet; some that no call accepts.
const PATHS: [&str; 18] = [
    "a",
    "b.txt",
    "c.txt",
    "d",
    "e",
    "d/a",
    "d/b.txt",
    "d/f",
    "d/f/a",
    "e/a",
    "e/d",
    "Ünï cödé.tar.gz",
    "b.txt/",
    "b.txt/x",
    "d/",
    "d/.",
    "e/..",
    "nowhere/a",
];

#[derive(Clone, Copy, Debug)]
pub enum Whence {
    Start,
    Current,
    End,
}

/// A slot is a file that may be open.
#[derive(Clone, Debug)]
pub enum Call {
    Open { slot: usize, path: &'static str, flags: OFlags },
    Close { slot: usize },
    Read { slot: usize, len: usize },
    Write { slot: usize, len: usize },
    Pread { slot: usize, at: u64, len: usize },
    Pwrite { slot: usize, at: u64, len: usize },
    Seek { slot: usize, whence: Whence, by: i64 },
    Ftruncate { slot: usize, len: u64 },
    CopyRange { from: usize, at: u64, to: usize, to_at: u64, len: usize },
    Fsync { slot: usize },
    Fstat { slot: usize },
    Stat { path: &'static str },
    List { path: &'static str },
    Times { path: &'static str, secs: i64 },
    Rename { from: &'static str, to: &'static str, flags: RenameFlags },
    Link { from: &'static str, to: &'static str },
    Mkdir { path: &'static str },
    Rmdir { path: &'static str },
    Unlink { path: &'static str },
}

impl Call {
    pub fn random(dice: &mut Dice) -> Call {
        let slot = dice.below(SLOTS);
        match dice.below(30) {
            0..=4 => Call::Open { slot, path: path(dice), flags: flags(dice) },
            5 => Call::Close { slot },
            6 | 7 => Call::Read { slot, len: len(dice) },
            8..=10 => Call::Write { slot, len: len(dice) },
            11 => Call::Pread { slot, at: offset(dice), len: len(dice) },
            12 | 13 => Call::Pwrite { slot, at: offset(dice), len: len(dice) },
            14 => Call::Seek {
                slot,
                whence: dice.of(&[Whence::Start, Whence::Current, Whence::End]),
                by: dice.of(&[-70_000, -1, 0, 1, 4096, 65_536]),
            },
            15 | 16 => Call::Ftruncate { slot, len: offset(dice) },
            17 => Call::CopyRange {
                from: slot,
                at: offset(dice),
                to: dice.below(SLOTS),
                to_at: offset(dice),
                len: len(dice),
            },
            18 => Call::Fsync { slot },
            19 => Call::Fstat { slot },
            20 | 21 => Call::Stat { path: path(dice) },
            22 => Call::List { path: path(dice) },
            23 => Call::Times { path: path(dice), secs: i64::try_from(dice.below(2_000_000_000)).unwrap() },
            24 | 25 => Call::Rename { from: path(dice), to: path(dice), flags: rename_flags(dice) },
            26 => Call::Link { from: path(dice), to: path(dice) },
            27 => Call::Mkdir { path: dice.of(&["d", "e", "d/f", "e/d", "a", "d/", "b.txt/x", "nowhere/a"]) },
            28 => Call::Rmdir { path: path(dice) },
            _ => Call::Unlink { path: path(dice) },
        }
    }

    /// Nothing that a plain folder does otherwise than a drive.
    pub fn is_plain(&self) -> bool {
        match self {
            Call::Rename { flags, .. } => !flags.contains(RenameFlags::EXCHANGE),
            Call::Link { .. } => false,
            _ => true,
        }
    }
}

fn path(dice: &mut Dice) -> &'static str {
    // What every call refuses is tried now and then.
    if dice.chance(6) { dice.of(&PATHS) } else { dice.of(&PATHS[..12]) }
}

/// Around the sizes of pages and blocks.
fn len(dice: &mut Dice) -> usize {
    dice.of(&[0, 1, 10, 511, 4095, 4096, 4097, 65_535, 65_536, 65_537, 150_001])
}

fn offset(dice: &mut Dice) -> u64 {
    len(dice) as u64 + dice.below(3) as u64
}

fn flags(dice: &mut Dice) -> OFlags {
    let mut flags = dice.of(&[OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR, OFlags::RDWR]);
    for (one_in, flag) in [
        (2, OFlags::CREATE),
        (8, OFlags::EXCL),
        (5, OFlags::TRUNC),
        (5, OFlags::APPEND),
        (12, OFlags::DIRECTORY),
        (12, OFlags::NOFOLLOW),
        (20, OFlags::DSYNC),
    ] {
        flags.set(flag, flags.contains(flag) || dice.chance(one_in));
    }
    // Without a creation it has no meaning.
    flags.set(OFlags::EXCL, flags.contains(OFlags::EXCL | OFlags::CREATE));
    flags
}

fn rename_flags(dice: &mut Dice) -> RenameFlags {
    let both = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
    dice.of(&[
        RenameFlags::empty(),
        RenameFlags::empty(),
        RenameFlags::empty(),
        RenameFlags::NOREPLACE,
        RenameFlags::EXCHANGE,
        both,
    ])
}
