//! Writing: until the program may go on, and until the server has it.

use std::fs;
use std::io::Write;
use std::time::Instant;

use crate::limits;
use crate::scene::{Line, Scene, Table, median, percentile};
use crate::world::noise;

const MIB: f64 = 1_048_576.0;

/// One large file, and one in small writes.
pub fn large(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let size = (256 << 20) * scale / 100;
    let content = noise(8 << 20);
    let (plain, _) = limits::disk(scene.world.home(), size);
    scene.on_line();
    let cost = scene.measure(|| {
        let mut file = fs::File::create(scene.drive().join("large.bin")).unwrap();
        for _ in 0..size.div_ceil(content.len() as u64) {
            file.write_all(&content).unwrap();
        }
        file.sync_all().unwrap();
    });
    table
        .add(line, "large file written, with fsync", size as f64 / cost.seconds / MIB, "MiB/s")
        .limit(plain / MIB);
    let cost = scene.measure(|| scene.flush());
    let (up, _) = limits::line(&scene, size);
    table
        .add(line, "the same until the server has it", size as f64 / cost.seconds / MIB, "MiB/s")
        .limit(up / MIB)
        .requests(cost.requests);
    table.add(line, "the same, processor", cost.cpu, "s");
    table.add(line, "the same, peak memory", scene.peak(), "MiB");

    let count = 20_000 * scale / 100;
    let mut file = fs::File::create(scene.drive().join("records.bin")).unwrap();
    let start = Instant::now();
    for i in 0..count {
        let from = usize::try_from(i % 2000).unwrap() * 4096;
        file.write_all(&content[from..from + 4096]).unwrap();
    }
    drop(file);
    table.add(line, "4 KiB writes in a row", count as f64 / start.elapsed().as_secs_f64(), "/s");
}

/// Many small files.
pub fn small(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let folder = scene.drive().join("small");
    fs::create_dir(&folder).unwrap();
    scene.flush();
    scene.on_line();
    let content = noise(4000);
    let (mut whole, mut close) = (Vec::new(), Vec::new());
    for i in 0..200 * scale / 100 {
        let start = Instant::now();
        let mut file = fs::File::create(folder.join(format!("note {i}.txt"))).unwrap();
        file.write_all(&content).unwrap();
        let closing = Instant::now();
        drop(file);
        close.push(closing.elapsed().as_secs_f64() * 1e6);
        whole.push(start.elapsed().as_secs_f64() * 1e6);
    }
    table.add(line, "small file created, written, closed, median", median(whole), "us");
    table.add(line, "its close, median", median(close.clone()), "us");
    table.add(line, "its close, 99th percentile", percentile(&mut close, 99), "us");
    let cost = scene.measure(|| scene.flush());
    table
        .add(line, "small files until the server has them", cost.seconds * 1000.0, "ms")
        .requests(cost.requests);
}
