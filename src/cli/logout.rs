//! `inxtfs logout`.

use std::path::{Path, PathBuf};

use super::context::{ACCOUNTS, Context, block_on};
use super::exit::Exit;
use super::{account, paths, term};
use crate::control::place;
use crate::crypto::seal::Key;
use crate::remote::session::{self, Credentials, KeyPlace, Secrets as _};
use crate::store::{self, Store, nodes};

/// Ends the session and forgets it on this machine.
///
/// The cache and unsent changes stay; they are sealed with the account's key and used again after the next login. With
/// --purge they go, too: first the keys are overwritten, then the files are removed, and the logs, which hold names.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave nothing of the account on this machine. Refused while one of its mounts is running.
    #[arg(long)]
    purge: bool,
    /// With --purge: also what is not sent yet. There is no way back.
    #[arg(long, requires = "purge")]
    discard_unsent: bool,
    /// With --purge: where the mounts kept their local state [default: ~/.cache/inxtfs/ACCOUNT].
    #[arg(long, value_name = "DIR", env = "INXTFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let secrets = account::file(ctx)?;
    let credentials = account::credentials(&secrets, ctx)?;
    let place = secrets.place()?;
    let cache = paths::cache(args.cache_dir.as_deref(), &credentials.account)?;
    if args.purge {
        check_unused(&credentials, ctx)?;
        check_sent(&cache, &credentials, args.discard_unsent)?;
    }
    let gateway = account::gateway(&credentials, ctx)?;
    let ended = block_on(async { Ok(session::logout(&credentials, &gateway).await) })?;
    secrets.forget()?;
    if args.purge {
        store::destroy(&cache)?;
        remove_rest(ctx)?;
    }
    if let Err(e) = ended {
        ctx.say(&format!("The service was not told ({e}); the session ends there by itself within days."));
    }
    println!("Logged out {}.", credentials.email);
    if place == Some(KeyPlace::Systemd) {
        ctx.say("The credential inxtfs.key stays where its unit has it from; it opens nothing any more.");
    }
    if args.purge {
        ctx.say("Nothing of the account is left on this machine.");
    }
    Ok(Exit::Ok)
}

/// A mount would make what was destroyed anew.
fn check_unused(credentials: &Credentials, ctx: &Context) -> anyhow::Result<()> {
    let client = ctx.control()?;
    for found in block_on(async { Ok(client.all().await) })? {
        let found = found?;
        if found.status.account == credentials.email {
            let at = &found.mount.mountpoint;
            return Err(
                Exit::Cache.because(format!("{at} is a mount of this account; `inxtfs umount {at}` first"))
            );
        }
    }
    Ok(())
}

fn check_sent(cache: &Path, credentials: &Credentials, discard: bool) -> anyhow::Result<()> {
    if discard || !cache.join("store.key").exists() {
        return Ok(());
    }
    let key = Key::from_seed(&credentials.mnemonic()?.seed());
    let store = Store::open(cache, &credentials.account, &key)?.store;
    let left = store.db().read(nodes::recount)?;
    store.close()?;
    if left.items == 0 {
        return Ok(());
    }
    Err(Exit::Unsent.because(format!(
        "{} ({}) in {} are not sent; mount and `inxtfs flush`, or give them up with --discard-unsent",
        term::changes(left.items),
        term::bytes(left.bytes),
        cache.display()
    )))
}

/// Logs, but for those that mounts of other accounts are writing, and folders that are empty now.
fn remove_rest(ctx: &Context) -> anyhow::Result<()> {
    let (state, client) = (paths::state()?, ctx.control()?);
    let running = block_on(async { Ok(client.all().await) })?.into_iter().flatten();
    let log = |mount: &str| place::socket_name(Path::new(mount)).replace(".sock", ".log");
    let running: Vec<_> = running.map(|f| log(&f.mount.mountpoint)).collect();
    for entry in std::fs::read_dir(&state).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_running = running.iter().any(|log| name.starts_with(log.as_str()));
        if path.extension().is_some_and(|e| e == "log" || e == "old") && !of_running {
            std::fs::remove_file(path)?;
        }
    }
    // What holds something else stays.
    let base = ctx.config_base()?;
    for dir in [state.join("run"), state, ctx.config_dir()?, base.join(ACCOUNTS), base] {
        let _ = std::fs::remove_dir(dir);
    }
    Ok(())
}
