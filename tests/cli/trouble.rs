//! A mount that loses its session, its plan, its disk or its room: it goes on, says so, and heals.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use inxtfs::emulator::{Action, Fault, V1Shard};

use crate::world::{EMAIL, World, eventually, noise, tool};

fn state(world: &World) -> String {
    world.status()["status"]["session"]["state"].as_str().unwrap().to_owned()
}

fn refusal(code: u16, message: &str) -> Action {
    let body = Some(format!("{{\"message\":\"{message}\"}}"));
    Action::Status { code, body, retry_after: None }
}

#[test]
fn a_session_that_ends_leaves_the_mount_and_a_login_heals_it() {
    let world = World::logged_in();
    world.mount_with(&["--poll-interval", "1s"]);
    let drive = world.drive();
    fs::write(drive.join("cached.txt"), "cached").unwrap();
    world.on_drive("flush", &[]).expect(0);

    // Tokens carry whole seconds: one of the second of the change would stay good.
    world.shared().world.advance(Duration::from_secs(2));
    world.shared().world.change_password(EMAIL, "new password");
    eventually("the end is noticed", || state(&world) == "loggedout");
    assert_eq!(fs::read_to_string(drive.join("cached.txt")).unwrap(), "cached");
    fs::write(drive.join("later.txt"), "later").unwrap();
    let shown = world.on_drive("status", &[]).expect(0).out;
    assert!(shown.contains("logged out") && shown.contains("inxtfs login"), "{shown}");
    assert_eq!(shown.matches("inxtfs login").count(), 1, "{shown}");
    let ran = world.on_drive("flush", &[]).expect(3);
    assert!(ran.err.contains("inxtfs login") && ran.err.contains("Nothing is lost"), "{}", ran.err);
    world.on_drive("umount", &[]).expect(3);
    assert_eq!(world.run(["whoami"]).code, 3);

    let mark = world.log().mark();
    world.login(EMAIL, "new password").expect(0);
    eventually("the mount is online again", || state(&world) == "online");
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_plan_that_ends_is_told_while_the_session_still_works() {
    let world = World::new();
    let life = Duration::from_secs(24);
    world.shared().knobs.set_token_life(life);
    world.login(EMAIL, "demo").expect(0);
    world.mount_with(&["--poll-interval", "1s"]);
    world.shared().knobs.add_fault(Fault::on("GET", "/drive/users/cli/refresh", refusal(402, "upgrade")));
    eventually("the refusal is told", || !world.status()["status"]["warning"].is_null());
    let warning = world.status()["status"]["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("plan") && warning.contains("upgrade"), "{warning}");
    assert_eq!(state(&world), "online", "it goes on until the token ends");
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert!(world.on_drive("status", &[]).expect(0).out.contains("warning"));
    world.shared().world.advance(life);
    eventually("the end is noticed", || state(&world) == "loggedout");
    assert_eq!(fs::read_to_string(world.drive().join("a.txt")).unwrap(), "a");
    let shown = world.on_drive("status", &[]).expect(0).out;
    assert!(shown.contains("plan"), "{shown}");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_full_account_stops_the_writer_and_heals_when_there_is_room() {
    let world = World::new();
    world.login("small@inxtfs.local", "demo").expect(0);
    world.mount();
    let drive = world.drive();
    eventually("the quota is known", || world.status()["status"]["quota_total"] == 10 << 20);
    let mut big = fs::File::create(drive.join("big.bin")).unwrap();
    let block = noise(1 << 20);
    let refused = (0..12).find_map(|_| big.write_all(&block).err()).expect("never full");
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    drop(big);
    fs::remove_file(drive.join("big.bin")).unwrap();
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn an_upload_refused_for_want_of_room_is_kept_told_and_sent_when_there_is_some() {
    let world = World::logged_in();
    world.mount();
    let file = world.drive().join("refused.txt");
    let start = "/network/v2/buckets/*/files/start";
    world.shared().knobs.add_fault(Fault::on("POST", start, refusal(420, "Max space used")));
    fs::write(&file, "kept").unwrap();
    let ran = world.on_drive("flush", &[]).expect(11);
    assert!(ran.err.contains("/refused.txt") && ran.err.contains("free space"), "{}", ran.err);
    let status = world.status();
    assert_eq!(status["status"]["queue"][0]["state"], "blocked", "{status}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    world.on_drive("umount", &[]).expect(11);

    world.shared().knobs.set_faults(Vec::new());
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.status()["status"]["totals"]["items"], 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_file_above_the_plans_limit_is_refused_while_it_is_written() {
    let world = World::logged_in();
    let body = Some("{\"maxUploadFileSize\":\"1048576\"}".to_owned());
    let limits = Action::Status { code: 200, body, retry_after: None };
    world.shared().knobs.add_fault(Fault::on("GET", "/drive/files/limits", limits));
    world.mount();
    let path = world.drive().join("large.bin");
    eventually("the limit holds", || {
        fs::write(&path, noise(2 << 20)).is_err_and(|e| e.kind() == ErrorKind::FileTooLarge)
    });
    fs::remove_file(&path).unwrap();
    fs::write(world.drive().join("small.bin"), noise(1 << 20)).unwrap();
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
}

/// A disk of a few megabytes; only root can have one.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn new(at: PathBuf, options: &str) -> Self {
        fs::create_dir(&at).unwrap();
        let args = ["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "none".as_ref()];
        tool("mount", &[&args[..], &[at.as_ref()]].concat());
        TinyDisk(at)
    }

    fn grow(&self) {
        tool("mount", &["-o".as_ref(), "remount,size=96m".as_ref(), self.0.as_ref()]);
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_local_disk_stops_writers_and_loses_nothing_that_was_acknowledged() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::logged_in();
    let drive = world.drive();
    let remote = noise(6 << 20);
    world.mount();
    fs::write(drive.join("remote.bin"), &remote).unwrap();
    world.on_drive("umount", &[]).expect(0);

    let disk = TinyDisk::new(world.path("tiny"), "size=8m");
    let cache = disk.0.join("cache");
    world.mount_with(&["--writeback-delay", "1h", "--cache-dir", cache.to_str().unwrap()]);
    let kept = noise(1 << 20);
    fs::write(drive.join("kept.bin"), &kept).unwrap();
    let mut big = fs::File::create(drive.join("big.bin")).unwrap();
    let block = noise(256 << 10);
    let refused = (0..64).find_map(|_| big.write_all(&block).and_then(|()| big.sync_all()).err());
    assert_eq!(refused.expect("never full").kind(), ErrorKind::StorageFull);
    drop(big);
    assert!(fs::read(drive.join("kept.bin")).unwrap() == kept);
    assert!(fs::read(drive.join("remote.bin")).unwrap() == remote, "reading needs no room");
    assert_eq!(state(&world), "online");

    disk.grow();
    fs::remove_file(drive.join("big.bin")).unwrap();
    fs::write(drive.join("after.bin"), &kept).unwrap();
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
    drop(disk);
    world.throw_cache_away();
    world.mount();
    for name in ["kept.bin", "after.bin"] {
        assert!(fs::read(drive.join(name)).unwrap() == kept, "{name}");
    }
    assert!(!drive.join("big.bin").exists());
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_file_in_the_old_layout_is_not_read_nor_harmed() {
    let world = World::logged_in();
    let account = world.account(EMAIL);
    let shard = V1Shard { bytes: noise(100_000), parity: false, missing_url: 0 };
    let object = world.shared().network.add_v1_object(&account.bucket, &"ab".repeat(32), &[shard]).unwrap();
    let token = world.shared().world.issue_token(EMAIL, Duration::from_secs(600)).unwrap();
    let body = serde_json::json!({
        "bucket": account.bucket, "encryptVersion": "03-aes", "folderUuid": account.root, "fileId": object,
        "size": 100_000, "plainName": "old", "type": "bin", "modificationTime": "2020-01-01T00:00:00.000Z",
        "creationTime": "2020-01-01T00:00:00.000Z",
    });
    let (bearer, url) =
        (format!("authorization: Bearer {token}"), format!("{}/drive/files", world.gateway()));
    let body = body.to_string();
    let args = ["-sSf", "-H", &bearer, "-H", "content-type: application/json", "-d", &body, &url];
    tool("curl", &args.map(AsRef::as_ref));

    world.mount();
    let file = world.drive().join("old.bin");
    assert_eq!(fs::metadata(&file).unwrap().len(), 100_000);
    assert_eq!(fs::read(&file).unwrap_err().raw_os_error(), Some(libc::EIO));
    let log = world.mount_log();
    assert!(log.contains("old") && log.contains("cannot read"), "{log}");

    // An addition cannot be sent without the rest: it waits here, and the server keeps what it has.
    let mark = world.log().mark();
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"more").unwrap();
    let ran = world.on_drive("flush", &[]).expect(11);
    assert!(ran.err.contains("/old.bin"), "{}", ran.err);
    assert_eq!(world.log().count_since(mark, "PUT", "/drive/files/*"), 0);
    assert_eq!(fs::metadata(&file).unwrap().len(), 100_004);

    // Written anew as a whole it is an ordinary file.
    fs::write(&file, "new").unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "PUT", "/drive/files/*"), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_detached_queue_goes_on_with_the_next_mount() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h"]);
    fs::write(world.drive().join("kept.txt"), "kept").unwrap();
    let mark = world.log().mark();
    world.on_drive("umount", &["--detach"]).expect(0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 0);
    world.mount();
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    world.on_drive("umount", &[]).expect(0);
}
