//! `inxtfs open`: what the desktop's entry runs.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::context::{self, Context};
use super::exit::{self, Exit};
use super::{notices, paths};
use crate::control::{self, place};

/// Opens the drive in the file manager, mounted first if it is not.
///
/// It mounts as `inxtfs mount --daemon --notify` does, and clears a mount whose process died. What goes wrong is told on the
/// desktop, too, where nobody looks at a terminal.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, made if it is missing [default: ~/Drive].
    folder: Option<PathBuf>,
    /// Mount, and open no window: for the start of a desktop session.
    #[arg(long)]
    no_window: bool,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let done = open(args, ctx);
    if let Err(e) = &done
        && !std::io::stderr().is_terminal()
    {
        notices::send("Internxt Drive cannot be opened", &exit::advice(e));
    }
    done
}

fn open(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let folder = match &args.folder {
        Some(folder) => std::path::absolute(folder)?,
        None => paths::home()?.join("Drive"),
    };
    if !is_running(&folder, ctx)? {
        mount(&folder, ctx)?;
    }
    if !args.no_window {
        show(&folder)?;
    }
    Ok(Exit::Ok)
}

fn is_running(folder: &Path, ctx: &Context) -> anyhow::Result<bool> {
    let (client, at) = (ctx.control()?, place::canonical(folder));
    match context::block_on(async { Ok(client.ping(&at).await) })? {
        Ok(_) => Ok(true),
        Err(control::Error::NotRunning(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Another process of this program, since what goes on in the background is started with its own command line.
fn mount(folder: &Path, ctx: &Context) -> anyhow::Result<()> {
    // A dead mount is there, and cannot be looked at: mounting sees to that.
    if let Err(e) = std::fs::create_dir_all(folder)
        && !crate::fuse::is_stale(folder)
    {
        return Err(Exit::Mountpoint.because(format!("{} cannot be made: {e}", folder.display())));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--quiet", "mount", "--daemon", "--force", "--notify", "--"]).arg(folder);
    for (variable, value) in ctx.variables() {
        command.env(variable, value);
    }
    let ran = command.stdin(Stdio::null()).output()?;
    if ran.status.success() {
        return Ok(());
    }
    let code = ran.status.code().and_then(|code| u8::try_from(code).ok());
    let said = String::from_utf8_lossy(&ran.stderr);
    // The next step, which comes after it, is told with the code.
    let why = said.lines().find_map(|line| line.strip_prefix(exit::PREFIX)).unwrap_or("it does not say why");
    Err(Exit::from_code(code.unwrap_or(Exit::Other.code())).because(why))
}

/// Has the file manager show a folder.
fn show(folder: &Path) -> anyhow::Result<()> {
    let opened = Command::new("xdg-open").arg(folder).stdin(Stdio::null()).status();
    let shown = folder.display();
    match opened {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Exit::Other.because(format!("the drive is at {shown}, and xdg-open does not show it"))),
        Err(e) => {
            Err(Exit::Other.because(format!("the drive is at {shown}, and xdg-open cannot be run: {e}")))
        }
    }
}
