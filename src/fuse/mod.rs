//! The kernel's side: requests become calls of [`crate::fs::Fs`], its answers become replies, its
//! errors become errnos.
//!
//! Every name of the binding and every errno lives in this room. A request that local state answers
//! is replied to on the thread that read it; any other moves its reply into a task with a deadline,
//! since nobody can kill a process that waits for a reply which never comes. Notifications leave
//! through a thread of their own: the kernel lets them wait for pages that only a reply unlocks.

mod adapter;
mod attr;
mod caching;
mod check;
mod errno;
mod facts;
mod flags;
mod kernel;
mod mount;
mod options;
mod page;
mod proc;
mod readers;
mod reply;

pub use check::{clear, clear_stale, is_ours, is_stale};
pub use facts::{Facts, facts};
pub use mount::{MountError, Mounted, mount};
pub use options::MountOptions;
