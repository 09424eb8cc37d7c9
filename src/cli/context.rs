//! What the commands share: where things are, and how the user wants it told.

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
    /// Errors only.
    pub quiet: bool,
}

impl Context {
    /// From the command line.
    pub fn new(gateway: Option<String>, config_dir: Option<PathBuf>, quiet: bool) -> Self {
        Context { gateway, config_dir, quiet }
    }

    /// The directory of the login.
    pub fn config_dir(&self) -> anyhow::Result<PathBuf> {
        match &self.config_dir {
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => paths::config(),
        }
    }

    /// The service that the command line names, if it names one.
    pub fn given_gateway(&self) -> anyhow::Result<Option<Gateway>> {
        self.gateway.as_deref().map(parse_gateway).transpose()
    }

    /// The service to log in with.
    pub fn gateway(&self) -> anyhow::Result<Gateway> {
        parse_gateway(self.gateway.as_deref().unwrap_or(Gateway::DEFAULT))
    }

    /// Where sockets of running mounts are.
    pub fn control_dirs(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(place::directories(&paths::state()?))
    }

    /// Speaks to running mounts.
    pub fn control(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.control_dirs()?))
    }

    /// A remark for people.
    pub fn say(&self, remark: &str) {
        if !self.quiet {
            eprintln!("{remark}");
        }
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
