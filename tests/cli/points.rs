//! Mountpoints, caches, FUSE and arguments that cannot be used.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::world::{EMAIL, Ran, World, eventually, is_mounted, is_running, run, run_slowly, signal, tool};

/// A mount that is to fail; nothing may be mounted by it.
#[track_caller]
fn refused(world: &World, at: &Path, flags: &[&str], code: i32, words: &str) {
    let at = at.to_str().unwrap();
    for background in [false, true] {
        let mut args = vec!["mount", at];
        args.extend(flags);
        if background {
            args.push("--daemon");
        }
        let ran = world.run(args).expect(code);
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert!(!is_mounted(Path::new(at)));
}

#[test]
fn a_mountpoint_that_will_not_do_is_refused_for_its_reason() {
    let world = World::logged_in();
    refused(&world, &world.path("absent"), &[], 7, "mkdir");
    let file = world.path("file");
    fs::write(&file, "x").unwrap();
    refused(&world, &file, &[], 7, "not a folder");
    let full = world.path("full");
    fs::create_dir_all(full.join("inner")).unwrap();
    refused(&world, &full, &[], 7, "not empty");
    assert!(full.join("inner").is_dir());
}

#[test]
fn cache_and_mountpoint_never_lie_in_each_other() {
    let world = World::logged_in();
    let drive = world.drive();
    let inside = drive.join("cache");
    refused(&world, &drive, &["--cache-dir", inside.to_str().unwrap()], 7, "within each other");
    let below = world.path("cache/below");
    fs::create_dir_all(&below).unwrap();
    let cache = world.path("cache");
    refused(&world, &below, &["--cache-dir", cache.to_str().unwrap()], 7, "within each other");
    assert_eq!(fs::read_dir(&drive).unwrap().count(), 0, "nothing was made in the mountpoint");
}

#[test]
fn a_cache_that_cannot_be_written_is_refused_with_another_way() {
    let world = World::logged_in();
    let file = world.path("file");
    fs::write(&file, "x").unwrap();
    let below = file.join("cache");
    refused(&world, &world.drive(), &["--cache-dir", below.to_str().unwrap()], 9, "--cache-dir");
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}

#[test]
fn a_cache_of_another_account_is_refused_and_left_alone() {
    let world = World::logged_in();
    let cache = world.path("cache");
    let flags = ["--cache-dir", cache.to_str().unwrap()];
    world.mount_with(&flags);
    fs::write(world.drive().join("mine.txt"), "mine").unwrap();
    world.on_drive("umount", &["--detach"]).expect(0);
    world.login("small@inxtfs.local", "demo").expect(0);
    refused(&world, &world.drive(), &flags, 9, "another account");
    world.login(EMAIL, "demo").expect(0);
    world.mount_with(&flags);
    assert_eq!(fs::read_to_string(world.drive().join("mine.txt")).unwrap(), "mine");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_damaged_cache_is_put_aside_whole_and_told() {
    let world = World::logged_in();
    let cache = world.path("cache");
    let flags = ["--cache-dir", cache.to_str().unwrap()];
    world.mount_with(&flags);
    fs::write(world.drive().join("sent.txt"), "sent").unwrap();
    world.on_drive("umount", &[]).expect(0);
    let garbage = vec![0x5a; 64 << 10];
    fs::write(cache.join("state.db"), &garbage).unwrap();
    let drive = world.drive();
    let mut command = world.command();
    let child = command.args(["mount", drive.to_str().unwrap()]).args(flags).spawn().unwrap();
    eventually("the mount stands", || is_mounted(&drive));
    assert_eq!(fs::read_to_string(drive.join("sent.txt")).unwrap(), "sent");
    signal(i32::try_from(child.id()).unwrap(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("unreadable") && err.contains("quarantine-"), "{err}");
    let aside = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path());
    let aside = aside.into_iter().find(|p| p.to_string_lossy().contains("quarantine-")).unwrap();
    assert_eq!(fs::read(aside.join("state.db")).unwrap(), garbage);
    assert!(aside.join("blocks").is_dir() && aside.join("store.key").is_file());
}

#[test]
fn a_dead_mount_is_cleared_if_the_person_at_the_terminal_agrees() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h"]);
    fs::write(world.drive().join("kept.txt"), "kept").unwrap();
    let pid = world.mount_pid();
    signal(pid, Signal::KILL);
    eventually("the mount is dead", || !is_running(pid) && fs::metadata(world.drive()).is_err());
    let ask = |answer: &str| {
        let program = env!("CARGO_BIN_EXE_inxtfs");
        let line = format!("{program} mount --daemon --writeback-delay 1h {}", world.drive().display());
        let mut command = world.command_of("script");
        command.args(["-qec", &line, "/dev/null"]);
        run_slowly(&mut command, Duration::from_millis(1500), answer)
    };
    let ran = ask("n\n").expect(7);
    assert!(ran.out.contains("Clear it?"), "{}", ran.out);
    assert!(is_mounted(&world.drive()), "no is no");
    ask("y\n").expect(0);
    assert_eq!(fs::read_to_string(world.drive().join("kept.txt")).unwrap(), "kept");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_mount_that_is_not_ours_is_never_taken_away() {
    let world = World::logged_in();
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    let at = other.to_str().unwrap();
    world.run(["umount", at]).expect(12);
    let ran = world.run(["umount", "--force", at]).expect(12);
    assert!(ran.err.contains("nothing is mounted"), "{}", ran.err);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    tool("mount", &["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), other.as_ref()]);
    let force = world.run(["umount", "--force", at]);
    let plain = world.run(["umount", at]);
    let mount = world.run(["mount", at]);
    let stands = is_mounted(&other);
    let _ = Command::new("umount").arg(&other).status();
    assert!(stands);
    plain.expect(12);
    assert!(force.expect(12).err.contains("something else"));
    assert!(mount.expect(7).err.contains("something else"));
}

#[test]
fn a_killed_process_is_cleared_by_force_and_loses_nothing() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h"]);
    fs::write(world.drive().join("kept.txt"), "kept").unwrap();
    let pid = world.mount_pid();
    signal(pid, Signal::KILL);
    eventually("the mount is dead", || !is_running(pid) && fs::metadata(world.drive()).is_err());
    let ran = world.on_drive("umount", &["--force"]).expect(0);
    assert!(ran.err.contains("next mount"), "{}", ran.err);
    assert!(!is_mounted(&world.drive()));
    let mark = world.log().mark();
    world.mount();
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_folder_to_show_must_be_one() {
    let world = World::logged_in();
    world.mount();
    fs::write(world.drive().join("file.txt"), "x").unwrap();
    world.on_drive("umount", &[]).expect(0);
    refused(&world, &world.drive(), &["--folder", "/no/such"], 2, "no folder /no/such");
    refused(&world, &world.drive(), &["--folder", "/file.txt"], 2, "is a file");
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_happens() {
    let world = World::new();
    let usage = |args: &[&str], words: &str| {
        let ran = world.run(args).expect(2);
        assert!(ran.err.contains(words), "{}", ran.err);
    };
    usage(&["mount", "/x", "--no-such-flag"], "--no-such-flag");
    usage(&["mount", "/x", "--cache-size", "much"], "--cache-size");
    usage(&["mount", "/x", "--cache-size", "-1"], "-1");
    usage(&["mount", "/x", "--poll-interval", "soon"], "--poll-interval");
    usage(&["mount", "/x", "--writeback-delay", "5 parsecs"], "--writeback-delay");
    usage(&["mount", "/x", "--umask", "999"], "octal");
    usage(&["umount", "/x", "--detach", "--force"], "--detach");
    usage(&["frobnicate"], "frobnicate");
    usage(&["status", "-q", "-v"], "--quiet");
}

/// Runs the program where the mount table is its own, after a script has changed it.
fn in_private(world: &World, prepare: &str, user: Option<&str>) -> Ran {
    let program = env!("CARGO_BIN_EXE_inxtfs");
    let run_as =
        user.map_or_else(String::new, |id| format!("setpriv --reuid {id} --regid {id} --clear-groups "));
    let line = format!("{prepare} && exec {run_as}{program} mount {}", world.drive().display());
    run(world.command_of("unshare").args(["--mount", "sh", "-c", &line]), "")
}

#[test]
fn without_fuse_the_mount_says_what_is_missing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::logged_in();
    let ran = in_private(&world, "mount -t tmpfs none /dev", None).expect(8);
    assert!(ran.err.contains("modprobe fuse"), "{}", ran.err);

    // As an ordinary user, for whom all of this home is.
    let nobody = "65534";
    tool("chown", &["-R".as_ref(), format!("{nobody}:{nobody}").as_ref(), world.home().as_ref()]);
    let closed = format!(
        "touch {0}/closed && chmod 600 {0}/closed && mount --bind {0}/closed /dev/fuse",
        world.home().display()
    );
    let ran = in_private(&world, &closed, Some(nobody)).expect(8);
    assert!(ran.err.contains("no permission to open /dev/fuse"), "{}", ran.err);
    let hidden =
        "for f in $(command -v fusermount3 fusermount); do mount --bind /dev/null $(readlink -f $f); done";
    let open =
        format!("mknod -m 666 {0}/fuse c 10 229 && mount --bind {0}/fuse /dev/fuse", world.home().display());
    let ran = in_private(&world, &format!("{open} && {hidden}"), Some(nobody)).expect(8);
    assert!(ran.err.contains("install the package fuse3"), "{}", ran.err);
    assert!(!is_mounted(&world.drive()));
}
