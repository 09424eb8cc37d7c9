//! A mount to be measured, and what measuring gives.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use inxtfs::emulator::Mark;

use crate::peers::Subject;
use crate::scene::Scene;
use crate::world::{eventually, is_mounted};

/// What happened between two moments.
#[derive(Clone, Debug)]
pub struct Cost {
    pub seconds: f64,
    pub requests: usize,
    /// Seconds of processor time.
    pub cpu: f64,
    /// The most memory the mount has taken so far, in MiB.
    pub peak: f64,
    /// What was asked for, and how often.
    pub routes: BTreeMap<String, usize>,
}

impl Cost {
    pub fn millis(&self) -> f64 {
        self.seconds * 1000.0
    }

    /// Megabytes a second.
    pub fn rate(&self, bytes: u64) -> f64 {
        bytes as f64 / self.seconds / 1e6
    }

    /// This and what came after it.
    pub fn and(&self, next: &Cost) -> Cost {
        Cost {
            seconds: self.seconds + next.seconds,
            requests: self.requests + next.requests,
            cpu: self.cpu + next.cpu,
            peak: next.peak,
            routes: next.routes.iter().fold(self.routes.clone(), |mut all, (route, n)| {
                *all.entry(route.clone()).or_default() += n;
                all
            }),
        }
    }
}

/// A subject that is mounted. Goes away with this, whatever happens.
pub struct Mount<'a> {
    scene: &'a Scene,
    /// A peer, which stays in the foreground.
    child: Option<Child>,
    pid: i32,
}

/// Our own does nothing by itself.
pub const UNHURRIED: &[&str] = &["--writeback-delay", "1h", "--poll-interval", "1h"];

/// Requests at a time for who has many small files to send, or to list, as README has it.
pub const HURRIED: &[&str] = &["--requests", "24"];

/// A peer that has not come, or not ended, by then never will.
const PATIENCE: Duration = Duration::from_secs(600);
/// What sends on its own is through when nothing was asked for so long.
const QUIET: Duration = Duration::from_secs(3);

impl<'a> Mount<'a> {
    /// With the sending of changes left to [`Mount::sent`], where the subject can do that.
    pub fn begin(scene: &'a Scene, subject: &Subject) -> Self {
        Self::begin_with(scene, subject, UNHURRIED)
    }

    /// As a user would. The flags are for our own.
    pub fn begin_with(scene: &'a Scene, subject: &Subject, flags: &[&str]) -> Self {
        let Some(mut command) = subject.mount_command(scene) else {
            scene.world.mount_with(flags);
            let pid = scene.world.mount_pid();
            return Mount { scene, child: None, pid };
        };
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mount = Mount { scene, child: Some(child), pid };
        eventually("a peer mounts", || is_mounted(&mount.drive()));
        mount
    }

    pub fn scene(&self) -> &'a Scene {
        self.scene
    }

    pub fn drive(&self) -> PathBuf {
        self.scene.world.drive()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.drive().join(name)
    }

    pub fn know_the_tree(&self) {
        if self.child.is_some() {
            fs::read_dir(self.drive()).unwrap().for_each(|entry| drop(entry.unwrap().metadata()));
            return;
        }
        eventually("the tree is known", || {
            self.scene.world.status()["status"]["hydrated"].as_bool().unwrap_or(false)
        });
    }

    /// What goes on behind is through: nothing was asked for in the last second.
    pub fn settle(&self) {
        let mut mark = self.scene.world.log().mark();
        eventually("requests end", || {
            std::thread::sleep(Duration::from_secs(1));
            let before = std::mem::replace(&mut mark, self.scene.world.log().mark());
            requests_since(self.scene, before) == 0
        });
    }

    /// Does something, and says what it took.
    pub fn measure(&self, what: impl FnOnce() -> io::Result<()>) -> Result<Cost, String> {
        let (mark, cpu, start) = (self.scene.world.log().mark(), cpu_of(self.pid), Instant::now());
        let done = what();
        let seconds = start.elapsed().as_secs_f64();
        let cost = self.cost(mark, cpu, seconds);
        done.map_err(|e| e.to_string())?;
        Ok(cost)
    }

    /// From now until the server has everything: ours is told to send, of a peer is waited until it asks for nothing
    /// any more. Counts until the last request was answered.
    pub fn sent(&self) -> Result<Cost, String> {
        if self.child.is_none() {
            return self.measure(|| {
                let ran = self.scene.world.on_drive("flush", &[]);
                if ran.code == 0 { Ok(()) } else { Err(io::Error::other(format!("flush: {}", ran.err))) }
            });
        }
        let (mark, cpu, start) = (self.scene.world.log().mark(), cpu_of(self.pid), SystemTime::now());
        let began = Instant::now();
        let mut busy = began;
        let mut last = start;
        while busy.elapsed() < QUIET {
            if began.elapsed() > PATIENCE {
                return Err(format!("still at it after {} s", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
            // What began before the mark may end after it.
            for entry in self.scene.world.log().since(Mark::START).iter().rev().take(500) {
                let ended = entry.handled.unwrap_or_else(SystemTime::now);
                if entry.status.is_none() || ended > last {
                    busy = Instant::now();
                    last = last.max(ended);
                }
            }
        }
        let seconds = last.duration_since(start).unwrap_or_default().as_secs_f64();
        Ok(self.cost(mark, cpu, seconds))
    }

    fn cost(&self, mark: Mark, cpu_before: f64, seconds: f64) -> Cost {
        let cpu = cpu_of(self.pid) - cpu_before;
        let routes = routes_since(self.scene, mark);
        Cost { seconds, requests: routes.values().sum(), cpu, peak: peak_of(self.pid), routes }
    }

    pub fn end(mut self) {
        self.unmount();
    }

    fn unmount(&mut self) {
        let drive = self.drive();
        match &mut self.child {
            None if is_mounted(&drive) => drop(self.scene.world.on_drive("umount", &[])),
            None => {}
            Some(child) => {
                let _ = Command::new("fusermount3").arg("-uzq").arg(&drive).status();
                let start = Instant::now();
                while child.try_wait().is_ok_and(|end| end.is_none()) {
                    if start.elapsed() > Duration::from_secs(10) {
                        let _ = child.kill();
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        self.unmount();
    }
}

pub fn requests_since(scene: &Scene, mark: Mark) -> usize {
    routes_since(scene, mark).values().sum()
}

/// Requests a route, such as `GET /drive/files/*/meta`.
pub fn routes_since(scene: &Scene, mark: Mark) -> BTreeMap<String, usize> {
    let mut routes = BTreeMap::new();
    for entry in scene.world.log().since(mark) {
        let path = entry.path.split('?').next().unwrap_or_default();
        if path.starts_with("/socket.io") {
            continue;
        }
        let is_id = |part: &str| part.len() >= 16 && part.contains(|c: char| c.is_ascii_digit());
        let parts: Vec<_> = path.split('/').map(|part| if is_id(part) { "*" } else { part }).collect();
        *routes.entry(format!("{} {}", entry.method, parts.join("/"))).or_default() += 1;
    }
    routes
}

/// Seconds of processor time a process has used.
pub fn cpu_of(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The most memory a process ever took, in MiB.
fn peak_of(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Runs a tool of the system on a mount, which may fail there.
pub fn tool(name: &str, args: &[&Path]) -> io::Result<()> {
    let output = Command::new(name).args(args).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{name}: {}", text.lines().next().unwrap_or("failed"))))
}
