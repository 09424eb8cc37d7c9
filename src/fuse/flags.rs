//! Flags: what the kernel is asked for at the beginning, and those of open files, between the filesystem's words and the
//! binding's.

use fuser::{FopenFlags, InitFlags, OpenAccMode, OpenFlags};

use crate::fs::{self, Opened};

/// What is wanted of the kernel, whatever else there is.
pub(super) const WANTED: [InitFlags; 7] = [
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    // There are no such privileges here; without it every write is preceded by a GETXATTR.
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
    InitFlags::FUSE_ASYNC_DIO,
];

/// What `open(2)` asks for.
pub(super) fn open_flags(flags: i32) -> fs::OpenFlags {
    fs::OpenFlags {
        write: OpenFlags(flags).acc_mode() != OpenAccMode::O_RDONLY,
        truncate: flags & libc::O_TRUNC != 0,
        exclusive: flags & libc::O_EXCL != 0,
        append: flags & libc::O_APPEND != 0,
        background: false,
    }
}

/// What the kernel may do with the handle.
pub(super) fn opened_flags(opened: Opened, asked: fs::OpenFlags) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.keep_cache);
    // Nothing was written through it, so its close needs no word.
    flags.set(FopenFlags::FOPEN_NOFLUSH, !asked.write);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fh;

    #[test]
    fn flags_are_read_bit_by_bit() {
        let none = fs::OpenFlags::default();
        assert_eq!(open_flags(libc::O_RDONLY), none);
        assert_eq!(
            open_flags(libc::O_WRONLY | libc::O_TRUNC),
            fs::OpenFlags { write: true, truncate: true, ..none }
        );
        let all = fs::OpenFlags { write: true, exclusive: true, append: true, ..none };
        assert_eq!(open_flags(libc::O_RDWR | libc::O_EXCL | libc::O_APPEND), all);
    }

    #[test]
    fn only_handles_that_write_are_flushed() {
        let opened = Opened { fh: Fh(1), keep_cache: true };
        let reading = opened_flags(opened, open_flags(libc::O_RDONLY));
        assert_eq!(reading, FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
        let changed = Opened { keep_cache: false, ..opened };
        assert_eq!(opened_flags(changed, open_flags(libc::O_RDWR)), FopenFlags::empty());
    }
}
