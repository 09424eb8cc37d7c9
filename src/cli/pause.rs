//! `inxtfs pause`.

use std::path::PathBuf;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;

/// Lets mounts begin no more uploads and other changes at the service; what is under way is finished.
///
/// Reading goes on, and what is written is kept as always. `inxtfs resume` ends it, and so does `inxtfs flush`, or the end
/// of the mount.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount; all of them if left out.
    mountpoint: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    block_on(async {
        for at in flush::chosen(&client, args.mountpoint).await? {
            client.pause(&at).await?;
            ctx.say(&format!("{}: paused; `inxtfs resume` goes on.", at.display()));
        }
        Ok(Exit::Ok)
    })
}
