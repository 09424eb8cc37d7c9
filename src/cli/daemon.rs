//! `mount --daemon`: the program starts itself again, and waits for one line.
//!
//! No fork without exec (the runtime has threads). The child's standard input is one end of a socket pair: there it
//! tells once that the mount answers, or why it does not; its output goes to a log file. The end of the pair without a
//! line means that it died.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::exit::{self, Exit};
use super::paths;
use super::serve::Ready;
use crate::control::place;

/// A log larger than this is put aside at the next start.
const LOG_MAX: u64 = 4 << 20;
/// How long a mount may take; it needs no network.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Ready { email: String },
    Failed { code: u8, message: String },
}

/// The foreground half: starts the child, waits for its line, and ends.
pub fn spawn(mountpoint: &Path, ctx: &Context) -> anyhow::Result<Exit> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    let (log_path, log) = open_log(mountpoint)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments(std::env::args_os().skip(1)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the background process")?;
    let mut line = String::new();
    let read = BufReader::new(ours).read_line(&mut line);
    let log = log_path.display();
    match read.ok().and_then(|_| serde_json::from_str(&line).ok()) {
        Some(Line::Ready { email }) => {
            ctx.say(&format!("Mounted the drive of {email} at {}.", mountpoint.display()));
            ctx.say(&format!("`inxtfs umount {}` ends it. Log: {log}", mountpoint.display()));
            Ok(Exit::Ok)
        }
        Some(Line::Failed { code, message }) => Err(Exit::from_code(code).because(message)),
        None => {
            // It is of no use any more, whether it hangs or is gone.
            let _ = child.kill();
            let _ = child.wait();
            Err(Exit::Other.because(format!("the background process did not come up; its log is {log}")))
        }
    }
}

/// The background half: leaves the terminal, runs `mount`, and tells the foreground once.
pub fn background(
    mount: impl FnOnce(&mut dyn FnMut(&Ready)) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    // Fails only for a leader of a process group, who has left its session already.
    let _ = rustix::process::setsid();
    let mut teller = Some(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?));
    let mut tell = |line: &Line| {
        if let (Some(mut to), Ok(mut text)) = (teller.take(), serde_json::to_string(line)) {
            text.push('\n');
            // The foreground may have been killed: that is no reason to end a mount.
            let _ = to.write_all(text.as_bytes());
            let _ = to.shutdown(std::net::Shutdown::Both);
        }
    };
    let outcome = mount(&mut |ready| {
        // No folder is kept busy.
        let _ = std::env::set_current_dir("/");
        tell(&Line::Ready { email: ready.email.clone() });
    });
    if let Err(e) = &outcome {
        tell(&Line::Failed { code: Exit::from(e).code(), message: exit::told(e) });
    }
    outcome
}

/// The same command line, for the other half.
fn arguments(ours: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut flags = true;
    ours.map(|arg| {
        flags &= arg != OsStr::new("--");
        if flags && arg == OsStr::new("--daemon") { OsString::from("--daemonized") } else { arg }
    })
    .collect()
}

fn open_log(mountpoint: &Path) -> anyhow::Result<(PathBuf, File)> {
    let dir = paths::state()?;
    paths::make_private(&dir)?;
    let path = dir.join(place::socket_name(mountpoint)).with_extension("log");
    if fs::metadata(&path).is_ok_and(|m| m.len() > LOG_MAX) {
        fs::rename(&path, path.with_extension("log.old"))?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    Ok((path, log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_half_gets_the_same_command_line() {
        let args = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let ours = args(&["-v", "mount", "--daemon", "--folder", "/a", "--", "--daemon"]);
        let theirs = args(&["-v", "mount", "--daemonized", "--folder", "/a", "--", "--daemon"]);
        assert_eq!(arguments(ours.into_iter()), theirs);
    }

    #[test]
    fn the_line_survives() {
        let line = serde_json::to_string(&Line::Failed { code: 9, message: "in\nuse".to_owned() }).unwrap();
        assert!(!line.contains('\n'));
        assert!(matches!(serde_json::from_str(&line).unwrap(), Line::Failed { code: 9, .. }));
    }
}
