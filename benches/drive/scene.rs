//! A mount to be measured, and what measuring gives.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inxtfs::emulator::Mark;
use serde_json::json;

use crate::world::{World, eventually};

/// The way to the service.
#[derive(Clone, Copy)]
pub struct Line {
    pub name: &'static str,
    pub latency: Duration,
    /// Bytes a second, each direction.
    pub bandwidth: Option<u64>,
}

/// What a file row costs the service in a listing.
const ROW: Duration = Duration::from_micros(2500);

/// The program on a mount.
pub struct Scene {
    pub world: World,
    line: Line,
}

/// What happened between two moments.
pub struct Cost {
    pub seconds: f64,
    pub requests: usize,
    pub cpu: f64,
}

impl Scene {
    /// Mounted over an ideal line; [`Scene::on_line`] brings the real one.
    pub fn new(line: Line) -> Self {
        let world = World::logged_in();
        let scene = Scene { world, line };
        scene.mount();
        scene
    }

    pub fn mount(&self) {
        self.world.mount_with(&["--writeback-delay", "1h", "--poll-interval", "1h"]);
    }

    pub fn drive(&self) -> PathBuf {
        self.world.drive()
    }

    /// From now on requests take what the line takes.
    pub fn on_line(&self) {
        let knobs = &self.world.shared().knobs;
        knobs.set_latency(self.line.latency);
        knobs.set_bandwidth(self.line.bandwidth);
        knobs.set_row_cost(ROW);
    }

    /// Everything is on the server, nothing here, and the tree is known again.
    pub fn cold(&self) {
        self.flush();
        self.world.on_drive("umount", &[]).expect(0);
        self.world.throw_cache_away();
        self.mount();
        eventually("the tree is known", || {
            self.world.status()["status"]["hydrated"].as_bool().unwrap_or(false)
        });
    }

    pub fn flush(&self) {
        self.world.on_drive("flush", &[]).expect(0);
    }

    /// Does something, and says what it took.
    pub fn measure(&self, what: impl FnOnce()) -> Cost {
        let pid = self.world.mount_pid();
        let (mark, cpu, start) = (self.world.log().mark(), cpu_of(pid), Instant::now());
        what();
        let seconds = start.elapsed().as_secs_f64();
        Cost { seconds, requests: self.requests(mark), cpu: cpu_of(pid) - cpu }
    }

    fn requests(&self, mark: Mark) -> usize {
        self.world.log().since(mark).iter().filter(|e| !e.path.starts_with("/socket.io")).count()
    }

    /// The most memory the mount ever took, in MiB.
    pub fn peak(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.world.mount_pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

/// Seconds of processor time a process has used.
fn cpu_of(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// The kernel forgets what files hold, where it lets us.
pub fn forget_pages() {
    rustix::fs::sync();
    let _ = fs::write("/proc/sys/vm/drop_caches", "1");
}

pub fn read_all(path: &Path) -> u64 {
    let mut file = fs::File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match std::io::Read::read(&mut file, &mut buffer).unwrap() {
            0 => return total,
            n => total += n as u64,
        }
    }
}

pub fn median(mut samples: Vec<f64>) -> f64 {
    percentile(&mut samples, 50)
}

/// Of samples, which are sorted on the way.
pub fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[(samples.len() * percent / 100).min(samples.len() - 1)]
}

/// One figure.
struct Row {
    line: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    requests: Option<usize>,
    /// What a plain program gets on the same line or disk, in the same unit.
    limit: Option<f64>,
}

/// All figures of a run.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn add(&mut self, line: Line, what: &str, value: f64, unit: &'static str) -> &mut Self {
        let what = what.to_owned();
        self.0.push(Row { line: line.name, what, value, unit, requests: None, limit: None });
        self
    }

    /// Of the figure just added.
    pub fn requests(&mut self, requests: usize) -> &mut Self {
        if let Some(row) = self.0.last_mut() {
            row.requests = Some(requests);
        }
        self
    }

    /// Of the figure just added.
    pub fn limit(&mut self, limit: f64) -> &mut Self {
        if let Some(row) = self.0.last_mut() {
            row.limit = Some(limit);
        }
        self
    }

    pub fn print(&self) {
        println!(
            "{:<20} {:<48} {:>12} {:>12} {:>7} {:>9}",
            "line", "", "mount", "plain", "ratio", "requests"
        );
        for row in &self.0 {
            let value = format!("{:.1} {}", row.value, row.unit);
            let limit = row.limit.map_or(String::new(), |l| format!("{l:.1}"));
            let ratio = row.limit.map_or(String::new(), |l| format!("{:.2}", row.value / l));
            let requests = row.requests.map_or(String::new(), |r| r.to_string());
            println!("{:<20} {:<48} {value:>12} {limit:>12} {ratio:>7} {requests:>9}", row.line, row.what);
        }
    }

    pub fn json(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|r| {
                json!({
                    "line": r.line, "what": r.what, "value": r.value, "unit": r.unit,
                    "plain": r.limit, "requests": r.requests,
                })
            })
            .collect();
        json!(rows).to_string()
    }
}
