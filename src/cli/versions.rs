//! `inxtfs versions`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::cloud::{self, Entry};
use super::context::{Context, block_on};
use super::exit::Exit;
use super::ls::time;
use super::term::{self, bytes, plain};
use crate::remote::Error;
use crate::remote::internxt::Internxt;
use crate::types::Kind;

/// Shows the former contents of a file that the service keeps, or brings one back.
///
/// The service keeps some of pdf, docx, xlsx and csv files only, and only on some plans.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists them, the newest first, with the id that `restore` takes.
    List {
        /// A file on a mount, or a path within the drive.
        file: PathBuf,
        /// Print JSON: `{"versions": [{"id": …, "size": …, "modified": …, "replaced": …}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Makes one the present content. The service deletes it from the list, and all that are newer.
    Restore {
        /// A file on a mount, or a path within the drive.
        file: PathBuf,
        /// As `list` shows it.
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Serialize)]
struct Answer {
    versions: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    size: u64,
    modified: Option<String>,
    replaced: Option<String>,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    block_on(async {
        let cloud = cloud::connect(ctx)?;
        match &args.act {
            Act::List { file, json } => list(&cloud, file, *json).await,
            Act::Restore { file, id, yes } => restore(&cloud, file, id, *yes).await,
        }
    })
}

async fn file(cloud: &Internxt, given: &Path) -> anyhow::Result<Entry> {
    let entry = cloud::named(cloud, given).await?;
    if entry.kind == Kind::File {
        return Ok(entry);
    }
    Err(Exit::Usage.because(format!("{} is a folder; only files have versions", given.display())))
}

async fn list(cloud: &Internxt, given: &Path, json: bool) -> anyhow::Result<Exit> {
    let entry = file(cloud, given).await?;
    let versions: Vec<Shown> = cloud
        .formers(&entry.id)
        .await?
        .into_iter()
        .map(|v| Shown { id: v.id, size: v.size, modified: time(v.modified), replaced: time(v.replaced) })
        .collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&Answer { versions })?);
        return Ok(Exit::Ok);
    }
    if versions.is_empty() {
        println!("The service keeps no former content of it.");
    }
    for v in &versions {
        let when = v.modified.as_deref().unwrap_or("-");
        println!("{}  {when}  {}", plain(&v.id), bytes(v.size));
    }
    Ok(Exit::Ok)
}

async fn restore(cloud: &Internxt, given: &Path, id: &str, yes: bool) -> anyhow::Result<Exit> {
    let entry = file(cloud, given).await?;
    if !yes {
        if !term::is_interactive() {
            return Err(Exit::Usage.because("no terminal to ask on; pass --yes"));
        }
        if !term::confirm("All newer versions are deleted by it. Go on?")? {
            return Ok(Exit::Ok);
        }
    }
    match cloud.restore_former(&entry.id, id).await {
        Ok(_) => {
            println!("Restored: {}", plain(&entry.path));
            Ok(Exit::Ok)
        }
        Err(Error::NotFound) => {
            Err(Exit::Usage.because(format!("it has no version {}; see `inxtfs versions list`", plain(id))))
        }
        Err(e) => Err(e.into()),
    }
}
