//! Bytes: partial writes over what is not here, holes, reads, damage.

use inxtfs::fs::{Config, Error};
use inxtfs::names::RemoteName;
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::Action;
use inxtfs::remote::memory::Memory;

use super::harness::{APPEND, Engine, READ, WRITE, eventually, noise, patient};

/// A drive with one file that another client made.
fn with_file(name: &str, data: &[u8]) -> Engine {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split(name), data);
    Engine::over(cloud, patient())
}

#[test]
fn a_partial_write_of_a_file_that_is_not_here_sends_all_of_it() {
    let mut data = noise(9_000_000, 1);
    let e = with_file("big.bin", &data);
    let id = e.row("big.bin").id;
    e.patch("big.bin", 4_000_000, b"here").unwrap();
    data[4_000_000..4_000_004].copy_from_slice(b"here");
    e.drain();
    assert_eq!(e.cloud.files()["big.bin"], data);
    assert_eq!(e.row("big.bin").id, id);
    assert_eq!(e.read("big.bin").unwrap(), data);
}

#[test]
fn an_append_to_a_file_that_is_not_here_keeps_the_rest() {
    let mut data = noise(700_000, 2);
    let e = with_file("log.txt", &data);
    e.fault.always(M::Read, Action::Offline);
    let fh = e.open("log.txt", APPEND).unwrap();
    e.write_fh(fh, 0, b"one").unwrap();
    e.write_fh(fh, 0, b"two").unwrap();
    e.close(fh).unwrap();
    assert_eq!(e.cloud.count(M::Read), 0, "writing waits for nothing");
    e.fault.clear();
    data.extend_from_slice(b"onetwo");
    e.drain();
    assert_eq!(e.cloud.files()["log.txt"], data);
}

#[test]
fn holes_read_as_zeros_here_and_there() {
    let e = with_file("f.bin", b"start");
    e.patch("f.bin", 200_000, b"end").unwrap();
    e.truncate("f.bin", 300_000).unwrap();
    let mut wanted = vec![0; 300_000];
    wanted[..5].copy_from_slice(b"start");
    wanted[200_000..200_003].copy_from_slice(b"end");
    assert_eq!(e.read("f.bin").unwrap(), wanted);
    e.drain();
    assert_eq!(e.cloud.files()["f.bin"], wanted);
}

#[test]
fn what_was_cut_off_never_comes_back() {
    let e = with_file("f.bin", &noise(100_000, 4));
    e.truncate("f.bin", 10).unwrap();
    e.truncate("f.bin", 100_000).unwrap();
    let mut wanted = vec![0; 100_000];
    wanted[..10].copy_from_slice(&noise(100_000, 4)[..10]);
    assert_eq!(e.read("f.bin").unwrap(), wanted);
    e.drain();
    assert_eq!(e.cloud.files()["f.bin"], wanted);
}

#[test]
fn a_whole_rewrite_downloads_nothing() {
    let e = with_file("f.bin", &noise(300_000, 5));
    e.put("f.bin", b"all new").unwrap();
    e.drain();
    assert_eq!(e.cloud.count(M::Read), 0);
    assert_eq!(e.cloud.files()["f.bin"], "all new");
}

