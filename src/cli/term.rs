//! Talking to a person at a terminal.

use std::io::{BufRead, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::fs::Status;

/// Whether a person can be asked.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line; `None` at the end of input.
pub fn ask(question: &str) -> anyhow::Result<Option<String>> {
    let mut err = std::io::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

/// Asks whether to go on; no is the default.
pub fn confirm(question: &str) -> anyhow::Result<bool> {
    let answer = ask(&format!("{question} [y/N] "))?;
    Ok(answer.is_some_and(|a| matches!(a.to_lowercase().as_str(), "y" | "yes")))
}

/// Bytes for people.
#[allow(clippy::cast_precision_loss)] // one decimal is shown
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut amount = n as f64;
    let mut unit = "B";
    for next in UNITS {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{n} B") } else { format!("{amount:.1} {unit}") }
}

/// How long ago a moment (seconds since 1970) was: `12 s`, `5 min`, `3 h`, `2 days`.
pub fn since(moment: i64) -> String {
    let secs = jiff::Timestamp::now().as_second().saturating_sub(moment).max(0);
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

/// Names come from anywhere: what a terminal would obey is shown as a question mark.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `1 change`, `2 changes`.
pub fn changes(n: u64) -> String {
    if n == 1 { "1 change".to_owned() } else { format!("{n} changes") }
}

/// The progress of a drain: a bar on a terminal, nothing elsewhere.
pub struct Progress {
    bar: ProgressBar,
    most: u64,
}

impl Progress {
    /// Shows nothing before the first [`Progress::tell`].
    pub fn new(quiet: bool) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}")
        {
            bar.set_style(style);
        }
        Progress { bar, most: 0 }
    }

    /// What the mount says now.
    pub fn tell(&mut self, status: &Status) {
        self.most = self.most.max(status.totals.bytes);
        self.bar.set_length(self.most);
        self.bar.set_position(self.most - status.totals.bytes);
        self.bar.set_message(format!("{} left", changes(status.totals.items)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(10 << 30), "10.0 GiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(changes(1), "1 change");
    }
}
