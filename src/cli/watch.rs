//! `inxtfs status --watch`: what mounts do, live.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::exit::Exit;
use super::status;
use super::term::{bytes, changes, plain};
use crate::control::client::{Client, Found};
use crate::fs::{ItemState, QueueItem, SessionState, Status, Traffic};

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Looks a graph shows.
const HISTORY: usize = 40;
/// Looks a rate is the mean of.
const MEAN: usize = 5;
/// Items of the queue shown.
const SHOWN: usize = 8;

/// Shows until Ctrl-C, or until the mount that was named has ended. On a terminal one screen is kept up to date, elsewhere
/// a line is written each second.
pub async fn run(client: &Client, path: Option<&Path>) -> anyhow::Result<Exit> {
    let screen = std::io::stdout().is_terminal();
    let mut seen: HashMap<PathBuf, History> = HashMap::new();
    let mut ctrl_c = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let found = match path {
            Some(path) => vec![client.status(path).await?],
            None => client.all().await.into_iter().collect::<Result<_, _>>()?,
        };
        for one in &found {
            seen.entry(one.mount.mountpoint.clone().into()).or_default().note(&one.status, Instant::now());
        }
        let nothing = History::default();
        let of = |f: &Found| seen.get(Path::new(&f.mount.mountpoint)).unwrap_or(&nothing);
        let text = if screen {
            picture(&found.iter().map(|f| block(f, of(f))).collect::<String>())
        } else {
            found.iter().map(|f| format!("{}\n", line(f, of(f)))).collect()
        };
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // Nobody reads any more.
            return Ok(Exit::Ok);
        }
        drop(out);
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = &mut ctrl_c => return Ok(Exit::Ok),
        }
    }
}

/// Over what the last one left, without flicker.
fn picture(text: &str) -> String {
    let text = if text.is_empty() { "No mount is running.\n" } else { text };
    let mut all = String::from("\x1b[H");
    for line in text.lines() {
        let _ = write!(all, "{line}\x1b[K\r\n");
    }
    all.push_str("\x1b[J");
    all
}

/// What a mount's traffic was at the last looks.
#[derive(Default)]
struct History(VecDeque<(Instant, Traffic)>);

impl History {
    fn note(&mut self, status: &Status, now: Instant) {
        // Another process serves it now.
        if self.0.back().is_some_and(|(_, t)| t.up > status.traffic.up || t.down > status.traffic.down) {
            self.0.clear();
        }
        self.0.push_back((now, status.traffic));
        while self.0.len() > HISTORY + 1 {
            self.0.pop_front();
        }
    }

    /// Bytes a second between each two looks.
    fn rates(&self, of: fn(&Traffic) -> u64) -> Vec<u64> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs.map(|(a, b)| per_second(of(&b.1) - of(&a.1), b.0.duration_since(a.0))).collect()
    }

    /// Bytes a second lately.
    fn rate(&self, of: fn(&Traffic) -> u64) -> u64 {
        let first = self.0.iter().rev().nth(MEAN).or(self.0.front());
        match (first, self.0.back()) {
            (Some(a), Some(b)) => per_second(of(&b.1) - of(&a.1), b.0.duration_since(a.0)),
            _ => 0,
        }
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    bytes.saturating_mul(1000).checked_div(millis).unwrap_or(0)
}

fn block(found: &Found, history: &History) -> String {
    let Found { mount, status } = found;
    let mut text = format!("{}  ({})\n", plain(&mount.mountpoint), plain(&status.account));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<9}{value}");
    };
    row("session", status::session(&status.session));
    row("queue", queue(status, history));
    for (name, of) in [("up", (|t| t.up) as fn(&Traffic) -> u64), ("down", |t| t.down)] {
        let rate = format!("{}/s", bytes(history.rate(of)));
        row(name, format!("{rate:<14}{}", graph(&history.rates(of))));
    }
    for item in status.queue.iter().take(SHOWN) {
        row("", item_line(item));
    }
    let more = status.totals.items.saturating_sub(status.queue.len().min(SHOWN) as u64);
    if more > 0 {
        row("", format!("and {more} more"));
    }
    row("cache", format!("{} of {}", bytes(status.cache_used), bytes(status.cache_size)));
    if let (Some(used), Some(total)) = (status.quota_used, status.quota_total) {
        row("quota", format!("{} of {}", bytes(used), bytes(total)));
    }
    text
}

