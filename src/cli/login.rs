//! `inxtfs login`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::{account, backup_key, browser, term};
use crate::api::Gateway;
use crate::crypto::totp;
use crate::remote::internxt::{Internxt, Options, Proof};
use crate::remote::session::{
    self, Again, Credentials, FileSecrets, KeyPlace, KeySource, Login, LoginError, Secrets, SecretsError,
};
use crate::types::Timestamp;

/// Far above any password or backup key.
pub const INPUT_MAX: u64 = 64 << 10;

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
    /// Make the two-factor code from the authenticator's secret (base32) in this file.
    #[arg(long, value_name = "FILE", conflicts_with = "totp")]
    totp_secret_file: Option<PathBuf>,
    /// For machines that nobody attends: keep the password, and the authenticator's secret if there is one, sealed on this
    /// machine, to log in again when the session is lost; once, never in a row. Whoever becomes this user then has the
    /// account, not only its files.
    #[arg(long)]
    unattended: bool,
    /// Log in with the browser: it opens Internxt's page, which gives session and key back to this program.
    #[arg(long, conflicts_with_all = ["email", "password_stdin", "totp", "totp_secret_file", "unattended", "backup_key"])]
    browser: bool,
    /// With --browser: do not start a browser, only tell the address.
    #[arg(long, requires = "browser")]
    no_open: bool,
    /// Do not ask whether the account that came back is the right one.
    #[arg(long, requires = "browser")]
    yes: bool,
    /// Take the account's key from a backup key file (Settings > Security > Backup key on the web). It must open what the
    /// account holds.
    #[arg(long, value_name = "FILE")]
    backup_key: Option<PathBuf>,
    /// Take the backup key for the account's even if it holds nothing that could prove it.
    #[arg(long, requires = "backup_key")]
    trust_backup_key: bool,
    /// Where the key is kept that opens the login on this machine.
    #[arg(long, value_name = "PLACE", default_value = "auto")]
    keep_key: KeepKey,
}

/// See [`KeyPlace`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum KeepKey {
    /// What systemd handed in, if it did; else the desktop's keyring, if it is open; else a file.
    Auto,
    /// The desktop's keyring (GNOME Keyring, KWallet, KeePassXC: Secret Service): what the password of the desktop opens.
    Keyring,
    /// A file beside the login. Whoever has the configuration folder and this machine's id opens it.
    File,
    /// The credential `inxtfs.key` of a unit (LoadCredential= or LoadCredentialEncrypted=): 32 bytes, or as many in hex.
    Systemd,
}

impl KeepKey {
    /// Looks before anything depends on it: a login is tried once.
    fn place(self, file: &FileSecrets) -> Result<KeyPlace, SecretsError> {
        let place = match self {
            KeepKey::Auto => return Ok(file.best_place()),
            KeepKey::Keyring => KeyPlace::Keyring,
            KeepKey::File => KeyPlace::File,
            KeepKey::Systemd => KeyPlace::Systemd,
        };
        file.check_place(place).map(|()| place)
    }
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let gateway = ctx.gateway()?;
    let (file, keep) = (account::file(ctx)?, args.keep_key);
    let place = keep.place(&file)?;
    let credentials = if args.browser {
        browser::login(&gateway, !args.no_open, args.yes, ctx)?
    } else {
        with_password(args, &gateway, ctx)?
    };
    let place = store(file, place, keep == KeepKey::Auto, &credentials).context("keeping the login")?;
    println!("Logged in as {}.", credentials.email);
    ctx.say(&format!("What opens the login on this machine is kept in {place}."));
    ctx.say("Next: `inxtfs mount FOLDER` (an empty folder).");
    Ok(Exit::Ok)
}

/// Keeps the login, and tells where its key is. A keyring that is open may refuse all the same: then, if nobody insists on it,
/// the file does, rather than that the login is lost.
fn store(
    file: FileSecrets,
    place: KeyPlace,
    yielding: bool,
    credentials: &Credentials,
) -> Result<KeyPlace, SecretsError> {
    let file = file.keeping(place);
    match file.save(credentials) {
        Err(SecretsError::KeyAway { why, .. }) if yielding && place != KeyPlace::File => {
            tracing::info!(why, "the key goes to a file");
            file.keeping(KeyPlace::File).save(credentials).map(|()| KeyPlace::File)
        }
        saved => saved.map(|()| place),
    }
}

