//! Telling the kernel what to forget.
//!
//! The kernel handles a notification on the thread that writes it, under locks that a pending request
//! may hold. So callers only queue; one thread writes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fuser::{INodeNo, Notifier};
use parking_lot::{Condvar, Mutex};

use super::caching::Caching;
use crate::fs::Kernel;
use crate::types::Ino;

/// What was answered while something changed is told to be forgotten once more after this: by then the kernel has
/// taken the answer in.
const ONCE_MORE: Duration = Duration::from_millis(200);
/// Notifications that may wait. Beyond it timeouts are shortened instead.
const CAPACITY: usize = 262_144;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Attributes, and with `data` pages (of a folder: its listing).
    Inode { ino: Ino, data: bool },
    /// A name, and its folder's listing.
    Entry { parent: Ino, name: String },
}

#[derive(Debug)]
enum Slot {
    Inode(Ino),
    Entry(Ino, String),
}

/// What waits, each thing once.
#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Slot>,
    /// Waiting inodes, and whether their pages go too.
    inodes: HashMap<Ino, bool>,
    entries: HashSet<(Ino, String)>,
    /// To be told at a later moment; in the order of those.
    later: VecDeque<(Instant, Notice)>,
    closed: bool,
}

impl Queue {
    /// False: no room.
    fn push(&mut self, notice: Notice, capacity: usize) -> bool {
        match notice {
            Notice::Inode { ino, data } => {
                if let Some(pages) = self.inodes.get_mut(&ino) {
                    *pages |= data;
                    return true;
                }
                if self.order.len() >= capacity {
                    return false;
                }
                self.inodes.insert(ino, data);
                self.order.push_back(Slot::Inode(ino));
            }
            Notice::Entry { parent, name } => {
                let key = (parent, name);
                if self.entries.contains(&key) {
                    return true;
                }
                if self.order.len() >= capacity {
                    return false;
                }
                self.order.push_back(Slot::Entry(parent, key.1.clone()));
                self.entries.insert(key);
            }
        }
        true
    }

    /// Takes what may be told at `now`, or says when something may.
    fn next(&mut self, now: Instant) -> Result<Notice, Option<Instant>> {
        if let Some(notice) = self.pop() {
            return Ok(notice);
        }
        match self.later.front() {
            Some((at, _)) if *at > now => Err(Some(*at)),
            _ => self.later.pop_front().map(|(_, notice)| notice).ok_or(None),
        }
    }

    /// Takes the oldest, so that what comes later counts anew.
    fn pop(&mut self) -> Option<Notice> {
        Some(match self.order.pop_front()? {
            Slot::Inode(ino) => Notice::Inode { ino, data: self.inodes.remove(&ino).unwrap_or(true) },
            Slot::Entry(parent, name) => {
                let key = (parent, name);
                self.entries.remove(&key);
                Notice::Entry { parent, name: key.1 }
            }
        })
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The kernel's caches of one mount.
#[derive(Debug)]
pub(super) struct Notifications {
    shared: Arc<Shared>,
    caching: Arc<Caching>,
    capacity: usize,
}

impl Notifications {
    /// Starts the thread that writes. It ends when the mount does, or with [`Notifications::close`].
    pub(super) fn start(notifier: Notifier, caching: Arc<Caching>) -> io::Result<Arc<Self>> {
        let this = Arc::new(Self::start_with(caching, CAPACITY, move |notice| write(&notifier, notice))?);
        let weak = Arc::downgrade(&this);
        this.caching.when_overtaken(move |notice| {
            if let Some(this) = weak.upgrade() {
                this.once_more(notice);
            }
        });
        Ok(this)
    }

    fn start_with(
        caching: Arc<Caching>,
        capacity: usize,
        mut sink: impl FnMut(&Notice) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::default()), wake: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        thread::Builder::new().name("inxtfs-notify".to_owned()).spawn(move || for_thread.run(&mut sink))?;
        Ok(Notifications { shared, caching, capacity })
    }

    fn push(&self, notice: Notice) {
        self.caching.invalidated();
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            return;
        }
        if queue.push(notice, self.capacity) {
            drop(queue);
            self.shared.wake.notify_one();
        } else {
            drop(queue);
            self.caching.lost();
        }
    }

    /// Tells it in a moment: an answer that is being sent may bring back what was to be forgotten.
    fn once_more(&self, notice: Notice) {
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            return;
        }
        if queue.later.len() < self.capacity {
            queue.later.push_back((Instant::now() + ONCE_MORE, notice));
            drop(queue);
            self.shared.wake.notify_one();
        } else {
            drop(queue);
            self.caching.lost();
        }
    }

    /// Ends the thread after the notification it is writing.
    pub(super) fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.close();
    }
}

impl Kernel for Notifications {
    fn inval_inode(&self, ino: Ino, data: bool) {
        self.push(Notice::Inode { ino, data });
    }

    fn inval_entry(&self, parent: Ino, name: &str) {
        self.push(Notice::Entry { parent, name: name.to_owned() });
    }

    fn set_live(&self, live: bool) {
        self.caching.set_live(live);
    }
}

