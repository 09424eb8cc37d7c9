//! From a login to files that another machine can read.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;

use crate::world::{World, eventually, is_mounted, is_running, noise, signal, tool, unmount_by_hand};

#[test]
fn a_large_file_survives_the_loss_of_the_cache() {
    let world = World::logged_in();
    world.mount();
    let original = world.path("original.bin");
    fs::write(&original, noise(300 << 20)).unwrap();
    let copy = world.drive().join("Größe.bin");
    tool("cp", &[original.as_ref(), copy.as_ref()]);
    tool("sync", &[copy.as_ref()]);
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
    assert!(!is_mounted(&world.drive()));
    world.throw_cache_away();
    world.mount();
    tool("cmp", &[original.as_ref(), copy.as_ref()]);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn rsync_transfers_nothing_the_second_time_nor_after_a_loss_of_the_cache() {
    let world = World::logged_in();
    let tree = world.path("tree");
    for i in 0..1000 {
        let dir = tree.join(format!("d{}", i % 25));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("file {i}.txt")), format!("content {i}\n").repeat(1 + i % 40)).unwrap();
    }
    let (from, to) = (format!("{}/", tree.display()), format!("{}/tree/", world.drive().display()));
    let transferred = || {
        let stats = tool("rsync", &["-a".as_ref(), "--stats".as_ref(), from.as_ref(), to.as_ref()]);
        let line = stats.lines().find(|l| l.starts_with("Number of regular files transferred")).unwrap();
        line.rsplit(' ').next().unwrap().replace(',', "").parse::<u32>().unwrap()
    };
    world.mount();
    assert_eq!(transferred(), 1000);
    assert_eq!(transferred(), 0);
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(transferred(), 0, "an upload changes no time");
    world.on_drive("umount", &[]).expect(0);
    world.throw_cache_away();
    world.mount();
    assert_eq!(transferred(), 0, "times and sizes come back from the server");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn an_atomic_save_is_one_replace_of_the_same_file() {
    let world = World::logged_in();
    world.mount();
    let file = world.drive().join("notes.md");
    fs::write(&file, "first\n").unwrap();
    world.on_drive("flush", &[]).expect(0);
    let mark = world.log().mark();
    let temp = world.drive().join(".notes.md.tmp1234");
    fs::write(&temp, "second\n").unwrap();
    fs::rename(&temp, &file).unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "PUT", "/drive/files/*"), 1);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 0, "no second file");
    assert_eq!(world.log().count_since(mark, "POST", "/drive/storage/trash/add"), 0);
    world.on_drive("umount", &[]).expect(0);
    world.throw_cache_away();
    world.mount();
    assert_eq!(fs::read_to_string(&file).unwrap(), "second\n");
    assert_eq!(fs::read_dir(world.drive()).unwrap().filter(|e| is_note(e.as_ref().unwrap())).count(), 1);
}

fn is_note(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().contains("notes")
}

