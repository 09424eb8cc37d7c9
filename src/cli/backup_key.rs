//! `inxtfs backup-key`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use zeroize::Zeroizing;

use super::account;
use super::context::{Context, block_on};
use super::exit::Exit;
use super::login::{INPUT_MAX, ask_password, password_from};
use crate::crypto::{Mnemonic, parse_backup_key};
use crate::remote::session::{self, Credentials};

/// Saves the account's master key, or checks a saved one.
///
/// The key opens everything that the account holds. Without it, and with the password lost, nothing can: keep it on
/// paper or in a safe place, and away from this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Writes the key as words to a new file, for you alone to read, as Internxt's web app and `login --backup-key` take it.
    ///
    /// Asks for the account's password first: who sits at this machine is not always who owns the account.
    Export {
        /// It must not exist.
        file: PathBuf,
        /// Read the password from standard input (first line) instead of asking.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Tells whether a file holds a backup key, in either of the web app's formats, and whether it is that of the account
    /// that is logged in.
    Check {
        /// As the web app or `export` made it.
        file: PathBuf,
    },
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    match &args.act {
        Act::Export { file, password_stdin } => export(file, *password_stdin, ctx),
        Act::Check { file } => check(file, ctx),
    }
}

fn export(file: &Path, password_stdin: bool, ctx: &Context) -> anyhow::Result<Exit> {
    let credentials = account::credentials(&account::file(ctx)?, ctx)?;
    let gateway = account::gateway(&credentials, ctx)?;
    if file.symlink_metadata().is_ok() {
        return Err(exists(file));
    }
    let password = if password_stdin { password_from(std::io::stdin().lock())? } else { ask_password()? };
    let right = block_on(async { Ok(session::opens_with(&credentials, &gateway, &password).await?) })?;
    if !right {
        let why = "the password does not open the account's key (this counts as no wrong login); nothing was written";
        return Err(Exit::WrongCredentials.because(why));
    }
    write(file, &credentials)?;
    println!("The backup key of {} is in {}.", credentials.email, file.display());
    ctx.say(
        "Whoever reads this file can read everything that the account holds. Keep it away from this machine.",
    );
    Ok(Exit::Ok)
}

fn write(file: &Path, credentials: &Credentials) -> anyhow::Result<()> {
    let text = Zeroizing::new(format!("{}\n", credentials.mnemonic));
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = open.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
    written.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => Exit::Other.because(format!("{} cannot be written: {e}", file.display())),
    })
}

fn exists(file: &Path) -> anyhow::Error {
    Exit::Usage.because(format!("{} exists; choose another name", file.display()))
}

fn check(file: &Path, ctx: &Context) -> anyhow::Result<Exit> {
    let key = read(file)?;
    let stored = account::secrets(ctx)?.load()?;
    let shown = file.display();
    match stored {
        None => println!("{shown} is a backup key. Nobody is logged in to compare it with."),
        Some(credentials) if credentials.mnemonic == key.phrase().as_str() => {
            println!("{shown} is the backup key of {}.", credentials.email);
        }
        Some(credentials) => {
            return Err(Exit::WrongCredentials
                .because(format!("{shown} is a backup key, but not that of {}", credentials.email)));
        }
    }
    Ok(Exit::Ok)
}

/// A backup key file, in either format.
pub fn read(file: &Path) -> anyhow::Result<Mnemonic> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(file).and_then(|f| f.take(INPUT_MAX).read_to_string(&mut text)).map_err(|e| {
        Exit::Usage.because(format!("the backup key file {} cannot be read: {e}", file.display()))
    })?;
    parse_backup_key(&text)
        .map_err(|e| Exit::WrongCredentials.because(format!("{} is no backup key: {e}", file.display())))
}
