//! `inxtfs unpin`.

use std::path::PathBuf;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::pin;

/// Ends the keeping of files and folders on this machine.
///
/// What is here of them stays until the cache needs the room. What is pinned below a folder by itself stays pinned.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As they were pinned.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.control()?;
    block_on(async {
        for path in &args.paths {
            let (mount, id) = pin::place(&client, path).await?;
            client.unpin(&mount, id).await?;
            ctx.say(&format!("Unpinned: {}", path.display()));
        }
        Ok(Exit::Ok)
    })
}
