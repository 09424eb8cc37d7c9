//! Random lives of a drive, step by step beside a plain filesystem in memory.
//!
//! *Alone*, the drive shows what the plain one shows after every step, whatever the weather, and in the end the cloud
//! does, too. With *another client* about, each local step does to the view what it does to a plain filesystem;
//! what a look at the cloud changes is checked (every acknowledged content is somewhere, open files keep theirs, nothing
//! shows bytes that nobody wrote) and becomes the new starting point; in the end both sides agree.
//!
//! `INXTFS_SEED` repeats one life, `INXTFS_SEQUENCES` says how many there are, from `INXTFS_FIRST` on; a life that fails prints its steps.
//! `INXTFS_STEPS` says how long a life is: what goes wrong late shows in long ones.
//! `INXTFS_LOG` (such as `inxtfs=debug`) lets the drive tell what it does, `INXTFS_SLOW` names lives that take so many
//! milliseconds.

mod lives;
mod others;
mod reference;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inxtfs::fs::Config;
use inxtfs::remote::memory::Memory;

use super::harness::{Engine, patient};
use lives::Life;
use world::{Mem, World};

/// Lives of either kind in an ordinary run.
const SEQUENCES: u64 = 1000;
/// Lives at the same time: they wait a good deal.
const THREADS: usize = 6;

/// A reproducible generator (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % n as u64).unwrap()
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len())].clone()) }
    }
}

#[test]
fn alone_the_drive_is_a_plain_tree_in_any_weather() {
    many("alone", SEQUENCES, true);
}

#[test]
fn with_another_client_about_both_sides_agree_in_the_end_and_nothing_is_lost() {
    many("together", SEQUENCES, false);
}

fn many(what: &str, sequences: u64, alone: bool) {
    let count = number("INXTFS_SEQUENCES").unwrap_or(sequences);
    let first = number("INXTFS_SEED");
    let begin = number("INXTFS_FIRST").unwrap_or(1);
    let seeds = first.map_or(begin..begin + count, |seed| seed..seed + 1);
    run(
        what,
        seeds,
        || true,
        |seed| {
            let cloud = Memory::new();
            cloud.set_events(false);
            let mut dice = Dice::new(seed ^ 0x5eed);
            let lagging = dice.one_in(4);
            let eager = alone && dice.one_in(4);
            let e = Engine::seeded(cloud.clone(), config(eager, lagging), seed);
            let world: Box<dyn World> = Box::new(Mem { cloud, lagging });
            Life::new(e, world, seed, alone, eager)
        },
    );
}

/// Others' changes are seen when a step says so; waits are short.
pub fn config(eager: bool, lagging: bool) -> Config {
    // A replica's lag must be short against the time for which the engine reckons with it.
    let pace = Duration::from_millis(if lagging { 10 } else { 3 });
    let delay = if eager { Duration::ZERO } else { Duration::from_secs(3600) };
    let poll_interval = Duration::from_secs(3600);
    Config { writeback_delay: delay, empty_delay: delay, poll_interval, pace, ..patient() }
}

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap())
}

/// How long a life is, if nobody says otherwise.
pub fn steps(usual: usize) -> usize {
    number("INXTFS_STEPS").map_or(usual, |steps| usize::try_from(steps).unwrap())
}

/// Lives one life a seed, some at the same time, while there are seeds and `more` says so. The first that fails ends it all and
/// prints how it went.
pub fn run(
    what: &str,
    seeds: std::ops::Range<u64>,
    more: impl Fn() -> bool + Sync,
    birth: impl Fn(u64) -> Life + Sync,
) {
    let (next, failed, began) = (AtomicU64::new(seeds.start), AtomicBool::new(false), Instant::now());
    if let Ok(filter) = std::env::var("INXTFS_LOG") {
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    let struck = AtomicU64::new(0);
    let slow = number("INXTFS_SLOW").map(Duration::from_millis);
    std::thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                while !failed.load(Ordering::Relaxed) && more() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let born = Instant::now();
                    let mut life = birth(seed);
                    if let Err(e) = catch_unwind(AssertUnwindSafe(|| life.live())) {
                        failed.store(true, Ordering::Relaxed);
                        eprintln!("{what}: INXTFS_SEED={seed}\n{}", life.log.join("\n"));
                        eprintln!("there:\n{}", life.world.story(&life.e));
                        std::panic::resume_unwind(e);
                    }
                    struck.fetch_add(life.e.fault.injected().len() as u64, Ordering::Relaxed);
                    if slow.is_some_and(|limit| born.elapsed() > limit) {
                        eprintln!(
                            "{what}: INXTFS_SEED={seed} took {:?}\n{}",
                            born.elapsed(),
                            life.log.join("\n")
                        );
                    }
                }
            });
        }
    });
    let lived = next.load(Ordering::Relaxed).min(seeds.end) - seeds.start;
    let (from, to, struck) = (seeds.start, seeds.start + lived, struck.load(Ordering::Relaxed));
    println!("{what}: seeds {from}..{to}, {struck} calls failed on purpose, in {:.0?}", began.elapsed());
}
