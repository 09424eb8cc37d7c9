//! Reading: streams, first bytes, jumps, and what is here already.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::limits::{self, Plain};
use crate::mount::{Cost, Mount};
use crate::peers::Subject;
use crate::scene::{Bench, forget_pages, median, put, read_whole};
use crate::table::Target::{AtLeast, AtMost, Share, Times};
use crate::table::Unit::{MBs, Millis};

/// For a connection that stands before anything is measured.
const WARM: (&str, u64) = ("warm.bin", 1 << 20);

fn warm_up(mount: &Mount) {
    let _ = read_whole(&mount.path(WARM.0), WARM.1);
}

/// A cold file from its beginning to its end.
pub fn stream(bench: &mut Bench) {
    let scene = bench.scene();
    let size = bench.sized(256 << 20);
    scene.prepare(|drive| {
        put(drive, "stream.bin", size);
        put(drive, WARM.0, WARM.1);
    });
    let plain = Plain::new(&scene);
    let object = plain.prepared(size);
    for (line, subject) in bench.turns() {
        let mount = scene.cold(line, &subject);
        warm_up(&mount);
        let cost = mount.measure(|| read_whole(&mount.path("stream.bin"), size));
        let rate = cost.as_ref().map(|c| c.rate(size)).map_err(Clone::clone);
        let cost = cost.ok();
        let row = bench.table.add(line, &subject, "cold sequential read", rate, MBs, cost.as_ref());
        if let Subject::Inxtfs = subject {
            let (share, times) = if line.bandwidth.is_some() { (0.9, None) } else { (0.5, Some(3.0)) };
            let targets: Vec<_> = [Share(share)].into_iter().chain(times.map(Times)).collect();
            row.plain(plain.download(&object, size)).targets(&targets);
        }
    }
}

fn piece(path: &Path, at: u64) -> io::Result<f64> {
    let start = Instant::now();
    fs::File::open(path)?.read_exact_at(&mut [0; 4096], at)?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// How long the first bytes of a cold file take, opening included.
pub fn first_byte(bench: &mut Bench) {
    const TIMES: usize = 5;
    let scene = bench.scene();
    let size = bench.sized(1 << 30);
    scene.prepare(|drive| {
        put(drive, "film.mkv", size);
        put(drive, WARM.0, WARM.1);
    });
    for (line, subject) in bench.turns() {
        let mut times = Vec::new();
        let mut total: Option<Cost> = None;
        let mut failed = None;
        for _ in 0..TIMES {
            let mount = scene.cold(line, &subject);
            warm_up(&mount);
            let path = mount.path("film.mkv");
            match mount.measure(|| piece(&path, 0).map(|time| times.push(time))) {
                Ok(cost) => total = Some(total.map_or(cost.clone(), |t| t.and(&cost))),
                Err(e) => failed = Some(e),
            }
        }
        // One of them: an average would hide half a request.
        let cost =
            total.map(|t| Cost { requests: t.requests.div_ceil(TIMES), cpu: t.cpu / TIMES as f64, ..t });
        let value = failed.map_or_else(|| Ok(median(times)), Err);
        bench
            .table
            .add(line, &subject, "first byte of a cold 1 GiB file, median", value, Millis, cost.as_ref())
            .targets(&[AtMost(2.0 * line.latency.as_secs_f64() * 1000.0 + 15.0)]);
    }
}

/// Small reads here and there.
pub fn random(bench: &mut Bench) {
    let scene = bench.scene();
    let size = bench.sized(256 << 20);
    scene.prepare(|drive| {
        put(drive, "database.bin", size);
        put(drive, WARM.0, WARM.1);
    });
    let mut at = 12345u64;
    let mut places = Vec::new();
    for _ in 0..200 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        places.push((at >> 16) % (size - 4096));
    }
    for (line, subject) in bench.turns() {
        let mount = scene.cold(line, &subject);
        warm_up(&mount);
        let file = fs::File::open(mount.path("database.bin")).unwrap();
        let all = |places: &[u64]| -> io::Result<Vec<f64>> {
            let read = |place: &u64| {
                let start = Instant::now();
                file.read_exact_at(&mut [0; 4096], *place)?;
                Ok(start.elapsed().as_secs_f64() * 1000.0)
            };
            places.iter().map(read).collect()
        };
        let _ = all(&places[..1]);
        let rtt = line.latency.as_secs_f64() * 1000.0;
        for (what, again) in
            [("4 KiB here and there, cold, median", false), ("the same, cached, pages dropped, median", true)]
        {
            if again {
                forget_pages();
            }
            let mut times = Vec::new();
            let cost = mount.measure(|| all(&places[1..]).map(|t| times = t));
            let value = cost.as_ref().map(|_| median(times)).map_err(Clone::clone);
            let row = bench.table.add(line, &subject, what, value, Millis, cost.as_ref().ok());
            if !again {
                row.targets(&[AtMost(rtt + 10.0)]);
            }
        }
    }
}

/// What was read before the last unmount.
pub fn after_remount(bench: &mut Bench) {
    let scene = bench.scene();
    let size = bench.sized(256 << 20);
    scene.prepare(|drive| put(drive, "known.bin", size));
    for (line, subject) in bench.turns() {
        let mount = scene.cold(line, &subject);
        let read = |mount: &Mount| mount.measure(|| read_whole(&mount.path("known.bin"), size));
        scene.ideal();
        let _ = read(&mount);
        mount.end();
        let mount = Mount::begin(&scene, &subject);
        mount.know_the_tree();
        scene.on(line);
        // Not what is still on its way to the disk.
        let (_, plain) = limits::disk(scene.world.home(), size);
        forget_pages();
        let cost = read(&mount);
        let value = cost.as_ref().map(|c| c.rate(size)).map_err(Clone::clone);
        bench
            .table
            .add(line, &subject, "read after remount, nothing in memory", value, MBs, cost.as_ref().ok())
            .plain(plain)
            .targets(&[Share(0.8)]);
        mount.end();
        let mount = Mount::begin(&scene, &subject);
        mount.know_the_tree();
        let cost = read(&mount);
        let value = cost.as_ref().map(|c| c.rate(size)).map_err(Clone::clone);
        bench
            .table
            .add(line, &subject, "read after remount, sealed files in memory", value, MBs, cost.as_ref().ok())
            .targets(&[AtLeast(800.0)]);
    }
}
