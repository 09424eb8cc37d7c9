//! Random system calls have the same results on the mount and on a plain folder: errno, numbers, bytes and what the tree
//! looks like then. A failure prints its seed and the fewest calls that still show it.

mod call;
mod side;

use std::path::Path;
use std::time::Duration;

use call::Call;
use side::Side;

use super::world::{World, quick};
use crate::dice::Dice;
use crate::trees::{difference, tree};

/// Looks at whole trees come after so many calls, and at the end.
const LOOK: usize = 25;
/// Shortening a failure may take so many runs.
const TRIALS: usize = 200;

/// Where the two went apart: after how many calls, and how.
struct Apart {
    calls: usize,
    how: String,
}

/// Makes the calls in two empty folders; `between` may disturb the mount.
fn play(calls: &[Call], mount: &Path, local: &Path, mut between: impl FnMut()) -> Result<(), Apart> {
    let (mut left, mut right) = (Side::new(mount), Side::new(local));
    for (i, call) in calls.iter().enumerate() {
        let apart = |how: String| Apart { calls: i + 1, how };
        let marker = i as u64;
        let (got, wanted) = (left.make(call, marker), right.make_plain(call, marker));
        if got != wanted {
            return Err(apart(format!("{call:?}: {}, and the plain folder {}", short(&got), short(&wanted))));
        }
        if i % LOOK == LOOK - 1 || i + 1 == calls.len() {
            if let Some(how) = difference(&tree(mount), &tree(local)) {
                return Err(apart(format!("after {call:?}: {how}")));
            }
            between();
        }
    }
    Ok(())
}

fn short(result: &side::Outcome) -> String {
    let text = format!("{result:?}");
    if text.len() < 200 { text } else { format!("{}… ({} characters)", &text[..160], text.len()) }
}

/// Two new empty folders.
struct Pairs<'a> {
    mount: &'a Path,
    local: &'a Path,
    made: usize,
}

impl Pairs<'_> {
    fn play(&mut self, calls: &[Call], between: impl FnMut()) -> Result<(), Apart> {
        self.made += 1;
        let name = format!("run {}", self.made);
        let (mount, local) = (self.mount.join(&name), self.local.join(&name));
        std::fs::create_dir(&mount).unwrap();
        std::fs::create_dir(&local).unwrap();
        play(calls, &mount, &local, between)
    }

    /// Leaves out what a failure does not need.
    fn shorten(&mut self, mut calls: Vec<Call>) -> Vec<Call> {
        let mut step = calls.len() / 2;
        while step > 0 {
            let mut from = 0;
            while from + step <= calls.len() && self.made < TRIALS {
                let mut fewer = calls.clone();
                fewer.drain(from..from + step);
                match self.play(&fewer, || ()) {
                    Err(apart) => {
                        fewer.truncate(apart.calls);
                        calls = fewer;
                    }
                    Ok(()) => from += step,
                }
            }
            step /= 2;
        }
        calls
    }
}

/// One life of so many calls.
fn compare(seed: u64, steps: usize, mount: &Path, local: &Path, between: impl FnMut()) {
    println!("INXTFS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let calls: Vec<Call> = (0..steps).map(|_| Call::random(&mut dice)).collect();
    let mut pairs = Pairs { mount, local, made: 0 };
    if let Err(apart) = pairs.play(&calls, between) {
        let fewest = pairs.shorten(calls[..apart.calls].to_vec());
        panic!(
            "INXTFS_SEED={seed}, {} calls: {}\n{} of them show it, if it is not a matter of time: {fewest:#?}",
            apart.calls,
            apart.how,
            fewest.len()
        );
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|n| n.parse().unwrap())
}

/// The seeds to try, and the calls of each.
fn asked() -> (std::ops::Range<u64>, usize) {
    let steps = usize::try_from(number("INXTFS_STEPS").unwrap_or(1000)).unwrap();
    match number("INXTFS_SEED") {
        Some(seed) => (seed..seed + 1, steps),
        None => (1..number("INXTFS_SEQUENCES").unwrap_or(4) + 1, steps),
    }
}

#[test]
fn any_system_calls_have_the_results_they_have_on_a_plain_folder() {
    let (seeds, steps) = asked();
    for seed in seeds {
        // Uploads run in between, or all come at the end.
        let delay = if seed % 2 == 0 { Duration::from_millis(20) } else { Duration::from_secs(3600) };
        let mut world =
            World::with(inxtfs::fs::Config { writeback_delay: delay, empty_delay: delay, ..quick() });
        let local = tempfile::tempdir().unwrap();
        let rest = || {
            if seed % 2 == 0 {
                std::thread::sleep(Duration::from_millis(30))
            }
        };
        std::fs::create_dir(world.path("calls")).unwrap();
        compare(seed, steps, &world.path("calls"), local.path(), rest);
        // A machine that knows nothing finds the same.
        world.drain();
        world.forget();
        let apart = difference(&tree(&world.path("calls")), &tree(local.path()));
        assert_eq!(apart, None, "INXTFS_SEED={seed}: on the server");
    }
}

#[test]
fn two_plain_folders_never_differ_in_the_results_of_system_calls() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut dice = Dice::new(7);
    let calls: Vec<Call> =
        (0..2000).filter_map(|_| Some(Call::random(&mut dice)).filter(Call::is_plain)).collect();
    let apart = play(&calls, a.path(), b.path(), || ()).err();
    assert_eq!(apart.map(|a| a.how), None);
}
