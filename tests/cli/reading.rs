//! What reading costs, in requests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use inxtfs::emulator::{LogEntry, Mark};

use crate::world::{World, eventually};

const SIZE: usize = 12 << 20;

/// A drive on which this file is, and nothing of it here.
fn cold(flags: &[&str]) -> (World, PathBuf) {
    let world = World::logged_in();
    let quiet = ["--writeback-delay", "1h", "--poll-interval", "1h"];
    world.mount_with(&quiet);
    let path = world.drive().join("film.mkv");
    fs::write(&path, pattern()).unwrap();
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
    world.throw_cache_away();
    world.mount_with(&[&quiet[..], flags].concat());
    eventually("the tree is known", || world.status()["status"]["hydrated"].as_bool().unwrap_or(false));
    (world, path)
}

fn pattern() -> Vec<u8> {
    (0..SIZE / 8).flat_map(|n| (n * 2_654_435_761).to_le_bytes()).collect()
}

/// Look-ups of content, and downloads.
fn content_requests(world: &World, mark: Mark) -> (Vec<LogEntry>, Vec<LogEntry>) {
    let since = world.log().since(mark).into_iter().filter(|e| e.method == "GET");
    let (infos, rest): (Vec<_>, Vec<_>) = since.partition(|e| e.path.contains("/info"));
    (infos, rest.into_iter().filter(|e| e.path.starts_with("/shards/")).collect())
}

#[test]
fn the_head_of_a_large_file_is_one_look_up_and_one_bounded_range() {
    let (world, path) = cold(&[]);
    let mark = world.log().mark();
    let head = Command::new("head").args(["-c", "4096"]).arg(&path).output().unwrap();
    assert_eq!(head.stdout, pattern()[..4096]);
    let (infos, ranges) = content_requests(&world, mark);
    assert_eq!((infos.len(), ranges.len()), (1, 1), "{infos:?} {ranges:?}");
    eventually("it has ended", || content_requests(&world, mark).1[0].response_bytes >= 1 << 19);
    assert_eq!(content_requests(&world, mark).1[0].response_bytes, 1 << 19);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn cat_is_one_look_up_and_few_large_ranges_and_fetches_nothing_twice() {
    let (world, path) = cold(&[]);
    let mark = world.log().mark();
    let cat = Command::new("cat").arg(&path).output().unwrap();
    assert!(cat.stdout == pattern());
    let (infos, ranges) = content_requests(&world, mark);
    assert_eq!(infos.len(), 1, "{infos:?}");
    assert!(ranges.len() <= 14, "{} ranges", ranges.len());
    assert_eq!(ranges.iter().map(|r| r.response_bytes).sum::<u64>(), SIZE as u64);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_background_reader_is_known_by_its_name() {
    let (world, path) = cold(&["--background-reader", "head"]);
    let mark = world.log().mark();
    let head = Command::new("head").args(["-c", "4096"]).arg(&path).output().unwrap();
    assert_eq!(head.stdout, pattern()[..4096]);
    let (_, ranges) = content_requests(&world, mark);
    assert_eq!(ranges.len(), 1);
    assert!(ranges[0].response_bytes <= 1 << 17, "{ranges:?}");
    world.on_drive("umount", &[]).expect(0);
}
