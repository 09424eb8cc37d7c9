//! The test's side of the disk: its process, its mount, and the plug.
//!
//! The disk is a process of its own: `SQLite` maps a file of it into memory, and unmapping that waits for whoever serves
//! the file, which must not be a thread of the same process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Tells the test binary to be a disk, mounted there.
pub const SERVE: &str = "INXTFS_POWER_DISK";
/// The test that is one when told so.
pub const SERVER: &str = "a_disk_that_loses_power_keeps_what_was_synced";

/// The longest the disk may be silent, and the test without asking it anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk whose power can be cut. Dropping it unmounts.
pub struct Plug {
    child: Arc<Mutex<Child>>,
    to: ChildStdin,
    from: Receiver<String>,
    asked: Arc<Mutex<Option<Instant>>>,
    point: Option<tempfile::TempDir>,
}

impl Plug {
    pub fn new() -> Plug {
        clear_the_dead();
        let point = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SERVER, "--exact", "--nocapture", "--test-threads=1"])
            .env(SERVE, point.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What ends the test's whole group is not to end this one before it has unmounted: it goes when nobody tells it more.
            .process_group(0)
            .spawn()
            .unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, from) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The test runner says things, too, on the same line even.
                if let Some((_, words)) = line.split_once('@') {
                    let _ = tell.send(words.to_owned());
                }
            }
        });
        let child = Arc::new(Mutex::new(child));
        let asked = Arc::new(Mutex::new(Some(Instant::now())));
        watch(&child, &asked);
        let plug = Plug { child, to, from, asked, point: Some(point) };
        assert_eq!(plug.heard(), "ready");
        plug
    }

    /// Where the disk is mounted.
    pub fn path(&self) -> &Path {
        self.point.as_ref().unwrap().path()
    }

    fn heard(&self) -> String {
        let Ok(words) = self.from.recv_timeout(PATIENCE) else { panic!("the disk does not answer") };
        *self.asked.lock() = Some(Instant::now());
        words
    }

    fn ask(&mut self, words: &str) -> String {
        *self.asked.lock() = Some(Instant::now());
        writeln!(self.to, "{words}").unwrap();
        self.heard()
    }

    /// After so many more changes the power goes: nothing is written any more, and every change fails.
    pub fn goes_after(&mut self, changes: u64) {
        assert_eq!(self.ask(&format!("fuse {changes}")), "ok");
    }

    /// The power goes now.
    pub fn goes(&mut self) {
        assert_eq!(self.ask("dead"), "ok");
    }

    /// The power comes back; what the disk then holds depends on the seed. Nothing of it may be in use.
    pub fn comes_back(&mut self, seed: u64) {
        assert_eq!(self.ask(&format!("cut {seed}")), "ok");
    }

    /// Bytes that fit the disk.
    pub fn capacity(&mut self, bytes: u64) {
        assert_eq!(self.ask(&format!("capacity {bytes}")), "ok");
    }

    fn state(&mut self) -> Vec<u64> {
        self.ask("state").split(' ').map(|n| n.parse().unwrap()).collect()
    }

    /// Whether the power has gone.
    pub fn is_dead(&mut self) -> bool {
        self.state()[0] == 1
    }

    /// Syncs so far: of files with blocks (and their folders), and of others.
    pub fn syncs(&mut self) -> (u64, u64) {
        let state = self.state();
        (state[1], state[2])
    }
}

/// A test that was killed leaves its disk's mount behind, dead.
fn clear_the_dead() {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in table.lines().filter(|line| line.contains(super::serve::SOURCE)) {
        let at = Path::new(line.split(' ').nth(4).unwrap());
        if std::fs::metadata(at).is_err_and(|e| e.raw_os_error() == Some(libc::ENOTCONN)) {
            let _ = rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// Ends the disk when the test hangs: what waits for it in the kernel then fails.
fn watch(child: &Arc<Mutex<Child>>, asked: &Arc<Mutex<Option<Instant>>>) {
    let (child, asked) = (child.clone(), asked.clone());
    std::thread::spawn(move || {
        while let Some(last) = { *asked.lock() } {
            if last.elapsed() > PATIENCE * 2 {
                let _ = child.lock().kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    });
}

impl Drop for Plug {
    fn drop(&mut self) {
        let _ = writeln!(self.to, "quit");
        let until = Instant::now() + Duration::from_secs(5);
        let mut child = self.child.lock();
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
        *self.asked.lock() = None;
        if let Some(point) = self.point.take() {
            // In the way of a removal only if the process did not do it.
            let _ = rustix::mount::unmount(point.path(), rustix::mount::UnmountFlags::DETACH);
            drop(point);
        }
    }
}
