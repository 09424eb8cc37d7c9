//! Many small files: written one by one, copied by rsync, removed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::mount::{Cost, HURRIED, Mount, tool};
use crate::peers::Subject;
use crate::scene::{Bench, Line, percentile};
use crate::table::Target::{AtMost, Requests, Times};
use crate::table::Unit::Micros;
use crate::world::noise;

/// Many small files.
pub fn small(bench: &mut Bench) {
    let scene = bench.scene();
    let count = bench.sized(200);
    for (line, subject) in bench.turns() {
        let files = Small::of(&scene.cold(line, &subject), line, count);
        let of = |samples: &[f64], percent| match &files.written {
            Ok(_) => Ok(percentile(&mut samples.to_vec(), percent)),
            Err(e) => Err(e.clone()),
        };
        let (table, cost) = (&mut bench.table, files.written.as_ref().ok());
        table
            .add(line, &subject, "200 small files: each, median", of(&files.whole, 50), Micros, cost)
            .targets(&[AtMost(500.0)]);
        table
            .add(line, &subject, "its close, median", of(&files.close, 50), Micros, None)
            .targets(&[AtMost(300.0)]);
        table
            .add(line, &subject, "its close, 99th percentile", of(&files.close, 99), Micros, None)
            .targets(&[AtMost(2000.0)]);
        let mut drained = |what, sent: &Result<Cost, String>| {
            table.took(line, &subject, what, sent).targets(&[Times(4.0)]);
        };
        drained("from the first until the server has all", &files.sent);
        let hurried = match subject {
            Subject::Inxtfs => Small::of(&scene.cold_with(line, &subject, HURRIED), line, count).sent,
            _ => files.sent,
        };
        drained("until the server has all, --requests 24", &hurried);
    }
}

/// Small files, written and sent.
struct Small {
    /// Microseconds: a whole file, and its close.
    whole: Vec<f64>,
    close: Vec<f64>,
    written: Result<Cost, String>,
    /// Writing included.
    sent: Result<Cost, String>,
}

impl Small {
    fn of(mount: &Mount, line: Line, count: u64) -> Small {
        let (scene, folder, content) = (mount.scene(), mount.path("small"), noise(4000));
        scene.ideal();
        let made = fs::create_dir(&folder).map_err(|e| e.to_string()).and_then(|()| mount.sent());
        scene.on(line);
        let (mut whole, mut close) = (Vec::new(), Vec::new());
        let write = || {
            for i in 0..count {
                let start = Instant::now();
                let mut file = fs::File::create(folder.join(format!("note {i}.txt")))?;
                file.write_all(&content)?;
                let closing = Instant::now();
                drop(file);
                close.push(closing.elapsed().as_secs_f64() * 1e6);
                whole.push(start.elapsed().as_secs_f64() * 1e6);
            }
            Ok(())
        };
        let written = made.and_then(|_| mount.measure(write));
        let sent = written.clone().and_then(|cost| Ok(cost.and(&mount.sent()?)));
        scene.ideal();
        let _ = fs::remove_dir_all(&folder);
        let _ = mount.sent();
        Small { whole, close, written, sent }
    }
}

fn make_tree(from: &Path, files: u64) {
    for i in 0..files {
        let folder = from.join(format!("d{}", i % 20));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{i}.txt")), format!("content {i}\n").repeat(20)).unwrap();
    }
}

/// rsync, twice, and the removal of what it copied.
pub fn copied(bench: &mut Bench) {
    let scene = bench.scene();
    let from = scene.world.path("from");
    make_tree(&from, bench.sized(500));
    for (line, subject) in bench.turns() {
        let mount = scene.cold(line, &subject);
        let to = mount.path("copy");
        let source = format!("{}/", from.display());
        let rsync = || tool("rsync", &["-a".as_ref(), source.as_ref(), to.as_ref()]);
        let mut put = |what, cost: &Result<Cost, String>, targets: &[_]| {
            bench.table.took(line, &subject, what, cost).targets(targets);
        };
        let copied = mount.measure(rsync);
        put("rsync -a of 500 files", &copied, &[]);
        let sent = copied.and_then(|cost| Ok(cost.and(&mount.sent()?)));
        put("until the server has them", &sent, &[]);
        put("rsync -a again", &mount.measure(rsync), &[Requests(0)]);
        let _ = mount.sent();
        let removed = mount.measure(|| fs::remove_dir_all(&to));
        put("rm -rf of them", &removed, &[AtMost(300.0)]);
        let told = removed.and_then(|cost| Ok(cost.and(&mount.sent()?)));
        put("until the server knows", &told, &[Times(10.0)]);
    }
}
