//! `inxtfs pin` and `inxtfs unpin`.

use std::ffi::OsStr;
use std::fs;

use crate::world::{World, eventually, noise};

fn pinned(world: &World) -> serde_json::Value {
    world.status()["status"]["pinned"].take()
}

/// A folder on the server, nothing here.
fn with_folder() -> World {
    let world = World::logged_in();
    world.mount();
    fs::create_dir(world.drive().join("docs")).unwrap();
    fs::write(world.drive().join("docs/a.bin"), noise(3 << 20)).unwrap();
    fs::write(world.drive().join("docs/b.txt"), "text").unwrap();
    world.on_drive("flush", &[]).expect(0);
    world.on_drive("umount", &[]).expect(0);
    world.throw_cache_away();
    world
}

fn known(world: &World) {
    eventually("the tree is known", || world.status()["status"]["hydrated"].as_bool().unwrap_or(false));
}

#[test]
fn what_is_pinned_comes_here_stays_over_a_remount_and_reads_without_a_network() {
    let mut world = with_folder();
    world.mount();
    known(&world);
    let docs = world.drive().join("docs");
    let said = world.run([OsStr::new("pin"), docs.as_os_str()]).expect(0).err;
    assert!(said.contains("/docs (2 files, 3.0 MiB"), "{said}");
    eventually("it is here", || {
        let all = pinned(&world);
        all["files"] == 2 && all["here"] == all["bytes"]
    });
    world.on_drive("umount", &[]).expect(0);
    world.mount();
    let list = world.run(["pin", "--list", "--json"]).expect(0).out;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let pins = list["mounts"][0]["pins"].as_array().unwrap();
    assert_eq!(
        (pins.len(), &pins[0]["path"], &pins[0]["bytes"]),
        (1, &"/docs".into(), &((3 << 20) + 4).into())
    );
    assert!(world.run(["pin", "--list"]).expect(0).out.contains("/docs  (3.0 MiB of 3.0 MiB here)"));
    world.cut_network();
    assert_eq!(fs::read(docs.join("a.bin")).unwrap(), noise(3 << 20));
    assert_eq!(fs::read_to_string(docs.join("b.txt")).unwrap(), "text");
    let b = docs.join("b.txt");
    let inside = world.run([OsStr::new("unpin"), b.as_os_str()]).expect(1).err;
    assert!(inside.contains("with its folder /docs; unpin that"), "{inside}");
    world.run([OsStr::new("unpin"), docs.as_os_str()]).expect(0);
    assert!(world.run([OsStr::new("unpin"), docs.as_os_str()]).expect(2).err.contains("not pinned"));
    assert_eq!(world.run(["pin", "--list"]).expect(0).out, "Nothing is pinned.\n");
    assert_eq!(pinned(&world)["pins"], 0);
}

#[test]
fn pins_that_do_not_fit_are_told_by_the_command_and_the_status() {
    let world = with_folder();
    world.mount_with(&["--cache-size", "1MiB"]);
    known(&world);
    let docs = world.drive().join("docs");
    let said = world.run([OsStr::new("pin"), docs.as_os_str()]).expect(1).err;
    assert!(said.contains("no room") && said.contains("--cache-size"), "{said}");
    assert!(world.on_drive("status", &[]).expect(0).out.contains("no room for all of it"));
    assert_eq!(fs::read(docs.join("a.bin")).unwrap(), noise(3 << 20));
}

#[test]
fn a_path_on_no_drive_is_not_pinned() {
    let world = World::logged_in();
    let elsewhere = world.run([OsStr::new("pin"), world.home().as_os_str()]).expect(12).err;
    assert!(elsewhere.contains("on no drive"), "{elsewhere}");
    world.run(["pin", "/no/such/file"]).expect(2);
}
