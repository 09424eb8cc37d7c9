//! A service, a mount of it, and a second client that sees what the service has.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use inxtfs::api::{ClientId, Gateway};
use inxtfs::crypto::seal::Key;
use inxtfs::emulator::{self, AccountSpec, Emulator, Mark, Tier};
use inxtfs::fs::{Config, Disk, Fs, Gauge, Status as FsStatus, Thumbnails};
use inxtfs::fuse::{MountError, MountOptions, Mounted, mount};
use inxtfs::remote::internxt::{Internxt, Options};
use inxtfs::remote::session::{self, Credentials, Login};
use inxtfs::remote::{Body, Cursor, Remote, Replacement, Row, Scope, Status};
use inxtfs::store::Store;
use inxtfs::types::{Kind, Timestamp, Urgency};
use tokio::runtime::Runtime;

use crate::programs::{self, PATIENCE};
use crate::secrets::InMemory;

pub const EMAIL: &str = "user@example.com";
const PASSWORD: &str = "correct horse";

struct Up {
    fs: Arc<Fs>,
    mounted: Mounted,
}

/// Unmounts. A child that another test starts just now has this test's files open until it becomes its program.
async fn take_down(mounted: &Mounted) {
    let begun = Instant::now();
    loop {
        match mounted.unmount().await {
            Err(MountError::Busy(..)) if begun.elapsed() < PATIENCE / 2 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other.unwrap(),
        }
    }
}

/// Dropping it unmounts.
pub struct World {
    pub emulator: Emulator,
    pub config: Config,
    pub options: MountOptions,
    other: Arc<dyn Remote>,
    credentials: Credentials,
    key: Key,
    up: Option<Up>,
    rt: Runtime,
    state: tempfile::TempDir,
    point: tempfile::TempDir,
}

/// What the service was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub uploads: usize,
    pub creates: usize,
    pub replaces: usize,
    pub moves: usize,
    pub trashes: usize,
    pub folders: usize,
}

impl Sent {
    pub const NOTHING: Sent = Sent { uploads: 0, creates: 0, replaces: 0, moves: 0, trashes: 0, folders: 0 };
    /// A save.
    pub const ONE_REPLACE: Sent = Sent { uploads: 1, replaces: 1, ..Sent::NOTHING };
    pub const ONE_CREATE: Sent = Sent { uploads: 1, creates: 1, ..Sent::NOTHING };
}

