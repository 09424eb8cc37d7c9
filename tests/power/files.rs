//! Local files that rot, are cut off, or are somebody else's.

use std::path::{Path, PathBuf};

use inxtfs::crypto::seal::Key;
use inxtfs::fs::Error;
use inxtfs::remote::fault::Fault;
use inxtfs::remote::memory::Memory;
use inxtfs::store::{self, Notice, Store};

use super::harness::{Engine, noise, patient};

/// A drive whose local files a test can reach.
fn drive(cloud: Memory, dir: &Path) -> Engine {
    let fault = Fault::new(cloud.client("here"), 1);
    let mut engine = Engine::down(cloud, fault, patient());
    engine.elsewhere = Some((dir.to_owned(), "boot".to_owned()));
    engine.start();
    engine.hydrated();
    engine
}

/// All files with sealed blocks.
fn blocks(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![dir.join("blocks")]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() { todo.push(entry) } else { found.push(entry) }
        }
    }
    found
}

#[test]
fn cached_blocks_that_rot_are_fetched_again_and_staged_ones_are_an_error_until_they_are_back() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [Harm; 3] =
        [|b| (0..b.len()).step_by(1000).for_each(|i| b[i] ^= 1), |b| b.truncate(100), |b| b.fill(0)];
    for harm in harms {
        let (cloud, dir) = (Memory::new(), tempfile::tempdir().unwrap());
        let root = cloud.account().root;
        for (name, len) in [("theirs", 200_000), ("theirs too", 3000)] {
            cloud.add_file(&root, inxtfs::names::RemoteName::split(name), &noise(len, 7));
        }
        let mut e = drive(cloud, dir.path());
        let ours = [("ours", noise(200_000, 1)), ("ours too", noise(3000, 2))];
        for (name, bytes) in &ours {
            e.put(name, bytes).unwrap();
        }
        assert_eq!((e.read("theirs").unwrap().len(), e.read("theirs too").unwrap().len()), (200_000, 3000));
        e.stop();
        let whole: Vec<_> =
            blocks(dir.path()).into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect();
        assert!(whole.len() >= 3);
        for (path, bytes) in &whole {
            let mut bytes = bytes.clone();
            harm(&mut bytes);
            std::fs::write(path, bytes).unwrap();
        }
        e.start();
        assert!(e.read("theirs").unwrap() == noise(200_000, 7));
        assert!(e.read("theirs too").unwrap() == noise(3000, 7));
        for (name, bytes) in &ours {
            assert!(
                matches!(e.read(name), Err(Error::Damaged { .. })),
                "{name}: neither zeros nor a part of it"
            );
            assert_eq!(e.stat(name).unwrap().size, bytes.len() as u64);
        }
        assert_eq!(e.cloud_tree().len(), 2, "nothing of it is sent");
        e.stop();
        for (path, bytes) in &whole {
            std::fs::write(path, bytes).unwrap();
        }
        e.start();
        for (name, bytes) in &ours {
            assert!(e.read(name).unwrap() == *bytes, "{name}: nothing of it was given up");
        }
        // They were found damaged: a person says that they are whole again.
        e.fs().retry(None).unwrap();
        e.drain();
        assert_eq!(e.cloud_tree().len(), 4);
    }
}

#[test]
fn a_damaged_database_is_put_aside_with_what_was_not_sent_and_the_drive_goes_on() {
    let (cloud, dir) = (Memory::new(), tempfile::tempdir().unwrap());
    let (account, key) = (cloud.account().id, Key::random().unwrap());
    let state = dir.path().join("state");
    let mut e = Engine::down(cloud.clone(), Fault::new(cloud.client("here"), 1), patient());
    e.elsewhere = Some((state.clone(), "boot".to_owned()));
    e.key = key.clone();
    e.start();
    e.hydrated();
    e.put("sent", b"sent").unwrap();
    e.drain();
    e.put("unsent", &noise(100_000, 1)).unwrap();
    e.fs().tick();
    e.kill();
    let before = blocks(&state).len();
    let path = state.join("state.db");
    let mut db = std::fs::read(&path).unwrap();
    let middle = db.len() / 2;
    db[middle] ^= 1;
    std::fs::write(&path, db).unwrap();
    let opened = Store::open_booted(&state, &account, &key, "boot".to_owned()).unwrap();
    let [Notice::Quarantined { path: aside, .. }] = &opened.notices[..] else {
        panic!("{:?}", opened.notices)
    };
    assert_eq!(blocks(aside).len(), before, "whole");
    drop(opened);
    // Once: no loop of starts that put aside.
    e.start();
    e.hydrated();
    assert_eq!(e.ls(""), ["sent"]);
    assert_eq!(e.read("sent").unwrap(), "sent");
    e.put("new", b"new").unwrap();
    e.drain();
    assert_eq!(e.cloud_tree().len(), 2, "nobody took what is gone here for deleted");
}

#[test]
fn state_of_another_account_is_refused_and_left_alone() {
    let (cloud, dir) = (Memory::new(), tempfile::tempdir().unwrap());
    let mut e = drive(cloud.clone(), dir.path());
    e.put("mine", b"mine").unwrap();
    e.stop();
    let account = cloud.account().id;
    for (account, key) in [("another", Key::random().unwrap()), (account.as_str(), Key::random().unwrap())] {
        let refused = Store::open(dir.path(), account, &key).err();
        assert!(matches!(refused, Some(store::Error::ForeignAccount(_))), "{refused:?}");
    }
    e.start();
    assert_eq!(e.read("mine").unwrap(), "mine");
}
