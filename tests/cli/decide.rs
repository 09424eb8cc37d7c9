//! What cannot be sent, as a person meets it: why, what would help, and the decision.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use inxtfs::emulator::{Action, Fault};

use crate::world::{Ran, World, eventually, noise};

/// From now on the account has no room for uploads.
fn fill_up(world: &World) {
    let body = Some("{\"message\":\"Max space used\"}".to_owned());
    let full = Action::Status { code: 420, body, retry_after: None };
    world.shared().knobs.add_fault(Fault::on("POST", "/network/v2/buckets/*/files/start", full));
}

fn make_room(world: &World) {
    world.shared().knobs.set_faults(Vec::new());
}

fn failed(world: &World, args: &[&str]) -> Ran {
    world.run(["failed"].iter().chain(args))
}

/// The items that wait, by path.
fn listed(world: &World) -> Vec<(String, String, serde_json::Value)> {
    let json: serde_json::Value =
        serde_json::from_str(&failed(world, &["list", "--json"]).expect(0).out).unwrap();
    let mut items: Vec<_> = json["mounts"][0]["failed"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["path"].as_str().unwrap().to_owned());
    items.into_iter().map(|i| (i["path"].as_str().unwrap().to_owned(), i["id"].to_string(), i)).collect()
}

#[test]
fn what_a_full_account_refuses_is_listed_exported_retried_and_discarded() {
    let world = World::logged_in();
    world.mount();
    let drive = world.drive();
    fs::write(drive.join("edited.txt"), "theirs").unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert!(failed(&world, &["list"]).expect(0).out.contains("Nothing waits"));

    fill_up(&world);
    let kept = noise(300_000);
    fs::write(drive.join("kept.bin"), &kept).unwrap();
    fs::write(drive.join("new.txt"), "new").unwrap();
    fs::write(drive.join("edited.txt"), "mine, and longer").unwrap();
    let ran = world.on_drive("flush", &[]).expect(11);
    assert!(ran.err.contains("/kept.bin") && ran.err.contains("free space"), "{}", ran.err);

    // Told with reason and remedy, by both commands, for people and for scripts.
    let items = listed(&world);
    let paths: Vec<_> = items.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/edited.txt", "/kept.bin", "/new.txt"]);
    for (_, id, item) in &items {
        assert_eq!(item["reason"], "quota", "{item}");
        assert!(item["remedy"].as_str().unwrap().contains("free space"), "{item}");
        for shown in [failed(&world, &["list"]).expect(0).out, world.on_drive("status", &[]).expect(0).out] {
            assert!(shown.contains(id) && shown.contains("storage is full"), "{shown}");
            assert!(shown.contains("free space"), "{shown}");
        }
    }
    let queue = &world.status()["status"]["queue"];
    assert_eq!((&queue[0]["reason"], queue[0]["remedy"].is_string()), (&"quota".into(), true), "{queue}");
    let [edited, kept_item, new] = [0, 1, 2].map(|i: usize| items[i].1.as_str());

    // Exported, whole, private, and over nothing that is there.
    let out = world.path("out.bin");
    let to = out.to_str().unwrap();
    failed(&world, &["export", kept_item, to]).expect(0);
    assert!(fs::read(&out).unwrap() == kept);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = failed(&world, &["export", new, to]).expect(2);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert!(fs::read(&out).unwrap() == kept);
    failed(&world, &["export", new, to, "--force"]).expect(0);
    assert_eq!(fs::read_to_string(&out).unwrap(), "new");
    assert!(failed(&world, &["export", "999999", to, "--force"]).expect(2).err.contains("999999"));
    assert_eq!(fs::read_to_string(&out).unwrap(), "new", "a failed export leaves the file alone");
    let left = fs::read_dir(world.home()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.contains(".partial")).count(), 0);

    // Given up by id, and nothing else with it.
    failed(&world, &["discard", new]).expect(0);
    failed(&world, &["discard", edited]).expect(0);
    eventually("the new file is gone", || !drive.join("new.txt").exists());
    eventually("the server's version shows", || {
        fs::read_to_string(drive.join("edited.txt")).is_ok_and(|text| text == "theirs")
    });
    assert!(failed(&world, &["discard", new]).expect(2).err.contains("failed list"));
    assert!(fs::read(drive.join("kept.bin")).unwrap() == kept);

    // Tried again on request: in vain first, then not.
    failed(&world, &["retry", kept_item]).expect(0);
    eventually("it was refused again", || listed(&world).len() == 1);
    make_room(&world);
    failed(&world, &["retry"]).expect(0);
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(listed(&world), []);
    assert!(failed(&world, &["retry", kept_item]).expect(2).err.contains("failed list"));
    world.on_drive("umount", &[]).expect(0);
    failed(&world, &["list"]).expect(12);

    world.throw_cache_away();
    world.mount();
    assert!(fs::read(drive.join("kept.bin")).unwrap() == kept);
    assert!(!drive.join("new.txt").exists());
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn damaged_staged_bytes_are_told_and_the_rest_is_exported_with_holes() {
    let world = World::logged_in();
    fill_up(&world);
    world.mount();
    let file = world.drive().join("f.bin");
    let data = noise(300_000);
    fs::write(&file, &data).unwrap();
    world.on_drive("flush", &[]).expect(11);
    world.on_drive("umount", &["--detach"]);

    let blocks = fs::read_dir(world.path(".cache/inxtfs")).unwrap().next().unwrap().unwrap().path();
    let dirs = fs::read_dir(blocks.join("blocks")).unwrap().map(|d| d.unwrap().path()).filter(|d| d.is_dir());
    let staged = dirs.flat_map(|d| fs::read_dir(d).unwrap()).map(|f| f.unwrap().path());
    let staged: Vec<_> = staged.filter(|p| p.extension().is_some_and(|e| e == "s")).collect();
    let mut bytes = fs::read(&staged[0]).unwrap();
    bytes[80_000] ^= 1;
    fs::write(&staged[0], bytes).unwrap();

    make_room(&world);
    world.mount();
    let ran = world.on_drive("flush", &[]).expect(11);
    assert!(ran.err.contains("damaged") && ran.err.contains("failed export"), "{}", ran.err);
    assert_eq!(fs::read(&file).unwrap_err().raw_os_error(), Some(libc::EIO));
    let log = world.mount_log();
    let told = log.lines().filter(|line| line.contains("blocked:") && line.contains("damaged on the local"));
    assert_eq!(told.count(), 1, "{log}");
    let items = listed(&world);
    assert_eq!(items[0].2["reason"], "damaged", "{items:?}");
    let out = world.path("out.bin");
    let ran = failed(&world, &["export", &items[0].1, out.to_str().unwrap()]).expect(14);
    assert!(ran.err.contains("..") && ran.err.contains("damaged"), "{}", ran.err);
    let got = fs::read(&out).unwrap();
    assert_eq!(got.len(), data.len());
    let wrong: Vec<_> = (0..got.len()).filter(|i| got[*i] != data[*i]).collect();
    let (first, last) = (wrong[0], wrong[wrong.len() - 1]);
    assert_eq!(first >> 16, last >> 16, "one block");
    assert!(got[first..=last].iter().all(|b| *b == 0));
    fs::write(&file, &data).unwrap();
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
}
