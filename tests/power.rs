//! Loss of power: the local state on a disk that loses, cuts and reorders what was not synced.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, dead_code, missing_docs)]

#[path = "power/disk.rs"]
mod disk;
#[path = "power/files.rs"]
mod files;
#[path = "engine/harness.rs"]
mod harness;
#[path = "power/lives.rs"]
mod lives;
#[path = "power/machine.rs"]
mod machine;
#[path = "power/order.rs"]
mod order;
#[path = "power/plug.rs"]
mod plug;
#[path = "power/serve.rs"]
mod serve;
#[path = "power/together.rs"]
mod together;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use plug::Plug;

/// Also the disk itself, in a process of its own: see [`plug`].
#[test]
fn a_disk_that_loses_power_keeps_what_was_synced() {
    if let Some(point) = std::env::var_os(plug::SERVE) {
        serve::serve(point.as_ref());
    }
    let mut plug = Plug::new();
    let dir = plug.path().to_owned();
    let (mut lost, mut torn, mut kept) = (0, 0, 0);
    for seed in 0..30 {
        let file = File::create(dir.join("f")).unwrap();
        file.write_all_at(&[1; 20_000], 0).unwrap();
        file.sync_all().unwrap();
        File::open(&dir).unwrap().sync_all().unwrap();
        file.write_all_at(&[2; 20_000], 0).unwrap();
        File::create(dir.join("g")).unwrap().write_all(b"never synced").unwrap();
        plug.goes();
        assert!(file.write_all_at(&[3; 10], 0).is_err(), "nothing is written without power");
        assert!(file.sync_all().is_err());
        drop(file);
        plug.comes_back(seed);
        let mut bytes = Vec::new();
        File::open(dir.join("f")).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 20_000);
        assert!(bytes.iter().all(|b| [1, 2].contains(b)));
        lost += u32::from(!bytes.contains(&2));
        kept += u32::from(!bytes.contains(&1));
        torn += u32::from(bytes.contains(&1) && bytes.contains(&2));
    }
    assert!(lost > 1 && torn > 1 && kept > 1, "{lost} {torn} {kept}");
}
