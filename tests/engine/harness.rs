//! A drive without a kernel: paths instead of inodes, a cloud in memory, failures on demand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use inxtfs::crypto::seal::Key;
use inxtfs::fs::{
    Answer, Attr, Config, DirEntry, Error, FailedItem, Fs, Kernel, OpenFlags, Part, Result, SetAttr, Status,
};
use inxtfs::names::RemoteName;
use inxtfs::remote::fault::Fault;
use inxtfs::remote::memory::Memory;
use inxtfs::remote::{Body, Method, Remote, Replacement};
use inxtfs::store::{Error as StoreError, Opened, Store};
use inxtfs::types::{Fh, Ino, Kind, NodeId, Row, Timestamp};
use tokio::runtime::Runtime;

/// The longest anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const WRITE: OpenFlags =
    OpenFlags { write: true, truncate: false, exclusive: false, append: false, background: false };
pub const TRUNCATE: OpenFlags = OpenFlags { truncate: true, ..WRITE };
pub const APPEND: OpenFlags = OpenFlags { append: true, ..WRITE };
pub const READ: OpenFlags = OpenFlags { write: false, ..WRITE };

struct Up {
    fs: Arc<Fs>,
    rt: Runtime,
}

/// One machine's drive, and the cloud behind it.
pub struct Engine {
    pub cloud: Memory,
    pub fault: Arc<Fault>,
    pub config: Config,
    pub key: Key,
    up: Option<Up>,
    state: tempfile::TempDir,
    /// Where else the local state is, and the id of the machine's start.
    pub elsewhere: Option<(PathBuf, String)>,
}

/// Nothing is sent but by [`Engine::drain`]; remote changes are seen at once; waits are short.
pub fn patient() -> Config {
    Config {
        writeback_delay: Duration::from_secs(3600),
        empty_delay: Duration::from_secs(3600),
        poll_interval: Duration::from_millis(20),
        poll_while_told: 1,
        pace: Duration::from_millis(15),
        host: "here".to_owned(),
        ..Config::default()
    }
}

/// Changes are sent at once.
pub fn eager() -> Config {
    Config { writeback_delay: Duration::ZERO, empty_delay: Duration::ZERO, ..patient() }
}

impl Engine {
    pub fn new() -> Self {
        Self::over(Memory::new(), patient())
    }

    pub fn eager() -> Self {
        Self::over(Memory::new(), eager())
    }

    pub fn over(cloud: Memory, config: Config) -> Self {
        Self::seeded(cloud, config, 1)
    }

    pub fn seeded(cloud: Memory, config: Config, seed: u64) -> Self {
        let fault = Fault::new(cloud.client("here"), seed);
        let mut engine = Self::down(cloud, fault, config);
        engine.start();
        engine.hydrated();
        engine
    }

    /// Not started yet.
    pub fn down(cloud: Memory, fault: Arc<Fault>, config: Config) -> Self {
        let state = tempfile::tempdir().unwrap();
        Engine { cloud, fault, config, key: Key::random().unwrap(), up: None, state, elsewhere: None }
    }

    /// Starts over the local state that is there.
    pub fn start(&mut self) {
        assert!(self.up.is_none());
        let remote: Arc<dyn Remote> = self.fault.clone();
        let opened = self.open_state(&remote.account().id);
        assert_eq!(opened.notices, []);
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fs = Fs::start(self.config.clone(), opened.store, remote, rt.handle().clone()).unwrap();
        self.up = Some(Up { fs, rt });
    }

    /// A process that another test has just forked may have the former lock in its hands still, until it is its own program.
    fn open_state(&self, account: &str) -> Opened {
        let until = Instant::now() + PATIENCE;
        loop {
            let opened = match &self.elsewhere {
                Some((dir, boot)) => Store::open_booted(dir, account, &self.key, boot.clone()),
                None => Store::open(self.state.path(), account, &self.key),
            };
            match opened {
                Err(StoreError::InUse { .. }) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => return opened.unwrap(),
            }
        }
    }

    /// Ends in order.
    pub fn stop(&mut self) {
        let up = self.up.take().unwrap();
        up.rt.block_on(async { tokio::time::timeout(PATIENCE, up.fs.stop()).await.expect("does not stop") });
        drop(up.fs);
        up.rt.shutdown_timeout(PATIENCE);
    }

