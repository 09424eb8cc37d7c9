//! The sync engine without a kernel: the filesystem over a cloud in memory, with failures injected.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "engine/content.rs"]
mod content;
#[path = "engine/faults.rs"]
mod faults;
#[path = "engine/harness.rs"]
mod harness;
#[path = "engine/model.rs"]
mod model;
#[path = "engine/names.rs"]
mod names;
#[path = "engine/odd.rs"]
mod odd;
#[path = "engine/open.rs"]
mod open;
#[path = "engine/remote.rs"]
mod remote;
#[path = "engine/sends.rs"]
mod sends;
