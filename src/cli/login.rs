//! `inxtfs login`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::{account, term};
use crate::crypto::{Mnemonic, parse_backup_key};
use crate::remote::session::{self, Login};

/// Far above any password or backup key.
const INPUT_MAX: u64 = 64 << 10;

/// Logs in, once, and remembers the session on this machine.
///
/// Asks for email and password on a terminal, and for the two-factor code if the account has one. The password is
/// not kept: it opens the account's key, which is. A wrong password is never tried a second time by itself, since
/// the service locks accounts after ten.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The account's email; asked for if left out.
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input (first line) instead of asking.
    #[arg(long, requires = "email")]
    password_stdin: bool,
    /// The two-factor code; asked for if it is needed and left out.
    #[arg(long, value_name = "CODE")]
    totp: Option<String>,
    /// Take the account's key from a backup key file (Settings > Security > Backup key on the web).
    #[arg(long, value_name = "FILE")]
    backup_key: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let gateway = ctx.gateway()?;
    let secrets = account::secrets(ctx)?;
    let backup_key = match &args.backup_key {
        Some(file) => Some(read_backup_key(file)?),
        None => None,
    };
    let email = email(args.email)?;
    let password =
        if args.password_stdin { password_from(std::io::stdin().lock())? } else { ask_password()? };
    let credentials = block_on(async {
        let totp = match args.totp {
            Some(code) => Some(code),
            None if session::needs_totp(&gateway, &email).await? => Some(ask_totp()?),
            None => None,
        };
        Ok(session::login(&gateway, Login { email, password, totp, backup_key }).await?)
    })?;
    secrets.save(&credentials).context("keeping the login")?;
    println!("Logged in as {}.", credentials.email);
    ctx.say("Next: `inxtfs mount FOLDER` (an empty folder).");
    Ok(Exit::Ok)
}

fn email(given: Option<String>) -> anyhow::Result<String> {
    let email = match given {
        Some(email) => email,
        None if term::is_interactive() => term::ask("Email: ")?.unwrap_or_default(),
        None => return Err(Exit::Usage.because("no terminal to ask on; pass --email and --password-stdin")),
    };
    let email = email.trim().to_owned();
    if email.contains('@') { Ok(email) } else { Err(Exit::Usage.because("that is not an email address")) }
}

fn ask_password() -> anyhow::Result<SecretString> {
    if !term::is_interactive() {
        return Err(Exit::Usage.because("no terminal to ask for the password on; pass --password-stdin"));
    }
    let password = rpassword::prompt_password("Password: ").context("reading the password")?;
    not_empty(Zeroizing::new(password))
}

/// The first line, without its end; nothing else is cut, since blanks may belong to the password.
fn password_from(from: impl Read) -> anyhow::Result<SecretString> {
    let mut text = Zeroizing::new(String::new());
    from.take(INPUT_MAX).read_to_string(&mut text).context("reading the password from standard input")?;
    let line = text.split('\n').next().unwrap_or_default();
    not_empty(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

fn not_empty(password: Zeroizing<String>) -> anyhow::Result<SecretString> {
    if password.is_empty() {
        return Err(Exit::Usage.because("the password is empty"));
    }
    Ok(SecretString::from(password.as_str()))
}

fn ask_totp() -> anyhow::Result<String> {
    if !term::is_interactive() {
        return Err(Exit::WrongCredentials.because("the account has two-factor login; pass --totp CODE"));
    }
    Ok(term::ask("Two-factor code: ")?.unwrap_or_default().replace(' ', ""))
}

fn read_backup_key(file: &Path) -> anyhow::Result<Mnemonic> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(file).and_then(|f| f.take(INPUT_MAX).read_to_string(&mut text)).map_err(|e| {
        Exit::Usage.because(format!("the backup key file {} cannot be read: {e}", file.display()))
    })?;
    parse_backup_key(&text)
        .map_err(|e| Exit::WrongCredentials.because(format!("{} is no backup key: {e}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_password_is_one_line_and_keeps_its_blanks() {
        for (text, password) in [("a b \n", "a b "), ("x\r\nmore", "x"), ("no end", "no end")] {
            assert_eq!(password_from(text.as_bytes()).unwrap().expose_secret(), password);
        }
        assert!(password_from(&b"\n"[..]).is_err());
    }
}