    /// Dies: nothing is journalled, no request is waited for.
    pub fn kill(&mut self) {
        let up = self.up.take().unwrap();
        up.rt.shutdown_timeout(PATIENCE);
        drop(up.fs);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub fn fs(&self) -> &Arc<Fs> {
        &self.up.as_ref().unwrap().fs
    }

    pub fn block_on<T>(&self, f: impl Future<Output = T>) -> T {
        let rt = &self.up.as_ref().unwrap().rt;
        rt.block_on(async { tokio::time::timeout(PATIENCE, f).await.expect("takes too long") })
    }

    pub fn get<T: Send + 'static>(&self, answer: Answer<T>) -> Result<T> {
        self.block_on(answer.get())
    }

    pub fn hydrated(&self) {
        eventually("the tree is known", || self.fs().status().hydrated);
    }

    // By path.

    /// A path's folder and its last name.
    pub fn split<'p>(&self, path: &'p str) -> Result<(Ino, &'p [u8])> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let ino = self.ino(folder)?;
        // As the kernel finds its way: one end of a rename before it looks at the other.
        if self.fs().getattr(ino)?.kind != Kind::Folder {
            return Err(Error::NotDir);
        }
        Ok((ino, name.as_bytes()))
    }

    pub fn ino(&self, path: &str) -> Result<Ino> {
        let mut at = Ino::ROOT;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            at = self.get(self.fs().lookup(at, name.as_bytes()))?.ino;
        }
        Ok(at)
    }

    pub fn stat(&self, path: &str) -> Result<Attr> {
        self.fs().getattr(self.ino(path)?)
    }

    pub fn exists(&self, path: &str) -> bool {
        match self.stat(path) {
            Ok(_) => true,
            // Stale: it went between the look for its number and the look at it.
            Err(Error::NotFound | Error::NotDir | Error::Stale) => false,
            Err(e) => panic!("{path}: {e}"),
        }
    }

    pub fn open(&self, path: &str, flags: OpenFlags) -> Result<Fh> {
        Ok(self.get(self.fs().open(self.ino(path)?, flags))?.fh)
    }

    pub fn create(&self, path: &str, flags: OpenFlags) -> Result<Fh> {
        let (folder, name) = self.split(path)?;
        Ok(self.get(self.fs().create(folder, name, flags))?.1.fh)
    }

    pub fn write_fh(&self, fh: Fh, offset: u64, data: &[u8]) -> Result<()> {
        let n = self.get(self.fs().write(fh, offset, data))?;
        assert_eq!(n as usize, data.len());
        Ok(())
    }

    pub fn read_fh(&self, fh: Fh, offset: u64, len: usize) -> Result<Bytes> {
        self.get(self.fs().read(fh, offset, u32::try_from(len).unwrap()))
    }

    pub fn flush(&self, fh: Fh) -> Result<()> {
        self.get(self.fs().flush(fh))
    }

    pub fn close(&self, fh: Fh) -> Result<()> {
        let flushed = self.flush(fh);
        self.fs().release(fh);
        flushed
    }

    /// `> path`: creates or truncates, writes, closes.
    pub fn put(&self, path: &str, data: &[u8]) -> Result<()> {
        let fh = self.create(path, TRUNCATE)?;
        let written = if data.is_empty() { Ok(()) } else { self.write_fh(fh, 0, data) };
        self.close(fh).and(written)
    }

    /// Writes into what is there.
    pub fn patch(&self, path: &str, offset: u64, data: &[u8]) -> Result<()> {
        let fh = self.open(path, WRITE)?;
        let written = self.write_fh(fh, offset, data);
        self.close(fh).and(written)
    }

    pub fn truncate(&self, path: &str, size: u64) -> Result<()> {
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        self.get(self.fs().setattr(self.ino(path)?, set)).map(|_| ())
    }

    pub fn set_mtime(&self, path: &str, mtime: Timestamp) -> Result<()> {
        let set = SetAttr { mtime: Some(mtime), ..SetAttr::default() };
        self.get(self.fs().setattr(self.ino(path)?, set)).map(|_| ())
    }

    /// The version that is opened, to its end: the path may show another one a moment later.
    pub fn read(&self, path: &str) -> Result<Bytes> {
        const PIECE: usize = 1 << 20;
        let fh = self.open(path, READ)?;
        let mut whole = Vec::new();
        let end = loop {
            match self.read_fh(fh, whole.len() as u64, PIECE) {
                Ok(piece) if piece.is_empty() => break Ok(()),
                Ok(piece) => whole.extend_from_slice(&piece),
                Err(e) => break Err(e),
            }
        };
        self.fs().release(fh);
        end.map(|()| whole.into())
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let ((from, name), (to, to_name)) = (self.split(from)?, self.split(to)?);
        self.get(self.fs().rename(from, name, to, to_name, false))
    }

    pub fn unlink(&self, path: &str) -> Result<()> {
        let (folder, name) = self.split(path)?;
        self.get(self.fs().unlink(folder, name))
    }

    pub fn mkdir(&self, path: &str) -> Result<()> {
        let (folder, name) = self.split(path)?;
        self.get(self.fs().mkdir(folder, name)).map(|_| ())
    }

    pub fn rmdir(&self, path: &str) -> Result<()> {
        let (folder, name) = self.split(path)?;
        self.get(self.fs().rmdir(folder, name))
    }

    /// `rm -rf`.
    pub fn remove_all(&self, path: &str) -> Result<()> {
        for entry in self.entries(path)? {
            let path = format!("{path}/{}", entry.name);
            match entry.attr.kind {
                Kind::Folder => self.remove_all(&path)?,
                Kind::File => self.unlink(&path)?,
            }
        }
        self.rmdir(path)
    }

    pub fn entries(&self, path: &str) -> Result<Vec<DirEntry>> {
        let ino = self.ino(path)?;
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.get(self.fs().readdir(ino, after, 50))?;
            let Some(last) = page.last() else { break };
            after = last.cookie;
            all.extend(page);
        }
        all.retain(|e| e.name != "." && e.name != "..");
        Ok(all)
    }

    /// The names in a folder, sorted.
    pub fn ls(&self, path: &str) -> Vec<String> {
        let mut names: Vec<_> = self.entries(path).unwrap().into_iter().map(|e| e.name).collect();
        names.sort();
        names
    }

    /// All paths, folders without bytes.
    pub fn tree(&self) -> BTreeMap<String, Option<Bytes>> {
        let (mut found, mut todo) = (BTreeMap::new(), vec![String::new()]);
        while let Some(folder) = todo.pop() {
            for entry in self.entries(&folder).unwrap() {
                let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                if entry.attr.kind == Kind::Folder {
                    todo.push(path.clone());
                    found.insert(path, None);
                } else {
                    let bytes = self.read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
                    assert_eq!(found.insert(path, Some(bytes)), None);
                }
            }
        }
        found
    }

    // The cloud's side.

    /// What a person sees there: all paths, folders without bytes.
    pub fn cloud_tree(&self) -> BTreeMap<String, Option<Bytes>> {
        let row = |row: &Row| self.cloud.content(&row.id).filter(|_| row.kind == Kind::File);
        self.cloud.tree().into_iter().map(|(path, r)| (path, row(&r))).collect()
    }

    /// The one living row at a path.
    pub fn row(&self, path: &str) -> Row {
        let mut rows: Vec<_> = self.cloud.tree().into_iter().filter(|(p, _)| p == path).collect();
        assert_eq!(rows.len(), 1, "{path}: {rows:?} in {:#?}", self.cloud_tree());
        rows.remove(0).1
    }

    pub fn cloud_root(&self) -> NodeId {
        self.cloud.account().root
    }

    /// Another client makes a file.
    pub fn foreign_file(&self, folder: &NodeId, name: &str, data: &[u8]) -> Row {
        self.cloud.add_file(folder, RemoteName::split(name), data)
    }

    /// Another client changes a file's content.
    pub fn foreign_write(&self, id: &NodeId, data: &[u8]) -> Row {
        let b = self.cloud.client("b");
        self.block_on(async {
            let base = self.cloud.row(id).unwrap().content;
            let content = match data.len() {
                0 => None,
                _ => Some(b.put(None, Body::from_bytes(Bytes::copy_from_slice(data))).await.unwrap()),
            };
            let modified = self.cloud.now();
            let with = Replacement::new(base, content, data.len() as u64, modified).unwrap();
            b.replace(id, &with).await.unwrap();
        });
        self.cloud.row(id).unwrap()
    }

    /// Another client moves or renames.
    pub fn foreign_move(&self, row: &Row, parent: &NodeId, name: &str) {
        let b = self.cloud.client("b");
        let name = if row.kind == Kind::File { RemoteName::split(name) } else { RemoteName::whole(name) };
        self.block_on(b.relocate(row.kind, &row.id, parent, &name)).unwrap();
    }

    pub fn foreign_trash(&self, row: &Row) {
        self.block_on(self.cloud.client("b").trash(&[(row.kind, row.id.clone())])).unwrap();
    }

    pub fn foreign_delete(&self, row: &Row) {
        self.block_on(self.cloud.client("b").delete(row.kind, &row.id)).unwrap();
    }

    // Together.

    /// Sends everything; fails the test if something stays.
    pub fn drain(&self) {
        let status = self.drained();
        assert_eq!(status.totals.items, 0, "{:#?}", status.queue);
        self.cloud.check().unwrap();
    }

    /// Sends what can be sent.
    pub fn drained(&self) -> Status {
        let fs = self.fs().clone();
        let rt = &self.up.as_ref().unwrap().rt;
        rt.block_on(async {
            tokio::time::timeout(PATIENCE, fs.drain())
                .await
                .unwrap_or_else(|_| panic!("never drained: {:#?}", fs.status()))
        })
    }

    /// Begins to send everything, and goes on.
    pub fn begin_drain(&self) {
        let fs = self.fs().clone();
        self.up.as_ref().unwrap().rt.spawn(async move { fs.drain().await });
    }

    /// Waits until the feeds were looked at `n` more times, each look begun from now on.
    pub fn polls(&self, n: u64) {
        // A look is a probe, a delta, or both; the last one here begins after an earlier one has ended.
        let calls = || self.fault.calls(Method::Newest) + self.fault.calls(Method::Changes);
        for _ in 0..n + 2 {
            let from = calls();
            self.fs().refresh_soon();
            let began = Instant::now();
            while calls() < from + 2 {
                assert!(began.elapsed() < PATIENCE, "no look at the feeds: {:?}", self.fs().status().session);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// After everything is sent and seen, both sides show the same.
    pub fn converged(&self) {
        self.drain();
        self.polls(2);
        self.drain();
        assert_eq!(self.tree(), self.cloud_tree());
    }

    /// Calls that changed something, by method, since the log was cleared.
    pub fn sent(&self) -> Vec<Method> {
        let calls = self.cloud.calls().into_iter();
        calls.filter(|c| c.client == "here" && c.method.mutates()).map(|c| c.method).collect()
    }

    /// Where local state lies.
    pub fn state_dir(&self) -> &std::path::Path {
        self.state.path()
    }

    /// What waits for a decision.
    pub fn failed(&self) -> Vec<FailedItem> {
        self.fs().failed(0, 1000).unwrap()
    }

    /// What is kept of a file, holes as zeros, and what of it cannot be read.
    pub fn export(&self, id: u64) -> (Vec<u8>, Vec<(std::ops::Range<u64>, String)>) {
        let mut export = self.fs().export(Ino(id)).unwrap();
        let mut bytes = vec![0; usize::try_from(export.size()).unwrap()];
        let mut missing = Vec::new();
        while let Some(parts) = self.block_on(export.next()).unwrap() {
            for part in parts {
                match part {
                    Part::Data(at, data) => {
                        let at = usize::try_from(at).unwrap();
                        bytes[at..at + data.len()].copy_from_slice(&data);
                    }
                    Part::Missing(range, why) => missing.push((range, why)),
                }
            }
        }
        (bytes, missing)
    }

    pub fn blocked(&self) -> Vec<(String, String)> {
        let queue = self.fs().status().queue.into_iter();
        queue
            .filter(|i| i.state == inxtfs::fs::ItemState::Blocked)
            .map(|i| (i.path, i.error.unwrap()))
            .collect()
    }
}

/// Waits until something holds that another thread brings about.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the kernel was told.
#[derive(Default)]
pub struct Recorder(parking_lot::Mutex<Vec<String>>);

impl Recorder {
    pub fn last(&self) -> Option<String> {
        self.0.lock().last().cloned()
    }

    pub fn heard(&self, what: &str) -> bool {
        self.0.lock().iter().any(|h| h == what)
    }
}

impl Kernel for Recorder {
    fn inval_inode(&self, ino: Ino, data: bool) {
        self.0.lock().push(format!("{} {ino}", if data { "data" } else { "attr" }));
    }

    fn inval_entry(&self, parent: Ino, name: &str) {
        self.0.lock().push(format!("entry {parent} {name}"));
    }

    fn set_live(&self, live: bool) {
        self.0.lock().push(format!("live {live}"));
    }
}

/// Bytes that differ by seed and at every offset a test cares about.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}
