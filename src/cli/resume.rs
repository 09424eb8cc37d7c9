//! `inxtfs resume`.

use std::path::PathBuf;

use super::brake::deletes;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;

/// Goes on after a pause, and sends the deletes that are held back.
///
/// When very much of a drive is deleted within a short time, no delete is sent until this says that it was meant.
/// `inxtfs restore --pending` takes them back instead.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount; all of them if left out.
    mountpoint: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    block_on(async {
        for mount in flush::chosen(&client, args.mountpoint).await? {
            let (at, held) = (mount.display(), client.resume(&mount).await?);
            match held {
                0 => ctx.say(&format!("{at}: no delete was held back.")),
                n => ctx.say(&format!("{at}: {} go to the trash now.", deletes(n))),
            }
        }
        Ok(Exit::Ok)
    })
}
