//! Logging in, with exactly one attempt: ten refused ones lock the account everywhere.

use secrecy::{ExposeSecret, SecretString};

use super::Credentials;
use crate::api::{self, ClientId, Gateway, Http, Tuning, drive};
use crate::crypto::{self, Mnemonic, envelope};

/// What a login takes.
pub struct Login {
    /// The account's address.
    pub email: String,
    /// Its password; needed once.
    pub password: SecretString,
    /// The one-time code, where [`needs_totp`] says so.
    pub totp: Option<String>,
    /// The backup key, for an account whose own copy of the master key does not open.
    pub backup_key: Option<Mnemonic>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Refused.
    #[error("the email or the password is wrong (10 wrong attempts in a row lock the account)")]
    WrongPassword,
    /// Refused for the code.
    #[error("the one-time code is wrong or too old; wait for the next one and try again")]
    WrongTotp,
    /// A code is missing.
    #[error("this account needs a one-time code from your authenticator app; give it with the password")]
    TotpNeeded,
    /// The session is over.
    #[error("the session has ended")]
    Ended,
    /// Locked.
    #[error(
        "the account is locked after too many wrong attempts; unlock it at https://drive.internxt.com: {0}"
    )]
    Blocked(String),
    /// The password was right.
    #[error("the password is right, but the plan does not include access for third-party clients: {0}")]
    PlanAccess(String),
    /// A password scheme this program does not speak.
    #[error("this account logs in with a scheme this version does not know; look for a newer inxtfs")]
    WebLoginNeeded,
    /// Somebody else's key.
    #[error("this backup key belongs to another account (or to this one before a reset); nothing was stored")]
    ForeignBackupKey,
    /// The master key does not open.
    #[error(
        "the account's master key does not open with this password; log in with the backup key file as well"
    )]
    BadMnemonic,
    /// The service was not reached.
    #[error("{0}; check the network and try again")]
    Offline(String),
    /// The service wants a pause.
    #[error("the service asks to wait {0} s before another login")]
    Busy(u64),
    /// An answer that makes no sense.
    #[error("the login failed: {0}")]
    Protocol(String),
}

/// Whether the account asks for a one-time code. Counts as no attempt.
///
/// # Errors
/// [`LoginError`]; unknown accounts look like wrong passwords.
pub async fn needs_totp(gateway: &Gateway, email: &str) -> Result<bool, LoginError> {
    Ok(details(&http(gateway)?, email).await?.tfa)
}

/// Where the master key of a login comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// The account's own copy, which the password opened.
    Account,
    /// The backup key alone: that it is the account's is to be proven before it is used.
    BackupKey,
}

/// Logs in. Sends no keys, stores nothing.
///
/// # Errors
/// [`LoginError`]. Never call it again with the same password by itself.
pub async fn login(gateway: &Gateway, req: Login) -> Result<Credentials, LoginError> {
    login_from(gateway, req).await.map(|(credentials, _)| credentials)
}

/// The same, and where the key is from.
///
/// # Errors
/// [`LoginError`]. Never call it again with the same password by itself.
pub async fn login_from(gateway: &Gateway, req: Login) -> Result<(Credentials, KeySource), LoginError> {
    let http = http(gateway)?;
    let email = req.email.trim();
    let details = details(&http, email).await?;
    let totp = req.totp.as_deref().map(str::trim).filter(|code| !code.is_empty());
    if details.tfa && totp.is_none() {
        return Err(LoginError::TotpNeeded);
    }
    let password = req.password.expose_secret();
    let field = {
        let (password, s_key) = (req.password.clone(), details.s_key);
        let work = move || envelope::password_field(password.expose_secret(), &s_key);
        let made =
            tokio::task::spawn_blocking(work).await.map_err(|e| LoginError::Protocol(e.to_string()))?;
        made.map_err(|e| LoginError::Protocol(format!("the service's salt does not open: {e}")))?
    };
    let request = drive::access(email, &field, totp.filter(|_| details.tfa));
    let access = http.send(&(), &request).await.map_err(refused)?;
    let (mnemonic, source) = master_key(access.user.mnemonic.as_deref(), password, req.backup_key)?;
    Ok((credentials(gateway, email, &access, &mnemonic), source))
}

fn credentials(gateway: &Gateway, email: &str, access: &drive::Access, mnemonic: &Mnemonic) -> Credentials {
    let user = &access.user;
    Credentials {
        email: if user.email.is_empty() { email.to_owned() } else { user.email.clone() },
        account: user.uuid.clone(),
        token: access.new_token.clone(),
        mnemonic: mnemonic.phrase().to_string(),
        bridge_user: user.bridge_user.clone(),
        user_id: user.user_id.clone(),
        bucket: user.bucket.clone(),
        root: user.root_folder_id.clone(),
        gateway: gateway.as_str().to_owned(),
        again: None,
    }
}

/// A session of our own from a token and a key that a browser's login has given. The token itself is that of the
/// browser's session and ends with it, so another one takes its place.
///
/// # Errors
/// [`LoginError`].
pub async fn with_token(
    gateway: &Gateway,
    token: &str,
    mnemonic: &Mnemonic,
) -> Result<Credentials, LoginError> {
    let access = http(gateway)?.send(&api::Bearer::new(token), &drive::refresh()).await.map_err(ended)?;
    Ok(credentials(gateway, "", &access, mnemonic))
}

