//! The mounts there are: dead ones, silent ones, and what the others say.

use std::path::{Path, PathBuf};

use super::finding::{Finding, Level};
use crate::cli::context::Context;
use crate::cli::term;
use crate::control::client::Found;
use crate::fs::SessionState;
use crate::fuse::{Facts, is_stale};

/// All of them; and what the running ones know.
pub async fn look(ctx: &Context, facts: &Facts) -> anyhow::Result<(Vec<Finding>, Vec<Found>)> {
    const CHECK: &str = "mounts";
    let (mut findings, mut running) = (Vec::new(), Vec::new());
    for found in ctx.control()?.all().await {
        match found {
            Ok(found) => {
                findings.push(of_running(&found));
                running.push(found);
            }
            Err(e) => findings.push(Finding::new(
                CHECK,
                Level::Fail,
                format!("a mount does not answer: {e}"),
                "`inxtfs umount --force FOLDER`, then mount again; unsent changes are kept",
            )),
        }
    }
    let known: Vec<&Path> = running.iter().map(|f| Path::new(&f.mount.mountpoint)).collect();
    let others: Vec<&PathBuf> = facts.mounts.iter().filter(|at| !known.contains(&at.as_path())).collect();
    findings.extend(others.iter().map(|at| of_other(at, is_stale(at))));
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "none is running"));
    }
    Ok((findings, running))
}

fn of_running(found: &Found) -> Finding {
    const CHECK: &str = "mounts";
    let (at, status) = (&found.mount.mountpoint, &found.status);
    if found.mount.program != env!("CARGO_PKG_VERSION") {
        let says = format!("{at} is served by version {}", found.mount.program);
        return Finding::new(CHECK, Level::Note, says, "unmount and mount again to use the installed one");
    }
    if let SessionState::LoggedOut { why } = &status.session {
        return Finding::new(CHECK, Level::Fail, format!("{at} is logged out: {why}"), "`inxtfs login`");
    }
    if status.totals.blocked > 0 {
        let says = format!("{at}: {} cannot be sent", term::changes(status.totals.blocked));
        return Finding::new(CHECK, Level::Warn, says, "`inxtfs failed list` says why and what would help");
    }
    if let SessionState::Offline { why, .. } = &status.session {
        return Finding::new(CHECK, Level::Warn, format!("{at} is offline: {why}"), "it goes on by itself");
    }
    Finding::ok(CHECK, format!("{at}, {} to send", term::changes(status.totals.items)))
}

fn of_other(at: &Path, stale: bool) -> Finding {
    const CHECK: &str = "mounts";
    let shown = at.display();
    if stale {
        let says = format!("the process of the mount at {shown} died");
        return Finding::new(
            CHECK,
            Level::Fail,
            says,
            format!("`inxtfs umount --force {shown}`, then mount again"),
        );
    }
    let says = format!("{shown} is mounted, and its process is another user's or does not listen");
    Finding::new(CHECK, Level::Note, says, "ask as the user who mounted it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_mount_is_told_from_a_foreign_one() {
        let dead = of_other(Path::new("/m"), true);
        assert!(dead.level == Level::Fail && dead.remedy.unwrap().contains("umount --force /m"));
        assert_eq!(of_other(Path::new("/m"), false).level, Level::Note);
    }
}
