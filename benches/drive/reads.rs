//! Reading: streams, first bytes, jumps, and what is here already.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::limits;
use crate::scene::{Line, Scene, Table, forget_pages, median, read_all};
use crate::world::noise;

const MIB: f64 = 1_048_576.0;

fn put(scene: &Scene, name: &str, size: u64) -> std::path::PathBuf {
    let path = scene.drive().join(name);
    fs::write(&path, noise(usize::try_from(size).unwrap())).unwrap();
    path
}

/// A cold file from its beginning to its end.
pub fn stream(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let size = (256 << 20) * scale / 100;
    let path = put(&scene, "stream.bin", size);
    let warm = put(&scene, "warm.bin", 1 << 20);
    scene.cold();
    scene.on_line();
    read_all(&warm);
    let cost = scene.measure(|| assert_eq!(read_all(&path), size));
    let (_, plain) = limits::line(&scene, size);
    table
        .add(line, "cold sequential read", size as f64 / cost.seconds / MIB, "MiB/s")
        .limit(plain / MIB)
        .requests(cost.requests);
    table.add(line, "cold sequential read, processor", cost.cpu, "s");
    table.add(line, "cold sequential read, peak memory", scene.peak(), "MiB");
}

/// How long the first bytes of a cold file take.
pub fn first_byte(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let files: Vec<_> =
        (0..8).map(|i| put(&scene, &format!("film {i}.mkv"), (128 << 20) * scale / 100)).collect();
    scene.cold();
    scene.on_line();
    let first = |path: &std::path::Path| {
        let start = Instant::now();
        let mut bytes = [0; 4096];
        fs::File::open(path).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        start.elapsed().as_secs_f64() * 1000.0
    };
    first(&files[0]);
    let mark = scene.world.log().mark();
    let times: Vec<f64> = files[1..].iter().map(|f| first(f)).collect();
    let requests = scene.world.log().since(mark).len();
    table.add(line, "first byte of a cold file, median", median(times), "ms").requests(requests / 7);
}

/// Small reads here and there.
pub fn random(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let size = (256 << 20) * scale / 100;
    let path = put(&scene, "database.bin", size);
    scene.cold();
    scene.on_line();
    let file = fs::File::open(&path).unwrap();
    let mut at = 12345u64;
    let mut places = Vec::new();
    for _ in 0..200 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        places.push((at >> 16) % (size - 4096));
    }
    let read = |place: u64| {
        let start = Instant::now();
        file.read_exact_at(&mut [0; 4096], place).unwrap();
        start.elapsed().as_secs_f64() * 1000.0
    };
    read(places[0]);
    let mut times = Vec::new();
    let cost = scene.measure(|| times = places[1..].iter().map(|p| read(*p)).collect());
    table.add(line, "4 KiB here and there, cold, median", median(times), "ms").requests(cost.requests);
    forget_pages();
    let times = places.iter().map(|p| read(*p)).collect();
    table.add(line, "the same again, pages dropped, median", median(times), "ms");
}

/// What was read before the last unmount.
pub fn after_remount(table: &mut Table, line: Line, scale: u64) {
    let scene = Scene::new(line);
    let size = (256 << 20) * scale / 100;
    let path = put(&scene, "known.bin", size);
    scene.flush();
    scene.world.on_drive("umount", &[]).expect(0);
    scene.mount();
    scene.on_line();
    let (_, plain) = limits::disk(scene.world.home(), size);
    forget_pages();
    let cost = scene.measure(|| assert_eq!(read_all(&path), size));
    table
        .add(line, "read after a remount, nothing in memory", size as f64 / cost.seconds / MIB, "MiB/s")
        .limit(plain / MIB)
        .requests(cost.requests);
    scene.world.on_drive("umount", &[]).expect(0);
    scene.mount();
    let cost = scene.measure(|| assert_eq!(read_all(&path), size));
    table
        .add(line, "read after a remount, sealed files in memory", size as f64 / cost.seconds / MIB, "MiB/s")
        .requests(cost.requests);
}
