//! One method a kernel request.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::attr::{Modes, ino, kind, time};
use super::caching::{Caching, Keep};
use super::flags::{WANTED, open_flags, opened_flags};
use super::kernel::Notice;
use super::page::PageSize;
use super::readers::Readers;
use super::reply::{Op, Refuse, send_xattr, serve, then};
use crate::fs::{self, Answer, Attr, Error, Fs, Opened, SetAttr};
use crate::types::Fh;

/// Inode numbers are never used twice.
const GENERATION: Generation = Generation(0);
const MAX_WRITE: u32 = 1 << 20;
const MAX_BACKGROUND: u16 = 64;
const BLOCK: u32 = 4096;

/// The filesystem as the binding wants it.
pub(super) struct Adapter {
    fs: Arc<Fs>,
    rt: Handle,
    modes: Modes,
    caching: Arc<Caching>,
    readers: Readers,
    ended: watch::Sender<bool>,
    plain: PageSize,
    plus: PageSize,
    /// The kernel lists folders without opening them.
    no_opendir: bool,
}

impl Adapter {
    /// `ended` becomes true when the kernel's side is gone.
    pub(super) fn new(
        fs: Arc<Fs>,
        rt: Handle,
        modes: Modes,
        caching: Arc<Caching>,
        readers: Readers,
        ended: watch::Sender<bool>,
    ) -> Self {
        // What fits the 32 KiB that getdents asks for.
        let (plain, plus) = (PageSize::new(512), PageSize::new(192));
        Adapter { fs, rt, modes, caching, readers, ended, plain, plus, no_opendir: false }
    }

