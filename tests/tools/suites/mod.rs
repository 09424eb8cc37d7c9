//! Suites that test filesystems, on mounts of the emulated service. `scripts/fsx`, `scripts/pjdfstest` and `scripts/fsstress`
//! let them run for longer.

mod fsx;
mod pjdfstest;
mod stress;

use std::path::{Path, PathBuf};

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// A program that scripts/setup installs.
fn installed(name: &str) -> PathBuf {
    let path = project("target/tools/bin").join(name);
    assert!(path.exists(), "{} is missing: run scripts/setup", path.display());
    path
}

/// A number that the environment may set.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |n| n.parse().unwrap())
}
