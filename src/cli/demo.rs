//! `inxtfs demo`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;

use super::context::{Context, parse_gateway};
use super::exit::Exit;
use super::serve::{self, Plan};
use super::{mount, paths, point, sample};
use crate::emulator::{self, Emulator};
use crate::fs::Config;
use crate::fuse::MountOptions;
use crate::remote::internxt::{Internxt, Options};
use crate::remote::session::{self, FileSecrets, Login, Secrets};

const CACHE_SIZE: u64 = 1 << 30;

/// Tries everything without an account.
///
/// Starts an emulator of the service within this process, puts some files onto a drive there, and mounts it. Ctrl-C ends
/// it and leaves nothing behind.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An empty folder; a new temporary one if left out.
    mountpoint: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let scratch = Scratch::new()?;
    let wanted = args.mountpoint.unwrap_or_else(|| scratch.drive());
    let mountpoint = point::check(&wanted, false, &ctx.control()?, ctx)?;
    // The emulator outlives the mount, so that what the mount still sends at its end finds it.
    let emulating = serve::runtime()?;
    let emulator = {
        let _in = emulating.enter();
        Emulator::start(emulator::Config::default()).context("starting the emulator")?
    };
    let rt = serve::runtime()?;
    let plan = rt.block_on(prepare(&emulator, &scratch, mountpoint))?;
    let ended = serve::serve(rt, &plan, ctx, &mut |ready| invite(&ready.mountpoint));
    let stopped = emulating.block_on(emulator.shutdown());
    ended?;
    stopped.context("stopping the emulator")?;
    ctx.say("The demo has ended; nothing is left of it.");
    Ok(Exit::Ok)
}

async fn prepare(emulator: &Emulator, scratch: &Scratch, mountpoint: PathBuf) -> anyhow::Result<Plan> {
    let gateway = parse_gateway(&emulator.gateway())?;
    let secrets: Arc<dyn Secrets> = Arc::new(FileSecrets::new(scratch.0.join("credentials")));
    let login = Login {
        email: DEMO_EMAIL.to_owned(),
        password: SecretString::from(DEMO_PASSWORD),
        totp: None,
        backup_key: None,
    };
    let credentials = session::login(&gateway, login).await?;
    secrets.save(&credentials)?;
    let options = Options::default();
    let (throttle, memory) = (options.tuning.throttle.clone(), options.tuning.memory.clone());
    let remote = Internxt::connect(secrets, options)?;
    sample::fill(&remote).await.context("filling the demo drive")?;
    let cache = scratch.0.join("cache");
    paths::make_private(&cache)?;
    Ok(Plan {
        notify: false,
        mountpoint,
        flush: Duration::ZERO,
        folder: None,
        options: MountOptions::default(),
        config: Config { cache_size: CACHE_SIZE, host: mount::host(), throttle, memory, ..Config::default() },
        cache,
        account: credentials.account.clone(),
        email: credentials.email.clone(),
        seed: remote.account_seed(),
        session: remote.session(),
        remote: Arc::new(remote),
    })
}

/// The emulator's first account.
const DEMO_EMAIL: &str = "demo@inxtfs.local";
const DEMO_PASSWORD: &str = "demo";

fn invite(at: &Path) {
    let (at, inxtfs) = (at.display(), own_name());
    println!("A demo drive is mounted at {at}");
    println!();
    println!("Try, in another terminal:");
    println!("  ls -l {at}");
    println!("  cp -r /etc/default {at}/ && {inxtfs} status");
    println!("  rsync -a /usr/share/doc/bash {at}/ && {inxtfs} flush");
    println!();
    println!("Ctrl-C ends the demo and leaves nothing behind.");
}

/// How this very program is called in a shell: by its name if the shell finds it, else by its path.
fn own_name() -> String {
    const NAME: &str = "inxtfs";
    let Ok(own) = std::env::current_exe().and_then(fs::canonicalize) else { return NAME.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(NAME)).find(|p| p.is_file());
    match found.and_then(|p| fs::canonicalize(p).ok()) {
        Some(found) if found == own => NAME.to_owned(),
        _ => own.display().to_string(),
    }
}

/// A temporary directory that is removed at the end, but never through a mount that still stands.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let name = format!("inxtfs-demo-{}", uuid::Uuid::new_v4().simple());
        let dir = std::env::temp_dir().join(name);
        paths::make_private(&dir.join("drive"))?;
        Ok(Scratch(dir))
    }

    fn drive(&self) -> PathBuf {
        self.0.join("drive")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let removed = fs::remove_dir(self.drive()).and_then(|()| fs::remove_dir_all(&self.0));
        if let Err(e) = removed {
            eprintln!("inxtfs: {} could not be removed: {e}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.0.clone();
        fs::write(dir.join("cache"), "x").unwrap();
        drop(scratch);
        assert!(!dir.exists());
    }

    #[test]
    fn a_drive_that_is_not_empty_is_never_deleted() {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.0.clone();
        let precious = scratch.drive().join("precious");
        fs::write(&precious, "x").unwrap();
        drop(scratch);
        assert!(precious.exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
