//! What is asked of the cloud for what is read: which bytes, how often, and in whose name.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use inxtfs::extent::ByteSet;
use inxtfs::fs::{Config, Error, OpenFlags};
use inxtfs::names::RemoteName;
use inxtfs::remote::fault::Action;
use inxtfs::remote::memory::{Call, Memory};
use inxtfs::remote::{Budget, Method as M};
use inxtfs::types::{Fh, Urgency};

use super::harness::{Engine, READ, WRITE, eventually, noise, patient};
use super::liar::Liar;

const MIB: u64 = 1 << 20;
/// What the kernel asks for at a time.
const STEP: usize = 128 << 10;
/// The same for a program that takes only a look.
const LOOK: usize = 16 << 10;
const BACKGROUND: OpenFlags = OpenFlags { background: true, ..READ };

fn content(mib: u64) -> Vec<u8> {
    noise(1 << 20, 3).repeat(usize::try_from(mib).unwrap())
}

/// A drive with files that others made, `f0`, `f1`…
fn with_files(count: usize, mib: u64) -> Engine {
    Engine::over(filled(count, mib), patient())
}

fn filled(count: usize, mib: u64) -> Memory {
    let (cloud, data) = (Memory::new(), content(mib));
    for i in 0..count {
        cloud.add_file(&cloud.account().root, RemoteName::whole(&format!("f{i}")), &data);
    }
    cloud
}

/// The same on a line that can be dammed.
fn dammed(count: usize, mib: u64) -> (Engine, Arc<Liar>) {
    let (mut e, liar) = Liar::engine(&filled(count, mib));
    e.start();
    e.hydrated();
    (e, liar)
}

/// What was asked for so far.
fn asked(e: &Engine) -> Vec<(Range<u64>, Urgency)> {
    e.cloud.calls().into_iter().filter_map(|c| c.range).collect()
}

fn total(asked: &[(Range<u64>, Urgency)]) -> u64 {
    asked.iter().map(|(r, _)| r.end - r.start).sum()
}

/// No byte twice.
#[track_caller]
fn assert_once(asked: &[(Range<u64>, Urgency)]) {
    let set: ByteSet = asked.iter().map(|(r, _)| r.clone()).collect();
    assert_eq!(set.len(), total(asked), "{asked:?}");
}

/// Sends a read as the kernel does, and waits for nothing.
fn send(e: &Engine, fh: Fh, at: u64) -> tokio::task::JoinHandle<Result<Bytes, Error>> {
    send_of(e, fh, at, STEP)
}

#[allow(clippy::async_yields_async)]
fn send_of(e: &Engine, fh: Fh, at: u64, len: usize) -> tokio::task::JoinHandle<Result<Bytes, Error>> {
    let answer = e.fs().read(fh, at, u32::try_from(len).unwrap());
    e.block_on(async { tokio::spawn(answer.get()) })
}

fn prepared(e: &Engine) -> usize {
    e.cloud.count(M::Prepare)
}

#[test]
fn the_first_bytes_of_a_large_file_are_one_bounded_request() {
    let e = with_files(1, 8);
    let fh = e.open("f0", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, LOOK).unwrap(), content(1)[..LOOK]);
    assert_eq!(asked(&e), [(0..MIB / 2, Urgency::Now)]);
}

#[test]
fn a_small_file_is_one_request() {
    let e = with_files(1, 1);
    let fh = e.open("f0", READ).unwrap();
    for at in (0..1 << 20).step_by(STEP) {
        assert_eq!(e.read_fh(fh, at as u64, STEP).unwrap().len(), STEP);
    }
    assert_eq!(asked(&e), [(0..MIB, Urgency::Now)]);
}

#[test]
fn blocks_are_served_as_they_arrive() {
    let (e, liar) = dammed(1, 8);
    liar.dam(3 << 16);
    let fh = e.open("f0", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, LOOK).unwrap(), content(1)[..LOOK]);
    liar.dam(u64::MAX);
}

#[test]
fn what_came_before_the_line_broke_is_kept_and_served() {
    let e = with_files(1, 8);
    e.fault.script(M::Read, 1, Action::Truncate(3 << 16 | 100));
    let fh = e.open("f0", BACKGROUND).unwrap();
    let wanted = 4 << 16;
    let _broken = e.block_on(e.fs().read(fh, 0, wanted).get());
    e.fault.set_offline(true);
    assert_eq!(e.read_fh(fh, 0, 3 << 16).unwrap(), content(1)[..3 << 16]);
}

