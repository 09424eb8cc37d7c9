//! A drive in memory, its local state in a temporary folder, mounted in another.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use inxtfs::crypto::seal::Key;
use inxtfs::fs::{Config, Fs, Status as FsStatus};
use inxtfs::fuse::{MountOptions, Mounted, clear_stale, mount};
use inxtfs::remote::memory::Memory;
use inxtfs::remote::{Remote, Row, Status};
use inxtfs::store::Store;
use inxtfs::types::NodeId;
use tokio::runtime::Runtime;

use crate::programs::{self, PATIENCE};

/// How the mounts of these tests show in the mount table.
const SOURCE: &str = "inxtfs:test";

/// A defect can end a whole test process, which then leaves its mounts behind, dead. The next one
/// clears them away; living ones are left alone.
fn clear_the_dead() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        for line in table.lines().filter(|line| line.contains(&format!(" - fuse.inxtfs {SOURCE} "))) {
            let _ = clear_stale(Path::new(line.split(' ').nth(4).unwrap()));
        }
    });
}

/// What a test mounts.
pub struct Setup {
    pub cloud: Memory,
    pub config: Config,
    pub options: MountOptions,
}

impl Default for Setup {
    /// Uploads happen in [`Drive::drain`] alone, so that tests can count them; remote changes show at once.
    fn default() -> Self {
        let config = Config {
            writeback_delay: Duration::from_secs(3600),
            poll_interval: Duration::from_millis(50),
            poll_while_told: 1,
            host: "tester".to_owned(),
            ..Config::default()
        };
        let options = MountOptions { umask: 0o022, fsname: SOURCE.to_owned(), ..MountOptions::default() };
        Setup { cloud: Memory::new(), config, options }
    }
}

struct Up {
    fs: Arc<Fs>,
    mounted: Mounted,
}

/// A mounted drive. Dropping it unmounts, and fails the test if anything stays mounted.
pub struct Drive {
    pub cloud: Memory,
    setup: Setup,
    key: Key,
    up: Option<Up>,
    rt: Runtime,
    state: tempfile::TempDir,
    point: tempfile::TempDir,
}

impl Drive {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        clear_the_dead();
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut drive = Drive {
            cloud: setup.cloud.clone(),
            setup,
            key: Key::random().unwrap(),
            up: None,
            rt,
            state: tempfile::tempdir().unwrap(),
            point: tempfile::tempdir().unwrap(),
        };
        drive.mount();
        drive
    }

    /// Mounts the state that is there.
    pub fn mount(&mut self) {
        assert!(self.up.is_none());
        let remote: Arc<dyn Remote> = self.cloud.client("mount");
        let opened = Store::open(self.state.path(), &remote.account().id, &self.key).unwrap();
        assert_eq!(opened.notices, []);
        let rt = self.rt.handle().clone();
        let entered = self.rt.enter();
        let fs = Fs::start(self.setup.config.clone(), opened.store, remote, rt.clone()).unwrap();
        let mounted = mount(Arc::clone(&fs), rt, self.point.path(), &self.setup.options).unwrap();
        drop(entered);
        self.up = Some(Up { fs, mounted });
    }

    /// Unmounts and stops, as the program does at its end. Local state stays.
    pub fn unmount(&mut self) {
        let up = self.up.take().unwrap();
        self.rt.block_on(async {
            up.mounted.unmount().await.unwrap();
            tokio::time::timeout(PATIENCE, up.fs.stop()).await.expect("the filesystem does not stop");
        });
    }

    pub fn mounted(&self) -> &Mounted {
        &self.up.as_ref().unwrap().mounted
    }

    pub fn root(&self) -> &Path {
        self.point.path()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.point.path().join(below)
    }

    pub fn status(&self) -> FsStatus {
        self.up.as_ref().unwrap().fs.status()
    }

    /// Uploads everything.
    pub fn drain(&self) -> FsStatus {
        let status = self.try_drain();
        assert_eq!(status.totals.items, 0, "{:?}", status.queue);
        status
    }

    /// Uploads what can be.
    pub fn try_drain(&self) -> FsStatus {
        let fs = &self.up.as_ref().unwrap().fs;
        self.block_on(fs.drain())
    }

    /// The kernel forgets what the files of the mount hold.
    pub fn drop_pages(&self) {
        for entry in std::fs::read_dir(self.root()).unwrap() {
            let file = std::fs::File::open(entry.unwrap().path()).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }

    /// Runs a future to its end, which must come soon.
    pub fn block_on<T>(&self, f: impl Future<Output = T>) -> T {
        self.rt.block_on(async { tokio::time::timeout(PATIENCE, f).await.expect("takes too long") })
    }

    pub fn cloud_root(&self) -> NodeId {
        self.cloud.account().root
    }

    /// The living rows of this name.
    pub fn rows(&self, display: &str) -> Vec<Row> {
        let mut rows = self.cloud.rows();
        rows.retain(|r| r.status == Status::Exists && r.name.display() == display);
        rows
    }

    /// The one living row of this name.
    pub fn row(&self, display: &str) -> Row {
        let mut rows = self.rows(display);
        assert_eq!(rows.len(), 1, "{display}: {rows:?}");
        rows.remove(0)
    }

    /// What the cloud holds under this name.
    pub fn uploaded(&self, display: &str) -> Bytes {
        self.cloud.content(&self.row(display).id).unwrap()
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let Some(up) = self.up.take() else { return };
        let point = up.mounted.mountpoint().to_owned();
        let orderly = self.rt.block_on(programs::unmount(&up.mounted, &up.fs));
        drop(up);
        if !std::thread::panicking() {
            orderly.unwrap();
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!table.contains(point.to_str().unwrap()), "left mounted: {}", point.display());
        }
    }
}

/// Bytes that compress badly and differ by seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[3]
    })
    .take(len)
    .collect()
}
