//! A large tree: how long a mount over it takes to answer, and what it costs in memory.
//!
//! Small unless `INXTFS_SCALE` says how many files; the figures are printed (`--nocapture`).

// Tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::cast_possible_wrap)]

use std::time::Instant;

use inxtfs::crypto::seal::Key;
use inxtfs::fs::{Config, Fs};
use inxtfs::names::RemoteName;
use inxtfs::remote::memory::Memory;
use inxtfs::store::nodes::{self, Node};
use inxtfs::store::{Store, Tx};
use inxtfs::types::{Ino, Kind, NodeId, Row, Status, Timestamp, Version};
use tokio::runtime::Runtime;

/// Files of one folder.
const FOLDER: u64 = 1000;

fn row(n: u64, parent: &NodeId, kind: Kind) -> Row {
    let at = Timestamp::from_millis(1_790_000_000_000 + n as i64);
    let content = Version { bucket: "b".repeat(24), object: format!("{n:024x}") };
    Row {
        id: NodeId(format!("{n:08x}-5ca1-4e00-8000-{n:012x}")),
        parent: Some(parent.clone()),
        kind,
        name: match kind {
            Kind::File => RemoteName::split(&format!("A file of some length {n}.txt")),
            Kind::Folder => RemoteName::whole(&format!("Folder {n}")),
        },
        status: Status::Exists,
        bucket: Some("b".repeat(24)).filter(|_| kind == Kind::File),
        content: Some(content).filter(|_| kind == Kind::File),
        size: if kind == Kind::File { 1000 + n } else { 0 },
        readable: true,
        created: at,
        modified: at,
        updated: at,
    }
}

fn plant(tx: &Tx, row: Row, parent: Ino) -> Node {
    let name = row.name.display();
    let mut node = Node::from_row(row, Some(parent), name, false, Timestamp::now());
    node.listed = true;
    nodes::insert(tx, &node).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Kilobytes of this process: now, and at most so far.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = f();
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    println!("{what:<40} {ms:10.2} ms   {:6} MiB", memory().0 >> 10);
    out
}

#[test]
fn a_mount_over_a_large_tree_answers_at_once_and_takes_no_memory_for_it() {
    let files = std::env::var("INXTFS_SCALE").map_or(20_000, |n| n.parse().unwrap());
    let (dir, key, cloud) = (tempfile::tempdir().unwrap(), Key::random().unwrap(), Memory::new());
    let (account, open) =
        (cloud.account(), || Store::open(dir.path(), &cloud.account().id, &key).unwrap().store);
    timed("filling the mirror", || {
        let (store, rt) = (open(), runtime());
        // The root.
        let fs =
            Fs::start(Config::default(), store.clone(), cloud.client("here"), rt.handle().clone()).unwrap();
        rt.block_on(fs.stop());
        drop((fs, rt));
        for folder in 0..files / FOLDER {
            let plant_folder = |tx: &Tx| {
                let first = folder * (FOLDER + 1);
                let parent = plant(tx, row(first, &account.root, Kind::Folder), Ino::ROOT);
                let id = parent.id().unwrap().clone();
                (1..=FOLDER).for_each(|n| drop(plant(tx, row(first + n, &id, Kind::File), parent.ino)));
                Ok(())
            };
            store.db().write(plant_folder).unwrap();
        }
        let known = |tx: &Tx| {
            nodes::set_listed(tx, 0, i64::MAX as u64)?;
            nodes::set_meta(tx, "hydrated", "1")
        };
        store.db().write(known).unwrap();
        store.close().unwrap();
    });

    let (before, _) = memory();
    for end in ["in order", "by a kill"] {
        println!("after an end {end}:");
        let rt = runtime();
        let began = Instant::now();
        let store = timed("opening the store", open);
        let fs = timed("starting over it", || {
            Fs::start(Config::default(), store, cloud.client("here"), rt.handle().clone()).unwrap()
        });
        let root =
            timed("the root's entries", || rt.block_on(fs.readdir(Ino::ROOT, 0, 100_000).get()).unwrap());
        println!("{:<40} {:10.2} ms", "answers after", began.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(root.len() as u64, 2 + files / FOLDER);
        let last = root.last().unwrap();
        let entries =
            timed("a folder of 1000", || rt.block_on(fs.readdir(last.attr.ino, 0, 100_000).get()).unwrap());
        assert_eq!(entries.len() as u64, 2 + FOLDER);
        let status = timed("status", || fs.status());
        assert_eq!((status.nodes, status.hydrated), (1 + files + files / FOLDER, true));
        timed("status again", || fs.status());
        timed("statfs", || fs.statfs());
        std::thread::sleep(std::time::Duration::from_secs(2));
        let (now, most) = memory();
        println!("{:<40} {:6} MiB now, {} at most, {} before", "memory", now >> 10, most >> 10, before >> 10);
        assert!(now < before + (60 << 10), "{now} KiB, {before} before");
        // Without a stop, as if killed.
        drop((fs, rt));
    }
}
