//! `inxtfs flush`.

use std::path::{Path, PathBuf};

use super::brake;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::term::{self, Progress};
use crate::control::client::Client;
use crate::fs::{SessionState, Status};

/// Sends everything now and waits until nothing is left.
///
/// Ends with 10 or 11 if something stays behind: the service cannot be reached, or something waits for a person.
/// Ctrl-C stops the waiting, not the sending.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount; all of them if left out.
    mountpoint: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    block_on(async {
        let mut worst = Exit::Ok;
        for mount in chosen(&client, args.mountpoint).await? {
            let exit = flush(&client, &mount, ctx).await?;
            if exit.code() > worst.code() {
                worst = exit;
            }
        }
        Ok(worst)
    })
}

/// The mount that was named, or all of them (of a login that was named); an error if none is running.
pub async fn chosen(client: &Client, named: Option<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    match named {
        Some(path) => Ok(vec![path]),
        None => running(client).await,
    }
}

/// Where mounts are running; at least one.
pub async fn running(client: &Client) -> anyhow::Result<Vec<PathBuf>> {
    let mounts: Result<Vec<_>, _> = client
        .all()
        .await
        .into_iter()
        .map(|found| found.map(|f| PathBuf::from(f.mount.mountpoint)))
        .collect();
    let mounts = mounts?;
    match (mounts.is_empty(), client.login()) {
        (false, _) => Ok(mounts),
        (true, None) => Err(Exit::NotRunning.because("no mount is running")),
        (true, Some(login)) => {
            Err(Exit::NotRunning.because(format!("no mount of account {login} is running")))
        }
    }
}

async fn flush(client: &Client, mount: &Path, ctx: &Context) -> anyhow::Result<Exit> {
    let mut progress = Progress::new(ctx.quiet);
    let status = tokio::select! {
        status = client.drain(mount, |s| progress.tell(s)) => status?,
        _ = tokio::signal::ctrl_c() => {
            drop(progress);
            ctx.say("Stopped waiting. The mount goes on sending.");
            return Ok(Exit::Interrupted);
        }
    };
    drop(progress);
    Ok(tell_rest(&status, ctx))
}

/// Says what is left after a drain, and gives the matching code.
pub fn tell_rest(status: &Status, ctx: &Context) -> Exit {
    let exit = rest(status);
    match exit {
        Exit::Ok => {}
        Exit::Blocked => {
            eprintln!("{} cannot be sent until you act:", term::changes(status.totals.blocked));
            super::status::print_blocked(status);
            if let Some(words) = brake::words(status, None) {
                eprintln!("{words}");
            }
        }
        _ => {
            let why = why(status);
            ctx.say(&format!("{} not sent yet{why}. Nothing is lost.", term::changes(status.totals.items)));
        }
    }
    exit
}

/// Why something is left, in parentheses after a blank, where the service is the reason.
pub fn why(status: &Status) -> String {
    if status.paused {
        return " (paused; `inxtfs resume` goes on)".to_owned();
    }
    match &status.session {
        SessionState::Offline { why, .. } => format!(" (offline: {why})"),
        SessionState::LoggedOut { why } => format!(" ({})", super::status::logged_out(why)),
        SessionState::Online => String::new(),
    }
}

/// What a queue that is left over means.
pub fn rest(status: &Status) -> Exit {
    match (status.totals.items, status.totals.blocked, &status.session) {
        (0, ..) => Exit::Ok,
        (_, 0, SessionState::LoggedOut { .. }) => Exit::NotLoggedIn,
        (_, 0, _) => Exit::Unsent,
        _ => Exit::Blocked,
    }
}
