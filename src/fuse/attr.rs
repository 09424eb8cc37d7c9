//! Attributes and times, between the filesystem's words and the binding's.

use std::time::{SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};

use super::options::MountOptions;
use crate::fs::Attr;
use crate::types::{Ino, Kind, Timestamp};

/// Owner and permissions, which are the mount's and not the drive's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes {
    uid: u32,
    gid: u32,
    file: u16,
    dir: u16,
}

impl Modes {
    pub(super) fn new(options: &MountOptions) -> Self {
        let allowed = !options.umask;
        Modes { uid: options.uid, gid: options.gid, file: 0o666 & allowed, dir: 0o777 & allowed }
    }

    /// As `stat(2)` shows it.
    pub(super) fn attr(&self, of: &Attr) -> FileAttr {
        let perm = match of.kind {
            Kind::File => self.file,
            Kind::Folder => self.dir,
        };
        let perm = if of.writable { perm } else { perm & !0o222 };
        let mtime = of.mtime.into();
        FileAttr {
            ino: INodeNo(of.ino.0),
            size: of.size,
            // tar and cp take a file of fewer blocks for one with holes.
            blocks: of.size.div_ceil(512),
            atime: mtime,
            mtime,
            ctime: of.ctime.into(),
            crtime: of.btime.into(),
            kind: kind(of.kind),
            perm: if of.private { perm & 0o700 } else { perm },
            // For folders too: programs take 1 for "count the subfolders yourself".
            nlink: u32::from(of.linked),
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// What stands beside the word that a name is not there.
    pub(super) fn absent(&self) -> FileAttr {
        FileAttr {
            ino: INodeNo(0),
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0,
            nlink: 0,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// The number of a kernel's inode.
pub(super) fn ino(of: INodeNo) -> Ino {
    Ino(of.0)
}

pub(super) fn kind(of: Kind) -> FileType {
    match of {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
    }
}

/// A time a program set.
///
/// The binding (0.18.0) subtracts the nanoseconds of a time before 1970 where the kernel adds them;
/// what it did is undone here.
pub(super) fn time(t: TimeOrNow) -> Timestamp {
    let t: SystemTime = match t {
        TimeOrNow::Now => return Timestamp::now(),
        TimeOrNow::SpecificTime(t) => t,
    };
    match t.duration_since(UNIX_EPOCH) {
        Ok(_) => t.into(),
        Err(before) => {
            let d = before.duration();
            let secs = i64::try_from(d.as_secs()).map_or(i64::MIN, |s| -s);
            Timestamp { secs, nanos: d.subsec_nanos() }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::types::Ino;
    use std::time::Duration;

    fn attr(kind: Kind, writable: bool) -> Attr {
        let t = Timestamp { secs: 7, nanos: 9 };
        Attr {
            ino: Ino(5),
            kind,
            size: 513,
            mtime: t,
            ctime: t,
            btime: t,
            writable,
            linked: true,
            private: false,
        }
    }

    #[test]
    fn modes_are_the_mounts_and_read_only_nodes_lose_their_write_bits() {
        let modes = Modes::new(&MountOptions { umask: 0o027, uid: 3, gid: 4, ..MountOptions::default() });
        let file = modes.attr(&attr(Kind::File, true));
        assert_eq!((file.perm, file.uid, file.gid, file.blocks), (0o640, 3, 4, 2));
        assert_eq!(modes.attr(&attr(Kind::Folder, true)).perm, 0o750);
        assert_eq!(modes.attr(&attr(Kind::Folder, false)).perm, 0o550);
    }

    #[test]
    fn times_before_1970_are_what_the_program_meant() {
        // -1.25 s reaches the binding as (-2 s, 750 ms), which it turns into -2.75 s.
        let as_bound = UNIX_EPOCH - Duration::new(2, 750_000_000);
        assert_eq!(time(TimeOrNow::SpecificTime(as_bound)), Timestamp { secs: -2, nanos: 750_000_000 });
        let after = UNIX_EPOCH + Duration::new(2, 5);
        assert_eq!(time(TimeOrNow::SpecificTime(after)), Timestamp { secs: 2, nanos: 5 });
    }
}
