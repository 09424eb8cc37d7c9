//! The tree: names, folders, errors, attributes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inxtfs::names::RemoteName;
use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};

use super::harness::{Drive, Setup};
use crate::programs::{errno, sh};

#[test]
fn files_and_folders_are_made_read_moved_and_removed() {
    let drive = Drive::new();
    fs::create_dir(drive.path("docs")).unwrap();
    fs::write(drive.path("docs/a.txt"), b"hello").unwrap();
    assert_eq!(fs::read(drive.path("docs/a.txt")).unwrap(), b"hello");
    fs::copy(drive.path("docs/a.txt"), drive.path("b.txt")).unwrap();
    fs::rename(drive.path("docs/a.txt"), drive.path("c.txt")).unwrap();
    assert_eq!(sh("ls \"$1\"", &[drive.root()]), "b.txt\nc.txt\ndocs\n");
    assert_eq!(errno(fs::read(drive.path("docs/a.txt"))), libc::ENOENT);
    fs::remove_dir(drive.path("docs")).unwrap();
    fs::remove_file(drive.path("b.txt")).unwrap();
    drive.drain();
    assert_eq!(drive.uploaded("c.txt"), b"hello".as_slice());
    assert!(drive.rows("b.txt").is_empty() && drive.rows("docs").is_empty());
}

#[test]
fn refusals_have_the_errno_of_a_local_filesystem() {
    let drive = Drive::new();
    fs::create_dir_all(drive.path("d/e")).unwrap();
    fs::write(drive.path("f"), b"x").unwrap();
    assert_eq!(errno(fs::create_dir(drive.path("d"))), libc::EEXIST);
    assert_eq!(errno(fs::remove_dir(drive.path("d"))), libc::ENOTEMPTY);
    assert_eq!(errno(fs::remove_dir(drive.path("f"))), libc::ENOTDIR);
    assert_eq!(errno(fs::remove_file(drive.path("d"))), libc::EISDIR);
    assert_eq!(errno(fs::rename(drive.path("d"), drive.path("d/e/x"))), libc::EINVAL);
    assert_eq!(errno(fs::rename(drive.path("f"), drive.path("d"))), libc::EISDIR);
    assert_eq!(errno(fs::rename(drive.path("d"), drive.path("f"))), libc::ENOTDIR);
    assert_eq!(errno(symlink("f", drive.path("link"))), libc::EPERM);
    assert_eq!(errno(fs::hard_link(drive.path("f"), drive.path("hard"))), libc::EPERM);
    assert_eq!(errno(fs::File::create_new(drive.path("f"))), libc::EEXIST);
    assert!(sh("mkfifo \"$1\" 2>&1 || true", &[&drive.path("pipe")]).contains("not permitted"));
}

#[test]
fn rename_flags_are_obeyed_or_refused() {
    let drive = Drive::new();
    fs::write(drive.path("a"), b"a").unwrap();
    fs::write(drive.path("b"), b"b").unwrap();
    let rename = |from, to, flags| renameat_with(CWD, drive.path(from), CWD, drive.path(to), flags);
    assert_eq!(rename("a", "b", RenameFlags::NOREPLACE), Err(rustix::io::Errno::EXIST));
    assert_eq!(rename("a", "b", RenameFlags::EXCHANGE), Err(rustix::io::Errno::INVAL));
    assert_eq!(fs::read(drive.path("b")).unwrap(), b"b");
    rename("a", "c", RenameFlags::NOREPLACE).unwrap();
    assert_eq!(fs::read(drive.path("c")).unwrap(), b"a");
}

#[test]
fn names_of_every_kind_survive_and_too_long_ones_are_refused() {
    let drive = Drive::new();
    let longest = "é".repeat(127) + "x";
    let names = [&longest, "日本語.txt", "with space", ".hidden", "a.tar.gz", "trailing.", "Mr. X", "👩‍👩‍👧.png"];
    for name in names {
        fs::write(drive.path(name), name).unwrap();
    }
    let listed: BTreeSet<String> =
        fs::read_dir(drive.root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed, names.iter().map(|n| (*n).to_owned()).collect());
    drive.drain();
    for name in names {
        assert_eq!(drive.uploaded(name), name.as_bytes());
    }
    assert_eq!(errno(fs::write(drive.path(&"x".repeat(256)), b"x")), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::create_dir(drive.path(&"x".repeat(256)))), libc::ENAMETOOLONG);
}

#[test]
fn a_large_folder_is_listed_completely_and_once() {
    let setup = Setup::default();
    let root = setup.cloud.account().root;
    let wanted: BTreeSet<String> = (0..3000).map(|i| format!("file number {i:04}.dat")).collect();
    for name in &wanted {
        setup.cloud.add_file(&root, RemoteName::split(name), name.as_bytes());
    }
    let drive = Drive::with(setup);
    let listed: Vec<String> =
        fs::read_dir(drive.root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(listed.len(), 3000);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), wanted);
    // With attributes, through readdirplus.
    assert_eq!(sh("ls -l \"$1\" | grep -c ' 20 .*file number'", &[drive.root()]).trim(), "3000");
}

#[test]
fn owner_and_permissions_are_the_mounts_and_changes_of_them_are_swallowed() {
    let mut setup = Setup::default();
    setup.options.umask = 0o037;
    setup.options.uid = 4321;
    setup.options.gid = 1234;
    let drive = Drive::with(setup);
    fs::write(drive.path("f"), b"x").unwrap();
    fs::create_dir(drive.path("d")).unwrap();
    fs::set_permissions(drive.path("f"), fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::chown(drive.path("f"), Some(1), Some(1)).unwrap();
    let (f, d) = (fs::metadata(drive.path("f")).unwrap(), fs::metadata(drive.path("d")).unwrap());
    assert_eq!((f.mode() & 0o7777, d.mode() & 0o7777), (0o640, 0o740));
    assert_eq!((f.uid(), f.gid(), d.uid(), d.gid()), (4321, 1234, 4321, 1234));
}

#[test]
fn modification_times_are_kept_to_the_nanosecond() {
    let drive = Drive::new();
    fs::write(drive.path("f"), b"x").unwrap();
    let old = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let ancient = UNIX_EPOCH - Duration::new(86_400, 250_000_000);
    for time in [old, ancient] {
        fs::File::options().write(true).open(drive.path("f")).unwrap().set_modified(time).unwrap();
        assert_eq!(fs::metadata(drive.path("f")).unwrap().modified().unwrap(), time);
    }
    let before = SystemTime::now();
    sh("touch \"$1\"", &[&drive.path("f")]);
    let touched = fs::metadata(drive.path("f")).unwrap().modified().unwrap();
    assert!(touched + Duration::from_secs(2) > before);
    drive.drain();
    assert_eq!(
        fs::metadata(drive.path("f")).unwrap().modified().unwrap(),
        touched,
        "an upload changes nothing"
    );
}

#[test]
fn the_quota_is_the_size_of_the_filesystem() {
    let setup = Setup::default();
    setup.cloud.set_plan(|plan| plan.quota = 10 << 30);
    let drive = Drive::with(setup);
    crate::programs::eventually("the quota is known", || {
        let s = statvfs(drive.root()).unwrap();
        s.f_blocks * s.f_frsize == 10 << 30
    });
    let s = statvfs(drive.root()).unwrap();
    assert!(s.f_bavail <= s.f_blocks && s.f_bavail * s.f_frsize > 9 << 30);
    assert_eq!(s.f_namemax, 255);
    assert!(sh("df -h \"$1\"", &[drive.root()]).contains("10G"));
}
