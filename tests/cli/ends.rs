//! How a mount ends, how it starts and goes on without a network, and how a mass of deletes is decided on.

use std::fs;
use std::path::Path;
use std::process::{Child, Output};
use std::time::Duration;

use inxtfs::emulator::{Action, Fault};
use rustix::process::Signal;

use crate::world::{EMAIL, World, eventually, is_mounted, is_running, noise, signal, unmount_by_hand};

const NEVER: [&str; 2] = ["--writeback-delay", "1h"];
const SOON: [&str; 2] = ["--poll-interval", "1s"];

/// A mount in the foreground, whose words and code can be read at its end.
fn foreground(world: &World, flags: &[&str]) -> Child {
    let drive = world.drive();
    let child = world.command().args(["mount", drive.to_str().unwrap()]).args(flags).spawn().unwrap();
    eventually("the mount stands", || is_mounted(&drive));
    child
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// Its code and what it said.
fn end(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Every request meets this.
fn weather(world: &World, action: Action) {
    let all = Fault { method: None, ..Fault::on("", "**", action) };
    world.shared().knobs.set_faults(vec![all]);
}

fn clear_sky(world: &World) {
    world.shared().knobs.set_faults(Vec::new());
}

fn session(world: &World) -> serde_json::Value {
    world.status()["status"]["session"].clone()
}

fn offline(world: &World) -> bool {
    let session = session(world);
    session["state"] == "offline" && session["since"].as_i64().is_some_and(|s| s > 0)
}

fn items(world: &World) -> u64 {
    world.status()["status"]["totals"]["items"].as_u64().unwrap()
}

fn known(world: &World) {
    eventually("the tree is known", || world.status()["status"]["hydrated"] == true);
}

#[test]
fn a_signal_sends_what_is_left_and_ends_with_nothing_left() {
    for order in [Signal::TERM, Signal::INT] {
        let world = World::logged_in();
        let child = foreground(&world, &NEVER);
        fs::write(world.drive().join("sent.txt"), "sent").unwrap();
        let mark = world.log().mark();
        signal(pid(&child), order);
        let (code, err) = end(child);
        assert_eq!(code, Some(0), "{err}");
        assert!(err.contains("Sending 1 change") && err.contains("Everything is on the server"), "{err}");
        assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
        assert!(!is_mounted(&world.drive()));
    }
}

#[test]
fn an_unmount_by_another_hand_sends_what_is_left_too() {
    let world = World::logged_in();
    let child = foreground(&world, &NEVER);
    fs::write(world.drive().join("sent.txt"), "sent").unwrap();
    unmount_by_hand(&world.drive());
    let (code, err) = end(child);
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn a_signal_without_a_network_keeps_the_rest_says_so_and_the_next_mount_sends_it() {
    let world = World::logged_in();
    let child = foreground(&world, &[&NEVER[..], &SOON[..], &["--flush-timeout", "1h"]].concat());
    known(&world);
    fs::write(world.drive().join("kept.txt"), "kept").unwrap();
    weather(&world, Action::Reset);
    eventually("the loss is noticed", || offline(&world));
    let mark = world.log().mark();
    signal(pid(&child), Signal::TERM);
    let (code, err) = end(child);
    assert_eq!(code, Some(10), "{err}");
    for words in ["1 change", "kept in", "offline", "next mount"] {
        assert!(err.contains(words), "{words}: {err}");
    }
    clear_sky(&world);
    world.mount();
    eventually("it is sent", || items(&world) == 0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    assert_eq!(fs::read_to_string(world.drive().join("kept.txt")).unwrap(), "kept");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let world = World::logged_in();
    let child = foreground(&world, &[&NEVER[..], &["--flush-timeout", "1h"]].concat());
    let content = noise(300_000);
    fs::write(world.drive().join("kept.bin"), &content).unwrap();
    let stalled = Action::Stall { after: 0, duration: None };
    let start = "/network/v2/buckets/*/files/start";
    world.shared().knobs.set_faults(vec![Fault::on("POST", start, stalled)]);
    let mark = world.log().mark();
    signal(pid(&child), Signal::TERM);
    eventually("it is being sent", || world.log().count_since(mark, "POST", start) > 0);
    assert!(!is_mounted(&world.drive()), "no new change comes in");
    assert!(is_running(pid(&child)));
    signal(pid(&child), Signal::INT);
    let (code, err) = end(child);
    assert_eq!(code, Some(10), "{err}");
    assert!(err.contains("told twice") && err.contains("1 change"), "{err}");
    clear_sky(&world);
    world.mount();
    assert!(fs::read(world.drive().join("kept.bin")).unwrap() == content);
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_mount_starts_and_works_while_the_server_is_down() {
    let mut world = World::logged_in();
    world.mount();
    fs::write(world.drive().join("cached.txt"), "cached").unwrap();
    fs::create_dir(world.drive().join("folder")).unwrap();
    known(&world);
    world.on_drive("umount", &[]).expect(0);
    world.cut_network();

    // A refused connection; then a name that nobody knows.
    let unknown = ["--gateway", "https://no-such-host.invalid"];
    for (flags, file) in [(&[][..], "refused.txt"), (&unknown[..], "dns.txt")] {
        world.mount_with(&[&SOON[..], flags].concat());
        let drive = world.drive();
        assert_eq!(fs::read_to_string(drive.join("cached.txt")).unwrap(), "cached");
        assert!(fs::read_dir(&drive).unwrap().any(|e| e.unwrap().file_name() == "folder"));
        fs::write(drive.join(file), "queued").unwrap();
        eventually("the loss is noticed", || offline(&world));
        let shown = world.on_drive("status", &[]).expect(0).out;
        assert!(shown.contains("offline for ") && shown.contains("goes on by itself"), "{shown}");
        assert!(session(&world)["why"].as_str().unwrap().contains("no connection"), "{shown}");
        world.on_drive("umount", &["--detach"]).expect(0);
    }
    world.mount();
    assert_eq!(fs::read_to_string(world.drive().join("refused.txt")).unwrap(), "queued");
    assert_eq!(items(&world), 2);
    world.on_drive("umount", &["--detach"]).expect(0);
}

#[test]
fn behind_a_captive_portal_nothing_is_believed_nothing_lost_and_it_heals_by_itself() {
    let world = World::logged_in();
    world.mount();
    let drive = world.drive();
    for name in ["cached.txt", "far.txt"] {
        fs::write(drive.join(name), name).unwrap();
    }
    world.on_drive("umount", &[]).expect(0);
    world.throw_cache_away();
    world.mount_with(&SOON);
    known(&world);
    assert_eq!(fs::read_to_string(drive.join("cached.txt")).unwrap(), "cached.txt");

    for (n, portal) in [Action::Html, Action::Redirect].into_iter().enumerate() {
        weather(&world, portal);
        eventually("the portal is noticed", || offline(&world));
        let why = session(&world)["why"].as_str().unwrap().to_owned();
        assert!(why.contains("login page of this network"), "{why}");
        assert_eq!(fs::read_to_string(drive.join("cached.txt")).unwrap(), "cached.txt");
        if n == 0 {
            let refused = fs::read(drive.join("far.txt")).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::ENETUNREACH), "{refused}");
        }
        fs::write(drive.join(format!("later{n}.txt")), "later").unwrap();
        fs::create_dir(drive.join(format!("made{n}"))).unwrap();
        eventually("both have been tried or wait", || items(&world) == 2);
        clear_sky(&world);
        eventually("it heals", || session(&world)["state"] == "online");
        eventually("the queue is sent", || items(&world) == 0);
        assert_eq!(fs::read_to_string(drive.join("far.txt")).unwrap(), "far.txt");
    }
    world.run(["whoami"]).expect(0);
    world.on_drive("umount", &[]).expect(0);
    assert!(names(&drive).is_empty());
    world.throw_cache_away();
    world.mount();
    known(&world);
    assert_eq!(names(&drive), ["cached.txt", "far.txt", "later0.txt", "later1.txt", "made0", "made1"]);
    world.on_drive("umount", &[]).expect(0);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = entries.collect();
    // An account begins with these two.
    names.retain(|n| n != "Family" && n != "Personal");
    names.sort();
    names
}

#[test]
fn after_a_login_in_another_terminal_what_waited_is_sent_without_another_word() {
    let world = World::logged_in();
    world.mount_with(&SOON);
    known(&world);
    world.shared().world.advance(Duration::from_secs(2));
    world.shared().world.change_password(EMAIL, "new password");
    eventually("the end is noticed", || session(&world)["state"] == "loggedout");
    fs::write(world.drive().join("later.txt"), "later").unwrap();
    world.on_drive("umount", &["--detach"]).expect(0);
    // A mount with a session that is lost starts as well.
    world.mount_with(&SOON);
    eventually("the end is noticed", || session(&world)["state"] == "loggedout");
    assert_eq!(fs::read_to_string(world.drive().join("later.txt")).unwrap(), "later");
    let mark = world.log().mark();
    world.login(EMAIL, "new password").expect(0);
    eventually("it is sent", || items(&world) == 0);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 1);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_mass_delete_waits_for_a_word_and_either_word_is_obeyed() {
    let world = World::logged_in();
    let flags = [&NEVER[..], &["--delete-brake", "3", "--delete-brake-percent", "1"]].concat();
    let drive = world.drive();
    let folder = drive.join("photos");
    let fill = || {
        fs::create_dir_all(&folder).unwrap();
        (0..5).for_each(|n| fs::write(folder.join(format!("{n}.jpg")), format!("photo {n}")).unwrap());
        world.on_drive("flush", &[]).expect(0);
    };
    let trashed = |mark| world.log().count_since(mark, "POST", "/drive/storage/trash/add");
    world.mount_with(&flags);
    fill();

    let mark = world.log().mark();
    fs::remove_dir_all(&folder).unwrap();
    let ran = world.on_drive("flush", &[]).expect(11);
    assert!(ran.err.contains("inxtfs resume") && ran.err.contains("inxtfs restore --pending"), "{}", ran.err);
    assert!(!ran.err.contains(".jpg"), "no list of all of them: {}", ran.err);
    let shown = world.on_drive("status", &[]).expect(0).out;
    assert!(shown.contains("inxtfs resume") && shown.contains("inxtfs restore --pending"), "{shown}");
    world.on_drive("umount", &[]).expect(11);
    assert!(is_mounted(&drive));
    assert_eq!(world.mount_log().matches("no delete is sent until").count(), 1, "{}", world.mount_log());

    let held = mount_ends_with(&world, 11);
    assert!(held.contains("inxtfs resume"), "{held}");
    world.mount_with(&flags);
    assert_eq!(world.status()["status"]["brake"]["held"], 6);
    let ran = world.on_drive("restore", &["--pending"]).expect(0);
    assert!(ran.err.contains("6 deletes taken back"), "{}", ran.err);
    for n in 0..5 {
        assert_eq!(fs::read_to_string(folder.join(format!("{n}.jpg"))).unwrap(), format!("photo {n}"));
    }
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(trashed(mark), 0);

    fs::remove_dir_all(&folder).unwrap();
    world.on_drive("flush", &[]).expect(11);
    assert_eq!(trashed(mark), 0);
    let ran = world.run(["resume"]).expect(0);
    assert!(ran.err.contains("6 deletes"), "{}", ran.err);
    world.on_drive("flush", &[]).expect(0);
    assert!(trashed(mark) > 0);
    assert!(world.on_drive("resume", &[]).expect(0).err.contains("no delete was held back"));
    world.run(["restore"]).expect(2);
    world.on_drive("umount", &[]).expect(0);
    world.run(["resume"]).expect(12);
}

/// Takes the background mount away, and mounts in the foreground once to hear how a signal ends it.
fn mount_ends_with(world: &World, code: i32) -> String {
    world.on_drive("umount", &["--detach"]).expect(0);
    let child = foreground(world, &NEVER);
    signal(pid(&child), Signal::TERM);
    let (ended, err) = end(child);
    assert_eq!(ended, Some(code), "{err}");
    err
}
