//! The disk's process: a filesystem for the kernel, and a line for each wish of the test.

use std::ffi::OsStr;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use parking_lot::Mutex;

use super::disk::{Disk, Fault, Info};

/// Nobody but this kernel changes anything.
const TTL: Duration = Duration::from_secs(3600);
const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;

/// How the disk's mounts show in the mount table.
pub const SOURCE: &str = "inxtfs-test-disk";

type Shared = Arc<Mutex<Disk>>;

/// Serves until told to quit, or until whoever tells is gone.
pub fn serve(point: &Path) {
    let mut disk: Shared = Arc::new(Mutex::new(Disk::new()));
    let mut session = mount(point, &disk);
    say("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse().unwrap();
        match word {
            "fuse" => disk.lock().fuse = Some(number),
            "dead" => disk.lock().dead = true,
            "capacity" => disk.lock().capacity = number,
            "cut" => {
                unmount(point, session);
                let left = {
                    let mut old = disk.lock();
                    old.dead = true;
                    old.after_cut(number)
                };
                disk = Arc::new(Mutex::new(left));
                session = mount(point, &disk);
            }
            "state" => {
                let d = disk.lock();
                say(&format!("{} {} {}", u8::from(d.dead), d.syncs.0, d.syncs.1));
                continue;
            }
            _ => break,
        }
        say("ok");
    }
    unmount(point, session);
    std::process::exit(0);
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{words}").unwrap();
    out.flush().unwrap();
}

fn mount(point: &Path, disk: &Shared) -> BackgroundSession {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName(SOURCE.to_owned()), MountOption::RW];
    fuser::spawn_mount(Kernel(disk.clone()), point, &config).expect("a disk can be mounted")
}

/// At once; who still has files open keeps the dead disk.
fn unmount(point: &Path, session: BackgroundSession) {
    let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    // The binding would unmount whatever is there when it is dropped.
    std::mem::forget(session);
}

struct Kernel(Shared);

fn errno(fault: Fault) -> Errno {
    match fault {
        Fault::Missing => Errno::ENOENT,
        Fault::Full => Errno::ENOSPC,
        Fault::Dead => Errno::EIO,
        Fault::NotEmpty => Errno::ENOTEMPTY,
        Fault::WrongKind => Errno::EISDIR,
    }
}

fn attr(info: &Info) -> FileAttr {
    let then = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(info.ino),
        size: info.size,
        blocks: info.pages * 8,
        atime: then,
        mtime: then,
        ctime: then,
        crtime: then,
        kind: if info.folder { FileType::Directory } else { FileType::RegularFile },
        perm: if info.folder { 0o700 } else { 0o600 },
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Kernel {
    fn entry(&self, reply: ReplyEntry, f: impl FnOnce(&mut Disk) -> Result<u64, Fault>) {
        let mut disk = self.0.lock();
        match f(&mut disk).and_then(|ino| disk.info(ino)) {
            Ok(info) => reply.entry(&TTL, &attr(&info), Generation(0)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn empty(&self, reply: ReplyEmpty, f: impl FnOnce(&mut Disk) -> Result<(), Fault>) {
        match f(&mut self.0.lock()) {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(errno(e)),
        }
    }
}

fn text(name: &OsStr) -> &str {
    name.to_str().expect("names here are text")
}

impl Filesystem for Kernel {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |d| d.lookup(parent.0, text(name)));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.lock().info(ino.0) {
            Ok(info) => reply.attr(&TTL, &attr(&info)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.0.lock();
        let done = size.map_or(Ok(()), |size| disk.resize(ino.0, size));
        match done.and_then(|()| disk.info(ino.0)) {
            Ok(info) => reply.attr(&TTL, &attr(&info)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.entry(reply, |d| d.make(parent.0, text(name), true));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |d| d.remove(parent.0, text(name)));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |d| d.remove(parent.0, text(name)));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, |d| d.rename(parent.0, text(name), newparent.0, text(newname)));
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = self.0.lock();
        let made = disk.make(parent.0, text(name), false).and_then(|ino| disk.info(ino));
        match made {
            Ok(info) => {
                reply.created(&TTL, &attr(&info), Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(e) => reply.error(errno(e)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.lock().read(ino.0, offset..offset + u64::from(size)) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.lock().write(ino.0, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap()),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.empty(reply, |d| d.sync(ino.0));
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.empty(reply, |d| d.sync(ino.0));
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut disk = self.0.lock();
        let entries = match disk.entries(ino.0) {
            Ok(entries) => entries,
            Err(e) => return reply.error(errno(e)),
        };
        for (i, (name, ino)) in entries.into_iter().enumerate().skip(usize::try_from(offset).unwrap()) {
            let folder = disk.info(ino).is_ok_and(|info| info.folder);
            let kind = if folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(ino), i as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != PUNCH {
            return reply.error(Errno::EOPNOTSUPP);
        }
        self.empty(reply, |d| d.punch(ino.0, offset..offset + length));
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
