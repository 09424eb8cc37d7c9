//! Whose drive it is and for how long: logging in, keeping the session, keeping its secrets.

mod credentials;
mod file_secrets;
mod key_place;
mod live;
mod login;
mod private_file;
mod token;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use zeroize::Zeroizing;

pub use credentials::{Again, Credentials};
pub use file_secrets::FileSecrets;
pub use key_place::KeyPlace;
pub(super) use live::{Failure, Session};
pub use login::{
    KeySource, Login, LoginError, login, login_from, logout, needs_totp, opens_with, with_token,
};

/// How the session fares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionHealth {
    /// All is well, as far as is known.
    Good,
    /// The plan refuses to prolong the session: it works until the token expires.
    PlanLimited {
        /// The service's words.
        why: String,
        /// Seconds since 1970 of the end, if the token tells.
        until: Option<i64>,
    },
    /// Only a login helps. Nothing local is lost by it.
    Lost {
        /// What happened.
        why: String,
    },
}

/// Where credentials live between runs.
pub trait Secrets: Send + Sync {
    /// What is stored; `None` if nothing is.
    ///
    /// # Errors
    /// What is stored cannot be had; it stays where it is.
    fn load(&self) -> Result<Option<Credentials>, SecretsError>;

    /// Replaces what is stored, in one step and durably.
    ///
    /// # Errors
    /// Nothing was replaced.
    fn save(&self, credentials: &Credentials) -> Result<(), SecretsError>;

    /// Removes what is stored. Nothing there is success.
    ///
    /// # Errors
    /// It is still there.
    fn forget(&self) -> Result<(), SecretsError>;
}

/// Why secrets cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "{path} can be read by others; run `chmod 600` on it, and log in again if someone may have read it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It does not open.
    #[error("{path} does not open ({why}); the file was left alone. Run `inxtfs login` to replace it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// What opens it cannot be had here or now; nothing is lost.
    #[error("the key of the login cannot be had from {place}: {why}; {}", place.remedy())]
    KeyAway {
        /// Where it is.
        place: KeyPlace,
        /// What is in the way.
        why: String,
    },
    /// The system gave no random bytes.
    #[error("the system's random generator failed")]
    Random,
}

fn random_key() -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    let mut key = Zeroizing::new(vec![0; key_place::KEY]);
    getrandom::fill(&mut key).map_err(|_| SecretsError::Random)?;
    Ok(key)
}
