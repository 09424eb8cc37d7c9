//! rsync with the flags people use.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::world::{Sent, World};
use crate::programs::{sh, try_sh};

const FILES: [(&str, usize); 5] =
    [("a.txt", 5), ("b.bin", 200_001), ("c d.é", 65_536), ("sub/d.log", 70_000), ("sub/deeper/e", 1)];

fn make(at: &Path) {
    fs::create_dir_all(at.join("sub/deeper")).unwrap();
    for (name, len) in FILES {
        fs::write(at.join(name), vec![b'x'; len]).unwrap();
        fs::set_permissions(at.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    for dir in ["", "sub", "sub/deeper"] {
        fs::set_permissions(at.join(dir), Permissions::from_mode(0o755)).unwrap();
    }
    sh("find \"$1\" -depth -exec touch -d '2021-03-04 05:06:07.123456789 UTC' {} +", &[at]);
}

fn run(flags: &str, source: &Path, target: &Path) -> String {
    sh(&format!("rsync {flags} --itemize-changes \"$1/\" \"$2/\""), &[source, target])
}

/// Twice, and a third time after a change; in between everything is sent.
fn round(flags: &str) {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    make(source.path());
    let (target, mark) = (world.path("copy"), world.mark());
    run(flags, source.path(), &target);
    world.rests(&[]);
    sh("diff -r \"$1\" \"$2\"", &[source.path(), &target]);
    let sent = world.sent(mark);
    assert_eq!((sent.uploads, sent.creates), (FILES.len(), FILES.len()), "{flags}: {sent:?}");
    assert_eq!((sent.replaces, sent.moves, sent.trashes), (0, 0, 0), "{flags}: {sent:?}");
    let mut wanted: Vec<_> = FILES.iter().map(|(n, _)| n.rsplit('/').next().unwrap().to_owned()).collect();
    wanted.sort();
    assert_eq!(world.names(), wanted, "{flags}: no other name ever was there");
    assert_eq!(world.row("b.bin").modified.as_millis(), 1_614_834_367_123, "to the millisecond");

    let mark = world.mark();
    assert_eq!(run(flags, source.path(), &target), "", "{flags}: nothing is left to do");
    world.rests(&[]);
    assert_eq!(world.sent(mark), Sent::NOTHING, "{flags}");

    let before = world.row("d.log");
    sh("printf more >> \"$1/sub/d.log\"", &[source.path()]);
    let mark = world.mark();
    let told = run(flags, source.path(), &target);
    let files: Vec<_> = told.lines().filter(|l| l.starts_with(">f")).collect();
    assert!(files.len() == 1 && files[0].ends_with("sub/d.log"), "{flags}: {told}");
    world.rests(&[]);
    assert_eq!(world.sent(mark), Sent::ONE_REPLACE, "{flags}");
    let after = world.row("d.log");
    assert_eq!((after.id, after.size), (before.id, 70_004), "{flags}");
    assert_eq!(world.uploaded("d.log"), fs::read(source.path().join("sub/d.log")).unwrap());
    assert_eq!(world.names(), wanted, "{flags}");
}

#[test]
fn rsync_archive_is_idempotent_and_one_upload_a_file() {
    round("-a");
}

#[test]
fn rsync_of_times_alone_is_idempotent_and_one_upload_a_file() {
    round("-rt");
}

#[test]
fn rsync_in_place_is_idempotent_and_one_upload_a_file() {
    round("-a --inplace");
}

#[test]
fn rsync_that_appends_is_idempotent_and_one_upload_a_file() {
    round("-a --append-verify");
}

#[test]
fn rsync_with_everything_degrades_politely() {
    round("-aHAX");
}

#[test]
fn rsync_deletes_what_the_source_does_not_have() {
    round("-a --delete");
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    make(source.path());
    let target = world.path("copy");
    run("-a", source.path(), &target);
    fs::write(target.join("extra"), "x").unwrap();
    world.drain();
    let mark = world.mark();
    assert!(run("-a --delete", source.path(), &target).contains("*deleting   extra"));
    world.rests(&[]);
    assert_eq!(world.sent(mark), Sent { trashes: 1, ..Sent::NOTHING });
}

#[test]
fn a_second_rsync_over_many_files_asks_the_service_nothing() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    for n in 0..1000 {
        fs::write(source.path().join(format!("{n}.txt")), format!("{n}")).unwrap();
    }
    let target = world.path("many");
    run("-a --no-perms", source.path(), &target);
    world.drain();
    let mark = world.mark();
    assert_eq!(run("-a --no-perms", source.path(), &target), "");
    // Looks for changes made elsewhere go on by themselves.
    let asked: Vec<_> =
        world.emulator.request_log().since(mark).into_iter().filter(|e| is_about_a_file(&e.path)).collect();
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(world.sent(mark), Sent::NOTHING);
}

fn is_about_a_file(path: &str) -> bool {
    let feed = path.starts_with("/drive/files?") || path.starts_with("/drive/folders?");
    path.starts_with("/shards") || path.starts_with("/network") || (path.starts_with("/drive/f") && !feed)
}

/// The service has no place for attributes: rsync says so with its exit code, and everything else arrives.
#[test]
fn attributes_that_a_source_has_are_told_and_cost_nothing_else() {
    let world = World::new();
    let source = tempfile::tempdir().unwrap();
    make(source.path());
    let marked = rustix::fs::setxattr(
        source.path().join("a.txt"),
        "user.colour",
        b"red",
        rustix::fs::XattrFlags::empty(),
    );
    if marked.is_err() {
        return;
    }
    let target = world.path("copy");
    let output = try_sh("rsync -aX \"$1/\" \"$2/\"", &[source.path(), &target]);
    assert_eq!(output.status.code(), Some(23), "{}", String::from_utf8_lossy(&output.stderr));
    sh("diff -r \"$1\" \"$2\"", &[source.path(), &target]);
    world.drain();
    assert_eq!(world.names().len(), FILES.len());
    sh("cp -a \"$1/a.txt\" \"$2/b.txt\"", &[source.path(), world.root()]);
}
