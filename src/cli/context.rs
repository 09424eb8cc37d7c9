//! What the commands share: where things are, and how the user wants it told.

use std::path::PathBuf;

use anyhow::Context as _;

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

    /// The service's address: as given, else as the login remembers it, else Internxt's own.
    pub fn gateway_url(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.gateway {
            return Ok(url.clone());
        }
        let file = self.config_dir()?.join("gateway");
        match std::fs::read_to_string(&file) {
            Ok(url) => Ok(url.trim().to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Gateway::DEFAULT.to_owned()),
            Err(e) => Err(e).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// The service.
    pub fn gateway(&self) -> anyhow::Result<Gateway> {
        let url = self.gateway_url()?;
        Gateway::parse(&url)
            .map_err(|e| Exit::Usage.because(format!("the gateway {url} cannot be used: {e}")))
    }

    /// Remembers with which service the login was made.
    pub fn remember_gateway(&self) -> anyhow::Result<()> {
        let file = self.config_dir()?.join("gateway");
        let url = self.gateway_url()?;
        if url == Gateway::DEFAULT {
            return self.forget_gateway();
        }
        std::fs::write(&file, url + "\n").with_context(|| format!("writing {}", file.display()))
    }

    /// The opposite.
    pub fn forget_gateway(&self) -> anyhow::Result<()> {
        let file = self.config_dir()?.join("gateway");
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("removing {}", file.display()))
            }
            _ => Ok(()),
        }
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

/// Runs a command that only talks.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
