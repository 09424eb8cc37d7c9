//! `inxtfs trash`.

use clap::Subcommand;
use serde::Serialize;

use super::cloud;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::term::{self, bytes, plain};
use crate::names::RemoteName;
use crate::remote::internxt::{Internxt, Trashed};
use crate::remote::{Error, Remote, Status};
use crate::types::Kind;

/// Names tried for what is restored to where its name is taken.
const NAMES: u32 = 20;

/// Shows the account's trash, restores from it, or empties it. Needs no mount; a running one shows the change by itself.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists what was deleted, with the id that `restore` takes; --json tells, too, when the service deletes it for good.
    List {
        /// Print JSON: `{"trash": [{"id": …, "name": …, "kind": …, "size": …, "from": …, "expires": …}]}`.
        #[arg(long)]
        json: bool,
    },
    /// Brings items back to the folder they were in, a folder with all below it. Where that folder is gone, to the root;
    /// where the name is taken, under another one.
    Restore {
        /// As `list` shows them; a name will do if it is there once.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Deletes all that is in the trash, for good. There is no way back.
    Empty {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Serialize)]
struct Answer {
    trash: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    name: String,
    kind: &'static str,
    size: Option<u64>,
    from: Option<String>,
    expires: Option<String>,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    block_on(async {
        let cloud = cloud::connect(ctx)?;
        match &args.act {
            Act::List { json } => list(&cloud, *json).await,
            Act::Restore { ids } => restore(&cloud, ids).await,
            Act::Empty { yes } => empty(&cloud, *yes, ctx).await,
        }
    })
}

async fn list(cloud: &Internxt, json: bool) -> anyhow::Result<Exit> {
    let trash: Vec<Shown> = cloud.trash_contents().await?.iter().map(shown).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&Answer { trash })?);
        return Ok(Exit::Ok);
    }
    if trash.is_empty() {
        println!("The trash is empty.");
    }
    for item in &trash {
        let size = item.size.map(|n| format!(", {}", bytes(n))).unwrap_or_default();
        let from = item.from.as_ref().map(|f| format!(" from {}", plain(f))).unwrap_or_default();
        println!("{}  {}  ({}{size}{from})", item.id, plain(&item.name), item.kind);
    }
    Ok(Exit::Ok)
}

fn shown(item: &Trashed) -> Shown {
    let file = item.row.kind == Kind::File;
    Shown {
        id: item.row.id.as_str().to_owned(),
        name: item.row.name.display(),
        kind: if file { "file" } else { "folder" },
        size: file.then_some(item.row.size),
        from: item.from.as_ref().map(|(_, name)| name.clone()).filter(|name| !name.is_empty()),
        expires: item.expires.clone(),
    }
}

async fn restore(cloud: &Internxt, ids: &[String]) -> anyhow::Result<Exit> {
    let trash = cloud.trash_contents().await?;
    // All of them are found before one is touched.
    let meant: anyhow::Result<Vec<&Trashed>> = ids.iter().map(|id| meant(&trash, id)).collect();
    for item in meant? {
        let name = bring_back(cloud, item).await?;
        println!("Restored: {}", plain(&name));
    }
    Ok(Exit::Ok)
}

fn meant<'a>(trash: &'a [Trashed], wanted: &str) -> anyhow::Result<&'a Trashed> {
    if let Some(item) = trash.iter().find(|t| t.row.id.as_str() == wanted) {
        return Ok(item);
    }
    let mut named = trash.iter().filter(|t| t.row.name.display() == wanted);
    match (named.next(), named.next()) {
        (Some(item), None) => Ok(item),
        (Some(_), Some(_)) => Err(Exit::Usage.because(format!(
            "several items in the trash are called {}; name one by its id (`inxtfs trash list`)",
            plain(wanted)
        ))),
        _ => Err(Exit::Usage.because(format!(
            "nothing in the trash has the id or name {}; see `inxtfs trash list`",
            plain(wanted)
        ))),
    }
}

/// The name it has now.
async fn bring_back(cloud: &Internxt, item: &Trashed) -> anyhow::Result<String> {
    let row = &item.row;
    let root = cloud.account().root;
    let home = item.from.as_ref().map(|(id, _)| id.clone()).or_else(|| row.parent.clone());
    let home = match home {
        // A folder that is in the trash itself would hide what is put into it.
        Some(id)
            if id == root
                || cloud.stat(Kind::Folder, &id).await.is_ok_and(|r| r.status == Status::Exists) =>
        {
            id
        }
        _ => root.clone(),
    };
    for n in 1..=NAMES {
        let name = if n == 1 { row.name.clone() } else { numbered(&row.name, row.kind, n) };
        match cloud.relocate(row.kind, &row.id, &home, &name).await {
            Err(Error::Exists) => {}
            other => return Ok(other?.name.display()),
        }
    }
    Err(Exit::Other.because(format!("too many things there are called {}", plain(&row.name.display()))))
}

fn numbered(name: &RemoteName, kind: Kind, n: u32) -> RemoteName {
    let stem = format!("{} (restored {})", name.stem, n - 1);
    match kind {
        Kind::Folder => RemoteName::whole(&stem),
        Kind::File => RemoteName { stem, ext: name.ext.clone() },
    }
}

async fn empty(cloud: &Internxt, yes: bool, ctx: &Context) -> anyhow::Result<Exit> {
    let count = cloud.trash_contents().await?.len();
    if count == 0 {
        ctx.say("The trash is empty.");
        return Ok(Exit::Ok);
    }
    let items = if count == 1 { "1 item".to_owned() } else { format!("{count} items") };
    if !yes {
        if !term::is_interactive() {
            return Err(Exit::Usage.because("no terminal to ask on; pass --yes to delete all for good"));
        }
        if !term::confirm(&format!("Delete {items} for good?"))? {
            return Ok(Exit::Ok);
        }
    }
    cloud.empty_trash().await?;
    println!("Deleted {items} for good.");
    Ok(Exit::Ok)
}
