//! `inxtfs verify`.

use std::path::PathBuf;

use futures_util::{StreamExt, stream};

use super::cloud::{self, Entry};
use super::context::Context;
use super::exit::Exit;
use super::get::files_of;
use super::term::{bytes, plain};
use crate::remote::internxt::Internxt;
use crate::remote::{self, Remote};
use crate::types::{Kind, Urgency};

/// Files read at a time.
const AT_ONCE: usize = 4;

/// Reads a file, or all below a folder, from the service and checks it against its hash, with the account's key.
///
/// Tells each one that is damaged or cannot be read, and ends with 16 if there is one that is damaged. Fetches everything;
/// keeps nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file or folder on a mount, or a path within the drive.
    path: PathBuf,
}

/// What became of a file.
enum Outcome {
    Sound,
    /// Its content is not what was uploaded.
    Damaged(String),
    Unread(remote::Error),
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    super::serve::runtime()?.block_on(async {
        let cloud = cloud::connect(ctx)?;
        let top = cloud::named(&cloud, &args.path).await?;
        let files = cloud::below(&cloud, top).await?.into_iter().filter(|e| e.kind == Kind::File);
        let mut running = stream::iter(files.map(|entry| {
            let cloud = cloud.clone();
            async move { (check(&cloud, &entry).await, entry) }
        }))
        .buffer_unordered(AT_ONCE);
        let (mut sound, mut size, mut damaged, mut unread) = (0, 0_u64, 0, None);
        while let Some((outcome, entry)) = running.next().await {
            let path = plain(&entry.path);
            match outcome {
                Outcome::Sound => {
                    sound += 1;
                    size += entry.row.map_or(0, |r| r.size);
                }
                Outcome::Damaged(why) => {
                    damaged += 1;
                    println!("damaged: {path}: {}", plain(&why));
                }
                Outcome::Unread(e) => {
                    println!("not read: {path}: {}", plain(&e.to_string()));
                    unread = Some(e);
                }
            }
        }
        println!("{} ({}) sound, {damaged} damaged.", files_of(sound), bytes(size));
        match unread {
            _ if damaged > 0 => Ok(Exit::Damaged),
            Some(e) => Err(anyhow::Error::from(e).context("not all could be read")),
            None => Ok(Exit::Ok),
        }
    })
}

async fn check(cloud: &Internxt, entry: &Entry) -> Outcome {
    let Some(row) = &entry.row else { return Outcome::Sound };
    if !row.readable {
        let why = "it has a layout that this program cannot read";
        return Outcome::Unread(remote::Error::Unreadable(why.to_owned()));
    }
    let Some(version) = &row.content else { return Outcome::Sound };
    match read(cloud, version, row.size).await {
        Ok(()) => Outcome::Sound,
        Err(remote::Error::Corrupt(why)) => Outcome::Damaged(why),
        Err(remote::Error::NotFound) => Outcome::Damaged("its content is gone from the store".to_owned()),
        Err(e) => Outcome::Unread(e),
    }
}

/// To the end, where the hash is compared.
async fn read(cloud: &Internxt, version: &crate::types::Version, size: u64) -> remote::Result<()> {
    let mut stream = cloud.read(version, size, 0..size, Urgency::Now).await?;
    while let Some(piece) = stream.next().await {
        piece?;
    }
    Ok(())
}
