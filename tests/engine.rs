//! The sync engine without a kernel: the filesystem over a cloud in memory, with failures injected.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "engine/brake.rs"]
mod brake;
#[path = "engine/cache.rs"]
mod cache;
#[path = "engine/content.rs"]
mod content;
#[path = "engine/failed.rs"]
mod failed;
#[path = "engine/faults.rs"]
mod faults;
#[path = "engine/feeds.rs"]
mod feeds;
#[path = "engine/harness.rs"]
mod harness;
#[path = "engine/liar.rs"]
mod liar;
#[path = "engine/model/mod.rs"]
mod model;
#[path = "engine/names.rs"]
mod names;
#[path = "engine/odd.rs"]
mod odd;
#[path = "engine/offline.rs"]
mod offline;
#[path = "engine/reading.rs"]
mod reading;
#[path = "engine/remote.rs"]
mod remote;
#[path = "engine/rescue.rs"]
mod rescue;
#[path = "engine/rings.rs"]
mod rings;
#[path = "common/secrets.rs"]
mod secrets;
#[path = "engine/sends.rs"]
mod sends;
#[path = "engine/trash.rs"]
mod trash;
#[path = "engine/tree.rs"]
mod tree;
#[path = "engine/watch.rs"]
mod watch;