#[test]
fn opening_looks_up_what_is_not_here_and_nothing_else_does() {
    let e = with_files(2, 2);
    e.stat("f0").unwrap();
    assert_eq!(e.entries("").unwrap().len(), 2);
    e.fs().release(e.open("f0", BACKGROUND).unwrap());
    let fh = e.open("f0", READ).unwrap();
    eventually("it is looked up", || prepared(&e) == 1);
    assert_eq!(asked(&e), []);
    e.read_fh(fh, 0, 2 << 20).unwrap();
    e.fs().release(fh);
    e.fs().release(e.open("f0", READ).unwrap());
    e.fs().release(e.open("f1", READ).unwrap());
    eventually("the other is looked up", || prepared(&e) == 2);
    let objects: Vec<_> = e.cloud.calls().into_iter().filter(|c| c.method == M::Prepare).collect();
    assert_ne!(objects[0].object, objects[1].object, "what is here needs no looking up");
}

#[test]
fn the_second_read_of_a_beginning_has_several_requests_under_way() {
    let (e, liar) = dammed(1, 24);
    liar.dam(0);
    let fh = e.open("f0", READ).unwrap();
    let first = send_of(&e, fh, 0, LOOK);
    let second = send(&e, fh, LOOK as u64);
    eventually("several requests are under way", || e.cloud.count(M::Read) == 5);
    let all = asked(&e);
    assert_once(&all);
    assert_eq!(all.iter().filter(|(_, u)| *u == Urgency::Now).count(), 1);
    assert_eq!(total(&all), 4 * MIB);
    // What arrives is hashed while the rest is under way.
    eventually("it is being hashed", || e.cloud.count(M::Verify) == 1);
    liar.dam(u64::MAX);
    assert_eq!(e.block_on(first).unwrap().unwrap(), content(1)[..LOOK]);
    assert_eq!(e.block_on(second).unwrap().unwrap(), content(1)[LOOK..LOOK + STEP]);
}

#[test]
fn who_begins_with_a_full_read_has_the_rest_asked_for_with_it() {
    let (e, liar) = dammed(1, 24);
    liar.dam(0);
    let fh = e.open("f0", READ).unwrap();
    let first = send(&e, fh, 0);
    eventually("several requests are under way", || e.cloud.count(M::Read) == 9);
    let all = asked(&e);
    assert_once(&all);
    assert_eq!(all.iter().filter(|(_, u)| *u == Urgency::Now).count(), 1);
    assert_eq!(total(&all), 8 * MIB);
    // The next one waits: the window is too small, and as requests end it grows.
    let second = send(&e, fh, STEP as u64);
    liar.dam(u64::MAX);
    eventually("all of it is asked for", || total(&asked(&e)) == 24 * MIB);
    assert_once(&asked(&e));
    assert_eq!(e.block_on(first).unwrap().unwrap(), content(1)[..STEP]);
    assert_eq!(e.block_on(second).unwrap().unwrap(), content(1)[STEP..2 * STEP]);
}

#[test]
fn a_stream_is_few_requests_and_is_hashed_once() {
    let e = with_files(1, 12);
    let (fh, data) = (e.open("f0", READ).unwrap(), content(12));
    for at in (0..data.len()).step_by(STEP) {
        assert!(e.read_fh(fh, at as u64, STEP).unwrap() == data[at..at + STEP], "at {at}");
    }
    let all = asked(&e);
    assert_once(&all);
    assert_eq!(total(&all), 12 * MIB);
    assert!(all.len() <= 14, "{all:?}");
    assert_eq!(e.cloud.count(M::Verify), 1);
}

#[test]
fn damage_is_found_before_the_last_of_a_stream_is_served() {
    let e = with_files(1, 6);
    assert!(e.cloud.corrupt(&e.row("f0").content.unwrap()));
    let fh = e.open("f0", READ).unwrap();
    let mut whole = true;
    for at in (0..6 << 20).step_by(STEP) {
        whole &= e.read_fh(fh, at as u64, STEP).is_ok();
    }
    assert!(!whole, "all of a damaged file was served");
    assert_eq!(e.cloud.count(M::Verify), 1, "it was found while the file was read");
    assert!(e.read_fh(fh, 0, STEP).is_err());
}

#[test]
fn two_places_of_one_handle_are_read_ahead_of() {
    let e = with_files(1, 24);
    let (fh, data) = (e.open("f0", READ).unwrap(), content(1));
    for n in 0..24u64 {
        for place in [n * STEP as u64, 12 * MIB + n * STEP as u64] {
            let from = usize::try_from(place % MIB).unwrap();
            assert!(e.read_fh(fh, place, STEP).unwrap() == data[from..from + STEP], "at {place}");
        }
    }
    let all = asked(&e);
    assert_once(&all);
    assert!(all.len() <= 20, "{} requests: {all:?}", all.len());
}

