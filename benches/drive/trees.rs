//! The tree: first look, second mount, and tools that walk it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::scene::{Line, Scene, Table};
use crate::world::{EMAIL, tool};

fn list(folder: &Path) {
    tool("ls", &["-l".as_ref(), folder.as_ref()]);
}

fn walk(folder: &Path) {
    tool(
        "find",
        &[folder.as_ref(), "-type".as_ref(), "f".as_ref(), "-newermt".as_ref(), "2001-01-01".as_ref()],
    );
}

/// Listings cold and warm, walks, rsync, and the removal of it all.
pub fn trees(table: &mut Table, line: Line, scale: u64) {
    flat(table, line, 1000 * scale / 100);
    flat(table, line, 10_000 * scale / 100);
    deep(table, line, scale);
    copied(table, line, scale);
}

/// One folder of many files, right after the very first mount.
fn flat(table: &mut Table, line: Line, files: u64) {
    let scene = Scene::new(line);
    scene.world.on_drive("umount", &[]).expect(0);
    scene.world.throw_cache_away();
    scene.world.shared().world.fill(EMAIL, 1, usize::try_from(files).unwrap());
    scene.on_line();
    scene.mount();
    let folder = scene.drive().join("folder0");
    let cost = scene.measure(|| list(&folder));
    table
        .add(line, &format!("ls -l of {files} files, first mount"), cost.seconds * 1000.0, "ms")
        .requests(cost.requests);
    let cost = scene.measure(|| list(&folder));
    table
        .add(line, &format!("ls -l of {files} files, again"), cost.seconds * 1000.0, "ms")
        .requests(cost.requests);
}

/// Files in many folders.
fn deep(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    scene.world.on_drive("umount", &[]).expect(0);
    scene.world.throw_cache_away();
    let folders = usize::try_from(500 * scale / 100).unwrap();
    scene.world.shared().world.fill(EMAIL, folders, 10);
    scene.on_line();
    scene.mount();
    let cost = scene.measure(|| walk(&scene.drive()));
    table
        .add(line, &format!("find over {} files, first mount", folders * 10), cost.seconds * 1000.0, "ms")
        .requests(cost.requests);
    let cost = scene.measure(|| walk(&scene.drive()));
    table.add(line, "find, warm", cost.seconds * 1000.0, "ms").requests(cost.requests);
    scene.world.on_drive("umount", &[]).expect(0);
    let mark = scene.world.log().mark();
    let start = std::time::Instant::now();
    scene.mount();
    walk(&scene.drive());
    let seconds = start.elapsed().as_secs_f64();
    let requests = scene.world.log().since(mark).len();
    table.add(line, "second mount, to the end of find", seconds * 1000.0, "ms").requests(requests);
}

/// rsync, twice, and the removal of what it copied.
fn copied(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let from = scene.world.path("from");
    for i in 0..500 * scale / 100 {
        let folder = from.join(format!("d{}", i % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{i}.txt")), format!("content {i}\n").repeat(20)).unwrap();
    }
    let to = scene.drive().join("copy");
    let (source, target) = (format!("{}/", from.display()), format!("{}/", to.display()));
    let rsync = || {
        let args: [&OsStr; 3] = ["-a".as_ref(), source.as_ref(), target.as_ref()];
        tool("rsync", &args);
    };
    scene.on_line();
    let cost = scene.measure(rsync);
    table.add(line, "rsync -a of 500 files", cost.seconds * 1000.0, "ms").requests(cost.requests);
    let cost = scene.measure(|| scene.flush());
    table
        .add(line, "the same until the server has them", cost.seconds * 1000.0, "ms")
        .requests(cost.requests);
    let cost = scene.measure(rsync);
    table.add(line, "rsync -a again", cost.seconds * 1000.0, "ms").requests(cost.requests);
    let cost = scene.measure(|| fs::remove_dir_all(&to).unwrap());
    table.add(line, "rm -rf of them", cost.seconds * 1000.0, "ms").requests(cost.requests);
    let cost = scene.measure(|| scene.flush());
    table.add(line, "the same until the server knows", cost.seconds * 1000.0, "ms").requests(cost.requests);
}
