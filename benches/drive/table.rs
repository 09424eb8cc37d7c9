//! The figures, and what was aimed at.

use std::iter::repeat;

use serde_json::{Value, json};

use crate::mount::Cost;
use crate::peers::Subject;
use crate::scene::Line;

/// What a figure is counted in, which says which way is better.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    /// A million bytes a second.
    MBs,
    PerSecond,
    Millis,
    Micros,
    Seconds,
    Mib,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::MBs => "MB/s",
            Unit::PerSecond => "/s",
            Unit::Millis => "ms",
            Unit::Micros => "us",
            Unit::Seconds => "s",
            Unit::Mib => "MiB",
        }
    }

    fn more_is_better(self) -> bool {
        matches!(self, Unit::MBs | Unit::PerSecond)
    }
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// At least this share of what a plain program gets.
    Share(f64),
    /// At least so much, or this share of what a plain program gets: whichever is less.
    AtLeastOrShare(f64, f64),
    /// So many times better than the best peer.
    Times(f64),
    Requests(usize),
}

impl Target {
    fn text(self, unit: Unit) -> String {
        let unit = unit.name();
        match self {
            Target::AtLeast(n) => format!(">= {n} {unit}"),
            Target::AtMost(n) => format!("<= {n} {unit}"),
            Target::Share(s) => format!(">= {:.0} %", s * 100.0),
            Target::AtLeastOrShare(n, s) => format!(">= {n} {unit} or {:.0} %", s * 100.0),
            Target::Times(n) => format!("{n}x best peer"),
            Target::Requests(n) => format!("{n} requests"),
        }
    }
}

/// One figure of one subject.
struct Cell {
    subject: &'static str,
    value: Result<f64, String>,
    cost: Option<Cost>,
}

/// One measure: all subjects.
struct Row {
    line: &'static str,
    what: &'static str,
    unit: Unit,
    /// What a plain program gets on the same line or disk.
    plain: Option<f64>,
    targets: Vec<Target>,
    cells: Vec<Cell>,
}

impl Row {
    fn ours(&self) -> Option<&Cell> {
        self.cells.iter().find(|c| c.subject == Subject::Inxtfs.name())
    }

    fn value(&self) -> Option<f64> {
        self.ours()?.value.as_ref().ok().copied()
    }

    /// How many times better than another figure.
    fn times(&self, other: f64) -> Option<f64> {
        let value = self.value()?;
        Some(if self.unit.more_is_better() { value / other } else { other / value })
    }

    /// The most that a peer falls short by least; nothing where no peer has a figure.
    fn best_peer(&self) -> Option<f64> {
        let peers = self.cells.iter().filter(|c| c.subject != Subject::Inxtfs.name());
        let values = peers.filter_map(|c| c.value.as_ref().ok().copied());
        let best = if self.unit.more_is_better() { f64::max } else { f64::min };
        values.reduce(best)
    }

    /// Whether a target is met; nothing where that cannot be said.
    fn meets(&self, target: Target) -> Option<bool> {
        let Some(value) = self.value() else { return Some(false) };
        Some(match target {
            Target::AtLeast(n) => value >= n,
            Target::AtMost(n) => value <= n,
            Target::Share(s) => value >= s * self.plain?,
            Target::AtLeastOrShare(n, s) => value >= n.min(s * self.plain?),
            Target::Times(n) => self.times(self.best_peer()?)? >= n,
            Target::Requests(n) => self.ours()?.cost.as_ref()?.requests <= n,
        })
    }

    fn verdict(&self) -> &'static str {
        let judged: Vec<bool> = self.targets.iter().filter_map(|t| self.meets(*t)).collect();
        match judged.as_slice() {
            [] => "",
            all if all.iter().all(|met| *met) => "met",
            _ => "MISSED",
        }
    }
}

/// All figures of a run.
#[derive(Default)]
pub struct Table(Vec<Row>);

/// A figure just added.
pub struct Added<'a>(&'a mut Row);

impl Added<'_> {
    pub fn plain(self, plain: f64) -> Self {
        self.0.plain = Some(plain);
        self
    }

    pub fn targets(self, targets: &[Target]) -> Self {
        self.0.targets = targets.to_vec();
        self
    }
}

