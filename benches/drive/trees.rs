//! The tree: first look, second mount, and tools that walk it.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::mount::{Cost, HURRIED, Mount, UNHURRIED, routes_since, tool};
use crate::peers::Subject;
use crate::scene::{Bench, Line, Scene};
use crate::table::Target::{AtMost, Requests, Times};
use crate::world::EMAIL;

fn list(folder: &Path) -> io::Result<()> {
    tool("ls", &["-l".as_ref(), folder])
}

/// Looks at every file, as a name alone would not make it.
fn walk(folder: &Path) -> io::Result<()> {
    tool("find", &[folder, "-type".as_ref(), "f".as_ref(), "-newermt".as_ref(), "2001-01-01".as_ref()])
}

/// Listings cold and warm, and walks.
pub fn trees(bench: &mut Bench) {
    flat(bench, 1000, ["ls -l of 1000 files, first mount", "ls -l of 1000 files, again"]);
    flat(bench, 10_000, ["ls -l of 10 000 files, first mount", "ls -l of 10 000 files, again"]);
    deep(bench);
}

/// Mounted by somebody who has never been here, on the line from the start.
fn first_mount<'a>(scene: &'a Scene, line: Line, subject: &Subject, flags: &[&str]) -> Mount<'a> {
    subject.throw_cache_away(scene);
    scene.on(line);
    Mount::begin_with(scene, subject, &[UNHURRIED, flags].concat())
}

/// One folder of many files, right after the very first mount.
fn flat(bench: &mut Bench, files: u64, whats: [&'static str; 2]) {
    let scene = bench.scene();
    scene.world.shared().world.fill(EMAIL, 1, usize::try_from(bench.sized(files)).unwrap());
    for (line, subject) in bench.turns() {
        let mount = first_mount(&scene, line, &subject, &[]);
        let folder = mount.path("folder0");
        let mut looks = Vec::new();
        for (what, first) in whats.into_iter().zip([true, false]) {
            let cost = mount.measure(|| list(&folder));
            let row = bench.table.took(line, &subject, what, &cost);
            if first && files == 10_000 {
                row.targets(&[Times(10.0)]);
            } else if !first {
                row.targets(&[Requests(0)]);
            }
            looks.push(cost);
            // Background work of the first mount is none of the second look's.
            mount.know_the_tree();
            mount.settle();
        }
        if files == 10_000 {
            mount.end();
            let hurried = match subject {
                Subject::Inxtfs => {
                    let mount = first_mount(&scene, line, &subject, HURRIED);
                    mount.measure(|| list(&mount.path("folder0")))
                }
                _ => looks.swap_remove(0),
            };
            bench
                .table
                .took(line, &subject, "its first look with --requests 24", &hurried)
                .targets(&[Times(10.0)]);
        }
    }
}

/// Files in many folders.
fn deep(bench: &mut Bench) {
    let scene = bench.scene();
    scene.world.shared().world.fill(EMAIL, usize::try_from(bench.sized(500)).unwrap(), 10);
    for (line, subject) in bench.turns() {
        let mount = first_mount(&scene, line, &subject, &[]);
        let mut put = |what, cost: &Result<Cost, String>, targets: &[_]| {
            bench.table.took(line, &subject, what, cost).targets(targets);
        };
        put("find over 5000 files, first mount", &mount.measure(|| walk(&mount.drive())), &[]);
        mount.know_the_tree();
        mount.settle();
        put("find, warm", &mount.measure(|| walk(&mount.drive())), &[AtMost(100.0), Requests(0)]);
        mount.end();
        let (mark, start) = (scene.world.log().mark(), Instant::now());
        let mount = Mount::begin(&scene, &subject);
        let mounted = start.elapsed().as_secs_f64();
        let cost = mount.measure(|| walk(&mount.drive())).map(|cost| {
            let routes = routes_since(&scene, mark);
            Cost { seconds: mounted + cost.seconds, requests: routes.values().sum(), routes, ..cost }
        });
        // What a second mount asks for must not grow with the tree: 500 folders would be 500 requests.
        put("second mount, to the end of find", &cost, &[AtMost(1000.0), Requests(20)]);
    }
}