fn item_line(item: &QueueItem) -> String {
    let path = plain(&item.path);
    match item.state {
        ItemState::Sending if item.size > 0 => {
            format!("{} {path}  {} of {}", bar(item.sent, item.size), bytes(item.sent), bytes(item.size))
        }
        _ => status::line(item),
    }
}

/// One line for a log.
fn line(found: &Found, history: &History) -> String {
    let session = match found.status.session {
        SessionState::Online => "online",
        SessionState::Offline { .. } => "offline",
        SessionState::LoggedOut { .. } => "logged out",
    };
    format!(
        "{}: {session}, {}, up {}/s, down {}/s",
        plain(&found.mount.mountpoint),
        queue(&found.status, history),
        bytes(history.rate(|t| t.up)),
        bytes(history.rate(|t| t.down)),
    )
}

fn queue(status: &Status, history: &History) -> String {
    let t = status.totals;
    if t.items == 0 {
        return "everything is on the server".to_owned();
    }
    let mut text = format!("{} ({}), {} being sent", changes(t.items), bytes(t.bytes), t.sending);
    if t.blocked > 0 {
        let _ = write!(text, ", {} blocked", t.blocked);
    }
    if let Some(left) = t.bytes.checked_div(history.rate(|t| t.up)).filter(|_| t.bytes > 0) {
        let _ = write!(text, ", about {} left", clock(left));
    }
    text
}

/// Seconds for people.
fn clock(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{}:{:02} min", secs / 60, secs % 60),
        _ => format!("{}:{:02} h", secs / 3600, secs % 3600 / 60),
    }
}

/// How far something is, in ten places.
fn bar(done: u64, of: u64) -> String {
    let full = usize::try_from(done.saturating_mul(10).checked_div(of).unwrap_or(0)).unwrap_or(0).min(10);
    format!("[{}{}]", "#".repeat(full), ".".repeat(10 - full))
}

/// The rates as a line of small columns, the highest one full.
fn graph(rates: &[u64]) -> String {
    const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = rates.iter().copied().max().unwrap_or(0);
    let column = |rate: u64| match rate.saturating_mul(7).div_ceil(most.max(1)) {
        0 => ' ',
        n => COLUMNS[usize::try_from(n).unwrap_or(7).min(7)],
    };
    rates.iter().map(|rate| column(*rate)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_what_has_passed_between_looks() {
        let mut history = History::default();
        let start = Instant::now();
        for (secs, up) in [(0, 0), (1, 1000), (2, 1000), (4, 5000)] {
            history.0.push_back((start + Duration::from_secs(secs), Traffic { up, down: 0 }));
        }
        assert_eq!(history.rates(|t| t.up), [1000, 0, 2000]);
        assert_eq!(history.rate(|t| t.up), 1250);
        assert_eq!(history.rate(|t| t.down), 0);
        assert_eq!(History::default().rate(|t| t.up), 0);
    }

    #[test]
    fn figures_are_drawn_within_their_width() {
        assert_eq!(graph(&[0, 1, 4, 8]), " ▂▅█");
        assert_eq!(graph(&[]), "");
        assert_eq!(
            (bar(0, 0), bar(5, 10), bar(20, 10)),
            ("[..........]".to_owned(), "[#####.....]".to_owned(), "[##########]".to_owned())
        );
        assert_eq!(
            (clock(59), clock(61), clock(3660)),
            ("59 s".to_owned(), "1:01 min".to_owned(), "1:01 h".to_owned())
        );
    }

    #[test]
    fn a_picture_replaces_the_one_before() {
        assert_eq!(picture("a\nb\n"), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J");
        assert!(picture("").contains("No mount"));
    }
}
