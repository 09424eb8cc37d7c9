//! What a hand does: what people, editors and tools do with files.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, UNIX_EPOCH};

use crate::hand::{Call, End, Hand};
use crate::tree::{Entry, Time, Tree};

type Done = Result<(), End>;

/// A hand's folder holds no more.
const FILES: usize = 14;
const DIRS: usize = 5;
const ENDINGS: [&str; 4] = [".txt", ".csv", "", ".tar.gz"];
/// What is written at once is there as a whole or not at all: it is one request. The kernel makes two of what begins
/// within a page.
const AT_ONCE: u64 = 100_000;
const PAGE: u64 = 4096;

/// How a file is opened for writing.
#[derive(Clone, Copy, PartialEq)]
enum How {
    New,
    Truncate,
    Append,
    Within,
}

impl Hand {
    /// One thing, chosen by chance.
    pub fn one(&mut self) -> Done {
        let (files, dirs) = (self.sure.files().len(), self.sure.dirs().len());
        if files == 0 {
            return self.create();
        }
        match self.rng.below(22) {
            0..=3 if files < FILES => self.create(),
            0..=4 => self.unlink(),
            5 | 6 => self.write(How::Truncate),
            7 => self.write(How::Append),
            8 => self.write(How::Within),
            9..=12 => self.save(),
            13 => self.save_with_backup(),
            14 => self.rename_over(),
            15 | 16 => self.rename(),
            17 => self.truncate(),
            18 => self.utimens(),
            19 if dirs < DIRS => self.mkdir(),
            19 | 20 => self.leave_dir(),
            _ => self.move_into_young_folder(),
        }
    }

    fn some_file(&mut self) -> String {
        let files = self.sure.files();
        let at = self.rng.below(files.len() as u64);
        self.sure.files()[usize::try_from(at).unwrap()].to_owned()
    }

    /// A folder and a slash, or nothing: the hand's own.
    fn some_dir(&mut self) -> String {
        let n = self.sure.dirs().len() as u64;
        let at = self.rng.below(n + 1);
        match self.sure.dirs().get(usize::try_from(at).unwrap()) {
            Some(dir) => format!("{dir}/"),
            None => String::new(),
        }
    }

    fn free_path(&mut self) -> String {
        let (dir, n) = (self.some_dir(), self.fresh_name());
        let ending = *self.rng.pick(&ENDINGS);
        format!("{dir}f{n}{ending}")
    }

    fn some_size(&mut self) -> u64 {
        match self.rng.below(12) {
            0 => 60_000 + self.rng.below(20_000),
            1 => 150_000 + self.rng.below(100_000),
            2..=5 => 3_000 + self.rng.below(6_000),
            _ => 1 + self.rng.below(1_500),
        }
    }

    fn create(&mut self) -> Done {
        let path = self.free_path();
        self.fill(&path, How::New)
    }

    fn write(&mut self, how: How) -> Done {
        let path = self.some_file();
        self.fill(&path, how)
    }

    /// Opens, writes once or more, syncs at times, and closes.
    fn fill(&mut self, path: &str, how: How) -> Done {
        let mut now = match how {
            How::New | How::Truncate => Vec::new(),
            How::Append | How::Within => self.sure.bytes(path).to_vec(),
        };
        let open = move |hand: &Hand| {
            let mut options = OpenOptions::new();
            match how {
                How::New => options.write(true).create_new(true),
                How::Truncate => options.write(true).truncate(true),
                How::Append => options.append(true),
                How::Within => options.read(true).write(true),
            };
            options.open(hand.path(path))
        };
        let call = if how == How::New { Call::Create } else { Call::Write };
        let opened = self.sure.with(path, Entry::file(now.clone()));
        let file = self.promised(call, format!("open {path}"), opened, open)?;
        for _ in 0..=self.rng.below(3) {
            self.write_some(&file, path, how, &mut now)?;
            if self.rng.one_in(5) {
                let then = self.sure.with(path, Entry::file(now.clone()));
                self.acknowledged(Call::Fsync, path.to_owned(), then, |_| file.sync_all())?;
            }
        }
        let then = self.sure.with(path, Entry::file(now));
        self.close(file, path, then)?;
        self.learn_time(path)
    }

    /// What a close answers to the one who closes is lost on the way; that the program lived on is not.
    fn close(&mut self, file: File, path: &str, then: Tree) -> Done {
        self.acknowledged(Call::Close, path.to_owned(), then, move |hand| {
            drop(file);
            if hand.is_over() { Err(io::Error::other("killed about then")) } else { Ok(()) }
        })
    }

