//! One life of the program: from its start to its end by whoever's hand. Never longer than a bound.

use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Ran, World, eventually, is_mounted, is_running, run, signal};

/// No life lasts longer: whatever hangs in the kernel ends with the process.
const LONGEST: Duration = Duration::from_secs(150);

/// Lines of the program's own story.
const TOLD: usize = 60;

/// Kills one process, and nothing else that may have got its number later.
#[derive(Clone)]
pub struct Killer(Arc<Target>);

struct Target {
    /// `None` once it has been waited for.
    pid: Mutex<Option<i32>>,
    killed: AtomicBool,
}

impl Killer {
    /// Returns when the process is dead.
    pub fn kill(&self) {
        // First of all: whoever gets an error of the mount from here on knows why.
        self.0.killed.store(true, Ordering::SeqCst);
        let pid = self.0.pid.lock().unwrap();
        if let Some(pid) = *pid {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            let start = Instant::now();
            while is_running(pid) && start.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    pub fn has_killed(&self) -> bool {
        self.0.killed.load(Ordering::SeqCst)
    }
}

/// A process that mounts, or has mounted, the drive.
pub struct Life {
    child: Child,
    at: PathBuf,
    log: PathBuf,
    killer: Killer,
    hung: Arc<AtomicBool>,
    /// Gone with the life: the watch ends.
    _watched: mpsc::Sender<()>,
}

impl Life {
    /// Starts `inxtfs mount` on the folder `name` of the world, with local state of its own.
    pub fn start(world: &World, name: &str, flags: &[&str]) -> Life {
        let (at, log) = (world.path(name), world.path(&format!("{name}.log")));
        let out = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let cache = world.path(&format!("{name}.cache"));
        let mut command = world.command();
        command.args(["mount", "--force", "--pace", "100ms", "--poll-interval", "500ms", "--cache-dir"]);
        command
            .arg(&cache)
            .args(flags)
            .arg(&at)
            .envs(std::env::vars_os().filter(|(name, _)| name == "INXTFS_LOG"));
        let child = command.stdout(out.try_clone().unwrap()).stderr(Stdio::from(out)).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let killer = Killer(Arc::new(Target { pid: Mutex::new(Some(pid)), killed: AtomicBool::new(false) }));
        let hung = Arc::new(AtomicBool::new(false));
        let watched = watch(killer.clone(), hung.clone());
        Life { child, at, log, killer, hung, _watched: watched }
    }

    /// Waits until the mount answers.
    pub fn stand(&mut self) {
        let outside = std::fs::metadata(self.at.parent().unwrap()).unwrap().dev();
        let start = Instant::now();
        // In this order: of a dead mount the kernel still knows the attributes, and opens it without asking.
        let stands = |at: &Path| {
            rustix::fs::statvfs(at).is_ok() && std::fs::metadata(at).is_ok_and(|m| m.dev() != outside)
        };
        while !stands(&self.at) {
            let lives = is_running(i32::try_from(self.child.id()).unwrap());
            assert!(lives, "the mount ended\n{}", self.told());
            assert!(start.elapsed() < Duration::from_secs(60), "no mount\n{}", self.told());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    pub fn root(&self) -> &Path {
        &self.at
    }

    /// The last lines of what the process said.
    pub fn told(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TOLD)..].join("\n")
    }

    /// Kills what is left of it.
    pub fn end(mut self) {
        self.killer.kill();
        self.reap();
        assert!(!self.hung.load(Ordering::SeqCst), "it hung\n{}", self.told());
    }

    /// Ends it in order.
    pub fn leave(mut self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        signal(pid, Signal::TERM);
        eventually("the program ends when it is told to", || !is_running(pid));
        self.reap();
        assert!(!is_mounted(&self.at), "it left its mount");
    }

    /// Nothing else waits for the child: until then its number is its own.
    fn reap(&mut self) {
        let mut pid = self.killer.0.pid.lock().unwrap_or_else(|e| e.into_inner());
        let _ = self.child.wait();
        *pid = None;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.killer.kill();
        self.reap();
    }
}

/// `inxtfs flush`, for so many seconds at most: what is stuck must not keep anybody from telling.
pub fn flush(world: &World, name: &str, seconds: u32) -> Ran {
    let mut flush = world.command_of("timeout");
    flush.args([&seconds.to_string(), env!("CARGO_BIN_EXE_inxtfs"), "flush"]).arg(world.path(name));
    run(&mut flush, "")
}

/// A mountpoint, clear at the end whatever happens before.
pub struct Point(PathBuf);

impl Point {
    pub fn make(world: &World, name: &str) -> Point {
        let at = world.path(name);
        std::fs::create_dir_all(&at).unwrap();
        Point(at)
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        if is_mounted(&self.0) {
            let _ = Command::new("fusermount3").arg("-uzq").arg(&self.0).status();
        }
    }
}

/// Kills a process that lives too long. The watch ends with what it returns.
fn watch(killer: Killer, hung: Arc<AtomicBool>) -> mpsc::Sender<()> {
    let (watched, gone) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if gone.recv_timeout(LONGEST) == Err(mpsc::RecvTimeoutError::Timeout) {
            hung.store(true, Ordering::SeqCst);
            killer.kill();
        }
    });
    watched
}
