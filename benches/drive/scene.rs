//! A service with something on it, and the line to it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use inxtfs::emulator::{Config, TlsConfig};

use crate::mount::{Mount, UNHURRIED};
use crate::peers::Subject;
use crate::table::Table;
use crate::world::{EMAIL, World, noise};

/// The run.
pub struct Bench {
    pub table: Table,
    pub lines: Vec<Line>,
    pub scale: u64,
    pub subjects: Vec<Subject>,
}

impl Bench {
    /// So much, or less where a smaller run was asked for.
    pub fn sized(&self, full: u64) -> u64 {
        (full * self.scale / 100).max(1)
    }

    /// Every subject on every line: those of one line right after each other.
    pub fn turns(&self) -> Vec<(Line, Subject)> {
        let turns = self.lines.iter().flat_map(|line| self.subjects.iter().map(|s| (*line, s.clone())));
        turns.collect()
    }

    pub fn scene(&self) -> Scene {
        Scene::new(&self.subjects)
    }
}

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

/// A service, and homes for the programs that use it.
pub struct Scene {
    pub world: World,
}

impl Scene {
    /// With all logged in. The service speaks TLS at its real port where a peer can do nothing else; all
    /// subjects bear that then.
    fn new(subjects: &[Subject]) -> Self {
        let mut config = Config::default();
        if subjects.len() > 1 {
            config.tls = Some(TlsConfig::default());
            config.listen = ([127, 0, 0, 1], 443).into();
        }
        let world = World::with(config);
        world.login(EMAIL, "demo").expect(0);
        let scene = Scene { world };
        subjects.iter().for_each(|subject| subject.login(&scene));
        scene
    }

    /// From now on requests take no time of their own.
    pub fn ideal(&self) {
        let knobs = &self.world.shared().knobs;
        knobs.set_latency(Duration::ZERO);
        knobs.set_bandwidth(None);
        knobs.set_row_cost(Duration::ZERO);
    }

    /// From now on requests take what the line takes.
    pub fn on(&self, line: Line) {
        let knobs = &self.world.shared().knobs;
        knobs.set_latency(line.latency);
        knobs.set_bandwidth(line.bandwidth);
        knobs.set_row_cost(ROW);
    }

    /// Puts something on the service, through our own mount on an ideal line.
    pub fn prepare(&self, what: impl FnOnce(&Path)) {
        self.ideal();
        let mount = Mount::begin(self, &Subject::Inxtfs);
        what(&mount.drive());
        mount.sent().unwrap();
        mount.end();
    }

    /// A mount that has nothing but the tree (a peer: the root's listing), and a connection that stands; on the line.
    pub fn cold(&self, line: Line, subject: &Subject) -> Mount<'_> {
        self.cold_with(line, subject, &[])
    }

    /// The same with some flags for our own.
    pub fn cold_with(&self, line: Line, subject: &Subject, flags: &[&str]) -> Mount<'_> {
        self.ideal();
        subject.throw_cache_away(self);
        let mount = Mount::begin_with(self, subject, &[UNHURRIED, flags].concat());
        mount.know_the_tree();
        mount.settle();
        self.on(line);
        mount
    }
}

/// A file of noise.
pub fn put(drive: &Path, name: &str, size: u64) {
    let (mut file, piece) = (fs::File::create(drive.join(name)).unwrap(), noise(8 << 20));
    write_all(&mut file, &piece, size).unwrap();
}

/// The piece again and again, until it is so much.
pub fn write_all(file: &mut impl io::Write, piece: &[u8], size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        file.write_all(&piece[..len])?;
        left -= len as u64;
    }
    Ok(())
}

/// The kernel forgets what files hold, where it lets us.
pub fn forget_pages() {
    rustix::fs::sync();
    let _ = fs::write("/proc/sys/vm/drop_caches", "1");
}

pub fn read_all(path: &Path) -> io::Result<u64> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(total),
            n => total += n as u64,
        }
    }
}

/// The same, which must be so much.
pub fn read_whole(path: &Path, size: u64) -> io::Result<()> {
    let got = read_all(path)?;
    if got == size { Ok(()) } else { Err(io::Error::other(format!("{got} bytes instead of {size}"))) }
}

pub fn median(mut samples: Vec<f64>) -> f64 {
    percentile(&mut samples, 50)
}

/// Of samples, which are sorted on the way.
pub fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[(samples.len() * percent / 100).min(samples.len() - 1)]
}
