//! `inxtfs cache`.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;
use super::term::{bytes, plain};

/// Shows what mounts keep on this disk, or lets go of what can be fetched again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Shows how much is cached, pinned, and not sent yet.
    Stat {
        /// Which mount; all of them if left out.
        mountpoint: Option<PathBuf>,
        /// Print JSON: `{"mounts": [{"mountpoint": …, "used": …, "bound": …, "pinned": …, "unsent": …}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Evicts all that can be fetched again. What is not sent or pinned stays.
    Clear {
        /// Which mount; all of them if left out.
        mountpoint: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Answer {
    mounts: Vec<Mount>,
}

#[derive(Serialize)]
struct Mount {
    mountpoint: PathBuf,
    used: u64,
    bound: u64,
    pinned: u64,
    unsent: u64,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    block_on(async {
        match args.act {
            Act::Stat { mountpoint, json } => {
                let mut mounts = Vec::new();
                for at in flush::chosen(&client, mountpoint).await? {
                    let status = client.status(&at).await?.status;
                    mounts.push(Mount {
                        mountpoint: at,
                        used: status.cache_used,
                        bound: status.cache_size,
                        pinned: status.pinned.here,
                        unsent: status.staged,
                    });
                }
                tell(&Answer { mounts }, json)?;
            }
            Act::Clear { mountpoint } => {
                for at in flush::chosen(&client, mountpoint).await? {
                    let freed = client.clear_cache(&at).await?;
                    ctx.say(&format!("{}: {} freed.", plain(&at.to_string_lossy()), bytes(freed)));
                }
            }
        }
        Ok(Exit::Ok)
    })
}

fn tell(answer: &Answer, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(answer)?);
        return Ok(());
    }
    for mount in &answer.mounts {
        println!("{}", plain(&mount.mountpoint.to_string_lossy()));
        println!("  cached   {} of {}", bytes(mount.used), bytes(mount.bound));
        println!("  pinned   {} of it", bytes(mount.pinned));
        println!("  unsent   {}", bytes(mount.unsent));
    }
    Ok(())
}