    fn write_some(&mut self, mut file: &File, path: &str, how: How, now: &mut Vec<u8>) -> Done {
        let (mut left, mut offset) = (self.some_size(), now.len() as u64);
        if how == How::Within {
            offset = self.rng.below(offset + 1);
        }
        while left > 0 {
            let head = PAGE - offset % PAGE;
            let bytes = self.rng.bytes(left.min(if head < PAGE { head } else { AT_ONCE }));
            left -= bytes.len() as u64;
            let (from, to) =
                (usize::try_from(offset).unwrap(), usize::try_from(offset).unwrap() + bytes.len());
            now.resize(now.len().max(to), 0);
            now[from..to].copy_from_slice(&bytes);
            let what = format!("{path} {} bytes at {offset}", bytes.len());
            let then = self.sure.with(path, Entry::file(now.clone()));
            let written = self.promised(Call::Write, what, then, |_| match how {
                How::Within => file.write_at(&bytes, offset),
                _ => file.write(&bytes),
            })?;
            assert_eq!(written, bytes.len(), "{path}: written as a whole");
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// The time of a file that was just closed: from now on it must stay.
    fn learn_time(&mut self, path: &str) -> Done {
        let meta = self.looked("stat", |hand| fs::metadata(hand.path(path)))?;
        let entry = Entry::File(self.sure.bytes(path), Some((meta.mtime(), meta.mtime_nsec())));
        self.settle(self.sure.with(path, entry))
    }

    /// As editors save: a temporary file beside it, renamed over it.
    fn save(&mut self) -> Done {
        let path = self.some_file();
        self.save_over(&path)
    }

    fn save_over(&mut self, path: &str) -> Done {
        let temporary = format!("{path}.{}.tmp", self.fresh_name());
        self.fill(&temporary, How::New)?;
        let then = self.sure.moved(&temporary, path);
        self.move_to(Call::RenameOver, &temporary, path, then)
    }

    /// As vim saves: the file becomes a backup, a new one takes its name, the backup goes.
    fn save_with_backup(&mut self) -> Done {
        let path = self.some_file();
        let backup = format!("{path}.{}~", self.fresh_name());
        let then = self.sure.moved(&path, &backup);
        self.move_to(Call::Rename, &path, &backup, then)?;
        self.fill(&path, How::New)?;
        self.remove(&backup)
    }

    fn rename_over(&mut self) -> Done {
        let (from, to) = (self.some_file(), self.some_file());
        if from == to {
            return self.rename();
        }
        let then = self.sure.moved(&from, &to);
        self.move_to(Call::RenameOver, &from, &to, then)
    }

    fn rename(&mut self) -> Done {
        let (from, to) = (self.some_file(), self.free_path());
        let then = self.sure.moved(&from, &to);
        self.move_to(Call::Rename, &from, &to, then)
    }

    /// A file goes into a folder that was just made, and an editor saves it there.
    fn move_into_young_folder(&mut self) -> Done {
        if self.sure.dirs().len() >= DIRS {
            return self.leave_dir();
        }
        let (file, n) = (self.some_file(), self.fresh_name());
        let dir = format!("{}x{n}", self.some_dir());
        self.make_dir(&dir)?;
        let to = format!("{dir}/g{n}.csv");
        let then = self.sure.moved(&file, &to);
        self.move_to(Call::Rename, &file, &to, then)?;
        self.save_over(&to)
    }

    fn move_to(&mut self, call: Call, from: &str, to: &str, then: Tree) -> Done {
        let what = format!("{from} to {to}");
        self.acknowledged(call, what, then, |hand| fs::rename(hand.path(from), hand.path(to)))
    }

    fn unlink(&mut self) -> Done {
        let path = self.some_file();
        self.remove(&path)
    }

    fn remove(&mut self, path: &str) -> Done {
        let then = self.sure.without(path);
        self.acknowledged(Call::Unlink, path.to_owned(), then, |hand| fs::remove_file(hand.path(path)))
    }

    fn truncate(&mut self) -> Done {
        let path = self.some_file();
        let mut bytes = self.sure.bytes(&path).to_vec();
        let size = self.rng.below(bytes.len() as u64 * 3 / 2 + 1);
        bytes.resize(usize::try_from(size).unwrap(), 0);
        let then = self.sure.with(&path, Entry::file(bytes));
        let file = self.looked("open", |hand| OpenOptions::new().write(true).open(hand.path(&path)))?;
        let what = format!("{path} to {size}");
        self.promised(Call::Truncate, what, then.clone(), |_| file.set_len(size))?;
        self.close(file, &path, then)?;
        self.learn_time(&path)
    }

    fn utimens(&mut self) -> Done {
        let path = self.some_file();
        let time: Time = (
            1_000_000_000 + self.rng.below(500_000_000).cast_signed(),
            self.rng.below(1_000_000_000).cast_signed(),
        );
        let then = self.sure.with(&path, Entry::File(self.sure.bytes(&path), Some(time)));
        self.acknowledged(Call::Utimens, format!("{path} {}.{:09}", time.0, time.1), then, |hand| {
            let at = UNIX_EPOCH + Duration::new(time.0.unsigned_abs(), u32::try_from(time.1).unwrap());
            // For reading: nothing but the time is to be set.
            File::open(hand.path(&path))?.set_times(FileTimes::new().set_modified(at))
        })
    }

    fn mkdir(&mut self) -> Done {
        let dir = format!("{}d{}", self.some_dir(), self.fresh_name());
        self.make_dir(&dir)
    }

    fn make_dir(&mut self, dir: &str) -> Done {
        let then = self.sure.with(dir, Entry::Dir);
        self.acknowledged(Call::Mkdir, dir.to_owned(), then, |hand| fs::create_dir(hand.path(dir)))
    }

    /// Removes an empty folder, or moves one with all that is in it.
    fn leave_dir(&mut self) -> Done {
        let dir = self.some_dir();
        let Some(dir) = dir.strip_suffix('/') else { return self.create_or_unlink() };
        if self.sure.is_empty_dir(dir) {
            let then = self.sure.without(dir);
            let gone = |hand: &Hand| fs::remove_dir(hand.path(dir));
            return self.acknowledged(Call::Rmdir, dir.to_owned(), then, gone);
        }
        let to = format!("d{}", self.fresh_name());
        let then = self.sure.moved(dir, &to);
        self.move_to(Call::Rename, dir, &to, then)
    }

    fn create_or_unlink(&mut self) -> Done {
        if self.sure.files().len() < FILES { self.create() } else { self.unlink() }
    }
}
