//! fsx: random reads, writes, truncations and mappings of one file, each read compared with what must be there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use inxtfs::fs::Config;

use super::super::world::{World, quick};
use super::{asked, installed};
use crate::dice::Dice;

/// Operations between two remounts, at most.
const LIFE: u64 = 25_000;
/// Two at a time, each with a file of its own.
const FILES: [&str; 2] = ["one.bin", "two.bin"];
const LARGEST: u32 = 3 << 20;
/// Of which not even one file fits in.
const TINY_CACHE: u64 = 1 << 20;

const OPERATIONS: &str = "
flen = 3145728
nomsyncafterwrite = MSYNC
[opsize]
max = 131072
[weights]
close_open = 2
invalidate = 1
mapread = 10
mapwrite = 10
read = 10
write = 10
truncate = 6
fsync = 0.5
fdatasync = 0.5
posix_fallocate = 1
sendfile = 2
posix_fadvise = 3
copy_file_range = 3
";

/// Files are sent at once and read back through a cache that is too small for them, or sent at the end.
fn config(restless: bool) -> Config {
    if restless {
        let delay = Duration::from_millis(20);
        return Config { writeback_delay: delay, empty_delay: delay, cache_size: TINY_CACHE, ..quick() };
    }
    Config { writeback_delay: Duration::from_secs(3600), ..quick() }
}

fn start(file: &Path, operations: u64, seed: u64, scratch: &Path) -> Child {
    let name = file.file_name().unwrap().to_str().unwrap();
    let settings = scratch.join(format!("{name}.toml"));
    fs::write(&settings, OPERATIONS.replace("MSYNC", &seed.is_multiple_of(3).to_string())).unwrap();
    let mut fsx = Command::new(installed("fsx"));
    fsx.args(["-N", &operations.to_string(), "-S", &seed.to_string()]);
    fsx.arg("-f").arg(settings).arg("-P").arg(scratch).arg(file);
    fsx.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Both files at the same time; what is in them then.
fn exercise(world: &World, operations: u64, seed: u64) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().unwrap();
    let seeds = [seed, seed + 1_000_000];
    let running: Vec<_> = FILES
        .iter()
        .zip(seeds)
        .map(|(name, seed)| start(&world.path(name), operations / 2, seed, scratch.path()))
        .collect();
    let ended: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for ((name, seed), output) in FILES.iter().zip(seeds).zip(ended) {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(output.status.success(), "{name}, fsx -S {seed}: {}\n{text}", output.status);
    }
    FILES.iter().map(|name| fs::read(world.path(name)).unwrap()).collect()
}

#[test]
fn fsx_finds_no_wrong_byte_with_uploads_evictions_and_remounts_in_between() {
    let operations = asked("INXTFS_OPERATIONS", 8_000);
    let first = asked("INXTFS_SEED", 1);
    let lives = operations.div_ceil(LIFE).max(2);
    let mut world = World::down(config(true));
    for life in 0..lives {
        let seed = first + life;
        println!("INXTFS_SEED={seed}: {} operations", operations / lives);
        world.config = config(life % 2 == 0);
        world.mount();
        // The file of the life before is truncated and written anew, or patched.
        if Dice::new(seed).chance(2) {
            FILES.iter().for_each(|name| drop(fs::remove_file(world.path(name))));
        }
        let before = exercise(&world, operations / lives, seed);
        world.remount();
        for (name, bytes) in FILES.iter().zip(&before) {
            assert!(bytes.len() <= LARGEST as usize);
            assert!(
                fs::read(world.path(name)).unwrap() == *bytes,
                "INXTFS_SEED={seed}: {name} after a remount"
            );
        }
        world.drain();
        for (name, bytes) in FILES.iter().zip(&before) {
            assert!(world.uploaded(name) == *bytes, "INXTFS_SEED={seed}: {name} on the server");
        }
        world.forget();
        for (name, bytes) in FILES.iter().zip(&before) {
            assert!(fs::read(world.path(name)).unwrap() == *bytes, "INXTFS_SEED={seed}: {name} fetched anew");
        }
        world.unmount();
    }
}
