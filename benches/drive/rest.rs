//! When nothing happens.

use std::io;
use std::time::Duration;

use crate::mount::Mount;
use crate::scene::Bench;
use crate::table::Target::AtMost;
use crate::table::Unit::{Mib, Seconds};

/// A mount that nobody uses, as it is by default; and the most memory that anything took.
pub fn idle(bench: &mut Bench) {
    const WHILE: u64 = 30;
    let scene = bench.scene();
    for (line, subject) in bench.turns() {
        scene.ideal();
        subject.throw_cache_away(&scene);
        let mount = Mount::begin_with(&scene, &subject, &[]);
        mount.know_the_tree();
        scene.on(line);
        // What mounting left to do.
        std::thread::sleep(Duration::from_secs(5));
        let cost = mount.measure(|| {
            std::thread::sleep(Duration::from_secs(WHILE));
            io::Result::Ok(())
        });
        let value = cost.as_ref().map(|c| c.cpu).map_err(Clone::clone);
        bench.table.add(line, &subject, "30 s idle, processor", value, Seconds, cost.as_ref().ok());
    }
    for (line, subject) in bench.turns() {
        let peak = bench.table.peak(line, &subject);
        bench
            .table
            .add(line, &subject, "memory, the most in all of this", Ok(peak), Mib, None)
            .targets(&[AtMost(150.0)]);
    }
}
