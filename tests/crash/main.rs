//! Nothing acknowledged is lost: the real program on a real mount is killed at random moments and at named
//! points, and mounted again; two mounts of one account work against each other in bad weather.
//!
//! `INXTFS_ROUNDS` and `INXTFS_SEED` ask for more of it; `scripts/soak` does so.
#![allow(clippy::unwrap_used, missing_docs)]

mod cloud;
mod files;
mod hand;
mod life;
mod mounts;
mod pair;
mod points;
mod rng;
mod rounds;
mod tree;
#[path = "../cli/world.rs"]
mod world;

/// A figure from the environment.
fn asked(name: &str, else_: u64) -> u64 {
    std::env::var(name).ok().map_or(else_, |text| text.parse().unwrap())
}

/// A seed that was asked for, or a new one.
fn seed() -> u64 {
    let mut fresh = [0; 8];
    getrandom::fill(&mut fresh).unwrap();
    asked("INXTFS_SEED", u64::from_le_bytes(fresh) >> 32)
}
