//! The cache's bound, and what is pinned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inxtfs::fs::{Config, Disk, Gauge, Pinned};
use inxtfs::names::RemoteName;
use inxtfs::remote::Method;
use inxtfs::remote::memory::Memory;

use super::harness::{Engine, READ, eventually, noise, patient};

const MIB: u64 = 1 << 20;

/// A disk of 1000 MiB, of which so many are free.
fn disk(free: &Arc<AtomicU64>) -> Gauge {
    let free = free.clone();
    Gauge::new(move |_| Some(Disk { total: 1000 * MIB, free: free.load(Ordering::Relaxed) }))
}

fn with(config: Config, files: &[(&str, &[u8])]) -> Engine {
    let cloud = Memory::new();
    for (name, data) in files {
        cloud.add_file(&cloud.account().root, RemoteName::split(name), data);
    }
    Engine::over(cloud, config)
}

fn used(e: &Engine) -> u64 {
    e.fs().status().cache_used
}

#[test]
fn a_film_larger_than_the_cache_never_outgrows_it() {
    let film = noise(40 << 20, 1);
    let e = with(Config { cache_size: 16 * MIB, ..patient() }, &[("film.mkv", &film)]);
    let fh = e.open("film.mkv", READ).unwrap();
    for at in (0..film.len()).step_by(1 << 18) {
        assert_eq!(e.read_fh(fh, at as u64, 1 << 18).unwrap(), &film[at..at + (1 << 18)]);
        assert!(used(&e) <= 16 * MIB, "{} at {at}", used(&e));
    }
    // What was seen last is here.
    e.fault.set_offline(true);
    let end = film.len() - (1 << 18);
    assert_eq!(e.read_fh(fh, end as u64, 1 << 18).unwrap(), &film[end..]);
}

#[test]
fn when_others_fill_the_disk_the_cache_gives_way_and_reads_go_past_it() {
    let free = Arc::new(AtomicU64::new(500 * MIB));
    let data = noise(3 << 20, 2);
    let config = Config { disk: disk(&free), poll_interval: Duration::from_secs(3600), ..patient() };
    let e = with(config, &[("a.bin", &data)]);
    assert_eq!(e.fs().status().cache_size, Config::default().cache_size.min(400 * MIB));
    assert_eq!(e.read("a.bin").unwrap(), data);
    assert!(used(&e) >= 3 * MIB);
    free.store(99 * MIB, Ordering::Relaxed);
    e.fs().tick();
    assert!(used(&e) < 3 * MIB, "a tenth is to stay free");
    free.store(10 * MIB, Ordering::Relaxed);
    e.fs().tick();
    assert_eq!(used(&e), 0);
    assert_eq!(e.read("a.bin").unwrap(), data);
    assert_eq!(used(&e), 0, "nothing was kept");
    let asked = e.cloud.count(Method::Read);
    free.store(500 * MIB, Ordering::Relaxed);
    eventually("it is cached again", || {
        assert_eq!(e.read("a.bin").unwrap(), data);
        used(&e) >= 3 * MIB
    });
    let calls = e.cloud.calls().into_iter().filter_map(|c| c.range).skip(asked);
    assert_eq!(
        calls.map(|(r, _)| r.end - r.start).sum::<u64>(),
        data.len() as u64,
        "nothing was fetched twice"
    );
}

#[test]
fn a_nearly_full_disk_keeps_no_part_written_file_from_being_sent() {
    let mut data = noise(300_000, 3);
    let config = Config { disk: disk(&Arc::new(AtomicU64::new(0))), ..patient() };
    let e = with(config, &[("a.bin", &data)]);
    e.patch("a.bin", 100_000, b"patched").unwrap();
    data[100_000..100_007].copy_from_slice(b"patched");
    e.converged();
    assert_eq!(e.cloud_tree()["a.bin"].as_ref().unwrap(), &data);
}

