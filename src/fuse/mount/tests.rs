//! Real mounts of a filesystem that has nothing but an empty root.

use super::*;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use fuser::{FileAttr, FileHandle, FileType, INodeNo, ReplyAttr, ReplyDirectory, Request};

struct Empty {
    ended: watch::Sender<bool>,
    size: Arc<AtomicU64>,
}

impl fuser::Filesystem for Empty {
    fn destroy(&mut self) {
        self.ended.send_replace(true);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let attr = FileAttr {
            ino,
            size: self.size.load(Ordering::SeqCst),
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: FileType::Directory,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        reply.attr(&Duration::from_secs(3600), &attr);
    }

    fn readdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _offset: u64, reply: ReplyDirectory) {
        reply.ok();
    }
}

/// Declared before the mount, so dropped after it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let point = dir.path().canonicalize().unwrap();
    (dir, point)
}

fn mount_empty(point: &Path) -> Mounted {
    mount_sized(point, Arc::default()).0
}

fn mount_sized(point: &Path, size: Arc<AtomicU64>) -> (Mounted, Notifier) {
    let options = MountOptions { fsname: "inxtfs:a@b".to_owned(), ..MountOptions::default() };
    let canonical = check(point, &options).unwrap();
    let (tx, ended) = watch::channel(false);
    start(Empty { ended: tx, size }, canonical, &options.config(), ended).unwrap()
}

async fn ends(mounted: &Mounted) {
    tokio::time::timeout(Duration::from_secs(20), mounted.wait()).await.expect("the session has not ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_shows_itself_and_unmounts() {
    let (_dir, point) = place();
    let mounted = mount_empty(&point);
    let there = proc::mounted_at(&point).unwrap();
    assert_eq!((there.kind.as_str(), there.source.as_str()), ("fuse.inxtfs", "inxtfs:a@b"));
    assert_eq!(std::fs::read_dir(&point).unwrap().count(), 0);
    let again = check(&point, &MountOptions::default());
    assert!(matches!(again, Err(MountError::AlreadyMounted(_, source)) if source == "inxtfs:a@b"));
    mounted.unmount().await.unwrap();
    assert_eq!(proc::mounted_at(&point), None);
    mounted.unmount().await.expect("unmounted already is success");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_mount_names_its_users_and_can_be_left_lazily() {
    let (_dir, point) = place();
    let mounted = mount_empty(&point);
    let held = std::fs::File::open(&point).unwrap();
    let error = mounted.unmount().await.unwrap_err();
    let me = format!("({})", std::process::id());
    assert!(
        matches!(&error, MountError::Busy(_, users) if users.iter().any(|u| u.ends_with(&me))),
        "{error}"
    );
    mounted.unmount_lazily().await.unwrap();
    assert_eq!(proc::mounted_at(&point), None);
    assert!(!*mounted.ended.borrow(), "its user goes on");
    drop(held);
    ends(&mounted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmount_by_others_ends_the_wait_and_spares_their_next_mount() {
    let (_dir, point) = place();
    let first = mount_empty(&point);
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
    ends(&first).await;
    let second = mount_empty(&point);
    drop(first);
    assert_eq!(proc::mounted_at(&point).map(|m| m.device), second.device);
    second.unmount().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_mount_unmounts_it() {
    let (_dir, point) = place();
    drop(mount_empty(&point));
    assert_eq!(proc::mounted_at(&point), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_forgets_what_it_is_told_to() {
    let (_dir, point) = place();
    let size = Arc::new(AtomicU64::new(1));
    let (mounted, notifier) = mount_sized(&point, Arc::clone(&size));
    let kernel = Notifications::start(notifier, Arc::new(Caching::new())).unwrap();
    let seen = || std::fs::metadata(&point).unwrap().len();
    assert_eq!(seen(), 1);
    size.store(2, Ordering::SeqCst);
    assert_eq!(seen(), 1, "kept");
    for (round, data) in [(2, false), (3, true)] {
        size.store(round, Ordering::SeqCst);
        kernel.inval_inode(crate::types::Ino::ROOT, data);
        let start = std::time::Instant::now();
        while seen() != round {
            assert!(start.elapsed() < Duration::from_secs(20), "still the old size");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    mounted.unmount().await.unwrap();
}

/// Leaves exactly what a killed process leaves.
fn abort(mounted: &Mounted) {
    let minor = mounted.device.as_deref().and_then(|d| d.split_once(':')).unwrap().1;
    let control = tempfile::tempdir().unwrap();
    let system = |program: &str, args: &[&str]| {
        assert!(
            Command::new(program).args(args).arg(control.path()).status().unwrap().success(),
            "{program}"
        );
    };
    system("mount", &["-t", "fusectl", "none"]);
    let aborted = std::fs::write(control.path().join(minor).join("abort"), b"1");
    system("umount", &[]);
    aborted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mount_is_seen_while_the_kernel_still_remembers_its_root() {
    let (_dir, point) = place();
    let mounted = mount_empty(&point);
    std::fs::metadata(&point).unwrap();
    abort(&mounted);
    ends(&mounted).await;
    std::fs::metadata(&point).expect("the kernel remembers");
    assert!(matches!(check(&point, &MountOptions::default()), Err(MountError::Stale(_))));
    super::super::clear_stale(&point).unwrap();
    assert_eq!(proc::mounted_at(&point), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remains_of_a_dead_mount_are_seen_and_cleared() {
    let (_dir, point) = place();
    let mounted = mount_empty(&point);
    abort(&mounted);
    ends(&mounted).await;
    assert!(super::super::is_stale(&point));
    assert!(matches!(check(&point, &MountOptions::default()), Err(MountError::Stale(_))));
    super::super::clear_stale(&point).unwrap();
    assert_eq!(proc::mounted_at(&point), None);
    assert!(check(&point, &MountOptions::default()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_helper_of_ordinary_users_tells_busy_from_done() {
    use super::super::check::detach_by_helper;
    let (_dir, point) = place();
    let mounted = mount_empty(&point);
    let held = std::fs::File::open(&point).unwrap();
    let busy = detach_by_helper(&point, false).unwrap_err();
    assert_eq!(busy.raw_os_error(), Some(libc::EBUSY), "{busy}");
    drop(held);
    // The close of a folder reaches the mount a moment later.
    let start = std::time::Instant::now();
    while let Err(e) = detach_by_helper(&point, false) {
        assert!(start.elapsed() < Duration::from_secs(20), "{e}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ends(&mounted).await;
    assert!(detach_by_helper(&point, false).is_err_and(|e| !e.to_string().is_empty()));
}

#[test]
fn messages_name_the_cause_and_the_next_step() {
    let point = PathBuf::from("/mnt/drive");
    let busy = MountError::Busy(point.clone(), vec!["vim (7)".to_owned(), "bash (9)".to_owned()]);
    assert_eq!(
        busy.to_string(),
        "/mnt/drive is in use by vim (7), bash (9); close it there, or unmount lazily"
    );
    let stale = MountError::Stale(point).to_string();
    assert!(stale.starts_with("/mnt/drive is left over") && stale.contains("fusermount3 -uz /mnt/drive"));
}
