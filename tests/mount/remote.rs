//! What other clients do, as seen through the kernel's caches.

use std::fs;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use inxtfs::names::RemoteName;
use inxtfs::remote::{Body, Remote, Replacement};
use inxtfs::types::Kind;

use super::harness::{Drive, Setup};
use crate::programs::{errno, eventually};

#[test]
fn a_file_and_a_folder_made_elsewhere_appear() {
    let drive = Drive::new();
    // The kernel learns that the names are absent.
    assert_eq!(errno(fs::metadata(drive.path("news.txt"))), libc::ENOENT);
    assert_eq!(fs::read_dir(drive.root()).unwrap().count(), 0);
    drive.cloud.add_file(&drive.cloud_root(), RemoteName::split("news.txt"), b"from elsewhere");
    let folder = drive.cloud.add_folder(&drive.cloud_root(), "shared");
    drive.cloud.add_file(&folder.id, RemoteName::split("inside"), b"deep");
    eventually("the file appears", || fs::read(drive.path("news.txt")).is_ok_and(|b| b == b"from elsewhere"));
    eventually("the folder's file appears", || {
        fs::read(drive.path("shared/inside")).is_ok_and(|b| b == b"deep")
    });
    eventually("both are listed", || fs::read_dir(drive.root()).unwrap().count() == 2);
}

#[test]
fn a_new_content_from_elsewhere_replaces_cached_pages_and_sizes() {
    let setup = Setup::default();
    let root = setup.cloud.account().root;
    let row = setup.cloud.add_file(&root, RemoteName::split("f.txt"), b"old content");
    let drive = Drive::with(setup);
    assert_eq!(fs::read(drive.path("f.txt")).unwrap(), b"old content");
    let other = drive.cloud.client("other");
    drive.block_on(async {
        let body = Bytes::from_static(b"new and longer content");
        let size = body.len() as u64;
        let content = Some(other.put(None, Body::from_bytes(body)).await.unwrap());
        let with = Replacement::new(row.content.clone(), content, size, drive.cloud.now()).unwrap();
        other.replace(&row.id, &with).await.unwrap();
    });
    eventually("the new size shows", || fs::metadata(drive.path("f.txt")).unwrap().len() == 22);
    eventually("the new content shows", || {
        fs::read(drive.path("f.txt")).is_ok_and(|b| b == b"new and longer content")
    });
}

#[test]
fn a_reader_keeps_the_content_it_opened() {
    let setup = Setup::default();
    let root = setup.cloud.account().root;
    let row = setup.cloud.add_file(&root, RemoteName::split("f.txt"), b"old content");
    let drive = Drive::with(setup);
    let open = fs::File::open(drive.path("f.txt")).unwrap();
    assert_eq!(fs::read(drive.path("f.txt")).unwrap(), b"old content");
    let other = drive.cloud.client("other");
    drive.block_on(async {
        let content = Some(other.put(None, Body::from_bytes(Bytes::from_static(b"new"))).await.unwrap());
        let with = Replacement::new(row.content.clone(), content, 3, drive.cloud.now()).unwrap();
        other.replace(&row.id, &with).await.unwrap();
    });
    eventually("the name shows the new content", || fs::read(drive.path("f.txt")).is_ok_and(|b| b == b"new"));
    assert_eq!(open.metadata().unwrap().len(), 11);
    assert_ne!(open.metadata().unwrap().ino(), fs::metadata(drive.path("f.txt")).unwrap().ino());
}

#[test]
fn a_file_moved_or_trashed_elsewhere_leaves_its_name() {
    let setup = Setup::default();
    let root = setup.cloud.account().root;
    let moved = setup.cloud.add_file(&root, RemoteName::split("moved.txt"), b"m");
    let trashed = setup.cloud.add_file(&root, RemoteName::split("trashed.txt"), b"t");
    let drive = Drive::with(setup);
    let ino = fs::metadata(drive.path("moved.txt")).unwrap().ino();
    assert!(fs::metadata(drive.path("trashed.txt")).is_ok());
    let other = drive.cloud.client("other");
    drive.block_on(async {
        other.relocate(Kind::File, &moved.id, &root, &RemoteName::split("elsewhere.txt")).await.unwrap();
        other.trash(&[(Kind::File, trashed.id.clone())]).await.unwrap();
    });
    eventually("the new name appears", || {
        fs::metadata(drive.path("elsewhere.txt")).is_ok_and(|m| m.ino() == ino)
    });
    eventually("the old name vanishes", || fs::metadata(drive.path("moved.txt")).is_err());
    eventually("the trashed file vanishes", || fs::metadata(drive.path("trashed.txt")).is_err());
    assert_eq!(errno(fs::read(drive.path("trashed.txt"))), libc::ENOENT);
}
