//! Ordinary programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::harness::{Drive, noise};
use crate::programs::sh;

/// A small tree with the permissions that the mount shows, so that nothing is left to carry over.
fn make_tree(at: &Path) {
    fs::create_dir_all(at.join("sub/deeper")).unwrap();
    for (name, len) in [("a.txt", 5), ("empty", 0), ("sub/b.bin", 200_001), ("sub/deeper/c", 65_536)] {
        fs::write(at.join(name), noise(len, len as u64)).unwrap();
        fs::set_permissions(at.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    for dir in ["", "sub", "sub/deeper"] {
        fs::set_permissions(at.join(dir), Permissions::from_mode(0o755)).unwrap();
    }
    sh("find \"$1\" -exec touch -d '2021-03-04 05:06:07.123456789 UTC' {} +", &[at]);
}

#[test]
fn a_second_rsync_finds_nothing_to_do() {
    let drive = Drive::new();
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let target = drive.path("copy");
    sh("rsync -a \"$1/\" \"$2/\"", &[source.path(), &target]);
    sh("diff -r \"$1\" \"$2\"", &[source.path(), &target]);
    assert_eq!(sh("rsync -a --itemize-changes \"$1/\" \"$2/\"", &[source.path(), &target]), "");
    drive.drain();
    assert_eq!(
        sh("rsync -a --itemize-changes \"$1/\" \"$2/\"", &[source.path(), &target]),
        "",
        "after the upload"
    );
    sh("rsync -aX \"$1/\" \"$2/\"", &[source.path(), &target]);
}

#[test]
fn a_second_rsync_finds_nothing_to_do_after_a_remount() {
    let mut drive = Drive::new();
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let target = drive.path("copy");
    sh("rsync -a \"$1/\" \"$2/\"", &[source.path(), &target]);
    drive.drain();
    drive.unmount();
    drive.mount();
    assert_eq!(sh("rsync -a --itemize-changes \"$1/\" \"$2/\"", &[source.path(), &target]), "");
}

#[test]
fn cp_keeps_contents_and_times_both_ways() {
    let drive = Drive::new();
    let (source, back) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_tree(source.path());
    sh("cp -a \"$1/.\" \"$2\"", &[source.path(), drive.root()]);
    drive.drain();
    sh("cp -a \"$1/.\" \"$2\"", &[drive.root(), back.path()]);
    sh("diff -r \"$1\" \"$2\"", &[source.path(), back.path()]);
    let times = "cd \"$1\" && find . -type f -printf '%P %s %T@\\n' | sort";
    assert_eq!(sh(times, &[source.path()]), sh(times, &[back.path()]));
}

#[test]
fn tar_and_find_see_the_whole_tree() {
    let drive = Drive::new();
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    sh("tar -C \"$1\" -cf - . | tar -C \"$2\" -xf -", &[source.path(), drive.root()]);
    sh("diff -r \"$1\" \"$2\"", &[source.path(), drive.root()]);
    sh("tar -C \"$2\" --sparse -cf - . | tar -C \"$1\" -df -", &[source.path(), drive.root()]);
    let files = "cd \"$1\" && find . -type f | sort";
    assert_eq!(sh(files, &[drive.root()]), sh(files, &[source.path()]));
    assert_eq!(sh("find \"$1\" -type d | wc -l", &[drive.root()]).trim(), "3");
}

#[test]
fn dd_with_odd_block_sizes_moves_every_byte() {
    let drive = Drive::new();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, noise(1_000_003, 5)).unwrap();
    for size in ["1021", "4097", "77777", "1048577"] {
        let script = format!("dd if=\"$1\" of=\"$2\" bs={size} status=none && cmp \"$1\" \"$2\"");
        sh(&script, &[&source, &drive.path("target")]);
        sh(&format!("dd if=\"$2\" bs={size} status=none | cmp \"$1\" -"), &[&source, &drive.path("target")]);
    }
    sh(
        "dd if=\"$1\" of=\"$2\" bs=333 seek=7 count=5 conv=notrunc,fsync status=none",
        &[&source, &drive.path("target")],
    );
    let mut wanted = noise(1_000_003, 5);
    wanted.copy_within(0..5 * 333, 7 * 333);
    assert_eq!(fs::read(drive.path("target")).unwrap(), wanted);
}

#[test]
fn attributes_that_do_not_exist_disturb_nobody() {
    let drive = Drive::new();
    fs::write(drive.path("f"), b"x").unwrap();
    let listed =
        sh("ls -lZ \"$1\" 2>&1 && ls -l \"$1\" 2>&1 && cp -a \"$1/f\" \"$1/g\" 2>&1", &[drive.root()]);
    assert!(!listed.contains("not supported") && !listed.contains("cannot"), "{listed}");
    // Preallocation is refused, and what programs do instead works.
    let refused = crate::programs::try_sh("fallocate -l 100000 \"$1\"", &[&drive.path("f")]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not supported"));
}
