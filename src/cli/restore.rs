//! `inxtfs restore`.

use std::path::PathBuf;

use super::brake::deletes;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;

/// Takes back deletes that were not sent.
///
/// Files and folders reappear as the server has them; what has the name of one by now gets a name beside it. What was
/// sent before is in Internxt's trash.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount; all of them if left out.
    mountpoint: Option<PathBuf>,
    /// All that is not sent.
    #[arg(long, required = true)]
    pending: bool,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    block_on(async {
        for mount in flush::chosen(&client, args.mountpoint).await? {
            let (back, sent) = client.restore(&mount).await?;
            ctx.say(&format!("{}: {} taken back.", mount.display(), deletes(back)));
            if sent > 0 {
                ctx.say(&format!("{} had been sent before: look into Internxt's trash.", deletes(sent)));
            }
        }
        Ok(Exit::Ok)
    })
}
