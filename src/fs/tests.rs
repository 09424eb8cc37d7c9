//! Tests of the filesystem over the cloud in memory.

use std::time::Duration;

use super::{Config, Fs};
use crate::crypto::seal::Key;
use crate::remote::memory::Memory;
use crate::store::Store;

/// Each time a task wakes up, the only worker does; it is asked by a thread that is none of its own.
#[test]
fn an_idle_mount_sleeps_between_its_polls() {
    let (dir, key, cloud) = (tempfile::tempdir().unwrap(), Key::random().unwrap(), Memory::new());
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = Store::open(dir.path(), &cloud.account().id, &key).unwrap().store;
    let config = Config { sync_every: Duration::from_millis(100), ..Config::default() };
    let fs = Fs::start(config, store, cloud.client("here"), rt.handle().clone()).unwrap();
    let woken = || rt.metrics().worker_park_count(0);
    // At the start there is something to do; in the end there is nothing for longer than the old ticks were apart.
    let quiet = (0..20).any(|_| {
        let before = woken();
        std::thread::sleep(Duration::from_millis(2500));
        woken() == before
    });
    assert!(quiet, "something wakes up all the time");
    rt.block_on(fs.stop());
}
