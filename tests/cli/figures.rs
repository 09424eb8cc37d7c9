//! What the way to the server costs, in requests: the emulator counts them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use inxtfs::emulator::LogEntry;

use crate::world::World;

const FILES: u32 = 500;

fn write_all(folder: &std::path::Path, round: &str) {
    fs::create_dir_all(folder).unwrap();
    for i in 0..FILES {
        fs::write(folder.join(format!("file {i}.txt")), format!("{round}, number {i}\n")).unwrap();
    }
}

fn requests(entries: &[LogEntry]) -> Vec<&LogEntry> {
    // The ear of a mount is no request for a file.
    entries.iter().filter(|e| !e.path.starts_with("/socket.io")).collect()
}

/// Sends all there is to send over a line with 30 ms of latency; how many requests that took, and the most
/// files that were on their way at a time.
fn drained(world: &World) -> (usize, u64) {
    world.shared().knobs.set_latency(Duration::from_millis(30));
    let mark = world.log().mark();
    let _ = world.log().take_crowd();
    let mut most = 0;
    std::thread::scope(|s| {
        let flush = s.spawn(|| world.on_drive("flush", &[]).expect(0));
        while !flush.is_finished() {
            most = most.max(world.status()["status"]["totals"]["sending"].as_u64().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    world.shared().knobs.set_latency(Duration::ZERO);
    (requests(&world.log().since(mark)).len(), most)
}

#[test]
fn small_files_cost_few_requests_and_many_are_on_their_way() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h", "--poll-interval", "1h"]);
    let folder = world.drive().join("many");
    write_all(&folder, "first");
    let (new, most) = drained(&world);
    assert!(new <= 42 * FILES as usize / 10, "{new} requests for {FILES} new files");
    assert!(most >= 8, "at most {most} files were on their way");
    let crowd = world.log().take_crowd();
    assert!(crowd <= 6, "{crowd} requests were at the gateway at a time");

    write_all(&folder, "second");
    let (replaced, most) = drained(&world);
    assert!(replaced <= 52 * FILES as usize / 10, "{replaced} requests for {FILES} replaced files");
    assert!(most >= 8, "at most {most} files were on their way");
    assert!(world.log().take_crowd() <= 6);
    eprintln!("{FILES} files: {new} requests when new, {replaced} when replaced");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn who_allows_more_requests_has_more_files_on_their_way() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h", "--poll-interval", "1h", "--requests", "24"]);
    write_all(&world.drive().join("many"), "first");
    let (new, most) = drained(&world);
    assert!(new <= 42 * FILES as usize / 10, "{new} requests for {FILES} new files");
    assert!(most > 12, "at most {most} files were on their way");
    let crowd = world.log().take_crowd();
    assert!((13..=24).contains(&crowd), "{crowd} requests were at the gateway at a time");
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_gateway_that_refuses_what_is_beyond_its_rate_gets_everything_all_the_same() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h", "--poll-interval", "1h"]);
    for i in 0..40 {
        fs::write(world.drive().join(format!("{i}.txt")), format!("number {i}")).unwrap();
    }
    let mark = world.log().mark();
    world.shared().knobs.set_rate(Some(30));
    world.on_drive("flush", &[]).expect(0);
    world.shared().knobs.set_rate(None);
    let entries = world.log().since(mark);
    let (all, refused) = (entries.len(), entries.iter().filter(|e| e.status == Some(429)).count());
    assert!(refused > 0, "the rate was never met");
    assert!(refused * 3 < all, "{refused} of {all} requests were refused: nobody waited");
    let names: Vec<PathBuf> = fs::read_dir(world.drive()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(names.len() >= 40);
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_large_tree_is_removed_with_few_requests_that_change_something() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h", "--poll-interval", "1h"]);
    let tree = world.drive().join("tree");
    for folder in 0..50 {
        let folder = tree.join(format!("d{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..20 {
            fs::write(folder.join(format!("f{file}.txt")), "x").unwrap();
        }
    }
    world.on_drive("flush", &[]).expect(0);
    let mark = world.log().mark();
    fs::remove_dir_all(&tree).unwrap();
    world.on_drive("flush", &[]).expect(0);
    let since = world.log().since(mark);
    let changing = since.iter().filter(|e| e.method != "GET" && !e.path.contains("existence")).count();
    assert!((1..=5).contains(&changing), "{changing} requests changed something");
    assert!(!tree.exists());
    world.on_drive("umount", &[]).expect(0);
}
