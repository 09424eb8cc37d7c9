//! The drive without a mount: ls, get, put, trash, versions, verify.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::world::{World, eventually, noise, tool};

fn names(world: &World, path: &str) -> Vec<String> {
    world.run(["ls", path]).expect(0).out.lines().map(str::to_owned).collect()
}

fn tree(at: &Path) {
    fs::create_dir_all(at.join("deep/er")).unwrap();
    fs::write(at.join("a.txt"), "a").unwrap();
    fs::write(at.join("deep/b.bin"), noise(300_000)).unwrap();
    fs::write(at.join("deep/er/ü.txt"), "ü").unwrap();
    let old = fs::File::open(at.join("a.txt")).unwrap();
    old.set_modified(UNIX_EPOCH + Duration::from_millis(1_234_567_890_123)).unwrap();
}

#[test]
fn a_tree_is_sent_and_fetched_without_a_mount_and_nothing_of_it_twice() {
    let world = World::logged_in();
    let source = world.path("tree");
    tree(&source);
    let source = source.to_str().unwrap();
    let first = world.run(["put", source, "/Backup/Today"]).expect(0);
    assert!(first.err.contains("3 files sent, 0 files there already"), "{}", first.err);
    assert_eq!(names(&world, "/Backup/Today/tree"), ["deep/", "a.txt"]);
    let mark = world.log().mark();
    let again = world.run(["put", source, "/Backup/Today"]).expect(0);
    assert!(again.err.contains("0 files sent, 3 files there already"), "{}", again.err);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 0);

    // Into a folder that is there, as cp does it.
    let into = world.path("copy");
    fs::create_dir(&into).unwrap();
    let (to, target) = (into.to_str().unwrap(), into.join("tree"));
    let got = world.run(["get", "/Backup/Today/tree", to]).expect(0);
    assert!(got.err.contains("3 files fetched"), "{}", got.err);
    tool("diff", &["-r".as_ref(), source.as_ref(), target.as_ref()]);
    let time = |at: &Path| fs::metadata(at).unwrap().modified().unwrap();
    assert_eq!(time(&target.join("a.txt")), UNIX_EPOCH + Duration::from_millis(1_234_567_890_123));
    let mark = world.log().mark();
    assert!(
        world.run(["get", "/Backup/Today/tree", to]).expect(0).err.contains("0 files fetched, 3 files here")
    );
    assert_eq!(world.log().count_since(mark, "GET", "/shards/*"), 0);

    // A change is a replace of the same row.
    fs::write(Path::new(source).join("a.txt"), "other").unwrap();
    let mark = world.log().mark();
    world.run(["put", source, "/Backup/Today"]).expect(0);
    assert_eq!(world.log().count_since(mark, "PUT", "/drive/files/*"), 1);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/files"), 0);
    world.run(["get", "/Backup/Today/tree", to]).expect(0);
    assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "other");
    assert!(world.harm().is_empty());
}

#[test]
fn what_was_broken_off_goes_on_and_is_checked() {
    let world = World::logged_in();
    let file = world.path("big.bin");
    fs::write(&file, noise(500_000)).unwrap();
    world.run(["put", file.to_str().unwrap()]).expect(0);
    let target = world.path("got.bin");
    let to = target.to_str().unwrap();
    // What a run that was killed leaves.
    world.run(["get", "/big.bin", to]).expect(0);
    let part = |good: bool| {
        let mut bytes = noise(200_000);
        if !good {
            bytes[7] ^= 1;
        }
        bytes
    };
    let json: serde_json::Value =
        serde_json::from_str(&world.run(["ls", "/", "--json"]).expect(0).out).unwrap();
    let big = json["entries"].as_array().unwrap().iter().find(|e| e["path"] == "/big.bin").unwrap();
    assert_eq!((&big["size"], &big["kind"]), (&500_000.into(), &"file".into()));
    let killed = |bytes: Vec<u8>| {
        fs::remove_file(&target).unwrap();
        let (_, object) = world.object_of("big");
        fs::write(world.path(&format!(".inxtfs-{object}.part")), bytes).unwrap();
    };
    killed(part(true));
    let mark = world.log().mark();
    world.run(["get", "/big.bin", to]).expect(0);
    assert_eq!(fs::read(&target).unwrap(), noise(500_000));
    let fetched: u64 = world
        .log()
        .since(mark)
        .iter()
        .filter(|r| r.path.starts_with("/shards/"))
        .map(|r| r.response_bytes)
        .sum();
    assert!((300_000..400_000).contains(&fetched), "{fetched}");
    killed(part(false));
    let broken = world.run(["get", "/big.bin", to]);
    assert!(broken.code != 0 && !target.exists(), "{}", broken.err);
    world.run(["get", "/big.bin", to]).expect(0);
    assert_eq!(fs::read(&target).unwrap(), noise(500_000));
}

