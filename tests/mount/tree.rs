//! The tree through the kernel: what costs requests, and what the kernel keeps.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use inxtfs::names::RemoteName;
use inxtfs::remote::memory::Memory;
use inxtfs::remote::{Method, Remote};
use inxtfs::types::Kind;
use rustix::fs::{AtFlags, StatxFlags};

use super::harness::{Drive, Setup};
use crate::programs::{errno, eventually, sh, try_sh};

fn names(drive: &Drive, folder: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(drive.path(folder))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// How much was asked about the tree, but for what changed in it.
fn asked(drive: &Drive) -> usize {
    [Method::List, Method::Stat, Method::Find, Method::StampAt]
        .map(|m| drive.cloud.count(m))
        .into_iter()
        .sum()
}

/// A cloud of 20 folders with 10 files each.
fn filled() -> Memory {
    let cloud = Memory::new();
    for d in 0..20 {
        let folder = cloud.add_folder(&cloud.account().root, &format!("d{d}"));
        for f in 0..10 {
            cloud.add_file(&folder.id, RemoteName::split(&format!("f{f}.txt")), b"content");
        }
    }
    cloud
}

#[test]
fn a_tree_that_is_known_is_walked_without_a_request_also_after_a_remount() {
    let quiet = inxtfs::fs::Config { poll_interval: Duration::from_secs(3600), ..Setup::default().config };
    let mut drive = Drive::with(Setup { cloud: filled(), config: quiet, ..Setup::default() });
    eventually("the tree is known and followed", || drive.status().last_sync.is_some());
    let walk = |drive: &Drive| {
        let before = asked(drive);
        for _ in 0..2 {
            let found = sh("find \"$1\" -type f -newermt 2001-01-01 | wc -l", &[drive.root()]);
            assert_eq!(found.trim(), "200");
        }
        sh("ls -lR \"$1\" >/dev/null; du -s \"$1\" >/dev/null", &[drive.root()]);
        for name in ["absent", "d3/absent", "d3/f4.txt/absent"] {
            for _ in 0..2 {
                assert!(!try_sh("test -e \"$1\"", &[&drive.path(name)]).status.success());
            }
        }
        assert_eq!(asked(drive), before, "a known tree needs no request");
    };
    walk(&drive);
    drive.unmount();
    let mark = drive.cloud.calls().len();
    drive.mount();
    eventually("the first look is over", || drive.status().last_sync.is_some());
    walk(&drive);
    // The account's space, the announcements, and what changed: whatever the size of the tree.
    assert!(drive.cloud.calls().len() <= mark + 8, "{:?}", &drive.cloud.calls()[mark..]);
}

#[test]
fn a_listing_that_the_kernel_keeps_follows_every_change() {
    let setup = Setup::default();
    let folder = setup.cloud.add_folder(&setup.cloud.account().root, "d");
    let there = setup.cloud.add_file(&folder.id, RemoteName::split("there.txt"), b"x");
    let drive = Drive::with(setup);
    let other = drive.cloud.client("other");
    for _ in 0..2 {
        assert_eq!(names(&drive, "d"), ["there.txt"]);
    }
    // By others.
    let added = drive.cloud.add_file(&folder.id, RemoteName::split("added.txt"), b"x");
    eventually("what was added is listed", || names(&drive, "d") == ["added.txt", "there.txt"]);
    drive.block_on(async {
        let name = RemoteName::split("renamed.txt");
        other.relocate(Kind::File, &there.id, &folder.id, &name).await.unwrap();
    });
    eventually("what was renamed is listed", || names(&drive, "d") == ["added.txt", "renamed.txt"]);
    drive.block_on(other.trash(&[(Kind::File, added.id.clone())])).unwrap();
    eventually("what was trashed is not listed", || names(&drive, "d") == ["renamed.txt"]);
    // By programs here.
    fs::write(drive.path("d/mine.txt"), "m").unwrap();
    assert_eq!(names(&drive, "d"), ["mine.txt", "renamed.txt"]);
    fs::create_dir(drive.path("d/sub")).unwrap();
    fs::rename(drive.path("d/mine.txt"), drive.path("d/sub/mine.txt")).unwrap();
    assert_eq!(names(&drive, "d"), ["renamed.txt", "sub"]);
    assert_eq!(names(&drive, "d/sub"), ["mine.txt"]);
    fs::remove_file(drive.path("d/renamed.txt")).unwrap();
    assert_eq!(names(&drive, "d"), ["sub"]);
    fs::remove_dir_all(drive.path("d/sub")).unwrap();
    assert_eq!(names(&drive, "d"), [""; 0]);
}

#[test]
fn who_has_a_removed_folder_open_may_ask_what_it_is() {
    let drive = Drive::new();
    fs::create_dir(drive.path("d")).unwrap();
    drive.drain();
    let open = fs::File::open(drive.path("d")).unwrap();
    let ino = open.metadata().unwrap().ino();
    fs::remove_dir(drive.path("d")).unwrap();
    let is_as_it_was = || {
        // Not from what the kernel remembers.
        let now = rustix::fs::statx(
            &open,
            "",
            AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC,
            StatxFlags::BASIC_STATS,
        );
        let now = now.unwrap();
        assert_eq!((now.stx_ino, now.stx_nlink), (ino, 0));
        assert!(open.metadata().unwrap().is_dir());
    };
    is_as_it_was();
    drive.drain();
    assert!(drive.cloud.files().is_empty() && drive.cloud.tree().is_empty());
    is_as_it_was();
    // A new one of that name is another.
    fs::create_dir(drive.path("d")).unwrap();
    assert_ne!(fs::metadata(drive.path("d")).unwrap().ino(), ino);
    is_as_it_was();
}

#[test]
fn a_name_that_the_kernel_knows_to_be_absent_appears_when_it_is_made_elsewhere() {
    let setup = Setup::default();
    let folder = setup.cloud.add_folder(&setup.cloud.account().root, "d");
    let drive = Drive::with(setup);
    eventually("the feeds are followed", || drive.status().last_sync.is_some());
    for round in 0..20 {
        let name = format!("d/n{round}.txt");
        assert_eq!(errno(fs::metadata(drive.path(&name))), libc::ENOENT);
        assert_eq!(names(&drive, "d").len(), round);
        drive.cloud.add_file(&folder.id, RemoteName::split(&format!("n{round}.txt")), b"x");
        // A look at the listing does not wake a name that is known to be absent, nor the other way round.
        eventually("it is found by name", || fs::metadata(drive.path(&name)).is_ok());
        eventually("it is listed", || names(&drive, "d").len() == round + 1);
    }
}
