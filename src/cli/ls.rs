//! `inxtfs ls`.

use serde::Serialize;

use super::cloud::{self, Entry};
use super::context::{Context, block_on};
use super::exit::Exit;
use super::term::{bytes, plain};
use crate::types::{Kind, Timestamp};

/// Lists a folder of the drive, without a mount.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A path within the drive, such as `/Documents`.
    #[arg(default_value = "/")]
    path: String,
    /// With sizes and times.
    #[arg(short, long)]
    long: bool,
    /// Print JSON: `{"entries": [{"path": …, "kind": …, "size": …, "modified": …, "uuid": …}]}`.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    entries: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    path: &'a str,
    kind: &'static str,
    size: Option<u64>,
    modified: Option<String>,
    uuid: &'a str,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let entries = block_on(async {
        let cloud = cloud::connect(ctx)?;
        let at = cloud::find(&cloud, &args.path).await?;
        Ok(if at.kind == Kind::Folder { cloud::children(&cloud, &at).await? } else { vec![at] })
    })?;
    if args.json {
        let answer = Answer { entries: entries.iter().map(shown).collect() };
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        entries.iter().for_each(|entry| println!("{}", told(entry, args.long)));
    }
    Ok(Exit::Ok)
}

fn shown(entry: &Entry) -> Shown<'_> {
    let file = entry.row.as_ref().filter(|r| r.kind == Kind::File);
    Shown {
        path: &entry.path,
        kind: if entry.kind == Kind::Folder { "folder" } else { "file" },
        size: file.map(|r| r.size),
        modified: entry.row.as_ref().and_then(|r| time(r.modified)),
        uuid: entry.id.as_str(),
    }
}

fn told(entry: &Entry, long: bool) -> String {
    let slash = if entry.kind == Kind::Folder { "/" } else { "" };
    let name = format!("{}{slash}", plain(entry.name()));
    let Some(row) = entry.row.as_ref().filter(|_| long) else { return name };
    let size = if row.kind == Kind::File { bytes(row.size) } else { "-".to_owned() };
    format!("{size:>12}  {:<20}  {name}", time(row.modified).unwrap_or_default())
}

/// `2026-11-22T01:13:27Z`.
pub fn time(at: Timestamp) -> Option<String> {
    jiff::Timestamp::from_second(at.secs).ok().map(|t| t.to_string())
}
