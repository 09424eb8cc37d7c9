//! How editors save: the same remote file gets one new content.

use std::fs::{self, File};
use std::io::Write;

use inxtfs::remote::Method;

use super::harness::Drive;

#[test]
fn a_rename_over_is_one_replace_of_the_same_remote_file() {
    let drive = Drive::new();
    fs::write(drive.path("letter.txt"), b"first").unwrap();
    drive.drain();
    let before = drive.row("letter.txt");
    drive.cloud.clear_calls();
    let mut temporary = File::create(drive.path(".letter.txt.swp")).unwrap();
    temporary.write_all(b"second").unwrap();
    temporary.sync_all().unwrap();
    drop(temporary);
    fs::rename(drive.path(".letter.txt.swp"), drive.path("letter.txt")).unwrap();
    assert_eq!(fs::read(drive.path("letter.txt")).unwrap(), b"second");
    drive.drain();
    assert_eq!(drive.row("letter.txt").id, before.id);
    assert_eq!(drive.uploaded("letter.txt"), b"second".as_slice());
    assert_eq!(drive.cloud.count_on(Method::Replace, &before.id), 1);
    for none in [Method::Create, Method::Trash, Method::Delete, Method::Relocate] {
        assert_eq!(drive.cloud.count(none), 0, "{none:?}");
    }
    assert_eq!(drive.cloud.count(Method::Put), 1);
}

#[test]
fn vims_backup_by_rename_is_one_replace() {
    let drive = Drive::new();
    fs::write(drive.path("notes.md"), b"first").unwrap();
    drive.drain();
    let before = drive.row("notes.md");
    drive.cloud.clear_calls();
    fs::rename(drive.path("notes.md"), drive.path("notes.md~")).unwrap();
    fs::write(drive.path("notes.md"), b"second").unwrap();
    fs::remove_file(drive.path("notes.md~")).unwrap();
    drive.drain();
    assert_eq!(drive.row("notes.md").id, before.id);
    assert_eq!(drive.uploaded("notes.md"), b"second".as_slice());
    assert_eq!(drive.cloud.count(Method::Replace), 1);
    assert_eq!(drive.cloud.count(Method::Create), 0);
    assert!(drive.rows("notes.md~").is_empty());
}

#[test]
fn a_save_in_place_is_one_replace() {
    let drive = Drive::new();
    fs::write(drive.path("table.csv"), b"1;2").unwrap();
    drive.drain();
    let before = drive.row("table.csv");
    drive.cloud.clear_calls();
    fs::write(drive.path("table.csv"), b"1;2;3").unwrap();
    drive.drain();
    assert_eq!(drive.row("table.csv").id, before.id);
    assert_eq!(drive.cloud.count_on(Method::Replace, &before.id), 1);
    assert_eq!(drive.cloud.count(Method::Create), 0);
}

#[test]
fn a_rotated_log_keeps_its_identity_under_the_new_name() {
    let drive = Drive::new();
    fs::write(drive.path("app.log"), b"old lines").unwrap();
    drive.drain();
    let before = drive.row("app.log");
    fs::rename(drive.path("app.log"), drive.path("app.log.1")).unwrap();
    fs::write(drive.path("app.log"), b"new lines").unwrap();
    drive.drain();
    assert_eq!(drive.row("app.log.1").id, before.id);
    assert_eq!(drive.uploaded("app.log.1"), b"old lines".as_slice());
    assert_ne!(drive.row("app.log").id, before.id);
    assert_eq!(drive.uploaded("app.log"), b"new lines".as_slice());
}

#[test]
fn what_was_made_and_removed_again_never_leaves_the_machine() {
    let drive = Drive::new();
    drive.cloud.clear_calls();
    fs::create_dir(drive.path("build")).unwrap();
    fs::write(drive.path("build/a.o"), b"object").unwrap();
    fs::remove_dir_all(drive.path("build")).unwrap();
    drive.drain();
    for none in [Method::Create, Method::Mkdir, Method::Put, Method::Trash] {
        assert_eq!(drive.cloud.count(none), 0, "{none:?}");
    }
}
