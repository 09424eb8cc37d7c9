//! What a person asks of a running mount: quiet and live status, pause, refresh, cache, conflicts, log.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::world::{World, eventually, noise, signal};

#[test]
fn a_quiet_status_says_by_its_number_whether_all_is_on_the_server() {
    let world = World::logged_in();
    world.run(["status", "-q"]).expect(0);
    world.mount_with(&["--writeback-delay", "1h"]);
    world.run(["status", "-q"]).expect(0);
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    let ran = world.run(["status", "-q"]).expect(10);
    assert!(ran.out.is_empty() && ran.err.is_empty(), "{} {}", ran.out, ran.err);
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("status", &["--quiet"]).expect(0);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_live_status_without_a_terminal_is_a_line_a_second_with_rates_and_the_time_left() {
    let world = World::logged_in();
    world.mount_with(&["--bwlimit-up", "40K"]);
    fs::write(world.drive().join("slow.bin"), noise(2_000_000)).unwrap();
    let mut child = world.command().args(["status", "--watch"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains(" left, up ")).unwrap();
    assert!(line.contains("online") && line.contains("1 being sent") && !line.contains('\x1b'), "{line}");
    assert!(!line.contains("up 0 B/s"), "{line}");
    signal(i32::try_from(child.id()).unwrap(), Signal::INT);
    drop(lines);
    assert!(child.wait().unwrap().success());
    world.on_drive("bwlimit", &["--up", "off"]).expect(0);
    world.on_drive("umount", &[]).expect(0);
    world.on_drive("status", &["--watch"]).expect(12);
}

#[test]
fn a_paused_mount_sends_nothing_until_it_is_told_to() {
    let world = World::logged_in();
    world.run(["pause"]).expect(12);
    world.mount();
    world.run(["pause"]).expect(0);
    let mark = world.log().mark();
    fs::write(world.drive().join("kept.txt"), "kept").unwrap();
    fs::write(world.drive().join("other.txt"), "other").unwrap();
    eventually("it waits", || world.status()["status"]["totals"]["items"] == 2);
    // Well over the quiet period.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 0);
    assert!(world.on_drive("status", &[]).expect(0).out.contains("inxtfs resume"));
    assert_eq!(fs::read_to_string(world.drive().join("kept.txt")).unwrap(), "kept");
    world.run(["resume"]).expect(0);
    eventually("it goes on", || world.status()["status"]["totals"]["items"] == 0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 2);
    // Whoever asks for a flush wants it sent.
    world.run(["pause"]).expect(0);
    fs::write(world.drive().join("third.txt"), "third").unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.status()["status"]["paused"], false);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_refresh_shows_at_once_what_another_machine_did() {
    let world = World::logged_in();
    world.mount_with(&["--poll-interval", "1h"]);
    eventually("the tree is known", || world.status()["status"]["hydrated"] == true);
    fs::create_dir(world.drive().join("shared")).unwrap();
    world.on_drive("flush", &[]).expect(0);
    let theirs = world.path("theirs.txt");
    fs::write(&theirs, "theirs").unwrap();
    world.run(["put", theirs.to_str().unwrap(), "/shared"]).expect(0);
    world.run([Path::new("refresh"), &world.drive().join("shared")]).expect(0);
    assert_eq!(fs::read_to_string(world.drive().join("shared/theirs.txt")).unwrap(), "theirs");
    world.run(["refresh", "/"]).expect(12);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_cleared_cache_keeps_what_is_not_sent_and_what_is_pinned() {
    let world = World::logged_in();
    world.mount();
    let drive = world.drive();
    for name in ["gone.bin", "pinned.bin"] {
        fs::write(drive.join(name), noise(1 << 20)).unwrap();
    }
    world.run([Path::new("pin"), &drive.join("pinned.bin")]).expect(0);
    world.on_drive("flush", &[]).expect(0);
    world.run(["pause"]).expect(0);
    fs::write(drive.join("unsent.bin"), noise(1 << 20)).unwrap();
    let stat = || -> serde_json::Value {
        serde_json::from_str(&world.run(["cache", "stat", "--json"]).expect(0).out).unwrap()
    };
    let before = stat()["mounts"][0].clone();
    assert!(before["used"].as_u64() > Some(2 << 20) && before["unsent"].as_u64() > Some(1 << 20), "{before}");
    let cleared = world.run(["cache", "clear"]).expect(0);
    assert!(cleared.err.contains(": 1.") && cleared.err.contains("MiB freed"), "{}", cleared.err);
    let after = stat()["mounts"][0].clone();
    assert!(after["used"].as_u64() > Some(1 << 20) && after["unsent"] == before["unsent"], "{after}");
    let mark = world.log().mark();
    for name in ["pinned.bin", "unsent.bin"] {
        assert!(fs::read(drive.join(name)).unwrap() == noise(1 << 20), "{name}");
    }
    assert!(world.log().since(mark).iter().all(|r| !r.path.starts_with("/shards/")), "neither was fetched");
    assert!(world.run(["cache", "stat"]).expect(0).out.contains("pinned   1.0 MiB"));
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn conflict_copies_are_listed_with_their_places() {
    let world = World::logged_in();
    world.mount();
    assert!(world.run(["conflicts"]).expect(0).out.contains("no conflict"));
    let copy = "a (conflict here 2026-01-02).txt";
    fs::write(world.drive().join(copy), "mine").unwrap();
    fs::write(world.drive().join("conflict of interest.txt"), "x").unwrap();
    let listed = world.run(["conflicts"]).expect(0).out;
    assert!(
        listed.contains(world.drive().join(copy).to_str().unwrap()) && listed.lines().count() == 1,
        "{listed}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&world.run(["conflicts", "--json"]).expect(0).out).unwrap();
    assert_eq!(json["mounts"][0]["conflicts"][0]["size"], 4);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn two_versions_that_were_kept_are_told_on_the_desktop_and_in_the_status() {
    let mut world = World::logged_in();
    let (bin, told) = (world.path("bin"), world.path("told"));
    fs::create_dir(&bin).unwrap();
    let script = bin.join("notify-send");
    fs::write(&script, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{}'\n", told.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    world.set("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    world.mount_with(&["--notify", "--writeback-delay", "1h"]);
    fs::write(world.drive().join("a.txt"), "base").unwrap();
    world.on_drive("flush", &[]).expect(0);
    fs::write(world.drive().join("a.txt"), "mine").unwrap();
    let theirs = world.path("a.txt");
    fs::write(&theirs, "what they wrote").unwrap();
    world.run(["put", theirs.to_str().unwrap()]).expect(0);
    world.on_drive("flush", &[]).expect(0);
    let shown = world.on_drive("status", &[]).expect(0).out;
    assert!(shown.contains("kept     a conflict copy, a (conflict "), "{shown}");
    let told = || fs::read_to_string(&told).unwrap_or_default();
    eventually("it is told", || told().contains("`inxtfs conflicts`"));
    assert!(told().contains("Both versions are kept: a (conflict "), "{}", told());
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn the_log_of_a_background_mount_is_shown_also_after_its_end() {
    let world = World::logged_in();
    world.mount_with(&["-v"]);
    world.on_drive("umount", &[]).expect(0);
    let last = world.on_drive("log", &["-n", "1"]).expect(0).out;
    assert_eq!(last.lines().count(), 1, "{last}");
    assert!(world.mount_log().ends_with(&last));
    assert!(world.run(["log"]).expect(0).out.len() >= last.len());
    let mut child = world.command().args(["log", "--follow", "-n", "0"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    world.mount_with(&["-v"]);
    assert!(lines.next().unwrap().is_ok(), "what is added is shown");
    signal(i32::try_from(child.id()).unwrap(), Signal::KILL);
    child.wait().unwrap();
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn another_users_commands_are_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::logged_in();
    world.mount();
    // The folder of the sockets opened by mistake.
    let run = world.path("run/inxtfs");
    let sockets: Vec<_> = fs::read_dir(&run).unwrap().map(|e| e.unwrap().path()).collect();
    for path in [world.home().to_owned(), world.path("run"), run].iter().chain(&sockets) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let script = "use IO::Socket::UNIX; $SIG{PIPE} = 'IGNORE'; my $s = IO::Socket::UNIX->new(Peer => shift) or die $!; \
        print $s '{\"v\":1,\"ask\":\"status\"}', qq(\\n); $s->flush; $s->sysread(my $said, 100); print 'said: ', $said";
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", script]);
    let output = command.arg(&sockets[0]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "said: ", "{}", String::from_utf8_lossy(&output.stderr));
    world.on_drive("umount", &[]).expect(0);
}
