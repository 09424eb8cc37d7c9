//! Mounting, unmounting, mounting again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use inxtfs::fuse::{MountError, is_stale};
use inxtfs::names::RemoteName;

use super::harness::{Drive, Setup, noise};
use crate::programs::{errno, sh};

fn inodes(drive: &Drive) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(drive.root()).unwrap();
    entries
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().ino()))
        .collect()
}

#[test]
fn a_remount_keeps_inodes_and_writes_that_were_not_sent() {
    let mut drive = Drive::new();
    fs::write(drive.path("sent"), b"sent").unwrap();
    drive.drain();
    let data = noise(150_000, 9);
    fs::write(drive.path("unsent"), &data).unwrap();
    fs::create_dir(drive.path("folder")).unwrap();
    let before = inodes(&drive);
    drive.unmount();
    assert!(drive.rows("unsent").is_empty());
    assert_eq!(fs::read_dir(drive.root()).unwrap().count(), 0);
    drive.mount();
    assert_eq!(inodes(&drive), before);
    assert_eq!(fs::read(drive.path("unsent")).unwrap(), data);
    assert_eq!(fs::read(drive.path("sent")).unwrap(), b"sent");
    drive.drain();
    assert_eq!(drive.uploaded("unsent"), data);
    assert_eq!(inodes(&drive), before);
}

#[test]
fn a_read_only_mount_refuses_every_change() {
    let mut setup = Setup::default();
    let root = setup.cloud.account().root;
    setup.cloud.add_file(&root, RemoteName::split("f.txt"), b"content");
    setup.config.read_only = true;
    setup.options.read_only = true;
    let drive = Drive::with(setup);
    assert_eq!(fs::read(drive.path("f.txt")).unwrap(), b"content");
    assert_eq!(errno(fs::write(drive.path("f.txt"), b"x")), libc::EROFS);
    assert_eq!(errno(fs::write(drive.path("new"), b"x")), libc::EROFS);
    assert_eq!(errno(fs::create_dir(drive.path("d"))), libc::EROFS);
    assert_eq!(errno(fs::remove_file(drive.path("f.txt"))), libc::EROFS);
    assert_eq!(errno(fs::rename(drive.path("f.txt"), drive.path("g"))), libc::EROFS);
    assert!(sh("grep \" $1 \" /proc/self/mountinfo", &[drive.root()]).contains(" ro,"));
}

#[test]
fn the_mount_table_tells_what_it_is() {
    let drive = Drive::new();
    let line = sh("grep \" $1 \" /proc/self/mountinfo", &[drive.root()]);
    assert!(line.contains(" - fuse.inxtfs inxtfs:test "), "{line}");
    assert!(line.contains("default_permissions"), "{line}");
    assert!(!is_stale(drive.root()));
}

#[test]
fn a_busy_mount_says_who_uses_it_and_goes_on() {
    let drive = Drive::new();
    fs::write(drive.path("f"), b"x").unwrap();
    let mut user = Command::new("sleep").arg("60").current_dir(drive.root()).spawn().unwrap();
    let refused = drive.block_on(drive.mounted().unmount());
    assert_eq!(fs::read(drive.path("f")).unwrap(), b"x");
    user.kill().unwrap();
    user.wait().unwrap();
    let name = format!("sleep ({})", user.id());
    assert!(matches!(&refused, Err(MountError::Busy(_, users)) if users.contains(&name)), "{refused:?}");
}

#[test]
fn an_unmount_from_outside_is_noticed() {
    let drive = Drive::new();
    sh("umount \"$1\"", &[drive.root()]);
    drive.block_on(drive.mounted().wait());
    drive.block_on(drive.mounted().unmount()).unwrap();
}