/// Waits as on a machine with an impatient user: what rests is sent within a second.
pub fn quick() -> Config {
    Config {
        writeback_delay: Duration::from_millis(700),
        empty_delay: Duration::from_millis(900),
        poll_interval: Duration::from_millis(100),
        poll_while_told: 1,
        pace: Duration::from_millis(50),
        host: "tester".to_owned(),
        ..Config::default()
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(quick())
    }

    pub fn with(config: Config) -> Self {
        let mut world = Self::down(config);
        world.mount();
        world
    }

    /// Mounted, with small pictures shown in the desktop's cache.
    pub fn with_pictures(cache: &Path) -> Self {
        let mut world = World::down(quick());
        let mountpoint = world.root().to_owned();
        // However full this disk is: what was sent stays long enough for a picture to be made of it.
        world.config.disk = Gauge::new(|_| Some(Disk { total: 1 << 40, free: 1 << 39 }));
        world.config.thumbnails = Some(Thumbnails { cache: cache.to_owned(), mountpoint });
        world.mount();
        world
    }

    /// Not mounted yet.
    pub fn down(config: Config) -> Self {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let entered = rt.enter();
        let accounts = vec![AccountSpec::new(EMAIL, PASSWORD, Tier::Ultimate)];
        let emulator = Emulator::start(emulator::Config { accounts, ..emulator::Config::default() }).unwrap();
        let gateway = Gateway::parse(&emulator.gateway()).unwrap();
        let password = PASSWORD.to_owned().into();
        let login = Login { email: EMAIL.to_owned(), password, totp: None, backup_key: None };
        let credentials = rt.block_on(session::login(&gateway, login)).unwrap();
        let other = connect(&credentials, "other");
        drop(entered);
        World {
            emulator,
            config,
            options: MountOptions {
                umask: 0o022,
                fsname: "inxtfs:tools".to_owned(),
                ..MountOptions::default()
            },
            other,
            credentials,
            key: Key::random().unwrap(),
            up: None,
            rt,
            state: tempfile::tempdir().unwrap(),
            point: tempfile::tempdir().unwrap(),
        }
    }

    pub fn mount(&mut self) {
        assert!(self.up.is_none());
        let _in = self.rt.enter();
        let remote = connect(&self.credentials, "mount");
        let opened = Store::open(self.state.path(), &remote.account().id, &self.key).unwrap();
        let fs = Fs::start(self.config.clone(), opened.store, remote, self.rt.handle().clone()).unwrap();
        let mounted =
            mount(Arc::clone(&fs), self.rt.handle().clone(), self.point.path(), &self.options).unwrap();
        self.up = Some(Up { fs, mounted });
    }

    pub fn remount(&mut self) {
        self.unmount();
        self.mount();
    }

    pub fn unmount(&mut self) {
        let up = self.up.take().unwrap();
        self.block_on(async {
            take_down(&up.mounted).await;
            up.fs.stop().await;
        });
    }

    /// Mounts anew with a local state that knows nothing.
    pub fn forget(&mut self) {
        self.unmount();
        self.state = tempfile::tempdir().unwrap();
        self.mount();
    }

    pub fn block_on<T>(&self, f: impl Future<Output = T>) -> T {
        self.rt.block_on(async { tokio::time::timeout(PATIENCE, f).await.expect("takes too long") })
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

    /// Sends everything now.
    pub fn drain(&self) {
        let fs = &self.up.as_ref().unwrap().fs;
        let drained = self.rt.block_on(async { tokio::time::timeout(PATIENCE, fs.drain()).await });
        let status = drained.unwrap_or_else(|_| panic!("never drained: {:#?}", fs.status()));
        assert_eq!(status.totals.items, 0, "{:?}", status.queue);
    }

    /// Waits until all that is not sent by itself is called so.
    pub fn rests(&self, but: &[&str]) {
        let left = || {
            let mut names: Vec<_> =
                self.status().queue.iter().map(|i| i.path.rsplit('/').next().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let start = Instant::now();
        while left() != but {
            assert!(start.elapsed() < PATIENCE, "not sent: {:?}, wanted {but:?}", self.status().queue);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A file that is on the server and wholly here.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Row {
        std::fs::write(self.path(name), bytes).unwrap();
        self.drain();
        self.row(name)
    }

    pub fn mark(&self) -> Mark {
        self.emulator.request_log().mark()
    }

    /// What the mount had done since.
    pub fn sent(&self, mark: Mark) -> Sent {
        let count = |method: &str, path: &str| self.emulator.request_log().count_since(mark, method, path);
        Sent {
            uploads: count("PUT", "/shards/**"),
            creates: count("POST", "/drive/files"),
            replaces: count("PUT", "/drive/files/*"),
            moves: count("PATCH", "/drive/files/*") + count("PATCH", "/drive/folders/*"),
            trashes: count("POST", "/drive/storage/trash/add"),
            folders: count("POST", "/drive/folders"),
        }
    }

    /// All files that the service ever had, living or not.
    pub fn rows(&self) -> Vec<Row> {
        self.block_on(async {
            let (mut rows, mut from) = (Vec::<Row>::new(), Some(Cursor::default()));
            while let Some(at) = from {
                let page = self.other.changes(Kind::File, Scope::All, at).await.unwrap();
                rows.extend(page.rows);
                from = page.next;
            }
            rows.sort_by(|a, b| a.id.cmp(&b.id));
            rows.dedup_by(|a, b| a.id == b.id);
            rows
        })
    }

    /// The names of all of them, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.rows().iter().map(|r| r.name.display()).collect();
        names.sort();
        names
    }

    /// The one living row of this name.
    pub fn row(&self, name: &str) -> Row {
        let name = name.rsplit('/').next().unwrap();
        let mut rows = self.rows();
        rows.retain(|r| r.status == Status::Exists && r.name.display() == name);
        assert_eq!(rows.len(), 1, "{name}: {rows:?}");
        rows.remove(0)
    }

    /// What the service has under this name.
    pub fn uploaded(&self, name: &str) -> Vec<u8> {
        let row = self.row(name);
        let Some(version) = row.content else { return Vec::new() };
        self.block_on(async {
            let mut stream = self.other.read(&version, row.size, 0..row.size, Urgency::Now).await.unwrap();
            let mut all = Vec::new();
            while let Some(piece) = stream.next().await {
                all.extend_from_slice(&piece.unwrap());
            }
            all
        })
    }

    /// Another client writes a new content.
    pub fn replace_elsewhere(&self, row: &Row, bytes: &'static [u8], modified: Timestamp) {
        self.block_on(async {
            let body = Body::from_bytes(bytes.into());
            let content = Some(self.other.put(None, body).await.unwrap());
            let with = Replacement::new(row.content.clone(), content, bytes.len() as u64, modified).unwrap();
            self.other.replace(&row.id, &with).await.unwrap();
        });
    }

    /// Another client takes a file out of the trash, to where it was.
    pub fn restore_elsewhere(&self, row: &Row) {
        let parent = row.parent.clone().unwrap();
        self.block_on(self.other.relocate(row.kind, &row.id, &parent, &row.name)).unwrap();
    }

    /// Another client puts a file into the trash.
    pub fn trash_elsewhere(&self, row: &Row) {
        self.block_on(self.other.trash(&[(row.kind, row.id.clone())])).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(up) = self.up.take() else { return };
        let orderly = self.rt.block_on(programs::unmount(&up.mounted, &up.fs));
        drop(up);
        if !std::thread::panicking() {
            orderly.unwrap();
            let harm = self.emulator.harm();
            assert!(harm.is_empty(), "data was harmed: {harm:?}");
        }
    }
}

fn connect(credentials: &Credentials, name: &str) -> Arc<dyn Remote> {
    let secrets = Arc::new(InMemory::of(credentials.clone()));
    let options = Options { client: ClientId(name.to_owned()), ..Options::default() };
    Arc::new(Internxt::connect(secrets, options).unwrap())
}
