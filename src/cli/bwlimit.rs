//! `inxtfs bwlimit`.

use std::path::PathBuf;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;
use super::limits::{Rate, rate, words};

/// Shows or changes how fast a running mount may send and fetch.
///
/// Holds at once, also for what is on its way, until the mount ends. Without --up and --down it shows what holds.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount; all of them if left out.
    mountpoint: Option<PathBuf>,
    /// Bytes a second sent at most: 2M, 500K, 10Mbit; off: no limit.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    up: Option<Rate>,
    /// Bytes a second fetched at most.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    down: Option<Rate>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    let plain = |rate: Option<Rate>| rate.map(|r| r.0.map_or(0, u64::from));
    block_on(async {
        for mount in flush::chosen(&client, args.mountpoint).await? {
            let bounds = client.bwlimit(&mount, plain(args.up), plain(args.down)).await?;
            println!("{}: up {}, down {}", mount.display(), words(bounds.up), words(bounds.down));
        }
        Ok(Exit::Ok)
    })
}