#[test]
fn two_handles_of_one_file_ask_for_each_byte_once() {
    let e = with_files(1, 8);
    let (a, b) = (e.open("f0", READ).unwrap(), e.open("f0", READ).unwrap());
    for at in (0..8 << 20).step_by(STEP) {
        e.read_fh(a, at as u64, STEP).unwrap();
        e.read_fh(b, at as u64, STEP).unwrap();
    }
    let all = asked(&e);
    assert_once(&all);
    assert!(all.len() <= 12, "{all:?}");
}

#[test]
fn reads_here_and_there_ask_for_their_blocks_alone() {
    let e = with_files(1, 24);
    let fh = e.open("f0", READ).unwrap();
    for n in 0..20u64 {
        let place = (n * 7 % 20 + 2) * MIB + 300_000;
        e.read_fh(fh, place, 4096).unwrap();
    }
    let all = asked(&e);
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|(r, u)| r.end - r.start <= 2 << 16 && *u == Urgency::Now), "{all:?}");
}

#[test]
fn what_has_not_started_when_a_reader_closes_never_does() {
    let (e, liar) = dammed(2, 24);
    liar.dam(0);
    let fh = e.open("f0", READ).unwrap();
    let reads = [0, STEP as u64, 3 * MIB].map(|at| send(&e, fh, at));
    eventually("several requests are under way", || e.cloud.count(M::Read) == 9);
    e.fs().release(fh);
    liar.dam(u64::MAX);
    for read in reads {
        e.block_on(read).unwrap().unwrap();
    }
    eventually("what was under way has arrived", || e.fs().status().cache_used >= 4 * MIB);
    // Another file's bytes come behind whatever might have been started.
    let fh = e.open("f1", READ).unwrap();
    e.read_fh(fh, 0, STEP).unwrap();
    let of = e.row("f0").content.unwrap().object;
    let started =
        e.cloud.calls().into_iter().filter(|c| c.method == M::Read && c.object.as_ref() == Some(&of));
    assert_eq!(started.count(), 9);
}

#[test]
fn greedy_readers_leave_room_for_others_and_take_turns() {
    let (e, liar) = dammed(6, 24);
    liar.dam(0);
    let soon = || asked(&e).into_iter().filter(|(_, u)| *u == Urgency::Soon).count();
    let mut reads = Vec::new();
    for i in 0..5 {
        let fh = e.open(&format!("f{i}"), READ).unwrap();
        reads.extend([0, STEP as u64].map(|at| send(&e, fh, at)));
    }
    eventually("as many run ahead as may", || soon() == 16);
    eventually("everybody's first bytes are asked for", || e.cloud.count(M::Read) == 16 + 5);
    // Somebody who waits is not made to wait for them.
    let fh = e.open("f5", READ).unwrap();
    reads.push(send(&e, fh, 20 * MIB));
    eventually("another's first bytes are asked for", || e.cloud.count(M::Read) == 16 + 6);
    let served = || {
        let soon = |c: &Call| c.range.as_ref().is_some_and(|(_, u)| *u == Urgency::Soon);
        let calls = e.cloud.calls().into_iter().filter(soon);
        calls.map(|c| c.object).collect::<HashSet<_>>().len()
    };
    assert!(served() < 5);
    liar.dam(u64::MAX);
    eventually("everybody's turn has come", || served() == 5);
    for read in reads {
        e.block_on(read).unwrap().unwrap();
    }
}

#[test]
fn background_readers_get_what_they_ask_for_and_come_last() {
    let e = with_files(1, 4);
    let fh = e.open("f0", BACKGROUND).unwrap();
    for at in (0..2 << 20).step_by(STEP) {
        e.read_fh(fh, at as u64, STEP).unwrap();
    }
    let all = asked(&e);
    assert_eq!((all.len(), total(&all)), (16, 2 * MIB));
    assert!(all.iter().all(|(_, u)| *u == Urgency::Someday), "{all:?}");
    assert_eq!(prepared(&e), 0);
}

#[test]
fn who_comes_to_wait_for_what_was_asked_for_in_advance_does_not_stand_in_its_place() {
    let e = Engine::over(filled(1, 1), Config { memory: Budget::new(8 * MIB), ..patient() });
    // Those who send hold all that is not kept for readers.
    let held = e.block_on(e.config.memory.take_to_send(8 * MIB));
    let fh = e.open("f0", WRITE).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(e.cloud.count(M::Read), 0);
    assert!(e.read_fh(fh, 100, 10).unwrap() == content(1)[100..110]);
    assert_eq!(e.cloud.count(M::Read), 1);
    drop(held);
}