    fn serve<T: Send + 'static, R: Refuse>(
        &self,
        op: Op,
        reply: R,
        call: impl FnOnce(&Arc<Fs>) -> Answer<T>,
        send: impl FnOnce(R, T) + Send + 'static,
    ) {
        serve(&self.fs, &self.rt, op, reply, call, send);
    }

    fn entry(&self, op: Op, reply: ReplyEntry, call: impl FnOnce(&Arc<Fs>) -> Answer<Attr>) {
        let (modes, keep) = (self.modes, self.keep());
        self.serve(op, reply, call, move |reply, attr| {
            reply.entry(&keep.ttl(), &modes.attr(&attr), GENERATION)
        });
    }

    fn attr(&self, op: Op, reply: ReplyAttr, call: impl FnOnce(&Arc<Fs>) -> Answer<Attr>) {
        let (fs, modes, keep) = (self.fs.clone(), self.modes, self.keep());
        self.serve(op, reply, call, move |reply, attr| {
            reply.attr(&keep.ttl_of(&fs, attr.ino), &modes.attr(&attr));
        });
    }

    fn empty(&self, op: Op, reply: ReplyEmpty, call: impl FnOnce(&Arc<Fs>) -> Answer<()>) {
        self.serve(op, reply, call, |reply, ()| reply.ok());
    }

    /// To be taken before the filesystem is asked.
    fn keep(&self) -> Keep {
        Keep::begin(&self.caching)
    }
}

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in WANTED {
            if config.add_capabilities(wanted).is_err() {
                tracing::debug!(?wanted, "the kernel lacks a capability");
            }
        }
        // Whoever shows pictures hears of each look into a folder, even if the kernel has the listing.
        self.no_opendir =
            !self.fs.shows_pictures() && config.add_capabilities(InitFlags::FUSE_NO_OPENDIR_SUPPORT).is_ok();
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn destroy(&mut self) {
        // An unmount may overtake the releases of files that were closed just before it.
        self.fs.release_all();
        self.ended.send_replace(true);
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (fs, modes, keep) = (self.fs.clone(), self.modes, self.keep());
        let found_or_not = |result| match result {
            Ok(attr) => Ok(Some(attr)),
            Err(Error::NotFound) => Ok(None),
            Err(other) => Err(other),
        };
        let call = |fs: &Arc<Fs>| then(fs.lookup(ino(parent), name.as_bytes()), found_or_not);
        let name = name.to_os_string();
        self.serve(Op::meta("lookup", parent), reply, call, move |reply, found| {
            match found {
                Some(attr) => reply.entry(&keep.ttl_of(&fs, attr.ino), &modes.attr(&attr), GENERATION),
                None => match keep.negative_ttl() {
                    Some(ttl) => reply.entry(&ttl, &modes.absent(), GENERATION),
                    None => reply.error(Errno::ENOENT),
                },
            }
            keep.sent(|| Notice::Entry { parent: ino(parent), name: name.to_string_lossy().into_owned() });
        });
    }

    /// Inodes live in the mirror, not in memory: there is nothing to let go of.
    fn forget(&self, _req: &Request, _ino: INodeNo, _nlookup: u64) {}

    fn getattr(&self, req: &Request, of: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        if self.fs.shows_pictures() && self.readers.is_background(req.pid()) {
            return self.attr(Op::data("getattr", of), reply, |fs| fs.getattr_unhurried(ino(of)));
        }
        self.attr(Op::meta("getattr", of), reply, |fs| Answer::Now(fs.getattr(ino(of))));
    }

    fn setattr(
        &self,
        _req: &Request,
        of: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttr { fh: fh.map(|fh| Fh(fh.0)), size, mtime: mtime.map(time) };
        self.attr(Op::data("setattr", of), reply, |fs| fs.setattr(ino(of), set));
    }

    fn readlink(&self, _req: &Request, _ino: INodeNo, reply: ReplyData) {
        reply.error(Errno::EINVAL);
    }

    fn mknod(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        if mode & libc::S_IFMT != libc::S_IFREG {
            return reply.error(Errno::EPERM);
        }
        let flags = fs::OpenFlags { write: true, exclusive: true, ..fs::OpenFlags::default() };
        self.entry(Op::meta("mknod", parent), reply, |fs| {
            let held = Arc::clone(fs);
            then(fs.create(ino(parent), name.as_bytes(), flags), move |created| {
                created.map(|(attr, opened)| {
                    held.release(opened.fh);
                    attr
                })
            })
        });
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
        self.entry(Op::meta("mkdir", parent), reply, |fs| fs.mkdir(ino(parent), name.as_bytes()));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Op::meta("unlink", parent), reply, |fs| fs.unlink(ino(parent), name.as_bytes()));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Op::meta("rmdir", parent), reply, |fs| fs.rmdir(ino(parent), name.as_bytes()));
    }

    fn symlink(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, _target: &Path, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn link(&self, _req: &Request, _ino: INodeNo, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags & !RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let noreplace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.empty(Op::meta("rename", parent), reply, |fs| {
            fs.rename(ino(parent), name.as_bytes(), ino(to), to_name.as_bytes(), noreplace)
        });
    }

    fn open(&self, req: &Request, of: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let background = self.readers.is_background(req.pid());
        let asked = fs::OpenFlags { exclusive: false, background, ..open_flags(flags.0) };
        let send = move |reply: ReplyOpen, opened: Opened| {
            reply.opened(FileHandle(opened.fh.0), opened_flags(opened, asked));
        };
        self.serve(Op::data("open", of), reply, |fs| fs.open(ino(of), asked), send);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (modes, keep, asked) = (self.modes, self.keep(), open_flags(flags));
        let call = |fs: &Arc<Fs>| fs.create(ino(parent), name.as_bytes(), asked);
        self.serve(Op::data("create", parent), reply, call, move |reply, (attr, opened)| {
            let flags = opened_flags(opened, asked);
            reply.created(&keep.ttl(), &modes.attr(&attr), GENERATION, FileHandle(opened.fh.0), flags);
        });
    }

    fn read(
        &self,
        _req: &Request,
        of: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let call = |fs: &Arc<Fs>| fs.read(Fh(fh.0), offset, size);
        self.serve(Op::data("read", of), reply, call, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        _req: &Request,
        of: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let call = |fs: &Arc<Fs>| fs.write(Fh(fh.0), offset, data);
        self.serve(Op::data("write", of), reply, call, ReplyWrite::written);
    }

    fn flush(&self, _req: &Request, of: INodeNo, fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        self.empty(Op::data("flush", of), reply, |fs| fs.flush(Fh(fh.0)));
    }

    fn release(
        &self,
        _req: &Request,
        of: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.empty(Op::data("release", of), reply, |fs| {
            fs.release(Fh(fh.0));
            Answer::Now(Ok(()))
        });
    }

    fn fsync(&self, _req: &Request, of: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.empty(Op::data("fsync", of), reply, |fs| fs.fsync(Fh(fh.0)));
    }

    /// Cookies carry all the state there is, so the kernel may do without opening. It keeps listings until a
    /// change in the folder, its own or one it is told of.
    fn opendir(&self, req: &Request, of: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.no_opendir {
            return reply.error(Errno::ENOSYS);
        }
        if self.fs.shows_pictures() && !self.readers.is_background(req.pid()) {
            self.fs.looked_into(ino(of));
        }
        reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn readdir(&self, _req: &Request, of: INodeNo, _fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        let (limit, size, keep) = (self.plain.get(), self.plain.clone(), self.keep());
        let call = |fs: &Arc<Fs>| fs.readdir(ino(of), offset, limit);
        self.serve(Op::meta("readdir", of), reply, call, move |mut reply, entries| {
            let fitted = entries
                .iter()
                .take_while(|e| !reply.add(INodeNo(e.attr.ino.0), e.cookie, kind(e.attr.kind), &e.name))
                .count();
            size.learn(limit, fitted, fitted < entries.len());
            reply.ok();
            keep.sent(|| Notice::Inode { ino: ino(of), data: true });
        });
    }

    fn readdirplus(
        &self,
        _req: &Request,
        of: INodeNo,
        _fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let (limit, size) = (self.plus.get(), self.plus.clone());
        let (fs, modes, keep) = (self.fs.clone(), self.modes, self.keep());
        let call = |fs: &Arc<Fs>| fs.readdir(ino(of), offset, limit);
        self.serve(Op::meta("readdirplus", of), reply, call, move |mut reply, entries| {
            let fitted = entries
                .iter()
                .take_while(|e| {
                    let ttl = keep.ttl_of_listed(&fs, ino(of), &e.name);
                    let attr = modes.attr(&e.attr);
                    !reply.add(attr.ino, e.cookie, &e.name, &ttl, &attr, GENERATION)
                })
                .count();
            size.learn(limit, fitted, fitted < entries.len());
            reply.ok();
            keep.sent(|| Notice::Inode { ino: ino(of), data: true });
        });
    }

    fn fsyncdir(&self, _req: &Request, of: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.empty(Op::data("fsyncdir", of), reply, |fs| fs.fsyncdir(ino(of)));
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        // The drive counts no inodes; programs that look at free ones must find plenty.
        const INODES: u64 = 1 << 32;
        let s = self.fs.statfs();
        let (blocks, free) = (s.total / u64::from(BLOCK), s.free / u64::from(BLOCK));
        reply.statfs(blocks, free, free, s.files + INODES, INODES, BLOCK, 255, BLOCK);
    }

    fn setxattr(
        &self,
        _req: &Request,
        of: INodeNo,
        name: &OsStr,
        value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.empty(Op::meta("setxattr", of), reply, |fs| fs.setxattr(ino(of), name.as_bytes(), value));
    }

    fn getxattr(&self, _req: &Request, of: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let call = |fs: &Arc<Fs>| fs.getxattr(ino(of), name.as_bytes());
        self.serve(Op::meta("getxattr", of), reply, call, send_xattr(size));
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        send_xattr(size)(reply, Fs::listxattr());
    }

    fn removexattr(&self, _req: &Request, of: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(Op::meta("removexattr", of), reply, |fs| fs.removexattr(ino(of), name.as_bytes()));
    }

    // ENOSYS in what follows is asked once a mount: from then on the kernel itself tells programs that
    // there is no such thing (EOPNOTSUPP for fallocate), or does it by plain means.

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }
}
