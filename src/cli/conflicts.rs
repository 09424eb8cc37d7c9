//! `inxtfs conflicts`.

use std::path::PathBuf;

use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;
use super::ls::time;
use super::term::{bytes, plain};
use crate::fs::Conflict;
use crate::types::Timestamp;

/// Lists the conflict copies: files that were kept beside another because this machine and another changed the same.
///
/// Compare each with the file it is named after, then delete or rename one of the two. Nothing is ever decided for you.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount; all of them if left out.
    mountpoint: Option<PathBuf>,
    /// Print JSON: `{"mounts": [{"mountpoint": …, "conflicts": [{"id": …, "path": …, "size": …, "modified": …}]}]}`.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    mounts: Vec<Mount>,
}

#[derive(Serialize)]
struct Mount {
    mountpoint: PathBuf,
    conflicts: Vec<Conflict>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    let mounts = block_on(async {
        let mut mounts = Vec::new();
        for mountpoint in flush::chosen(&client, args.mountpoint).await? {
            let conflicts = client.conflicts(&mountpoint).await?;
            mounts.push(Mount { mountpoint, conflicts });
        }
        Ok(mounts)
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Answer { mounts })?);
        return Ok(Exit::Ok);
    }
    if mounts.iter().all(|m| m.conflicts.is_empty()) {
        println!("There is no conflict.");
    }
    for (mount, conflict) in mounts.iter().flat_map(|m| m.conflicts.iter().map(move |c| (m, c))) {
        let at = mount.mountpoint.join(conflict.path.trim_start_matches('/'));
        let when = time(Timestamp { secs: conflict.modified, nanos: 0 }).unwrap_or_default();
        println!("{}  ({}, {when})", plain(&at.to_string_lossy()), bytes(conflict.size));
    }
    Ok(Exit::Ok)
}
