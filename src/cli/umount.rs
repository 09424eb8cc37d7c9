//! `inxtfs umount`.

use std::path::{Path, PathBuf};

use super::context::{Context, block_on};
use super::exit::Exit;
use super::term::Progress;
use super::{flush, point};
use crate::control::client::Client;
use crate::control::{self, place};
use crate::fuse;

/// Sends everything, then takes the mount away.
///
/// Waits as long as it takes; Ctrl-C stops the waiting and leaves the mount as it is. If something cannot be sent,
/// the mount stays too, and the exit code says why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where it is mounted.
    mountpoint: PathBuf,
    /// Do not wait: what is not sent yet is kept and sent with the next mount.
    #[arg(long, conflicts_with = "force")]
    detach: bool,
    /// Clear a mount whose process died or hangs.
    #[arg(long)]
    force: bool,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.control()?;
    let mountpoint = place::canonical(&args.mountpoint);
    let outcome = block_on(async { Ok(unmount(&client, &mountpoint, args.detach, ctx).await) })?;
    match outcome {
        Ok(Exit::Ok) if fuse::is_stale(&mountpoint) => Err(died(&mountpoint)),
        Ok(exit) => Ok(exit),
        Err(control::Error::NotRunning(_) | control::Error::Silent) if args.force => clear(&mountpoint, ctx),
        Err(control::Error::NotRunning(_)) if fuse::is_stale(&mountpoint) => Err(died(&mountpoint)),
        Err(control::Error::Silent) => {
            Err(anyhow::Error::from(control::Error::Silent).context("`--force` takes it away nevertheless"))
        }
        Err(e) => Err(e.into()),
    }
}

async fn unmount(client: &Client, at: &Path, detach: bool, ctx: &Context) -> Result<Exit, control::Error> {
    let mut progress = Progress::new(ctx.quiet);
    let left = tokio::select! {
        left = client.unmount(at, detach, |s| progress.tell(s)) => left?,
        _ = tokio::signal::ctrl_c() => {
            drop(progress);
            ctx.say("Stopped waiting. The mount is still there, and goes on sending.");
            return Ok(Exit::Interrupted);
        }
    };
    drop(progress);
    Ok(match left {
        None => Exit::Ok,
        Some(status) => {
            let exit = flush::tell_rest(&status, ctx);
            ctx.say("The mount is still there. `inxtfs umount --detach` keeps the rest for the next mount.");
            exit
        }
    })
}

fn died(at: &Path) -> anyhow::Error {
    Exit::Mountpoint.because(format!(
        "the process of the mount at {0} died; `inxtfs umount --force {0}` clears it. Nothing is lost: \
         unsent changes go on with the next mount",
        at.display()
    ))
}

/// Takes a mount of this program away whose process died or hangs; nobody else's.
fn clear(at: &Path, ctx: &Context) -> anyhow::Result<Exit> {
    if fuse::is_ours(at) {
        fuse::clear(at)?;
        ctx.say(&format!("Cleared {}. Unsent changes go on with the next mount.", at.display()));
        return Ok(Exit::Ok);
    }
    let what =
        if point::is_mountpoint(at) { "something else is mounted at" } else { "nothing is mounted at" };
    Err(Exit::NotRunning.because(format!("{what} {}", at.display())))
}
