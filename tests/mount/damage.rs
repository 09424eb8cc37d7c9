//! Content that is damaged, missing or unreadable on the server, and accounts without room.

use std::fs::{self, OpenOptions};
use std::io::Write;

use inxtfs::names::RemoteName;
use inxtfs::types::Row;

use super::harness::{Drive, Setup, noise};
use crate::programs::{errno, eventually};

/// A drive with one file of this size.
fn with_file(len: usize) -> (Drive, Row) {
    let setup = Setup::default();
    let root = setup.cloud.account().root;
    let row = setup.cloud.add_file(&root, RemoteName::split("f.bin"), &noise(len, 5));
    (Drive::with(setup), row)
}

#[test]
fn damaged_content_is_an_error_and_is_never_cached() {
    for len in [1000, 300_000] {
        let (mut drive, row) = with_file(len);
        assert!(drive.cloud.corrupt(row.content.as_ref().unwrap()));
        for _ in 0..3 {
            assert_eq!(errno(fs::read(drive.path("f.bin")).map(|b| b.len())), libc::EIO);
        }
        drive.unmount();
        drive.mount();
        assert_eq!(
            errno(fs::read(drive.path("f.bin")).map(|b| b.len())),
            libc::EIO,
            "nothing of it was kept"
        );
        assert_eq!(fs::metadata(drive.path("f.bin")).unwrap().len(), len as u64);
        fs::write(drive.path("f.bin"), b"whole").unwrap();
        drive.drain();
        assert_eq!(drive.uploaded("f.bin"), b"whole".as_slice());
    }
}

#[test]
fn damage_in_a_large_file_is_found_when_all_of_it_is_here() {
    let (drive, row) = with_file(3_000_000);
    assert!(drive.cloud.corrupt(row.content.as_ref().unwrap()));
    eventually("it is not served any more", || {
        fs::read(drive.path("f.bin")).is_err_and(|e| e.raw_os_error() == Some(libc::EIO))
    });
}

#[test]
fn missing_content_is_an_error_and_a_whole_rewrite_mends_it() {
    let (drive, row) = with_file(200_000);
    assert!(drive.cloud.remove_object(row.content.as_ref().unwrap()));
    assert_eq!(errno(fs::read(drive.path("f.bin")).map(|b| b.len())), libc::EIO);
    assert_eq!(fs::read_dir(drive.root()).unwrap().count(), 1);
    fs::write(drive.path("f.bin"), b"whole").unwrap();
    drive.drain();
    assert_eq!(drive.row("f.bin").id, row.id, "the same file");
    assert_eq!(drive.uploaded("f.bin"), b"whole".as_slice());
}

#[test]
fn a_part_written_over_damaged_content_waits_and_the_server_keeps_what_it_has() {
    let (drive, row) = with_file(200_000);
    assert!(drive.cloud.remove_object(row.content.as_ref().unwrap()));
    OpenOptions::new().append(true).open(drive.path("f.bin")).unwrap().write_all(b"more").unwrap();
    let status = drive.try_drain();
    assert_eq!(status.totals.blocked, 1, "{:?}", status.queue);
    assert!(
        status.queue[0].error.as_ref().is_some_and(|e| e.contains("cannot be read")),
        "{:?}",
        status.queue
    );
    assert_eq!(drive.row("f.bin").content, row.content);
    assert_eq!(drive.row("f.bin").size, 200_000);
}

#[test]
fn an_unknown_encryption_is_listed_not_read_and_can_be_replaced_whole() {
    let setup = Setup::default();
    let root = setup.cloud.account().root;
    let known = setup.cloud.add_file(&root, RemoteName::split("f.bin"), b"sealed in another way");
    let bytes = setup.cloud.content(&known.id);
    setup.cloud.insert_row(Row { readable: false, ..known.clone() }, bytes);
    let drive = Drive::with(setup);
    let path = drive.path("f.bin");
    assert_eq!(fs::metadata(&path).unwrap().len(), 21);
    assert_eq!(errno(fs::read(&path).map(|b| b.len())), libc::EIO);
    let appended = OpenOptions::new().append(true).open(&path).and_then(|mut f| f.write_all(b"x"));
    assert_eq!(errno(appended), libc::EIO);
    let cut = OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(5));
    assert_eq!(errno(cut), libc::EIO);
    drive.drain();
    assert_eq!(drive.row("f.bin").content, known.content, "untouched");
    fs::write(&path, b"new").unwrap();
    drive.drain();
    assert_eq!(drive.row("f.bin").id, known.id);
    assert_eq!(drive.uploaded("f.bin"), b"new".as_slice());
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn what_can_never_be_uploaded_is_refused_while_it_is_written() {
    let setup = Setup::default();
    setup.cloud.set_plan(|plan| (plan.quota, plan.max_file) = (3 << 20, Some(1 << 20)));
    let drive = Drive::with(setup);
    let path = drive.path("large");
    eventually("the limit is known", || {
        fs::write(&path, noise(2 << 20, 1)).is_err_and(|e| e.raw_os_error() == Some(libc::EFBIG))
    });
    assert_eq!(errno(OpenOptions::new().write(true).open(&path).unwrap().set_len(2 << 20)), libc::EFBIG);
    fs::remove_file(&path).unwrap();
    let full = (0..8).find_map(|i| fs::write(drive.path(&format!("f{i}")), noise(1 << 20, i)).err());
    assert_eq!(full.and_then(|e| e.raw_os_error()), Some(libc::ENOSPC));
}
