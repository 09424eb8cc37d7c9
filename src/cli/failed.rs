//! `inxtfs failed`: what cannot be sent until a person decides.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::partial::Partial;
use super::term::{bytes, plain};
use super::{flush, term};
use crate::control::client::{Client, Exported};
use crate::fs::FailedItem;

/// Shows what cannot be sent until you act, and lets you decide about it.
///
/// Nothing is ever given up by itself: blocked items stay readable here until the reason is gone, or until you
/// discard them by their id.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
    /// Which mount; it can be left out if one is running.
    #[arg(long, global = true, value_name = "FOLDER")]
    mount: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists the blocked items: id, reason, and what would help.
    List {
        /// Print JSON: `{"mounts": [{"mountpoint": …, "failed": [{"id": …, "reason": …}]}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Copies what is kept of a file to another place.
    ///
    /// What cannot be read is left a hole, listed, and the exit code is 14.
    Export {
        /// As `list` shows it.
        id: u64,
        /// The file to write. It must not exist.
        path: PathBuf,
        /// Overwrite the file.
        #[arg(long)]
        force: bool,
    },
    /// Tries blocked items again: these, or all.
    Retry {
        /// As `list` shows them.
        ids: Vec<u64>,
    },
    /// Gives up the local changes of items: a new file disappears, an edited one shows the server's version again,
    /// a moved one goes back, a deleted one comes back.
    ///
    /// What was written to it here is gone then; `export` saves it before.
    Discard {
        /// As `list` shows them.
        #[arg(required = true)]
        ids: Vec<u64>,
    },
}

#[derive(Serialize)]
struct Answer {
    mounts: Vec<Mount>,
}

#[derive(Serialize)]
struct Mount {
    mountpoint: PathBuf,
    failed: Vec<FailedItem>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    block_on(async {
        match args.act {
            Act::List { json } => list(&client, args.mount, json).await,
            Act::Export { id, path, force } => {
                let mount = the_one(&client, args.mount).await?;
                export(&client, &mount, id, &path, force, ctx).await
            }
            Act::Retry { ids } => retry(&client, args.mount, &ids, ctx).await,
            Act::Discard { ids } => {
                let mount = the_one(&client, args.mount).await?;
                for id in ids {
                    let gone = client.discard(&mount, id).await?;
                    ctx.say(&format!("Discarded: {} {}", gone.what, plain(&gone.path)));
                }
                Ok(Exit::Ok)
            }
        }
    })
}

/// The mounts that are meant: the one that is named, or all.
async fn meant(client: &Client, mount: Option<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    match mount {
        Some(mount) => Ok(vec![mount]),
        None => flush::running(client).await,
    }
}

/// The mount that is meant: ids are a mount's own.
async fn the_one(client: &Client, mount: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let mut mounts = meant(client, mount).await?;
    match (mounts.pop(), mounts.is_empty()) {
        (Some(mount), true) => Ok(mount),
        _ => Err(Exit::Usage.because("several mounts are running; say which with --mount FOLDER")),
    }
}

async fn list(client: &Client, mount: Option<PathBuf>, json: bool) -> anyhow::Result<Exit> {
    let mut mounts = Vec::new();
    for mountpoint in meant(client, mount).await? {
        let failed = client.failed(&mountpoint).await?;
        mounts.push(Mount { mountpoint, failed });
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&Answer { mounts })?);
        return Ok(Exit::Ok);
    }
    for Mount { mountpoint, failed } in &mounts {
        if mounts.len() > 1 {
            println!("{}", mountpoint.display());
        }
        if failed.is_empty() {
            println!("Nothing waits for you.");
        }
        failed.iter().for_each(|item| print!("{}", told(item)));
    }
    Ok(Exit::Ok)
}

/// An item, for people.
fn told(item: &FailedItem) -> String {
    let size = if item.size > 0 { format!(" ({})", bytes(item.size)) } else { String::new() };
    let (path, why) = (plain(&item.path), plain(&item.why));
    format!("{:>6}  {} {path}{size}\n        {why}\n        {}\n", item.id, item.what, item.remedy)
}

async fn retry(client: &Client, mount: Option<PathBuf>, ids: &[u64], ctx: &Context) -> anyhow::Result<Exit> {
    let mut tried = 0;
    if ids.is_empty() {
        for mount in meant(client, mount).await? {
            tried += client.retry(&mount, None).await?;
        }
    } else {
        let mount = the_one(client, mount).await?;
        for id in ids {
            tried += client.retry(&mount, Some(*id)).await?;
        }
    }
    ctx.say(&format!("{} to be tried again. `inxtfs flush` waits for it.", term::changes(tried)));
    Ok(Exit::Ok)
}

async fn export(
    client: &Client,
    mount: &Path,
    id: u64,
    to: &Path,
    force: bool,
    ctx: &Context,
) -> anyhow::Result<Exit> {
    let mut file = Partial::create(to, force).map_err(|e| not_written(to, &e))?;
    let exported = client.export(mount, id, |offset, data| file.put(offset, data)).await?;
    file.finish(exported.size).map_err(|e| not_written(to, &e))?;
    ctx.say(&format!(
        "Exported {} to {} ({}).",
        plain(&exported.path),
        to.display(),
        bytes(exported.size - lacking(&exported))
    ));
    if exported.missing.is_empty() {
        return Ok(Exit::Ok);
    }
    eprintln!("These bytes could not be read; the file has holes in their place:");
    for (range, why) in &exported.missing {
        eprintln!("  {}..{}  {}", range.start, range.end, plain(why));
    }
    Ok(Exit::Incomplete)
}

fn lacking(exported: &Exported) -> u64 {
    exported.missing.iter().map(|(range, _)| range.end - range.start).sum::<u64>().min(exported.size)
}

fn not_written(to: &Path, e: &std::io::Error) -> anyhow::Error {
    let to = to.display();
    match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Exit::Usage.because(format!("{to} exists; choose another name, or pass --force to overwrite it"))
        }
        _ => Exit::Other.because(format!("{to} cannot be written: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_told_with_reason_and_remedy_and_cannot_drive_the_terminal() {
        let item = FailedItem {
            id: 64,
            path: "/a\x1b[2Jb".to_owned(),
            what: "create".to_owned(),
            size: 2048,
            reason: "quota".to_owned(),
            why: "the account's storage is full".to_owned(),
            remedy: "free space".to_owned(),
        };
        let told = told(&item);
        assert_eq!(
            told,
            "    64  create /a?[2Jb (2.0 KiB)\n        the account's storage is full\n        free space\n"
        );
    }
}
