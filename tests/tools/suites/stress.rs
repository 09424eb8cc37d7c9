//! Many hands at random in one tree, stress-ng's processes beside them, remounts in between; then the mount, the server and a
//! mount that knew nothing show the same tree.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inxtfs::fs::Config;

use super::super::world::{World, quick};
use super::asked;
use crate::dice::Dice;
use crate::trees::{Tree, difference, tree};

const HANDS: u64 = 4;
const NAMES: [&str; 6] = ["a", "b", "c.txt", "d", "e", "ü f"];
/// What stress-ng's processes do in folders of their own.
const OTHERS: [&str; 9] =
    ["--rename", "--dentry", "--dir", "--fallocate", "--seek", "--utime", "--getdent", "--iomix", "--flock"];

/// Any error that another hand may be the reason for is fine; damage and hanging are not.
fn bear(result: io::Result<()>) {
    let Err(e) = result else { return };
    let expected = [
        libc::ENOENT,
        libc::EEXIST,
        libc::ENOTDIR,
        libc::EISDIR,
        libc::ENOTEMPTY,
        libc::EINVAL,
        libc::ENAMETOOLONG,
        // Of a folder that another hand removed just now.
        libc::ESTALE,
    ];
    assert!(e.raw_os_error().is_some_and(|code| expected.contains(&code)), "{e}");
}

fn somewhere(dice: &mut Dice, root: &Path) -> PathBuf {
    (0..=dice.below(3)).fold(root.to_owned(), |at, _| at.join(dice.of(&NAMES)))
}

fn one(dice: &mut Dice, root: &Path) {
    let path = somewhere(dice, root);
    bear(match dice.below(10) {
        0 | 1 => fs::create_dir(&path),
        2 | 3 => {
            let len = dice.below(100_000);
            fs::write(&path, dice.bytes(len))
        }
        4 => OpenOptions::new().read(true).write(true).open(&path).and_then(|file| {
            let (at, len) = (dice.below(200_000) as u64, dice.below(5000));
            file.write_all_at(&dice.bytes(len), at)?;
            if dice.chance(3) { file.set_len(at) } else { Ok(()) }
        }),
        5 | 6 => fs::rename(&path, somewhere(dice, root)),
        7 => fs::remove_file(&path),
        8 => fs::remove_dir(&path),
        _ => fs::read_dir(&path).and_then(|mut entries| entries.try_for_each(|e| e.map(drop))),
    });
}

fn others(at: &Path, seconds: u64) -> Child {
    fs::create_dir(at).unwrap();
    let mut stress = Command::new("stress-ng");
    stress.args(OTHERS.iter().flat_map(|what| [*what, "1"]));
    stress.args(["--dentries", "64", "--fallocate-bytes", "4m", "--seek-size", "1m", "--iomix-bytes", "2m"]);
    stress.args(["--timeout", &format!("{seconds}s"), "--verify", "--temp-path"]).arg(at);
    stress.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What is there when all hands rest.
fn stress(world: &World, seed: u64, seconds: u64) -> Tree {
    let until = Instant::now() + Duration::from_secs(seconds);
    let processes = others(&world.path("stress-ng"), seconds);
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            let root = world.root();
            scope.spawn(move || {
                let mut dice = Dice::new(seed * HANDS + hand);
                while Instant::now() < until {
                    one(&mut dice, root);
                }
            });
        }
    });
    let output = processes.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "stress-ng: {}\n{}", output.status, String::from_utf8_lossy(&text));
    fs::remove_dir_all(world.path("stress-ng")).unwrap();
    tree(world.root())
}

#[test]
fn many_hands_in_one_tree_leave_the_same_on_the_mount_and_on_the_server() {
    let seconds = asked("INXTFS_SECONDS", 16);
    let first = asked("INXTFS_SEED", 1);
    let rounds = seconds.div_ceil(120).max(2);
    // Nothing is held back for being much.
    let delay = Duration::from_millis(200);
    let config = Config { writeback_delay: delay, empty_delay: delay, brake_count: 0, ..quick() };
    let mut world = World::down(Config { cache_size: 4 << 20, ..config });
    world.mount();
    for round in 0..rounds {
        println!("INXTFS_SEED={}", first + round);
        let before = stress(&world, first + round, seconds / rounds);
        world.remount();
        assert_eq!(difference(&before, &tree(world.root())), None, "after a remount");
        world.drain();
        world.forget();
        assert_eq!(difference(&before, &tree(world.root())), None, "on the server");
    }
}
