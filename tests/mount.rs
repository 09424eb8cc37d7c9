//! Real mounts, used by real programs. One binary, so that it links once.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "mount/basics.rs"]
mod basics;
#[path = "mount/cache.rs"]
mod cache;
#[path = "mount/content.rs"]
mod content;
#[path = "mount/damage.rs"]
mod damage;
#[path = "common/dice.rs"]
#[allow(dead_code)] // each test program uses its own share
mod dice;
#[path = "mount/differential.rs"]
mod differential;
#[path = "mount/harness.rs"]
mod harness;
#[path = "mount/lifecycle.rs"]
mod lifecycle;
#[path = "common/programs.rs"]
mod programs;
#[path = "mount/remote.rs"]
mod remote;
#[path = "mount/saves.rs"]
mod saves;
#[path = "mount/tools.rs"]
mod tools;
#[path = "mount/tree.rs"]
mod tree;
#[path = "common/trees.rs"]
mod trees;
