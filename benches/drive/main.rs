//! How the mount feels, in figures: the real program on a real mount, the emulator for the service, and beside it what
//! the same line and the same disk give a plain program, in the same run.
//!
//! `cargo bench --bench drive -- [--line latency|narrow] [--only PART] [--scale PERCENT] [--json FILE]`
//!
//! `scripts/bench --peers` adds `--rclone PROGRAM` and `--ixr PROGRAM`: their mounts do the same, in turn.
#![allow(clippy::unwrap_used, missing_docs)]

mod limits;
mod many;
mod mount;
mod peers;
mod reads;
mod rest;
mod scene;
mod table;
mod trees;
#[path = "../../tests/cli/world.rs"]
mod world;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use peers::Subject;
use scene::{Bench, Line};
use table::Table;

/// What was asked for.
struct Args {
    lines: Vec<Line>,
    only: Option<String>,
    /// Sizes, in percent of what the figures are stated for.
    scale: u64,
    json: Option<String>,
    subjects: Vec<Subject>,
}

fn args() -> Args {
    let mut args = Args {
        lines: vec![LATENCY, NARROW],
        only: None,
        scale: 100,
        json: None,
        subjects: vec![Subject::Inxtfs],
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| usage(&format!("{word} needs a value")));
        match word.as_str() {
            "--line" => {
                args.lines = match value().as_str() {
                    "latency" => vec![LATENCY],
                    "narrow" => vec![NARROW],
                    other => usage(&format!("no line {other}")),
                }
            }
            "--only" => {
                let only = value();
                if !PARTS.iter().any(|(name, _)| *name == only) {
                    usage(&format!("no part {only}"));
                }
                args.only = Some(only);
            }
            "--scale" => {
                let scale = value().parse().ok().filter(|s| (1..=100).contains(s));
                args.scale = scale.unwrap_or_else(|| usage("--scale takes a percentage from 1 to 100"));
            }
            "--json" => args.json = Some(value()),
            "--rclone" => args.subjects.push(Subject::Rclone(PathBuf::from(value()))),
            "--ixr" => args.subjects.push(Subject::Ixr(PathBuf::from(value()))),
            // What cargo passes on to every bench.
            "--bench" => {}
            other => usage(&format!("what is {other}?")),
        }
    }
    args
}

fn usage(problem: &str) -> ! {
    let parts: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
    eprintln!(
        "{problem}\nusage: cargo bench --bench drive -- [--line latency|narrow] [--only PART] [--scale PERCENT] \
         [--json FILE] [--rclone PROGRAM] [--ixr PROGRAM]\nparts: {}",
        parts.join(" ")
    );
    std::process::exit(2)
}

/// Far away, and wide.
const LATENCY: Line = Line { name: "30 ms", latency: Duration::from_millis(30), bandwidth: None };
/// The same, as wide as a good connection at home: 200 Mbit/s.
const NARROW: Line =
    Line { name: "30 ms, 200 Mbit/s", latency: Duration::from_millis(30), bandwidth: Some(25_000_000) };

/// A part of the run.
type Part = fn(&mut Bench);

const PARTS: [(&str, Part); 10] = [
    ("stream", reads::stream),
    ("first", reads::first_byte),
    ("random", reads::random),
    ("remount", reads::after_remount),
    ("write", writes::large),
    ("records", writes::records),
    ("small", many::small),
    ("tree", trees::trees),
    ("copy", many::copied),
    ("idle", rest::idle),
];

fn main() {
    let args = args();
    let mut bench =
        Bench { table: Table::default(), lines: args.lines, scale: args.scale, subjects: args.subjects };
    for (name, part) in PARTS {
        if args.only.as_deref().is_none_or(|only| only == name) {
            eprintln!("{name} ...");
            part(&mut bench);
            // A run that is stopped has shown what it had.
            if let Some(file) = &args.json {
                std::fs::write(file, bench.table.json(args.scale))
                    .unwrap_or_else(|e| usage(&format!("{file}: {e}")));
            }
        }
    }
    bench.table.print(args.scale);
}