#[test]
fn what_was_deleted_comes_back_from_the_trash_and_the_trash_is_emptied() {
    let world = World::logged_in();
    world.mount_with(&["--poll-interval", "1s"]);
    let drive = world.drive();
    fs::create_dir(drive.join("folder")).unwrap();
    for name in ["folder/kept.txt", "gone.txt", "twice.txt"] {
        fs::write(drive.join(name), name).unwrap();
    }
    world.on_drive("flush", &[]).expect(0);
    fs::remove_file(drive.join("gone.txt")).unwrap();
    fs::remove_file(drive.join("folder/kept.txt")).unwrap();
    fs::remove_file(drive.join("twice.txt")).unwrap();
    world.on_drive("flush", &[]).expect(0);
    let listed = world.run(["trash", "list"]).expect(0).out;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("kept.txt  (file, 15 B from folder)"), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&world.run(["trash", "list", "--json"]).expect(0).out).unwrap();
    assert!(json["trash"][0]["expires"].is_string(), "{json}");

    world.run(["trash", "restore", "kept.txt", "gone.txt"]).expect(0);
    eventually("a running mount shows it", || {
        drive.join("folder/kept.txt").exists() && drive.join("gone.txt").exists()
    });
    assert_eq!(fs::read_to_string(drive.join("folder/kept.txt")).unwrap(), "folder/kept.txt");
    let missing = world.run(["trash", "restore", "kept.txt"]).expect(2);
    assert!(missing.err.contains("trash list"), "{}", missing.err);
    // A name that is taken again.
    fs::write(drive.join("twice.txt"), "new").unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert!(world.run(["trash", "restore", "twice.txt"]).expect(0).out.contains("twice (restored 1).txt"));
    eventually("both are there", || drive.join("twice (restored 1).txt").exists());
    assert_eq!(fs::read_to_string(drive.join("twice.txt")).unwrap(), "new");

    fs::remove_file(drive.join("gone.txt")).unwrap();
    world.on_drive("umount", &[]).expect(0);
    assert!(world.run(["trash", "empty"]).expect(2).err.contains("--yes"));
    assert!(world.run(["trash", "empty", "--yes"]).expect(0).out.contains("1 item"));
    assert!(world.run(["trash", "list"]).expect(0).out.contains("empty"));
}

#[test]
fn a_former_version_is_listed_and_brought_back() {
    let world = World::logged_in();
    let file = world.path("paper.pdf");
    let path = file.to_str().unwrap();
    for text in ["first", "second"] {
        fs::write(&file, text).unwrap();
        world.run(["put", path]).expect(0);
    }
    let json: serde_json::Value =
        serde_json::from_str(&world.run(["versions", "list", "/paper.pdf", "--json"]).expect(0).out).unwrap();
    let id = json["versions"][0]["id"].as_str().unwrap().to_owned();
    assert!(json["versions"][0]["size"] == 5 && json["versions"].as_array().unwrap().len() == 1, "{json}");
    world
        .run(["versions", "restore", "/paper.pdf", "00000000-0000-4000-8000-000000000000", "--yes"])
        .expect(2);
    world.run(["versions", "restore", "/paper.pdf", &id, "--yes"]).expect(0);
    let to = world.path("got.pdf");
    world.run(["get", "/paper.pdf", to.to_str().unwrap()]).expect(0);
    assert_eq!(fs::read_to_string(to).unwrap(), "first");
    assert!(world.run(["versions", "list", "/"]).expect(2).err.contains("only files"));
}

#[test]
fn damage_at_the_store_is_found_and_told() {
    let world = World::logged_in();
    world.mount();
    let drive = world.drive();
    fs::create_dir(drive.join("d")).unwrap();
    for name in ["d/sound.bin", "d/bad.bin"] {
        fs::write(drive.join(name), noise(100_000)).unwrap();
    }
    world.on_drive("flush", &[]).expect(0);
    let sound = world.run(["verify", drive.join("d").to_str().unwrap()]).expect(0);
    assert!(sound.out.contains("2 files") && sound.out.contains("0 damaged"), "{}", sound.out);
    let (bucket, object) = world.object_of("bad");
    assert!(world.shared().network.damage_object(&bucket, &object).unwrap());
    let found = world.run(["verify", "/d"]).expect(16);
    assert!(found.out.contains("damaged: /d/bad.bin") && found.out.contains("1 file "), "{}", found.out);
    fs::write(drive.join("new.txt"), "n").unwrap();
    world.on_drive("umount", &[]).expect(0);
    assert!(world.run(["verify", "/absent"]).expect(2).err.contains("inxtfs ls"));
}
