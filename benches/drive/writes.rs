//! Writing large files: until the program may go on, and until the server has it.

use std::fs;

use crate::limits::{self, Plain};
use crate::peers::Subject;
use crate::scene::{Bench, write_all};
use crate::table::Target::{AtLeast, AtLeastOrShare, Share};
use crate::table::Unit::{MBs, PerSecond};
use crate::world::noise;

/// One large file.
pub fn large(bench: &mut Bench) {
    let scene = bench.scene();
    let size = bench.sized(256 << 20);
    let content = noise(8 << 20);
    let plain = Plain::new(&scene);
    for (line, subject) in bench.turns() {
        let mount = scene.cold(line, &subject);
        let path = mount.path("large.bin");
        let closed = mount.measure(|| write_all(&mut fs::File::create(&path)?, &content, size));
        let value = closed.as_ref().map(|c| c.rate(size)).map_err(Clone::clone);
        bench.table.add(line, &subject, "large file, until close", value, MBs, closed.as_ref().ok());
        let sent = closed.and_then(|_| mount.sent());
        let value = sent.as_ref().map(|c| c.rate(size)).map_err(Clone::clone);
        let row = bench.table.add(
            line,
            &subject,
            "from close until the server has it",
            value,
            MBs,
            sent.as_ref().ok(),
        );
        if let Subject::Inxtfs = subject {
            let row = row.plain(plain.upload(size));
            if line.bandwidth.is_some() {
                row.targets(&[Share(0.9)]);
            }
        }
        let path = mount.path("synced.bin");
        let (disk, _) = limits::disk(scene.world.home(), size);
        let synced = mount.measure(|| {
            let mut file = fs::File::create(&path)?;
            write_all(&mut file, &content, size)?;
            file.sync_all()
        });
        let value = synced.as_ref().map(|c| c.rate(size)).map_err(Clone::clone);
        bench
            .table
            .add(line, &subject, "large file, with fsync", value, MBs, synced.as_ref().ok())
            .plain(disk)
            .targets(&[AtLeastOrShare(400.0, 0.7)]);
        scene.ideal();
        let _ = mount.sent();
        let _ = fs::remove_file(mount.path("large.bin")).and_then(|()| fs::remove_file(&path));
        let _ = mount.sent();
    }
}

/// One file in small writes.
pub fn records(bench: &mut Bench) {
    let scene = bench.scene();
    let count = bench.sized(40_000);
    let content = noise(8 << 20);
    for (line, subject) in bench.turns() {
        let mount = scene.cold(line, &subject);
        let path = mount.path("records.bin");
        let cost = mount.measure(|| {
            let mut file = fs::File::create(&path)?;
            (0..count).try_for_each(|i| {
                let from = usize::try_from(i % 2000).unwrap() * 4096;
                std::io::Write::write_all(&mut file, &content[from..from + 4096])
            })
        });
        let value = cost.as_ref().map(|c| count as f64 / c.seconds).map_err(Clone::clone);
        bench
            .table
            .add(line, &subject, "4 KiB writes in a row", value, PerSecond, cost.as_ref().ok())
            .targets(&[AtLeast(25_000.0)]);
        scene.ideal();
        let _ = mount.sent();
        let _ = fs::remove_file(&path);
        let _ = mount.sent();
    }
}
