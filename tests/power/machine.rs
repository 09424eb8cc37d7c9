//! A machine: a drive whose local state lies on a disk that loses its power.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use inxtfs::fs::{Config, Error};
use inxtfs::remote::fault::Fault;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Kind, Timestamp};

use super::harness::{Engine, READ};
use super::plug::Plug;

/// A file as the user sees it: its bytes (or that they cannot be read), and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub bytes: Result<Bytes, String>,
    pub mtime: Timestamp,
}

pub struct Machine {
    // First: the drive is gone before its disk.
    pub engine: Engine,
    pub plug: Plug,
    boots: u64,
}

impl Machine {
    /// Rounds of the syncer are made by [`Machine::tick`] alone.
    pub fn new(config: Config) -> Machine {
        Self::over(Memory::new(), config)
    }

    pub fn over(cloud: Memory, config: Config) -> Machine {
        let plug = Plug::new();
        let fault = Fault::new(cloud.client("here"), 1);
        let config = Config { sync_every: std::time::Duration::from_secs(3600), ..config };
        let mut machine = Machine { engine: Engine::down(cloud, fault, config), plug, boots: 0 };
        machine.start();
        machine.engine.hydrated();
        machine
    }

    fn start(&mut self) {
        self.engine.elsewhere = Some((self.plug.path().join("state"), format!("boot {}", self.boots)));
        self.engine.start();
    }

    pub fn tick(&self) {
        self.engine.fs().tick();
    }

    pub fn fsync(&self, path: &str) -> Result<(), Error> {
        let fh = self.engine.open(path, READ)?;
        let synced = self.engine.get(self.engine.fs().fsync(fh));
        self.engine.fs().release(fh);
        synced
    }

    /// The power goes, the machine with it; it comes back with what the seed leaves.
    pub fn cut(&mut self, seed: u64) {
        self.plug.goes();
        self.engine.kill();
        self.plug.comes_back(seed);
        self.boots += 1;
        self.start();
    }

    /// The process dies; the machine does not.
    pub fn die(&mut self) {
        self.engine.kill();
        self.start();
    }

    pub fn shown(&self, path: &str) -> Result<Shown, Error> {
        let bytes = self.engine.read(path).map_err(|e| e.to_string());
        Ok(Shown { bytes, mtime: self.engine.stat(path)?.mtime })
    }

    /// All paths and what is there, contents left alone.
    pub fn paths(&self) -> BTreeMap<String, Kind> {
        let (mut found, mut todo) = (BTreeMap::new(), vec![String::new()]);
        while let Some(folder) = todo.pop() {
            // A folder may go while this is looking.
            let Ok(entries) = self.engine.entries(&folder) else { continue };
            for entry in entries {
                let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                if entry.attr.kind == Kind::Folder {
                    todo.push(path.clone());
                }
                found.insert(path, entry.attr.kind);
            }
        }
        found
    }

    /// All files.
    pub fn tree(&self) -> BTreeMap<String, Shown> {
        let files = self.paths().into_iter().filter(|(_, kind)| *kind == Kind::File);
        files.map(|(path, _)| (path.clone(), self.shown(&path).unwrap())).collect()
    }

    /// The files of which the status tells that something is lost, and whether they cannot be read.
    pub fn told(&self) -> BTreeMap<String, bool> {
        let lost = self.engine.fs().status().lost;
        let path = |l: &String| l.split_once(": ").unwrap().0.trim_start_matches('/').to_owned();
        lost.iter().map(path).map(|p| (p.clone(), self.engine.read(&p).is_err())).collect()
    }

    /// Every content that the server shows to anybody.
    pub fn sent(&self) -> Vec<Bytes> {
        self.engine.cloud_tree().into_values().flatten().collect()
    }

    pub fn cloud(&self) -> &Memory {
        &self.engine.cloud
    }

    pub fn fault(&self) -> &Arc<Fault> {
        &self.engine.fault
    }
}
