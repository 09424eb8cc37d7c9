//! `inxtfs completions` and `inxtfs man`: made from the command line's own description, so that they cannot be wrong.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Command;

use super::exit::Exit;

/// Prints a completion script for a shell.
///
/// bash: `inxtfs completions bash > ~/.local/share/bash-completion/completions/inxtfs`; fish: `inxtfs completions fish
/// > ~/.config/fish/completions/inxtfs.fish`; zsh: into a file `_inxtfs` in a folder of `$fpath`. Packages bring them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Writes the manual pages, one a command, into a folder.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// It is made if need be.
    folder: PathBuf,
}

/// Prints a script.
pub fn run(args: &Args, mut command: Command) -> Exit {
    clap_complete::generate(args.shell, &mut command, "inxtfs", &mut std::io::stdout());
    Exit::Ok
}

/// Writes the pages.
pub fn man(args: &ManArgs, command: Command) -> anyhow::Result<Exit> {
    let at = || format!("writing manual pages to {}", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(at)?;
    clap_mangen::generate_to(command, &args.folder).with_context(at)?;
    Ok(Exit::Ok)
}
