//! Telling the kernel what changed behind its back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::ops::Kernel;
use crate::types::Ino;

/// One thing to tell. Collected within a transaction, told after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Attributes changed.
    Attr(Ino),
    /// Content changed.
    Data(Ino),
    /// A name appeared or vanished, and its folder's listing with it.
    Entry(Ino, String),
}

#[derive(Default)]
pub(super) struct Invalidator {
    kernel: OnceLock<Arc<dyn Kernel>>,
    live: AtomicBool,
}

impl Invalidator {
    pub fn attach(&self, kernel: Arc<dyn Kernel>) {
        if self.kernel.set(kernel).is_err() {
            tracing::warn!("a second kernel was attached and ignored");
        }
        self.set_live(self.live.load(Ordering::Acquire));
    }

    /// Whether the last look at the feeds succeeded: while it did not, changes by others are not heard of.
    pub fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::Release);
        if let Some(kernel) = self.kernel.get() {
            kernel.set_live(live);
        }
    }

    /// Tells the kernel. `outward` gives the numbers the kernel uses.
    pub fn tell(&self, notes: Vec<Note>, outward: impl Fn(Ino) -> Ino) {
        let Some(kernel) = self.kernel.get() else { return };
        for note in notes {
            match note {
                Note::Attr(ino) => kernel.inval_inode(outward(ino), false),
                Note::Data(ino) => kernel.inval_inode(outward(ino), true),
                Note::Entry(parent, name) => kernel.inval_entry(outward(parent), &name),
            }
        }
    }
}
