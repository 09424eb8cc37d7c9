//! `inxtfs mount`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::exit::Exit;
use super::limits::Limits;
use super::serve::{self, Plan};
use super::{account, daemon, paths, point, systemd};
use crate::fs::{Config, Mtimes, Thumbnails};
use crate::fuse::MountOptions;
use crate::remote::session::{KeyPlace, SecretsError};
use crate::units;

/// Between two looks at a keyring that is not open yet.
const KEYRING_TICK: Duration = Duration::from_secs(3);

/// Mounts the drive on a folder.
///
/// Needs no network: what is known is shown, changes are queued. Stays in the foreground until Ctrl-C, SIGTERM or an
/// unmount by whatever means, then sends what is left for a while (--flush-timeout); the rest is kept and sent with the
/// next mount.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An empty folder.
    mountpoint: PathBuf,
    /// Return as soon as the mount answers, and go on in the background.
    #[arg(long)]
    daemon: bool,
    /// The background half of `--daemon`.
    #[arg(long, hide = true, conflicts_with = "daemon")]
    daemonized: bool,
    /// Refuse every change.
    #[arg(long)]
    read_only: bool,
    /// Owner of everything (default: you).
    #[arg(long)]
    uid: Option<u32>,
    /// Group of everything (default: yours).
    #[arg(long)]
    gid: Option<u32>,
    /// Permission bits to take away, in octal [default: 077; 022 with --allow-other].
    #[arg(long, value_parser = octal)]
    umask: Option<u16>,
    /// Let other users in. Needs `user_allow_other` in /etc/fuse.conf unless you are root.
    #[arg(long)]
    allow_other: bool,
    /// Show this folder of the drive instead of all of it.
    #[arg(long, value_name = "PATH")]
    folder: Option<String>,
    /// Where cached content, unsent changes and the known tree lie, sealed [default: ~/.cache/inxtfs/ACCOUNT].
    #[arg(long, value_name = "DIR", env = "INXTFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// How much of the disk cached content may take [default: 10GiB, at most a tenth of the disk]. A tenth of the disk
    /// is always left free. Unsent changes come on top.
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    cache_size: Option<u64>,
    /// How long a file must rest after a change before it is sent.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    writeback_delay: Duration,
    /// How long a file must rest that is called like something temporary: a lock (`.~lock.x#`), a partial download
    /// (`x.part`), a backup (`x~`), a database's journal. Then it is sent like any other.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = units::duration)]
    temporary_delay: Duration,
    /// What becomes of a modification time that a program sets on what is uploaded already (the service takes it only
    /// together with content).
    #[arg(long, value_name = "WAY", default_value = "local")]
    mtime: Mtime,
    /// How often to look for changes made elsewhere.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    poll_interval: Duration,
    /// How long to go on sending after the mount was ended by a signal or an unmount; at most 3 s while the service
    /// cannot be reached. What is left then goes with the next mount. 0: end at once.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    flush_timeout: Duration,
    /// Hold all deletes back when more than this many files and folders were deleted within ten minutes, and more than
    /// --delete-brake-percent of the drive. 0: never.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    delete_brake: u64,
    /// See --delete-brake.
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    delete_brake_percent: u8,
    /// Tell on the desktop (by `notify-send`) when something cannot be sent, two versions of a file had to be kept, the
    /// session is lost, or all is saved after a while; at most one message of a kind in five minutes.
    #[arg(long)]
    notify: bool,
    #[command(flatten)]
    limits: Limits,
    /// A program that nobody waits for, by the name `ps` shows (a star at its end stands for anything). It gets no
    /// readahead, and others go first. Known ones, such as updatedb and thumbnailers, need not be named.
    #[arg(long, value_name = "NAME")]
    background_reader: Vec<String>,
    /// What desktops take the drive for. `remote`: GNOME makes no thumbnails of its own and no index, and `updatedb`
    /// passes it over, like any sshfs; it is called `fuse.sshfs` in `mount` and `df -T` then, and programs that leave
    /// sshfs out (some backups) leave it out.
    #[arg(long, value_name = "WAY", default_value = "local")]
    present_as: Present,
    /// Show small pictures of photos without downloading any: those that Internxt has are put into this user's thumbnail
    /// cache (`~/.cache/thumbnails`) when a folder is opened, readable by whoever can read your files; and of each JPEG or
    /// PNG that is sent one is made and uploaded, encrypted like all else.
    #[arg(long)]
    thumbnails: bool,
    /// The unit of waits after failures and unclear answers; tests have no time.
    #[arg(long, hide = true, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    pace: Duration,
    /// Clear a dead mount without asking.
    #[arg(long)]
    force: bool,
}

/// See [`Mtimes`].
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mtime {
    /// It is kept on this machine, for as long as that version is shown.
    Local,
    /// Setting it succeeds and changes nothing.
    Ignore,
    /// Setting it fails with EPERM.
    Strict,
}

impl From<Mtime> for Mtimes {
    fn from(way: Mtime) -> Self {
        match way {
            Mtime::Local => Mtimes::Local,
            Mtime::Ignore => Mtimes::Ignore,
            Mtime::Strict => Mtimes::Strict,
        }
    }
}

