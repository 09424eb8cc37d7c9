//! `inxtfs log`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::context::Context;
use super::exit::Exit;
use super::paths;
use super::term::plain;
use crate::control::place;

/// No log is longer by much; of an older one the end is read.
const MOST: u64 = 8 << 20;
/// Between two looks for more.
const TICK: Duration = Duration::from_millis(300);

/// Shows the log of a mount: its own file for one in the background, the journal for one that systemd runs.
///
/// Logs hold names of files, and never passwords, keys, tokens or links.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount, running or not; the one that wrote last if left out.
    mountpoint: Option<PathBuf>,
    /// So many of the last lines.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
    /// Go on with what is added, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

/// Runs it.
pub fn run(args: &Args, _ctx: &Context) -> anyhow::Result<Exit> {
    match find(args.mountpoint.as_deref())? {
        Some(path) => show(&path, args.lines, args.follow),
        None => journal(args),
    }
}

/// The log of a mount, or the newest one.
fn find(mountpoint: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let dir = paths::state()?;
    if let Some(mountpoint) = mountpoint {
        let name = place::socket_name(&place::canonical(mountpoint));
        return Ok(Some(dir.join(name).with_extension("log")).filter(|p| p.exists()));
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let logs = entries.filter(|e| e.path().extension().is_some_and(|x| x == "log"));
    Ok(logs.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok()).map(|e| e.path()))
}

fn show(path: &Path, lines: usize, follow: bool) -> anyhow::Result<Exit> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let len = file.metadata().with_context(reading)?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(MOST))).with_context(reading)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(reading)?;
    if !say(last(&bytes, lines)) || !follow {
        return Ok(Exit::Ok);
    }
    loop {
        std::thread::sleep(TICK);
        bytes.clear();
        file.read_to_end(&mut bytes).with_context(reading)?;
        if !say(&bytes) {
            return Ok(Exit::Ok);
        }
    }
}

/// Whether somebody reads it still.
fn say(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(clean(bytes).as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Names in a log come from anywhere; what a terminal would obey goes: also DEL, and the controls above it.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive(['\n', '\t'])
        .map(|piece| {
            let end = piece.strip_suffix(['\n', '\t']).map_or(piece.len(), str::len);
            let (words, end) = piece.split_at(end);
            plain(words) + end
        })
        .collect()
}

fn last(bytes: &[u8], lines: usize) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let ends = body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let start = if lines == 0 { bytes.len() } else { ends.take(lines).nth(lines - 1).unwrap_or(0) };
    &bytes[start..]
}

fn journal(args: &Args) -> anyhow::Result<Exit> {
    let nothing = || {
        let of = args.mountpoint.as_ref().map(|m| format!(" of {}", m.display())).unwrap_or_default();
        Exit::NotRunning.because(format!(
            "there is no log{of}: a mount in the foreground tells its terminal, and systemd has none of its own here"
        ))
    };
    if !Path::new("/run/systemd/journal/socket").exists() {
        return Err(nothing());
    }
    let mut command = Command::new("journalctl");
    if !rustix::process::geteuid().is_root() {
        command.arg("--user");
    }
    command.args(["--unit", "inxtfs@*", "--lines"]).arg(args.lines.to_string());
    if args.follow {
        command.arg("--follow");
    }
    // Only if it cannot be started does this return.
    let _ = command.exec();
    Err(nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_log_drives_the_terminal() {
        assert_eq!(clean(b"a\tb\nc"), "a\tb\nc");
        assert_eq!(clean(b"\x1b[2J \x7f \r\n"), "?[2J ? ?\n");
        // CSI in one character, and as a byte that is no text.
        assert_eq!(clean("x\u{9b}2J \u{80}\u{9f} \u{e9}".as_bytes()), "x?2J ?? \u{e9}");
        assert_eq!(clean(b"x\x9b2J"), "x\u{fffd}2J");
    }

    #[test]
    fn the_last_lines_are_whole_lines() {
        let text = b"a\nb\nc\n";
        assert_eq!(last(text, 2), b"b\nc\n");
        assert_eq!(last(text, 9), text);
        assert_eq!(last(text, 0), b"");
        assert_eq!(last(b"a\nb", 1), b"b");
        assert_eq!(last(b"", 3), b"");
    }
}
