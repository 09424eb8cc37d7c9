//! Modification times: what programs set, what is shown, and what the server has.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inxtfs::fs::{Config, Mtimes};
use inxtfs::types::Timestamp;

use super::attributes::attribute;
use super::world::{Sent, World, quick};
use crate::programs::{errno, eventually, sh, try_sh};

fn with(mtimes: Mtimes) -> World {
    World::with(Config { mtimes, ..quick() })
}

/// One with nanoseconds.
fn long_ago() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789)
}

fn touch(world: &World, name: &str) -> std::io::Result<()> {
    let file = File::open(world.path(name))?;
    file.set_modified(long_ago())
}

fn shown(world: &World, name: &str) -> SystemTime {
    fs::metadata(world.path(name)).unwrap().modified().unwrap()
}

#[test]
fn a_time_that_is_set_before_the_upload_travels_with_it() {
    for mtimes in [Mtimes::Local, Mtimes::Ignore, Mtimes::Strict] {
        let world = with(mtimes);
        fs::write(world.path("f"), "new").unwrap();
        touch(&world, "f").unwrap();
        world.drain();
        assert_eq!(world.row("f").modified.as_millis(), 1_000_000_000_123, "{mtimes:?}");
        assert_eq!(
            (shown(&world, "f"), attribute(&world.path("f"), "mtime")),
            (long_ago(), None),
            "{mtimes:?}"
        );
    }
}

#[test]
fn a_time_that_is_set_after_the_upload_is_kept_here_for_that_version() {
    let mut world = with(Mtimes::Local);
    let row = world.put("f", b"content");
    fs::create_dir(world.path("d")).unwrap();
    world.drain();
    let mark = world.mark();
    touch(&world, "f").unwrap();
    touch(&world, "d").unwrap();
    world.drain();
    assert_eq!(world.sent(mark), Sent::NOTHING, "no request changes a time by itself");
    world.remount();
    assert_eq!((shown(&world, "f"), shown(&world, "d")), (long_ago(), long_ago()));
    let there = jiff_millis(&attribute(&world.path("f"), "mtime").unwrap());
    assert_eq!(there, row.modified.as_millis(), "what the server has is told");
    assert_eq!(world.row("f").modified, row.modified);
    // Gone with the version.
    let later = Timestamp { secs: 1_700_000_000, nanos: 5_000_000 };
    world.replace_elsewhere(&row, b"theirs", later);
    eventually("their version shows", || fs::read(world.path("f")).is_ok_and(|b| b == b"theirs"));
    assert_eq!((shown(&world, "f"), attribute(&world.path("f"), "mtime")), (later.into(), None));
    // And with one of our own.
    touch(&world, "f").unwrap();
    fs::write(world.path("f"), "ours").unwrap();
    world.drain();
    assert_eq!(attribute(&world.path("f"), "mtime"), None);
    assert_eq!(world.row("f").modified, Timestamp::from(shown(&world, "f")).to_millis_precision());
}

fn jiff_millis(text: &str) -> i64 {
    let output = sh(&format!("date -u -d '{text}' +%s%3N"), &[]);
    output.trim().parse().unwrap()
}

#[test]
fn times_that_are_ignored_stay_what_the_server_has() {
    let world = with(Mtimes::Ignore);
    world.put("f", b"content");
    fs::create_dir(world.path("d")).unwrap();
    world.drain();
    let before = (shown(&world, "f"), shown(&world, "d"));
    let mark = world.mark();
    touch(&world, "f").unwrap();
    touch(&world, "d").unwrap();
    sh("touch \"$1\"", &[&world.path("f")]);
    world.drain();
    assert_eq!((shown(&world, "f"), shown(&world, "d")), before);
    assert_eq!((world.sent(mark), world.status().totals.items), (Sent::NOTHING, 0));
}

#[test]
fn times_that_cannot_be_sent_are_refused_when_that_is_asked_for() {
    let world = with(Mtimes::Strict);
    world.put("f", b"content");
    fs::create_dir(world.path("d")).unwrap();
    world.drain();
    let before = (shown(&world, "f"), shown(&world, "d"));
    assert_eq!((errno(touch(&world, "f")), errno(touch(&world, "d"))), (libc::EPERM, libc::EPERM));
    assert!(!try_sh("touch \"$1\"", &[&world.path("f")]).status.success());
    assert_eq!((shown(&world, "f"), shown(&world, "d")), before);
    // What is to be sent again takes its time along.
    fs::write(world.path("f"), "more content").unwrap();
    touch(&world, "f").unwrap();
    world.drain();
    assert_eq!(world.row("f").modified.as_millis(), 1_000_000_000_123);
    sh("chmod 600 \"$1\" && chown \"$(id -u)\" \"$1\"", &[&world.path("f")]);
    assert_eq!(fs::metadata(world.path("f")).unwrap().mode() & 0o777, 0o644);
}
