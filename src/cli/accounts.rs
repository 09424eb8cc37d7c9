//! `inxtfs account`.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::account::FILE;
use super::context::{ACCOUNTS, Context, account_name};
use super::exit::Exit;
use super::term::plain;
use crate::remote::session::{FileSecrets, Secrets as _};

/// Shows the logins of this machine. Each but the usual one has a name: `inxtfs login --account work`, and then
/// `inxtfs mount --account work FOLDER`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Lists them, with the place of the key that opens each.
    List {
        /// Print JSON: `{"accounts": [{"name": …, "email": …, "key": …, "error": …}]}`; the usual one has no name.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Answer {
    accounts: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    name: Option<String>,
    email: Option<String>,
    key: Option<String>,
    error: Option<String>,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let Act::List { json } = args.act;
    let accounts = all(ctx)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&Answer { accounts })?);
        return Ok(Exit::Ok);
    }
    if accounts.is_empty() {
        println!("Nobody is logged in.");
    }
    for one in accounts {
        let name = one.name.as_deref().unwrap_or("(the usual one)");
        let key = one.key.map(|k| format!("  (key: {k})")).unwrap_or_default();
        let email = one.email.or(one.error).unwrap_or_default();
        println!("{name:<16} {}{key}", plain(&email));
    }
    Ok(Exit::Ok)
}

/// The usual one first, the others by name.
fn all(ctx: &Context) -> anyhow::Result<Vec<Shown>> {
    let base = ctx.config_base()?;
    let named = std::fs::read_dir(base.join(ACCOUNTS)).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = named.filter_map(|e| account_name(e.file_name().to_str()?).ok()).collect();
    names.sort();
    let places = names.into_iter().map(|name| (base.join(ACCOUNTS).join(&name), Some(name)));
    let places = std::iter::once((base.clone(), None)).chain(places);
    Ok(places.filter_map(|(dir, name)| look(dir, name)).collect())
}

fn look(dir: PathBuf, name: Option<String>) -> Option<Shown> {
    let file = dir.join(FILE);
    if !file.exists() {
        return None;
    }
    let secrets = FileSecrets::new(file);
    let key = secrets.place().ok().flatten().map(|place| place.to_string());
    let (email, error) = match secrets.load() {
        Ok(credentials) => (credentials.map(|c| c.email.clone()), None),
        Err(e) => (None, Some(e.to_string())),
    };
    Some(Shown { name, email, key, error })
}
