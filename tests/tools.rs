//! Real programs, and what others do call by call, on real mounts of the emulated service: bytes, exit codes, and what
//! the service was asked.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "tools/attributes.rs"]
mod attributes;
#[path = "tools/calls/mod.rs"]
mod calls;
#[path = "tools/databases.rs"]
mod databases;
#[path = "tools/desktop.rs"]
mod desktop;
#[path = "common/dice.rs"]
mod dice;
#[path = "tools/editors.rs"]
mod editors;
#[path = "tools/errors.rs"]
mod errors;
#[path = "tools/everyday.rs"]
mod everyday;
#[path = "tools/mtimes.rs"]
mod mtimes;
#[path = "tools/patterns.rs"]
mod patterns;
#[path = "common/programs.rs"]
mod programs;
#[path = "tools/repositories.rs"]
mod repositories;
#[path = "tools/rsync.rs"]
mod rsync;
#[path = "common/secrets.rs"]
mod secrets;
#[path = "tools/sharing.rs"]
mod sharing;
#[path = "tools/suites/mod.rs"]
mod suites;
#[path = "tools/thumbnails.rs"]
mod thumbnails;
#[path = "tools/trash.rs"]
mod trash;
#[path = "common/trees.rs"]
mod trees;
#[path = "tools/world.rs"]
mod world;