impl Shared {
    fn run(&self, sink: &mut dyn FnMut(&Notice) -> io::Result<()>) {
        loop {
            let notice = {
                let mut queue = self.queue.lock();
                loop {
                    if queue.closed {
                        return;
                    }
                    match queue.next(Instant::now()) {
                        Ok(notice) => break notice,
                        Err(None) => self.wake.wait(&mut queue),
                        Err(Some(at)) => {
                            self.wake.wait_until(&mut queue, at);
                        }
                    }
                }
            };
            if let Err(e) = sink(&notice) {
                if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENOTCONN | libc::EBADF)) {
                    *self.queue.lock() = Queue { closed: true, ..Queue::default() };
                    return;
                }
                tracing::debug!(?notice, error = %e, "the kernel refused a notification");
            }
        }
    }
}

fn write(notifier: &Notifier, notice: &Notice) -> io::Result<()> {
    match notice {
        // A negative offset leaves the pages alone; zero length means all of them.
        Notice::Inode { ino, data } => notifier.inval_inode(INodeNo(ino.0), if *data { 0 } else { -1 }, 0),
        Notice::Entry { parent, name } => {
            // This waits for whoever looks into the folder just now...
            let told = notifier.inval_entry(INodeNo(parent.0), OsStr::new(name));
            // ...so that none of them brings back the listing that this drops, which the kernel keeps on its own.
            notifier.inval_inode(INodeNo(parent.0), 0, 0).and(told)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn waiting_notifications_coalesce_and_keep_their_order() {
        let mut queue = Queue::default();
        let entry = |name: &str| Notice::Entry { parent: Ino(1), name: name.to_owned() };
        assert!(queue.push(Notice::Inode { ino: Ino(7), data: false }, 3));
        assert!(queue.push(entry("a"), 3));
        assert!(queue.push(Notice::Inode { ino: Ino(7), data: true }, 3));
        assert!(queue.push(entry("a"), 3));
        assert!(queue.push(entry("b"), 3));
        assert!(!queue.push(entry("c"), 3), "full");
        assert!(queue.push(entry("b"), 3), "what waits already needs no room");
        assert_eq!(queue.pop(), Some(Notice::Inode { ino: Ino(7), data: true }));
        assert_eq!(queue.pop(), Some(entry("a")));
        assert!(queue.push(entry("a"), 3), "taken, so it counts anew");
        assert_eq!(queue.pop(), Some(entry("b")));
        assert_eq!(queue.pop(), Some(entry("a")));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_blocked_kernel_blocks_no_caller_and_overflow_shortens_timeouts() {
        let caching = Arc::new(Caching::new());
        caching.set_live(true);
        let long = caching.ttl(caching.begin());
        let (seen, seen_by_test) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let kernel = Notifications::start_with(Arc::clone(&caching), 2, move |notice| {
            let _ = seen.send(notice.clone());
            let _ = released.recv();
            Ok(())
        })
        .unwrap();
        kernel.inval_inode(Ino(1), false);
        assert_eq!(seen_by_test.recv_timeout(SOON).unwrap(), Notice::Inode { ino: Ino(1), data: false });
        kernel.inval_inode(Ino(2), false);
        kernel.inval_inode(Ino(3), false);
        assert_eq!(caching.ttl(caching.begin()), long);
        kernel.inval_entry(Ino(1), "over");
        assert!(caching.ttl(caching.begin()) < long);
        drop(release);
        assert_eq!(seen_by_test.recv_timeout(SOON).unwrap(), Notice::Inode { ino: Ino(2), data: false });
        assert_eq!(seen_by_test.recv_timeout(SOON).unwrap(), Notice::Inode { ino: Ino(3), data: false });
        kernel.close();
        assert!(matches!(seen_by_test.recv_timeout(SOON), Err(mpsc::RecvTimeoutError::Disconnected)));
    }

    #[test]
    fn what_is_for_later_comes_after_what_waits_and_at_its_time() {
        let mut queue = Queue::default();
        let (now, inode) = (Instant::now(), |n| Notice::Inode { ino: Ino(n), data: true });
        queue.later.push_back((now + SOON, inode(1)));
        assert!(queue.push(inode(2), 3));
        assert_eq!(queue.next(now), Ok(inode(2)));
        assert_eq!(queue.next(now), Err(Some(now + SOON)));
        assert_eq!(queue.next(now + SOON), Ok(inode(1)));
        assert_eq!(queue.next(now + SOON), Err(None));
    }

    #[test]
    fn the_thread_ends_with_the_mount() {
        let (seen, seen_by_test) = mpsc::channel::<()>();
        let kernel = Notifications::start_with(Arc::new(Caching::new()), 2, move |_| {
            let _ = seen.send(());
            Err(io::Error::from_raw_os_error(libc::ENODEV))
        })
        .unwrap();
        kernel.inval_inode(Ino(1), true);
        assert!(seen_by_test.recv_timeout(SOON).is_ok());
        assert!(matches!(seen_by_test.recv_timeout(SOON), Err(mpsc::RecvTimeoutError::Disconnected)));
        kernel.inval_inode(Ino(2), true);
        assert!(kernel.shared.queue.lock().order.is_empty());
    }
}
