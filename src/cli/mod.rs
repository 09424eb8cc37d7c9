//! The commands: one file each. Parse, call, print.
//!
//! Only this floor constructs things: the runtime, the remote, the store, the mount. What a command prints for
//! people goes to standard error where it is a remark, to standard output where it is the answer; colour and
//! progress bars only where somebody looks at a terminal.

mod account;
mod accounts;
mod backup_key;
mod brake;
mod browser;
mod bwlimit;
mod cache;
mod cloud;
mod completions;
mod conflicts;
mod context;
mod daemon;
mod demo;
mod doctor;
mod emulator;
pub mod exit;
mod failed;
mod flush;
mod get;
mod inhibit;
mod item;
mod limits;
mod log;
mod logging;
mod login;
mod logout;
mod ls;
mod mount;
mod notices;
mod open;
mod partial;
mod paths;
mod pause;
mod pin;
mod point;
mod process;
mod put;
mod refresh;
mod restore;
mod resume;
mod sample;
mod serve;
mod status;
mod systemd;
mod term;
mod trash;
mod umount;
mod unpin;
mod verify;
mod versions;
mod watch;
mod whoami;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use context::Context;
use exit::Exit;

/// Mounts an Internxt Drive as an ordinary folder.
///
/// Everything is answered from the local disk where it can be: writes return when they are safe on this machine
/// and are sent in the background, cached files open without a network.
///
/// First steps: `inxtfs demo` tries it without an account; `inxtfs login`, then `inxtfs mount ~/Drive` uses yours.
#[derive(Debug, Parser)]
#[command(name = "inxtfs", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
struct Global {
    /// The service, if not Internxt's own: the address that `inxtfs emulator` prints, say. A login remembers it.
    #[arg(long, global = true, value_name = "URL", env = "INXTFS_GATEWAY")]
    gateway: Option<String>,
    /// Where the login is kept.
    #[arg(long, global = true, value_name = "DIR", env = "INXTFS_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
    /// Which login, where there are several: any name, given at `inxtfs login`. Left out, it is the usual one; commands about
    /// running mounts are about all mounts then.
    #[arg(long, global = true, value_name = "NAME", env = "INXTFS_ACCOUNT", value_parser = context::account_name)]
    account: Option<String>,
    /// Tell more; twice: everything. `INXTFS_LOG=inxtfs::fs=trace` chooses exactly.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Tell errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Login(login::Args),
    Logout(logout::Args),
    Whoami(whoami::Args),
    Account(accounts::Args),
    BackupKey(backup_key::Args),
    Mount(Box<mount::Args>),
    Open(open::Args),
    Umount(umount::Args),
    Status(status::Args),
    Log(log::Args),
    Doctor(doctor::Args),
    Flush(flush::Args),
    Bwlimit(bwlimit::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Restore(restore::Args),
    Failed(failed::Args),
    Pin(pin::Args),
    Unpin(unpin::Args),
    Conflicts(conflicts::Args),
    Refresh(refresh::Args),
    Cache(cache::Args),
    Ls(ls::Args),
    Get(get::Args),
    Put(put::Args),
    Trash(trash::Args),
    Versions(versions::Args),
    Verify(verify::Args),
    Demo(demo::Args),
    Emulator(Box<emulator::EmulatorArgs>),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(completions::ManArgs),
}

/// The command line as help, completions and manual pages show it.
fn described() -> clap::Command {
    Cli::command().after_long_help(exit::table())
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = match described().try_get_matches().and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    process::harden();
    logging::start(cli.global.verbose, cli.global.quiet);
    let ctx = Context::new(cli.global.gateway, cli.global.config_dir, cli.global.account, cli.global.quiet);
    run(cli.command, &ctx).unwrap_or_else(|e| exit::report(&e)).into()
}

fn run(command: Command, ctx: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Login(args) => login::run(args, ctx),
        Command::Logout(args) => logout::run(&args, ctx),
        Command::Whoami(args) => whoami::run(args, ctx),
        Command::Account(args) => accounts::run(&args, ctx),
        Command::Mount(args) => mount::run(*args, ctx),
        Command::Open(args) => open::run(&args, ctx),
        Command::Umount(args) => umount::run(args, ctx),
        Command::Status(args) => status::run(args, ctx),
        Command::Log(args) => log::run(&args, ctx),
        Command::Doctor(args) => doctor::run(args, ctx),
        Command::BackupKey(args) => backup_key::run(&args, ctx),
        Command::Completions(args) => Ok(completions::run(&args, described())),
        Command::Man(args) => completions::man(&args, described()),
        Command::Flush(args) => flush::run(args, ctx),
        Command::Bwlimit(args) => bwlimit::run(args, ctx),
        Command::Pause(args) => pause::run(args, ctx),
        Command::Resume(args) => resume::run(args, ctx),
        Command::Restore(args) => restore::run(args, ctx),
        Command::Failed(args) => failed::run(args, ctx),
        Command::Pin(args) => pin::run(args, ctx),
        Command::Unpin(args) => unpin::run(args, ctx),
        Command::Conflicts(args) => conflicts::run(args, ctx),
        Command::Refresh(args) => refresh::run(&args, ctx),
        Command::Cache(args) => cache::run(args, ctx),
        Command::Ls(args) => ls::run(&args, ctx),
        Command::Get(args) => get::run(&args, ctx),
        Command::Put(args) => put::run(&args, ctx),
        Command::Trash(args) => trash::run(&args, ctx),
        Command::Versions(args) => versions::run(&args, ctx),
        Command::Verify(args) => verify::run(&args, ctx),
        Command::Demo(args) => demo::run(args, ctx),
        Command::Emulator(args) => context::serve(emulator::run(*args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_where_the_readme_says() {
        for line in [
            "inxtfs login --email a@b.c --password-stdin --totp 123456 --backup-key f",
            "inxtfs mount /m --daemon --read-only --uid 1 --gid 2 --umask 022 --allow-other --folder /a \
             --cache-dir /c --cache-size 10GiB --writeback-delay 5s --poll-interval 30s --force",
            "inxtfs mount /m --flush-timeout 0 --delete-brake 3 --delete-brake-percent 100",
            "inxtfs mount /m --requests 64 --transfers 2 --bwlimit-up 2M --bwlimit-down off --memory 16MiB",
            "inxtfs bwlimit",
            "inxtfs bwlimit --up 500K --down 0 /m",
            "inxtfs resume /m",
            "inxtfs restore --pending /m",
            "inxtfs mount --account work /m",
            "inxtfs --account ann@example.org account list --json",
            "inxtfs open",
            "inxtfs open /m --no-window",
            "inxtfs umount /m --detach",
            "inxtfs umount /m --force",
            "inxtfs status /m --json",
            "inxtfs -vv flush --gateway http://127.0.0.1:1 --config-dir /x",
            "inxtfs failed list --json",
            "inxtfs failed export 7 out --force --mount /m",
            "inxtfs failed retry",
            "inxtfs failed retry 7 8",
            "inxtfs failed discard 7 8",
            "inxtfs pin /m/a /m/b",
            "inxtfs pin --list --json --mount /m",
            "inxtfs unpin /m/a /m/b",
            "inxtfs demo",
            "inxtfs emulator --listen 127.0.0.1:0 --latency 30ms",
        ] {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["inxtfs", "mount", "/m", "--cache-size", "much"]).is_err());
        assert!(Cli::try_parse_from(["inxtfs", "mount", "/m", "--umask", "999"]).is_err());
        let limits = ["--requests=0", "--requests=65", "--transfers=1", "--bwlimit-up=1", "--memory=1K"];
        for bad in limits.into_iter().chain(["--bwlimit-down=fast", "--memory=all", "--bwlimit-up="]) {
            assert!(Cli::try_parse_from(["inxtfs", "mount", "/m", bad]).is_err(), "{bad}");
        }
        assert!(Cli::try_parse_from(["inxtfs", "whoami", "--account", "../x"]).is_err());
        assert!(Cli::try_parse_from(["inxtfs", "bwlimit", "--up", "-1"]).is_err());
        assert!(Cli::try_parse_from(["inxtfs", "restore", "/m"]).is_err());
        assert!(Cli::try_parse_from(["inxtfs", "failed", "discard"]).is_err(), "never all of them");
        assert!(Cli::try_parse_from(["inxtfs", "pin"]).is_err(), "what?");
        assert!(Cli::try_parse_from(["inxtfs", "unpin"]).is_err(), "never all of them");
    }
}