#[test]
fn a_signal_keeps_the_queue_for_the_next_mount() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h", "--flush-timeout", "0"]);
    fs::write(world.drive().join("kept.txt"), "kept").unwrap();
    let status = world.status();
    assert_eq!(status["status"]["totals"]["items"], 1, "{status}");
    let pid = world.mount_pid();
    signal(pid, Signal::TERM);
    eventually("the process ends", || !is_running(pid));
    assert!(!is_mounted(&world.drive()));
    let mark = world.log().mark();
    world.mount();
    assert_eq!(fs::read_to_string(world.drive().join("kept.txt")).unwrap(), "kept");
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn the_foreground_says_what_is_left_and_ends_with_its_number() {
    let world = World::logged_in();
    let drive = world.drive();
    let args = ["mount", "--writeback-delay", "1h", "--flush-timeout", "0", drive.to_str().unwrap()];
    let child = world.command().args(args).spawn().unwrap();
    eventually("the mount stands", || is_mounted(&drive));
    fs::write(drive.join("kept.txt"), "kept").unwrap();
    signal(i32::try_from(child.id()).unwrap(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{err}");
    assert!(err.contains("1 change") && err.contains("kept in"), "{err}");
}

#[test]
fn an_unmount_by_another_hand_ends_the_process_in_order() {
    let world = World::logged_in();
    world.mount();
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    let pid = world.mount_pid();
    unmount_by_hand(&world.drive());
    eventually("the process ends", || !is_running(pid));
    world.on_drive("status", &[]).expect(12);
    world.mount();
    assert_eq!(fs::read_to_string(world.drive().join("a.txt")).unwrap(), "a");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_dead_mount_is_recognised_and_cleared_and_loses_nothing() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h"]);
    let file = world.drive().join("acknowledged.txt");
    fs::write(&file, "safe").unwrap();
    let pid = world.mount_pid();
    signal(pid, Signal::KILL);
    eventually("the mount is dead", || fs::metadata(world.drive()).is_err());
    let ran = world.on_drive("mount", &[]).expect(7);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    let ran = world.on_drive("umount", &[]).expect(7);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    world.mount_with(&["--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "safe");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_second_mount_of_the_same_place_or_cache_is_refused() {
    let world = World::logged_in();
    world.mount();
    world.on_drive("mount", &["--daemon"]).expect(7);
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    let ran = world.run(["mount", "--daemon", other.to_str().unwrap()]).expect(9);
    assert!(ran.err.contains("in use"), "{}", ran.err);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn open_files_hold_an_unmount_back() {
    let world = World::logged_in();
    world.mount();
    let held = fs::File::create(world.drive().join("held.txt")).unwrap();
    world.on_drive("umount", &["--detach"]).expect(13);
    assert!(is_mounted(&world.drive()));
    drop(held);
    world.on_drive("umount", &["--detach"]).expect(0);
    assert!(!is_mounted(&world.drive()));
}

#[test]
fn offline_a_flush_says_what_is_left_and_an_unmount_keeps_the_mount() {
    let mut world = World::logged_in();
    world.mount();
    world.cut_network();
    fs::write(world.drive().join("later.txt"), "later").unwrap();
    let drive = world.drive();
    let flush = world.command().args(["flush", drive.to_str().unwrap()]).spawn().unwrap();
    // Offline it waits; an interrupt ends the waiting only.
    eventually("the item is known", || world.status()["status"]["totals"]["items"] == 1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    signal(i32::try_from(flush.id()).unwrap(), Signal::INT);
    let output = flush.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(is_mounted(&drive));
    assert_eq!(fs::read_to_string(drive.join("later.txt")).unwrap(), "later");
    world.on_drive("umount", &["--detach"]).expect(0);
}

#[test]
fn a_read_only_mount_refuses_changes_and_modes_are_the_mounts() {
    let world = World::logged_in();
    world.mount();
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    world.on_drive("umount", &[]).expect(0);
    world.mount_with(&["--read-only", "--umask", "027"]);
    let meta = fs::metadata(world.drive().join("a.txt")).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o640);
    let refused = fs::write(world.drive().join("b.txt"), "b").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let world = World::new();
    let scratch = world.path("tmp");
    fs::create_dir(&scratch).unwrap();
    let drive = world.drive();
    let mut command = world.command();
    command.env("TMPDIR", &scratch).args(["demo", drive.to_str().unwrap()]);
    let child = command.spawn().unwrap();
    eventually("the demo stands", || drive.join("Welcome.txt").exists());
    assert!(fs::read_to_string(drive.join("Documents/Recipes/Crêpes.txt")).unwrap().contains("flour"));
    fs::write(drive.join("mine.txt"), "mine").unwrap();
    signal(i32::try_from(child.id()).unwrap(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!is_mounted(&drive));
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&drive).unwrap().count(), 0);
}

#[test]
fn the_speed_of_a_running_mount_is_shown_and_changed_also_for_what_is_under_way() {
    let world = World::logged_in();
    for bad in [["--up", "fast"], ["--down", "1"], ["--up", ""]] {
        world.on_drive("bwlimit", &bad).expect(2);
    }
    world.on_drive("bwlimit", &[]).expect(12);
    for bad in ["--bwlimit-up=fast", "--bwlimit-down=-1", "--requests=0", "--transfers=1", "--memory=1"] {
        world.on_drive("mount", &[bad]).expect(2);
    }
    world.mount_with(&["--bwlimit-up", "8K", "--requests", "3", "--transfers", "2", "--memory", "16MiB"]);
    let shown = world.on_drive("bwlimit", &[]).expect(0);
    assert!(shown.out.contains("up 7.8 KiB/s, down unlimited"), "{}", shown.out);
    assert!(world.on_drive("status", &[]).expect(0).out.contains("up 7.8 KiB/s"));
    // Two minutes' worth.
    fs::write(world.drive().join("slow.bin"), noise(1_000_000)).unwrap();
    eventually("it is being sent", || world.status()["status"]["totals"]["sending"] == 1);
    let changed = world.on_drive("bwlimit", &["--down", "2M"]).expect(0);
    assert!(changed.out.contains("up 7.8 KiB/s, down 1.9 MiB/s"), "{}", changed.out);
    assert_eq!(world.status()["status"]["bandwidth"], serde_json::json!({"up": 8000, "down": 2_000_000}));
    assert_eq!(world.status()["status"]["totals"]["items"], 1);
    world.on_drive("bwlimit", &["--up", "off", "--down", "0"]).expect(0);
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.status()["status"]["bandwidth"], serde_json::json!({"up": null, "down": null}));
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_file_is_told_about_and_times_are_refused() {
    let world = World::logged_in();
    world.mount_with(&["--mtime", "strict", "--temporary-delay", "1s"]);
    let file = world.drive().join("f.txt");
    std::fs::write(&file, "content").unwrap();
    world.on_drive("flush", &[]).expect(0);
    let touched = std::fs::File::open(&file).unwrap().set_modified(std::time::UNIX_EPOCH);
    assert_eq!(touched.unwrap_err().raw_os_error(), Some(libc::EPERM));
    let told = world.run([std::ffi::OsStr::new("status"), file.as_os_str()]).expect(0).out;
    assert!(told.contains("state    clean") && told.contains("cached   7 B of 7 B"), "{told}");
    let json: serde_json::Value = serde_json::from_str(
        &world.run([std::ffi::OsStr::new("status"), "--json".as_ref(), file.as_os_str()]).expect(0).out,
    )
    .unwrap();
    assert_eq!(
        (&json["item"]["state"], &json["item"]["server_mtime"]),
        (&"clean".into(), &serde_json::Value::Null)
    );
    assert!(json["item"]["uuid"].as_str().is_some_and(|id| id.len() == 36), "{json}");
    world.on_drive("umount", &[]).expect(0);
    world.run([std::ffi::OsStr::new("status"), file.as_os_str()]).expect(12);
}