/// What desktops take the drive for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Present {
    /// A disk.
    Local,
    /// A server's.
    Remote,
}

fn octal(text: &str) -> Result<u16, String> {
    match u16::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err("a umask is octal, from 000 to 777".to_owned()),
    }
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    if args.daemonized {
        return daemon::background(|announce| mount(&args, ctx, announce));
    }
    if args.daemon {
        // What needs the terminal, or fails at once, is done before the process leaves it.
        let at = point::check(&args.mountpoint, args.force, &ctx.control()?, ctx)?;
        account::credentials(&account::file(ctx)?, ctx)?;
        return daemon::spawn(&at, ctx);
    }
    mount(&args, ctx, &mut |ready| {
        ctx.say(&format!("Mounted the drive of {} at {}.", ready.email, ready.mountpoint.display()));
        ctx.say("Ctrl-C ends it; `inxtfs status` tells what it does.");
    })
}

fn mount(args: &Args, ctx: &Context, announce: &mut dyn FnMut(&serve::Ready)) -> anyhow::Result<Exit> {
    let mountpoint = point::check(&args.mountpoint, args.force, &ctx.control()?, ctx)?;
    wait_for_keyring(ctx)?;
    let rt = serve::runtime()?;
    let tuning = args.limits.tuning();
    let (throttle, memory) = (tuning.throttle.clone(), tuning.memory.clone());
    let (credentials, remote) = {
        let _in = rt.enter();
        account::connect(ctx, tuning)?
    };
    let cache = paths::cache(args.cache_dir.as_deref(), &credentials.account)?;
    if cache.starts_with(&mountpoint) || mountpoint.starts_with(&cache) {
        return Err(Exit::Mountpoint.because("the cache and the mountpoint must not lie within each other"));
    }
    let thumbnails = args.thumbnails.then(|| desktop(&mountpoint)).transpose()?;
    paths::make_private(&cache)
        .map_err(|e| Exit::Cache.because(format!("{e:#}; choose another place with --cache-dir")))?;
    let seed = remote.account_seed();
    let plan = Plan {
        config: Config {
            read_only: args.read_only,
            writeback_delay: args.writeback_delay,
            temporary_delay: args.temporary_delay,
            mtimes: args.mtime.into(),
            poll_interval: args.poll_interval,
            pace: args.pace,
            cache_size: args.cache_size.unwrap_or_else(|| paths::default_cache_size(&cache)),
            host: host(),
            owner: args.uid.unwrap_or(MountOptions::default().uid),
            throttle,
            memory,
            brake_count: args.delete_brake,
            brake_percent: args.delete_brake_percent,
            thumbnails,
            uploads: args.limits.files(),
            ..Config::default()
        },
        notify: args.notify,
        flush: args.flush_timeout,
        folder: args.folder.clone(),
        options: options(args, &credentials.email),
        mountpoint,
        cache,
        account: credentials.account.clone(),
        email: credentials.email.clone(),
        seed,
        session: remote.session(),
        remote: Arc::new(remote),
    };
    let last = serve::serve(rt, &plan, ctx, announce)?;
    Ok(serve::farewell(&last, &plan.cache, ctx))
}

/// Where desktops look for small pictures.
fn desktop(mountpoint: &Path) -> anyhow::Result<Thumbnails> {
    let cache = paths::desktop_cache()?;
    if cache.starts_with(mountpoint) {
        let cache = cache.display();
        return Err(
            Exit::Mountpoint.because(format!("the thumbnails in {cache} must not lie below the mountpoint"))
        );
    }
    Ok(Thumbnails { cache, mountpoint: mountpoint.to_owned() })
}

/// What a service manager starts together with the desktop may be there before the keyring is open. Somebody at a terminal
/// is told at once instead.
fn wait_for_keyring(ctx: &Context) -> anyhow::Result<()> {
    let mut told = false;
    while systemd::is_told() {
        let away = account::secrets(ctx)?.load();
        let Err(SecretsError::KeyAway { place: KeyPlace::Keyring, why }) = away else { break };
        if !std::mem::replace(&mut told, true) {
            eprintln!("inxtfs: waiting for the desktop's keyring: {why}");
        }
        systemd::notify(&format!(
            "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Waiting for the desktop's keyring: {why}"
        ));
        std::thread::sleep(KEYRING_TICK);
    }
    Ok(())
}

fn options(args: &Args, email: &str) -> MountOptions {
    let mine = MountOptions::default();
    MountOptions {
        read_only: args.read_only,
        allow_other: args.allow_other,
        uid: args.uid.unwrap_or(mine.uid),
        gid: args.gid.unwrap_or(mine.gid),
        umask: args.umask.unwrap_or(if args.allow_other { 0o022 } else { mine.umask }),
        fsname: format!("inxtfs:{email}"),
        remote: args.present_as == Present::Remote,
        background: args.background_reader.clone(),
        ..mine
    }
}

/// This machine's name, for conflict copies.
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umasks_are_octal() {
        assert_eq!(octal("022"), Ok(0o022));
        assert_eq!(octal("0o77"), Ok(0o77));
        assert!(octal("9").is_err() && octal("1000").is_err());
    }
}