/// Whether a password opens the account's copy of the master key in use. Counts as no attempt: nothing but the session is
/// shown to the service.
///
/// # Errors
/// [`LoginError::Ended`]; [`LoginError::BadMnemonic`] if the service holds no copy.
pub async fn opens_with(
    credentials: &Credentials,
    gateway: &Gateway,
    password: &SecretString,
) -> Result<bool, LoginError> {
    let access = http(gateway)?.send(&credentials.bearer(), &drive::refresh()).await.map_err(ended)?;
    let sealed = access.user.mnemonic.as_deref().ok_or(LoginError::BadMnemonic)?;
    let opened = envelope::open(sealed, password.expose_secret().as_bytes()).ok();
    let own = opened.and_then(|words| Mnemonic::parse(&words).ok());
    Ok(own.is_some_and(|own| own.phrase().as_str() == credentials.mnemonic))
}

/// What refuses a session, not a password.
fn ended(e: api::Error) -> LoginError {
    if e.class() == api::Class::Session { LoginError::Ended } else { refused(e) }
}

/// Ends the session at the service. A session that is over already is success.
///
/// # Errors
/// The service was not reached: the token lives on until it expires.
pub async fn logout(credentials: &Credentials, gateway: &Gateway) -> Result<(), LoginError> {
    match http(gateway)?.send(&credentials.bearer(), &drive::logout()).await {
        Err(e) if e.class() != api::Class::Session => Err(refused(e)),
        _ => Ok(()),
    }
}

fn http(gateway: &Gateway) -> Result<Http, LoginError> {
    Http::new(gateway.clone(), ClientId::random(), Tuning::default()).map_err(refused)
}

async fn details(http: &Http, email: &str) -> Result<drive::SecurityDetails, LoginError> {
    let details = http.send(&(), &drive::security_details(email.trim())).await.map_err(refused)?;
    if details.use_opaque_login { Err(LoginError::WebLoginNeeded) } else { Ok(details) }
}

/// The account's own master key; the backup key only where that does not open, and never another one.
fn master_key(
    sealed: Option<&str>,
    password: &str,
    backup: Option<Mnemonic>,
) -> Result<(Mnemonic, KeySource), LoginError> {
    // The envelope proves nothing: only words with a right checksum count as opened.
    let own = sealed
        .and_then(|sealed| envelope::open(sealed, password.as_bytes()).ok())
        .map(|words| Mnemonic::parse(&words))
        .and_then(Result::<Mnemonic, crypto::Error>::ok);
    match (own, backup) {
        (Some(own), Some(backup)) if own != backup => Err(LoginError::ForeignBackupKey),
        (Some(own), _) => Ok((own, KeySource::Account)),
        (None, Some(backup)) => Ok((backup, KeySource::BackupKey)),
        (None, None) => Err(LoginError::BadMnemonic),
    }
}

fn refused(e: api::Error) -> LoginError {
    match &e {
        api::Error::NotSent(_) | api::Error::Captive(_) | api::Error::Lost(_) => {
            LoginError::Offline(e.to_string())
        }
        // Where a web page answers a login, nobody logged in.
        api::Error::Malformed(why) if why.contains("a web page") => {
            LoginError::Offline(api::Error::Captive(why.clone()).to_string())
        }
        api::Error::Busy { after } => LoginError::Busy(after.as_secs().max(1)),
        api::Error::Malformed(_) => LoginError::Protocol(e.to_string()),
        api::Error::Status(answer) => match answer.status {
            401 if answer.message.contains("2-factor") => LoginError::WrongTotp,
            401 => LoginError::WrongPassword,
            402 => LoginError::PlanAccess(answer.message.clone()),
            403 if answer.message.to_lowercase().contains("block") => {
                LoginError::Blocked(answer.message.clone())
            }
            _ => LoginError::Protocol(e.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

    fn sealed(words: &str) -> String {
        envelope::seal(words, b"pass").unwrap()
    }

    fn other() -> Mnemonic {
        Mnemonic::parse(
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
        )
        .unwrap()
    }

    #[test]
    fn the_accounts_own_key_wins_and_a_foreign_one_is_refused() {
        let own = Mnemonic::parse(WORDS).unwrap();
        let text = sealed(WORDS);
        let mine = || (own.clone(), KeySource::Account);
        assert!(master_key(Some(&text), "pass", None).unwrap() == mine());
        assert!(master_key(Some(&text), "pass", Some(own.clone())).unwrap() == mine());
        assert!(matches!(master_key(Some(&text), "pass", Some(other())), Err(LoginError::ForeignBackupKey)));
        let theirs = (other(), KeySource::BackupKey);
        assert!(master_key(Some(&text), "wrong", Some(other())).unwrap() == theirs);
        assert!(matches!(master_key(Some(&text), "wrong", None), Err(LoginError::BadMnemonic)));
        assert!(matches!(
            master_key(Some(&sealed("not a mnemonic")), "pass", None),
            Err(LoginError::BadMnemonic)
        ));
        assert!(matches!(master_key(None, "pass", None), Err(LoginError::BadMnemonic)));
    }
}
