//! How the mount feels, in figures: the real program on a real mount, the emulator for the service, the line it
//! has been given as the measure.
//!
//! `cargo bench --bench drive -- [--line latency|narrow] [--only PART] [--scale PERCENT] [--json FILE]`
#![allow(clippy::unwrap_used, missing_docs)]

mod limits;
mod reads;
mod scene;
mod trees;
#[path = "../../tests/cli/world.rs"]
mod world;
mod writes;

use std::time::Duration;

use scene::{Line, Table};

/// What was asked for.
struct Args {
    lines: Vec<Line>,
    only: Option<String>,
    /// Sizes, in percent of what the figures are stated for.
    scale: u64,
    json: Option<String>,
}

fn args() -> Args {
    let mut args = Args { lines: vec![LATENCY, NARROW], only: None, scale: 100, json: None };
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
            "--only" => args.only = Some(value()),
            "--scale" => args.scale = value().parse().unwrap_or_else(|_| usage("--scale takes a percentage")),
            "--json" => args.json = Some(value()),
            // What cargo passes on to every bench.
            "--bench" => {}
            other => usage(&format!("what is {other}?")),
        }
    }
    args
}

fn usage(problem: &str) -> ! {
    eprintln!(
        "{problem}\nusage: cargo bench --bench drive -- [--line latency|narrow] [--only PART] [--scale PERCENT] \
         [--json FILE]"
    );
    std::process::exit(2)
}

/// Far away, and wide.
const LATENCY: Line = Line { name: "30 ms", latency: Duration::from_millis(30), bandwidth: None };
/// The same, as wide as a good connection at home: 200 Mbit/s.
const NARROW: Line =
    Line { name: "30 ms, 200 Mbit/s", latency: Duration::from_millis(30), bandwidth: Some(25_000_000) };

/// A part of the run: measures on one line.
type Part = fn(&mut Table, Line, u64);

const PARTS: [(&str, Part); 7] = [
    ("stream", reads::stream),
    ("first", reads::first_byte),
    ("random", reads::random),
    ("remount", reads::after_remount),
    ("write", writes::large),
    ("small", writes::small),
    ("tree", trees::trees),
];

fn main() {
    let args = args();
    let mut table = Table::default();
    for line in &args.lines {
        for (name, part) in PARTS {
            if args.only.as_deref().is_none_or(|only| only == name) {
                part(&mut table, *line, args.scale);
            }
        }
    }
    table.print();
    if let Some(file) = args.json {
        std::fs::write(&file, table.json()).unwrap_or_else(|e| usage(&format!("{file}: {e}")));
    }
}