fn with_password(args: Args, gateway: &Gateway, ctx: &Context) -> anyhow::Result<Credentials> {
    let backup_key = args.backup_key.as_deref().map(backup_key::read).transpose()?;
    let totp_secret = args.totp_secret_file.as_deref().map(read_secret).transpose()?;
    let email = email(args.email)?;
    let password =
        if args.password_stdin { password_from(std::io::stdin().lock())? } else { ask_password()? };
    let kept = args.unattended.then(|| Again {
        password: password.expose_secret().to_owned(),
        totp_secret: totp_secret.as_deref().cloned(),
    });
    let (mut credentials, source) = block_on(async {
        let totp = match (args.totp, &totp_secret) {
            (Some(code), _) => Some(code),
            (None, Some(secret)) => Some(code_of(secret)?),
            (None, None) if session::needs_totp(gateway, &email).await? => Some(ask_totp()?),
            (None, None) => None,
        };
        if totp.is_some() && totp_secret.is_none() && kept.is_some() {
            let why = "--unattended needs --totp-secret-file for an account with two-factor login";
            return Err(Exit::Usage.because(why));
        }
        Ok(session::login_from(gateway, Login { email, password, totp, backup_key }).await?)
    })?;
    if source == KeySource::BackupKey {
        block_on(prove(&credentials, args.trust_backup_key))?;
    }
    if kept.is_some() {
        ctx.say(
            "The password is kept on this machine, sealed. Whoever becomes this user, or root, has the account with it; \
             `inxtfs logout` removes it.",
        );
    }
    credentials.again = kept;
    Ok(credentials)
}

/// A key that is not the account's would make files that nobody else can read.
async fn prove(credentials: &Credentials, trust: bool) -> anyhow::Result<()> {
    let remote = Internxt::connect(Arc::new(Held(credentials.clone())), Options::default())?;
    match remote.prove_key().await? {
        Proof::Proven => Ok(()),
        Proof::Foreign => Err(LoginError::ForeignBackupKey.into()),
        Proof::Unknown if trust => Ok(()),
        Proof::Unknown if term::is_interactive() => {
            let question = "The account holds nothing that proves the backup key. Is it this account's?";
            if term::confirm(question)? { Ok(()) } else { Err(LoginError::ForeignBackupKey.into()) }
        }
        Proof::Unknown => Err(Exit::WrongCredentials.because(
            "the account holds nothing that proves the backup key; if you are sure, pass --trust-backup-key",
        )),
    }
}

/// A login that is not kept yet.
struct Held(Credentials);

impl Secrets for Held {
    fn load(&self) -> Result<Option<Credentials>, SecretsError> {
        Ok(Some(self.0.clone()))
    }

    fn save(&self, _credentials: &Credentials) -> Result<(), SecretsError> {
        Ok(())
    }

    fn forget(&self) -> Result<(), SecretsError> {
        Ok(())
    }
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

/// Asks on a terminal.
pub fn ask_password() -> anyhow::Result<SecretString> {
    if !term::is_interactive() {
        return Err(Exit::Usage.because("no terminal to ask for the password on; pass --password-stdin"));
    }
    let password = rpassword::prompt_password("Password: ").context("reading the password")?;
    not_empty(Zeroizing::new(password))
}

/// The first line, without its end; nothing else is cut, since blanks may belong to the password.
pub fn password_from(from: impl Read) -> anyhow::Result<SecretString> {
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

fn read_secret(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(file).and_then(|f| f.take(INPUT_MAX).read_to_string(&mut text)).map_err(|e| {
        Exit::Usage.because(format!("the authenticator's secret {} cannot be read: {e}", file.display()))
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn code_of(secret: &str) -> anyhow::Result<String> {
    let now = u64::try_from(Timestamp::now().secs).unwrap_or(0);
    let why = "that is no authenticator's secret: it is the base32 text shown beside the QR code, not a code";
    totp::code(secret, now).ok_or_else(|| Exit::Usage.because(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_and_keeps_its_blanks() {
        for (text, password) in [("a b \n", "a b "), ("x\r\nmore", "x"), ("no end", "no end")] {
            assert_eq!(password_from(text.as_bytes()).unwrap().expose_secret(), password);
        }
        assert!(password_from(&b"\n"[..]).is_err());
    }
}
