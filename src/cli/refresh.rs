//! `inxtfs refresh`.

use std::path::PathBuf;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::pin;

/// Asks the service what has changed, now, instead of at the next poll.
///
/// Of a folder its children are listed anew, of a file its row is read; and the mount learns all else that has changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders on a mounted drive.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.control()?;
    block_on(async {
        for path in &args.paths {
            let (mount, id) = pin::place(&client, path).await?;
            client.refresh(&mount, id).await?;
        }
        Ok(Exit::Ok)
    })
}