#[test]
fn a_partial_write_survives_that_the_rest_cannot_be_fetched_for_a_while() {
    let mut data = noise(500_000, 6);
    let e = with_file("f.bin", &data);
    e.fault.set_offline(true);
    e.patch("f.bin", 10, b"xyz").unwrap();
    let fh = e.open("f.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 10, 3).unwrap(), "xyz");
    assert!(matches!(e.read_fh(fh, 400_000, 3), Err(Error::Offline)));
    e.fs().release(fh);
    e.fault.set_offline(false);
    e.drain();
    data[10..13].copy_from_slice(b"xyz");
    assert_eq!(e.cloud.files()["f.bin"], data);
}

#[test]
fn many_readers_of_one_block_are_one_fetch() {
    let data = noise(100_000, 7);
    let e = with_file("f.bin", &data);
    e.fault.always(M::Read, Action::Delay(std::time::Duration::from_millis(50)));
    let fhs: Vec<_> = (0..8).map(|_| e.open("f.bin", READ).unwrap()).collect();
    let reads: Vec<_> = fhs.iter().map(|fh| e.fs().read(*fh, 1000, 500)).collect();
    e.block_on(async {
        for read in futures_util::future::join_all(reads.into_iter().map(|r| r.get())).await {
            assert_eq!(read.unwrap(), &data[1000..1500]);
        }
    });
    assert_eq!(e.cloud.count(M::Read), 1);
    // And from then on it is here.
    e.fault.set_offline(true);
    assert_eq!(e.read_fh(fhs[0], 1000, 500).unwrap(), &data[1000..1500]);
}

#[test]
fn a_sequential_reader_is_read_ahead_of() {
    let data = noise(6_000_000, 8);
    let e = with_file("f.bin", &data);
    let fh = e.open("f.bin", READ).unwrap();
    let step = 128 << 10;
    let mut at = 0;
    while at < data.len() {
        let got = e.read_fh(fh, at as u64, step).unwrap();
        assert_eq!(got, &data[at..(at + step).min(data.len())], "at {at}");
        at += got.len();
    }
    assert!(e.read_fh(fh, data.len() as u64, step).unwrap().is_empty());
    assert!(e.cloud.count(M::Read) <= 12, "{} requests", e.cloud.count(M::Read));
}

#[test]
fn a_read_is_short_only_at_the_end() {
    let data = noise(150_000, 9);
    let e = with_file("f.bin", &data);
    let fh = e.open("f.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 140_000, 20_000).unwrap(), &data[140_000..]);
    assert_eq!(e.read_fh(fh, 65_530, 20).unwrap(), &data[65_530..65_550]);
    assert_eq!(e.read_fh(fh, 150_000, 1).unwrap(), "");
    assert_eq!(e.read_fh(fh, u64::MAX, 1).unwrap(), "");
}

#[test]
fn what_was_evicted_is_fetched_again() {
    let data = noise(1_000_000, 10);
    let cloud = Memory::new();
    for name in ["a.bin", "b.bin"] {
        cloud.add_file(&cloud.account().root, RemoteName::split(name), &data);
    }
    let e = Engine::over(cloud, Config { cache_size: 64 << 10, ..patient() });
    let fh = e.open("a.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, 1_000_000).unwrap(), data);
    assert_eq!(e.read("b.bin").unwrap(), data);
    eventually("the cache is cut down", || e.fs().status().cache_used <= 1_100_000);
    assert_eq!(e.read_fh(fh, 0, 1_000_000).unwrap(), data);
    assert_eq!(e.read("b.bin").unwrap(), data);
}

#[test]
fn a_download_that_breaks_off_is_an_error_and_the_next_one_is_whole() {
    let data = noise(200_000, 11);
    let e = with_file("f.bin", &data);
    e.fault.script(M::Read, 1, Action::Truncate(1000));
    let fh = e.open("f.bin", READ).unwrap();
    assert!(e.read_fh(fh, 0, 200_000).is_err());
    assert_eq!(e.read_fh(fh, 0, 200_000).unwrap(), data);
}

#[test]
fn damaged_content_is_never_served() {
    let e = with_file("f.bin", &noise(100_000, 12));
    let version = e.row("f.bin").content.unwrap();
    assert!(e.cloud.corrupt(&version));
    let fh = e.open("f.bin", READ).unwrap();
    for _ in 0..2 {
        let read = e.read_fh(fh, 0, 100_000);
        assert!(matches!(read, Err(Error::Lost(_))), "{read:?}");
    }
    e.fs().release(fh);
    // In pieces, it turns out once all are here.
    let e = with_file("f.bin", &noise(9_000_000, 13));
    assert!(e.cloud.corrupt(&e.row("f.bin").content.unwrap()));
    let fh = e.open("f.bin", READ).unwrap();
    for at in (0..9_000_000).step_by(1 << 20) {
        let _ = e.read_fh(fh, at, 1 << 20);
    }
    eventually("the damage is found", || e.read_fh(fh, 0, 1000).is_err());
    e.fs().release(fh);
    assert!(e.read("f.bin").is_err());
    // A rewrite heals it.
    e.put("f.bin", b"healed").unwrap();
    e.drain();
    assert_eq!(e.read("f.bin").unwrap(), "healed");
}

#[test]
fn damage_below_a_partial_write_is_told_and_the_write_is_kept() {
    let e = with_file("f.bin", &noise(100_000, 14));
    assert!(e.cloud.corrupt(&e.row("f.bin").content.unwrap()));
    e.patch("f.bin", 5, b"mine").unwrap();
    assert_eq!(e.drained().totals.blocked, 1);
    let fh = e.open("f.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 5, 4).unwrap(), "mine");
    e.fs().release(fh);
    assert_eq!(e.sent(), []);
}

#[test]
fn a_write_over_what_was_found_damaged_while_it_was_open_is_kept() {
    let e = with_file("f.bin", &noise(2_000_000, 14));
    let fh = e.open("f.bin", WRITE).unwrap();
    assert!(e.cloud.corrupt(&e.row("f.bin").content.unwrap()));
    eventually("the damage is found", || e.read_fh(fh, 0, 1000).is_err());
    e.write_fh(fh, 5, b"mine").unwrap();
    e.close(fh).unwrap();
    assert_eq!(e.drained().totals.blocked, 1);
    let fh = e.open("f.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 5, 4).unwrap(), "mine");
    e.fs().release(fh);
    assert_eq!(e.sent(), []);
}

#[test]
fn an_unlinked_open_file_goes_on() {
    let e = with_file("f.bin", &noise(200_000, 15));
    let fh = e.open("f.bin", WRITE).unwrap();
    e.unlink("f.bin").unwrap();
    e.drain();
    assert_eq!(e.read_fh(fh, 100_000, 10).unwrap(), &noise(200_000, 15)[100_000..100_010]);
    e.write_fh(fh, 100_000, b"ghost").unwrap();
    assert_eq!(e.read_fh(fh, 99_999, 7).unwrap()[1..6], *b"ghost");
    e.close(fh).unwrap();
    e.converged();
    assert!(e.cloud_tree().is_empty());
}

#[test]
fn a_reader_of_what_was_renamed_over_reads_on_to_its_end() {
    let data = noise(300_000, 16);
    let e = with_file("f.bin", &data);
    let fh = e.open("f.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, 10).unwrap(), &data[..10]);
    e.put("f.tmp", b"new").unwrap();
    e.rename("f.tmp", "f.bin").unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["f.bin"], "new");
    assert_eq!(e.read_fh(fh, 200_000, 100_000).unwrap(), &data[200_000..]);
    assert_eq!(e.read("f.bin").unwrap(), "new");
}