impl Table {
    /// How long something took.
    pub fn took(
        &mut self,
        line: Line,
        subject: &Subject,
        what: &'static str,
        cost: &Result<Cost, String>,
    ) -> Added<'_> {
        let value = cost.as_ref().map(Cost::millis).map_err(Clone::clone);
        self.add(line, subject, what, value, Unit::Millis, cost.as_ref().ok())
    }

    pub fn add(
        &mut self,
        line: Line,
        subject: &Subject,
        what: &'static str,
        value: Result<f64, String>,
        unit: Unit,
        cost: Option<&Cost>,
    ) -> Added<'_> {
        if let Err(reason) = &value {
            eprintln!("{} on {}, {what}: {reason}", subject.name(), line.name);
        }
        let cell = Cell { subject: subject.name(), value, cost: cost.cloned() };
        let at = self.0.iter().position(|row| row.line == line.name && row.what == what);
        let at = at.unwrap_or_else(|| {
            let row =
                Row { line: line.name, what, unit, plain: None, targets: Vec::new(), cells: Vec::new() };
            self.0.push(row);
            self.0.len() - 1
        });
        let row = &mut self.0[at];
        row.cells.push(cell);
        Added(row)
    }

    /// The most memory a subject ever took, over all rows of a line.
    pub fn peak(&self, line: Line, subject: &Subject) -> f64 {
        let rows = self.0.iter().filter(|row| row.line == line.name);
        let cells = rows.flat_map(|row| &row.cells).filter(|cell| cell.subject == subject.name());
        cells.filter_map(|cell| cell.cost.as_ref()).map(|cost| cost.peak).fold(0.0, f64::max)
    }

    fn subjects(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for cell in self.0.iter().flat_map(|row| &row.cells) {
            if !names.contains(&cell.subject) {
                names.push(cell.subject);
            }
        }
        names
    }

    pub fn print(&self, scale: u64) {
        let subjects = self.subjects();
        let mut lines: Vec<&str> = self.0.iter().map(|row| row.line).collect();
        lines.sort_unstable();
        lines.dedup();
        let of_line = |line: &'static str| self.0.iter().filter(move |row| row.line == line);
        for (row, first) in
            lines.iter().flat_map(|line| of_line(line).zip([true].into_iter().chain(repeat(false))))
        {
            if first {
                let line = row.line;
                let sized = if scale == 100 { String::new() } else { format!(", sizes at {scale} %") };
                print!("\n{:<50}", format!("{line}{sized}"));
                subjects.iter().for_each(|name| print!(" {name:>13}"));
                let best = if subjects.len() > 1 { format!(" {:>7}", "x peer") } else { String::new() };
                println!(
                    " {:>9} {:>6}{best} {:>5} {:>6} {:>6}  {:<28}",
                    "plain", "share", "reqs", "cpu s", "MiB", "target"
                );
            }
            self.print_row(row, &subjects);
        }
        for row in &self.0 {
            for cell in &row.cells {
                if let Err(reason) = &cell.value {
                    println!("n/a: {} on {}, {}: {reason}", cell.subject, row.line, row.what);
                }
            }
        }
    }

    fn print_row(&self, row: &Row, subjects: &[&'static str]) {
        let or = |value: Option<String>| value.unwrap_or_default();
        print!("{:<50}", row.what);
        for name in subjects {
            let cell = row.cells.iter().find(|cell| cell.subject == *name);
            let text = match cell.map(|cell| &cell.value) {
                None => String::new(),
                Some(Ok(value)) => format!("{} {}", digits(*value), row.unit.name()),
                Some(Err(_)) => "n/a".to_owned(),
            };
            print!(" {text:>13}");
        }
        let plain = row.plain.map(digits);
        let share = row.plain.and_then(|plain| row.times(plain)).map(|s| format!("{s:.2}"));
        let cost = row.ours().and_then(|cell| cell.cost.as_ref());
        print!(" {:>9} {:>6}", or(plain), or(share));
        if subjects.len() > 1 {
            print!(" {:>7}", or(row.best_peer().and_then(|b| row.times(b)).map(|t| format!("{t:.1}"))));
        }
        let targets: Vec<_> = row.targets.iter().map(|t| t.text(row.unit)).collect();
        println!(
            " {:>5} {:>6} {:>6}  {:<28} {}",
            or(cost.map(|c| c.requests.to_string())),
            or(cost.map(|c| format!("{:.2}", c.cpu))),
            or(cost.map(|c| format!("{:.0}", c.peak))),
            targets.join(", "),
            row.verdict()
        );
    }

    pub fn json(&self, scale: u64) -> String {
        let cell = |cell: &Cell| {
            let cost = cell.cost.as_ref();
            json!({
                "value": cell.value.as_ref().ok(), "not": cell.value.as_ref().err(),
                "seconds": cost.map(|c| c.seconds), "requests": cost.map(|c| c.requests),
                "cpu": cost.map(|c| c.cpu), "peak_mib": cost.map(|c| c.peak),
                "routes": cost.map(|c| &c.routes),
            })
        };
        let rows: Vec<Value> = self
            .0
            .iter()
            .map(|row| {
                let cells: serde_json::Map<String, Value> =
                    row.cells.iter().map(|c| (c.subject.to_owned(), cell(c))).collect();
                let targets: Vec<Value> = row
                    .targets
                    .iter()
                    .map(|t| json!({ "target": t.text(row.unit), "met": row.meets(*t) }))
                    .collect();
                json!({
                    "line": row.line, "what": row.what, "unit": row.unit.name(), "plain": row.plain,
                    "ratio_to_plain": row.plain.and_then(|plain| row.times(plain)),
                    "ratio_to_best_peer": row.best_peer().and_then(|best| row.times(best)),
                    "targets": targets, "subjects": cells,
                })
            })
            .collect();
        json!({ "scale": scale, "rows": rows }).to_string()
    }
}

/// Three digits that say something.
fn digits(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
