//! A file being written that has its name only once it is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Readable for its owner only. Dropped unfinished, it leaves nothing behind.
pub struct Partial {
    file: File,
    at: PathBuf,
    to: PathBuf,
    force: bool,
    done: bool,
}

impl Partial {
    /// Beside `to`, which must not exist unless `force`.
    pub fn create(to: &Path, force: bool) -> Result<Partial> {
        let to = std::path::absolute(to)?;
        match fs::symlink_metadata(&to) {
            Ok(meta) if meta.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(_) if !force => return Err(ErrorKind::AlreadyExists.into()),
            _ => {}
        }
        let name = to.file_name().ok_or(ErrorKind::InvalidInput)?;
        let mut hidden = std::ffi::OsString::from(".");
        // Room for the rest of a long name.
        hidden.push(if name.len() > 200 { "export".as_ref() } else { name });
        hidden.push(format!(".{}.partial", std::process::id()));
        let at = to.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
        Ok(Partial { file, at, to, force, done: false })
    }

    /// Bytes at their place; what is left out is a hole.
    pub fn put(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_all_at(data, offset)
    }

    /// All is there: durable, then under its name.
    pub fn finish(mut self, size: u64) -> Result<()> {
        self.file.set_len(size)?;
        self.file.sync_all()?;
        if self.force {
            fs::rename(&self.at, &self.to)?;
        } else {
            self.rename_over_nothing()?;
        }
        self.done = true;
        if let Some(parent) = self.to.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    fn rename_over_nothing(&self) -> Result<()> {
        match renameat_with(CWD, &self.at, CWD, &self.to, RenameFlags::NOREPLACE).map_err(Error::from) {
            // Not every filesystem can do that.
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                match fs::symlink_metadata(&self.to) {
                    Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                    Err(_) => fs::rename(&self.at, &self.to),
                }
            }
            other => other,
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_has_its_name_only_once_it_is_complete() {
        let tmp = tempfile::tempdir().unwrap();
        let to = tmp.path().join("out.bin");
        let names = || fs::read_dir(tmp.path()).unwrap().count();

        let mut given_up = Partial::create(&to, false).unwrap();
        given_up.put(0, b"half").unwrap();
        assert!(!to.exists() && names() == 1);
        drop(given_up);
        assert_eq!(names(), 0, "nothing is left of it");

        let mut file = Partial::create(&to, false).unwrap();
        file.put(3, b"abc").unwrap();
        file.finish(8).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"\0\0\0abc\0\0");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(), 1);
    }

    #[test]
    fn nothing_is_overwritten_unless_told_so() {
        let tmp = tempfile::tempdir().unwrap();
        let to = tmp.path().join("out.bin");
        let late = Partial::create(&to, false).unwrap();
        fs::write(&to, b"mine").unwrap();
        let taken = |r: Result<()>| assert_eq!(r.unwrap_err().kind(), ErrorKind::AlreadyExists);
        taken(Partial::create(&to, false).map(drop));
        taken(late.finish(0));
        assert_eq!(fs::read(&to).unwrap(), b"mine");
        Partial::create(&to, true).unwrap().finish(0).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"");
        assert_eq!(Partial::create(tmp.path(), true).map(drop).unwrap_err().kind(), ErrorKind::IsADirectory);
    }
}
