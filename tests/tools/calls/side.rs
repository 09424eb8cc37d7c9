//! One of the two folders.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, SeekFrom, Stat, Timespec, Timestamps,
};
use rustix::io::{self, Errno};

use super::call::{Call, SLOTS, Whence};
use crate::dice::Dice;

/// What a call tells its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    Number(u64),
    Bytes(Vec<u8>),
    Names(Vec<String>),
    /// Type, size and links; those of folders are of no use to anybody.
    Status(FileType, Option<(u64, u64)>),
}

pub type Outcome = Result<Told, Errno>;

/// A folder and what is open in it.
pub struct Side<'a> {
    root: &'a Path,
    open: [Option<OwnedFd>; SLOTS],
    /// Whether what is open there is a folder.
    folder: [bool; SLOTS],
}

impl<'a> Side<'a> {
    pub fn new(root: &'a Path) -> Self {
        Side { root, open: [const { None }; SLOTS], folder: [false; SLOTS] }
    }

    /// What a plain folder does and a drive refuses is undone and counts as refused.
    pub fn make_plain(&mut self, call: &Call, marker: u64) -> Outcome {
        let done = self.make(call, marker)?;
        match call {
            Call::Link { to, .. } => {
                fs::unlinkat(CWD, self.at(to), AtFlags::empty()).unwrap();
                Err(Errno::PERM)
            }
            Call::Rename { from, to, flags } if flags.contains(RenameFlags::EXCHANGE) => {
                // A folder's name may end in a slash, and that of the file that is in its place may not.
                let (from, to) = (from.trim_end_matches('/'), to.trim_end_matches('/'));
                if from == to {
                    return Ok(done);
                }
                fs::renameat_with(CWD, self.at(from), CWD, self.at(to), *flags).unwrap();
                Err(Errno::INVAL)
            }
            _ => Ok(done),
        }
    }

    /// `marker` makes what is written different from call to call.
    pub fn make(&mut self, call: &Call, marker: u64) -> Outcome {
        let bytes = |len| Dice::new(marker).bytes(len);
        match *call {
            Call::Open { slot, path, flags } => {
                self.open[slot] = None;
                let fd = fs::openat(CWD, self.at(path), flags, Mode::from(0o644))?;
                self.folder[slot] = status(&fs::fstat(&fd)?) == Told::Status(FileType::Directory, None);
                self.open[slot] = Some(fd);
            }
            Call::Close { slot } => self.open[slot] = None,
            // One that was removed is stale on a drive, and positions in one mean nothing to anybody.
            Call::Seek { slot, .. } | Call::Fsync { slot } | Call::Fstat { slot } if self.folder[slot] => {}
            Call::Read { slot, len } => return self.with(slot, |fd| read(len, |buf, _| io::read(fd, buf))),
            Call::Write { slot, len } => return self.with(slot, |fd| number(io::write(fd, &bytes(len)))),
            Call::Pread { slot, at, len } => {
                return self.with(slot, |fd| read(len, |buf, got| io::pread(fd, buf, at + got as u64)));
            }
            Call::Pwrite { slot, at, len } => {
                return self.with(slot, |fd| number(io::pwrite(fd, &bytes(len), at)));
            }
            Call::Seek { slot, whence, by } => return self.with(slot, |fd| seek(fd, whence, by)),
            Call::Ftruncate { slot, len } => return self.with(slot, |fd| nothing(fs::ftruncate(fd, len))),
            Call::CopyRange { from, at, to, to_at, len } => {
                let (Some(from), Some(to)) = (&self.open[from], &self.open[to]) else {
                    return Ok(Told::Nothing);
                };
                return copy(from, at, to, to_at, len);
            }
            Call::Fsync { slot } => return self.with(slot, |fd| nothing(fs::fsync(fd))),
            Call::Fstat { slot } => return self.with(slot, |fd| fs::fstat(fd).map(|s| status(&s))),
            Call::Stat { path } => {
                return fs::statat(CWD, self.at(path), AtFlags::SYMLINK_NOFOLLOW).map(|s| status(&s));
            }
            Call::List { path } => return list(&self.at(path)),
            Call::Times { path, secs } => return times(&self.at(path), secs),
            Call::Rename { from, to, flags } => {
                fs::renameat_with(CWD, self.at(from), CWD, self.at(to), flags)?;
            }
            Call::Link { from, to } => {
                fs::linkat(CWD, self.at(from), CWD, self.at(to), AtFlags::empty())?;
            }
            Call::Mkdir { path } => fs::mkdirat(CWD, self.at(path), Mode::from(0o755))?,
            Call::Rmdir { path } => fs::unlinkat(CWD, self.at(path), AtFlags::REMOVEDIR)?,
            Call::Unlink { path } => fs::unlinkat(CWD, self.at(path), AtFlags::empty())?,
        }
        Ok(Told::Nothing)
    }

    /// Joined as text: what is at the end of a path matters.
    fn at(&self, path: &str) -> PathBuf {
        format!("{}/{path}", self.root.to_str().unwrap()).into()
    }

    fn with(&self, slot: usize, f: impl FnOnce(&OwnedFd) -> Outcome) -> Outcome {
        self.open[slot].as_ref().map_or(Ok(Told::Nothing), f)
    }
}

fn nothing(result: io::Result<()>) -> Outcome {
    result.map(|()| Told::Nothing)
}

fn number(result: io::Result<usize>) -> Outcome {
    result.map(|n| Told::Number(n as u64))
}

/// To the end or the length, whichever comes first: a single call may give less.
fn read(len: usize, mut once: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> Outcome {
    let (mut buf, mut got) = (vec![0; len], 0);
    loop {
        match once(&mut buf[got..], got)? {
            0 => break,
            n => got += n,
        }
    }
    buf.truncate(got);
    Ok(Told::Bytes(buf))
}

fn seek(fd: &OwnedFd, whence: Whence, by: i64) -> Outcome {
    let to = match whence {
        Whence::Start => u64::try_from(by).map_or(SeekFrom::Current(i64::MIN), SeekFrom::Start),
        Whence::Current => SeekFrom::Current(by),
        Whence::End => SeekFrom::End(by),
    };
    fs::seek(fd, to).map(Told::Number)
}

fn copy(from: &OwnedFd, mut at: u64, to: &OwnedFd, mut to_at: u64, len: usize) -> Outcome {
    let mut done = 0;
    while done < len {
        match fs::copy_file_range(from, Some(&mut at), to, Some(&mut to_at), len - done)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(Told::Number(done as u64))
}

fn status(of: &Stat) -> Told {
    let kind = FileType::from_raw_mode(of.st_mode);
    let size = u64::try_from(of.st_size).unwrap();
    Told::Status(kind, (kind == FileType::RegularFile).then_some((size, of.st_nlink)))
}

fn list(path: &Path) -> Outcome {
    let dir = fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        names.push(entry?.file_name().to_str().unwrap().to_owned());
    }
    names.sort();
    Ok(Told::Names(names))
}

/// Sets a time that every filesystem can keep, and tells what is there then.
fn times(path: &Path, secs: i64) -> Outcome {
    let time = Timespec { tv_sec: secs, tv_nsec: 125_000_000 };
    let both = Timestamps { last_access: time, last_modification: time };
    fs::utimensat(CWD, path, &both, AtFlags::empty())?;
    let seen = fs::statat(CWD, path, AtFlags::empty())?;
    Ok(Told::Bytes(format!("{}.{}", seen.st_mtime, seen.st_mtime_nsec).into_bytes()))
}
