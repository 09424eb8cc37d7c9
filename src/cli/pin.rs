//! `inxtfs pin`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::flush;
use super::term::{bytes, plain};
use crate::control::{self, client::Client};
use crate::fs::{Pin, Pinned};

/// Keeps files and folders on this machine, whatever else is read.
///
/// A folder is kept with all that is and will be below it. What is missing, and new versions, are fetched in the
/// background; nothing of it is evicted from the cache. What moves out of a pinned folder is not pinned any more.
/// `inxtfs unpin` ends it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders on a mounted drive.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    paths: Vec<PathBuf>,
    /// Show what is pinned, and how much of it is here.
    #[arg(long)]
    list: bool,
    /// With --list: of which mount; of all of them if left out.
    #[arg(long, value_name = "FOLDER", requires = "list")]
    mount: Option<PathBuf>,
    /// With --list: print JSON: `{"mounts": [{"mountpoint": …, "pins": [{"path": …, "bytes": …, "here": …}]}]}`.
    #[arg(long, requires = "list")]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    mounts: Vec<Mount>,
}

#[derive(Serialize)]
struct Mount {
    mountpoint: PathBuf,
    pins: Vec<Pin>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.control()?;
    block_on(async {
        if args.list {
            return list(&client, args.mount, args.json).await;
        }
        let mut problem = None;
        for path in &args.paths {
            let (mount, id) = place(&client, path).await?;
            let (pin, all) = client.pin(&mount, id).await?;
            ctx.say(&told(&pin));
            problem = all.problem.clone().map(|p| (p, all));
        }
        match problem {
            None => Ok(Exit::Ok),
            Some((why, all)) => Err(Exit::Other.because(short(&why, &all))),
        }
    })
}

/// The pins hold, but not all of it is or will be here.
fn short(why: &str, all: &Pinned) -> String {
    format!("pinned; but of {} in all, {} are here: {}", bytes(all.bytes), bytes(all.here), plain(why))
}

fn told(pin: &Pin) -> String {
    let files = if pin.files == 1 { "1 file".to_owned() } else { format!("{} files", pin.files) };
    let (size, here, path) = (bytes(pin.bytes), bytes(pin.here), plain(&pin.path));
    format!("Pinned: {path} ({files}, {size}, {here} of it here); the rest is fetched in the background.")
}

async fn list(client: &Client, mount: Option<PathBuf>, json: bool) -> anyhow::Result<Exit> {
    let mut mounts = Vec::new();
    for mountpoint in flush::chosen(client, mount).await? {
        let pins = client.pins(&mountpoint).await?;
        mounts.push(Mount { mountpoint, pins });
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&Answer { mounts })?);
        return Ok(Exit::Ok);
    }
    for Mount { mountpoint, pins } in &mounts {
        if mounts.len() > 1 {
            println!("{}", mountpoint.display());
        }
        if pins.is_empty() {
            println!("Nothing is pinned.");
        }
        for pin in pins {
            println!("{}  ({} of {} here)", plain(&pin.path), bytes(pin.here), bytes(pin.bytes));
        }
    }
    Ok(Exit::Ok)
}

/// The mount that holds a path, and the path's number in it.
pub async fn place(client: &Client, path: &Path) -> anyhow::Result<(PathBuf, u64)> {
    let shown = path.display();
    let wrong = |e: std::io::Error| Exit::Usage.because(format!("{shown}: {e}"));
    let canonical = std::fs::canonicalize(path).map_err(wrong)?;
    for at in canonical.ancestors() {
        match client.ping(at).await {
            Ok(_) => return Ok((at.to_owned(), std::fs::symlink_metadata(&canonical).map_err(wrong)?.ino())),
            Err(control::Error::NotRunning(_)) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Exit::NotRunning.because(format!("{shown} is on no drive that is mounted by you")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_told_with_what_is_here_and_cannot_drive_the_terminal() {
        let pin = Pin { id: 70, path: "/a\x1b[2Jb".to_owned(), files: 2, bytes: 4096, here: 1024 };
        assert_eq!(
            told(&pin),
            "Pinned: /a?[2Jb (2 files, 4.0 KiB, 1.0 KiB of it here); the rest is fetched in the background."
        );
        let all = Pinned { pins: 1, files: 2, bytes: 4096, here: 1024, problem: None };
        assert_eq!(short("no room", &all), "pinned; but of 4.0 KiB in all, 1.0 KiB are here: no room");
    }
}