#[test]
fn a_reader_of_replaced_content_keeps_it_whatever_is_evicted() {
    let free = Arc::new(AtomicU64::new(500 * MIB));
    let data = noise(300_000, 4);
    let e = with(Config { disk: disk(&free), ..patient() }, &[("a.bin", &data)]);
    let fh = e.open("a.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, data.len()).unwrap(), data);
    let row = e.row("a.bin");
    e.foreign_write(&row.id, b"new");
    eventually("the name shows the new content", || e.read("a.bin").unwrap() == "new");
    free.store(0, Ordering::Relaxed);
    e.fs().tick();
    assert_eq!(e.read_fh(fh, 0, data.len()).unwrap(), data, "the server has it no more");
}

#[test]
fn a_part_written_file_is_wholly_here_when_its_replace_is_known_to_have_lasted() {
    let mut data = noise(300_000, 5);
    let e = with(patient(), &[("f.bin", &data)]);
    e.patch("f.bin", 100_000, b"patched").unwrap();
    data[100_000..100_007].copy_from_slice(b"patched");
    e.drain();
    eventually("ours is seen to last", || e.fs().watched().unwrap() == 0);
    e.fs().tick();
    assert_eq!(e.fs().status().staged, 0);
    e.fault.set_offline(true);
    assert_eq!(e.read("f.bin").unwrap(), data);
}

/// Waits until so much is pinned, and all of it here.
fn settled(e: &Engine, files: u64, bytes: u64) {
    eventually("all that is pinned is here", || {
        let pins = e.fs().pins(0, 10).unwrap();
        let sum = |of: fn(&inxtfs::fs::Pin) -> u64| pins.iter().map(of).sum::<u64>();
        (sum(|p| p.files), sum(|p| p.bytes), sum(|p| p.here)) == (files, bytes, bytes)
    });
}

fn pin(e: &Engine, path: &str) {
    e.fs().pin(e.ino(path).unwrap()).unwrap();
}

#[test]
fn what_is_pinned_is_fetched_kept_up_to_date_and_not_evicted() {
    let free = Arc::new(AtomicU64::new(900 * MIB));
    let cloud = Memory::new();
    let root = cloud.account().root;
    let docs = cloud.add_folder(&root, "docs");
    let sub = cloud.add_folder(&docs.id, "sub");
    let (a, b, c) = (noise(2 << 20, 1), noise(100, 2), noise(70_000, 3));
    let row = cloud.add_file(&docs.id, RemoteName::split("a.bin"), &a);
    cloud.add_file(&sub.id, RemoteName::split("b.txt"), &b);
    cloud.add_file(&root, RemoteName::split("other.bin"), &noise(200_000, 9));
    let mut e = Engine::over(cloud, Config { disk: disk(&free), ..patient() });
    pin(&e, "docs");
    settled(&e, 2, (2 << 20) + 100);
    eventually("the status tells", || {
        let all = Pinned { pins: 1, files: 2, bytes: (2 << 20) + 100, here: (2 << 20) + 100, problem: None };
        e.fs().status().pinned == all
    });
    // New ones follow: theirs, and a new version.
    let theirs = e.foreign_file(&sub.id, "c.bin", &c);
    let a2 = noise(1 << 20, 4);
    e.foreign_write(&row.id, &a2);
    settled(&e, 3, (1 << 20) + 100 + 70_000);
    e.read("other.bin").unwrap();
    free.store(0, Ordering::Relaxed);
    e.fs().tick();
    // Also by the next mount.
    e.restart();
    e.hydrated();
    e.fs().tick();
    e.fault.set_offline(true);
    assert_eq!(e.read("docs/a.bin").unwrap(), a2);
    assert_eq!(e.read("docs/sub/b.txt").unwrap(), b);
    assert_eq!(e.read("docs/sub/c.bin").unwrap(), c);
    assert!(e.read("other.bin").is_err(), "what is not pinned went");
    e.fault.set_offline(false);
    // What is moved out is not pinned any more.
    e.rename("docs/sub/c.bin", "c.bin").unwrap();
    e.drain();
    eventually("it is not pinned", || {
        e.fs().tick();
        e.fs().status().pinned.files == 2
    });
    e.fs().tick();
    let reads = e.fault.calls(Method::Read);
    assert_eq!(e.read("c.bin").unwrap(), c);
    assert!(e.fault.calls(Method::Read) > reads, "it was evicted");
    assert_eq!(theirs.size, c.len() as u64);
}

#[test]
fn a_pin_stays_with_the_place_when_a_file_is_saved_by_a_rename() {
    let e = with(patient(), &[("notes.md", b"first")]);
    pin(&e, "notes.md");
    settled(&e, 1, 5);
    e.put("notes.tmp", b"second").unwrap();
    e.rename("notes.tmp", "notes.md").unwrap();
    e.drain();
    let pins = e.fs().pins(0, 10).unwrap();
    assert_eq!(pins.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["/notes.md"]);
    assert_eq!(pins[0].id, e.ino("notes.md").unwrap().0);
}

#[test]
fn pins_that_do_not_fit_are_told_and_take_no_more_than_their_share() {
    let (small, large) = (noise(1 << 20, 1), noise(30 << 20, 2));
    let config = Config { cache_size: 16 * MIB, ..patient() };
    let e = with(config, &[("small.bin", &small), ("large.bin", &large)]);
    pin(&e, "large.bin");
    let problem = || e.fs().status().pinned.problem.unwrap_or_default();
    assert!(problem().contains("no room"), "{}", problem());
    pin(&e, "small.bin");
    eventually("what fits is here", || e.fs().pins(0, 10).unwrap().iter().any(|p| p.here == 1 << 20));
    assert!(used(&e) <= 16 * MIB);
    assert!(problem().contains("--cache-size"), "{}", problem());
    // Pins or no pins, reading works.
    assert_eq!(e.read("large.bin").unwrap(), large);
    assert_eq!(e.fs().unpin(e.ino("large.bin").unwrap()).unwrap(), None);
    settled(&e, 1, 1 << 20);
    eventually("nothing is wrong any more", || problem().is_empty());
}

#[test]
fn what_is_pinned_by_a_folder_is_not_unpinned_by_itself() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.put("d/f.txt", b"here only").unwrap();
    pin(&e, "d");
    // What was written here is here.
    settled(&e, 1, 9);
    let (d, f) = (e.ino("d").unwrap(), e.ino("d/f.txt").unwrap());
    assert_eq!(e.fs().unpin(f).unwrap(), Some(Some("/d".to_owned())));
    assert_eq!(e.fs().unpin(d).unwrap(), None);
    assert_eq!(e.fs().unpin(d).unwrap(), Some(None));
    assert_eq!(e.fs().status().pinned, Pinned::default());
}
