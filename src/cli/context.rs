//! What the commands share: where things are, and how the user wants it told.

use std::ffi::OsString;
use std::path::PathBuf;

use super::exit::Exit;
use super::paths;
use crate::api::Gateway;
use crate::control::client::Client;
use crate::control::place;

/// The global options, resolved when they are needed.
pub struct Context {
    gateway: Option<String>,
    config_dir: Option<PathBuf>,
    /// Which login, if not the usual one.
    pub account: Option<String>,
    /// Errors only.
    pub quiet: bool,
}

/// Below the configuration, a folder for each login that has a name.
pub const ACCOUNTS: &str = "accounts";

impl Context {
    /// From the command line. An account without a name is the usual one.
    pub fn new(
        gateway: Option<String>,
        config_dir: Option<PathBuf>,
        account: Option<String>,
        quiet: bool,
    ) -> Self {
        Context { gateway, config_dir, account: account.filter(|name| !name.is_empty()), quiet }
    }

    /// The directory of all logins.
    pub fn config_base(&self) -> anyhow::Result<PathBuf> {
        match &self.config_dir {
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => paths::config(),
        }
    }

    /// The directory of the login.
    pub fn config_dir(&self) -> anyhow::Result<PathBuf> {
        let base = self.config_base()?;
        Ok(self.account.as_ref().map_or(base.clone(), |name| base.join(ACCOUNTS).join(name)))
    }

    /// That there is no login, and how to make one.
    pub fn nobody(&self) -> anyhow::Error {
        Exit::NotLoggedIn.because(match &self.account {
            None => "nobody is logged in".to_owned(),
            Some(name) => {
                format!("nobody is logged in as account {name}; run `inxtfs login --account {name}`")
            }
        })
    }

    /// The service that the command line names, if it names one.
    pub fn given_gateway(&self) -> anyhow::Result<Option<Gateway>> {
        self.gateway.as_deref().map(parse_gateway).transpose()
    }

    /// The service to log in with.
    pub fn gateway(&self) -> anyhow::Result<Gateway> {
        parse_gateway(self.gateway.as_deref().unwrap_or(Gateway::DEFAULT))
    }

    /// The global options, as another process of this program takes them from its environment.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let gateway = self.gateway.as_ref().map(|url| ("INXTFS_GATEWAY", url.into()));
        let config = self.config_dir.as_ref().map(|dir| ("INXTFS_CONFIG_DIR", dir.into()));
        let account = self.account.as_ref().map(|name| ("INXTFS_ACCOUNT", name.into()));
        [gateway, config, account].into_iter().flatten().collect()
    }

    /// Where sockets of running mounts are.
    pub fn control_dirs(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(place::directories(&paths::state()?))
    }

    /// Speaks to running mounts, whoever's login they use.
    pub fn control(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.control_dirs()?))
    }

    /// Speaks to the mounts that a command is about which names none: all, or those of the login that is named.
    pub fn mounts(&self) -> anyhow::Result<Client> {
        Ok(self.control()?.of_login(self.account.clone()))
    }

    /// A remark for people.
    pub fn say(&self, remark: &str) {
        if !self.quiet {
            eprintln!("{remark}");
        }
    }
}

/// A name that a folder can have, and a shell needs no quotes for.
pub fn account_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    if text.len() <= 64 && text.chars().all(fits) && !text.starts_with(['.', '-']) {
        Ok(text.to_owned())
    } else {
        Err("a name is up to 64 letters, digits and ._@+-, and begins with none of .-".to_owned())
    }
}

/// An address of the service.
pub fn parse_gateway(url: &str) -> anyhow::Result<Gateway> {
    Gateway::parse(url).map_err(|e| Exit::Usage.because(format!("the gateway {url} cannot be used: {e}")))
}

/// Runs a command that only talks.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Runs a command that serves until it is told to end.
pub fn serve(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Exit> {
    super::serve::runtime()?.block_on(future)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_account_with_a_name_has_a_folder_of_its_own_and_the_usual_one_stays_where_it_is() {
        let of = |name: Option<&str>| {
            let name = name.map(str::to_owned);
            Context::new(None, Some(PathBuf::from("/c")), name, true).config_dir().unwrap()
        };
        assert_eq!(of(None), Path::new("/c"));
        assert_eq!(of(Some("")), Path::new("/c"), "an empty variable is none");
        assert_eq!(of(Some("work")), Path::new("/c/accounts/work"));
    }

    #[test]
    fn names_of_accounts_lead_nowhere_else() {
        for good in ["work", "ann@example.org", "a-b_c.d+e", "2"] {
            assert_eq!(account_name(good).unwrap(), good);
        }
        for bad in ["..", ".x", "-x", "a/b", "a b", "\u{e9}", "a\n", &"x".repeat(65)] {
            assert!(account_name(bad).is_err(), "{bad}");
        }
    }
}
