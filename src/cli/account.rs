//! The stored login.

use std::sync::Arc;

use anyhow::Context as _;

use super::context::Context;
use super::exit::Exit;
use super::paths;
use crate::remote::internxt::{Internxt, Options};
use crate::remote::session::{Credentials, FileSecrets, Secrets};

/// Where the login is kept; the directory exists afterwards.
pub fn secrets(ctx: &Context) -> anyhow::Result<Arc<dyn Secrets>> {
    let dir = ctx.config_dir()?;
    paths::make_private(&dir)?;
    Ok(Arc::new(FileSecrets::new(&dir)))
}

/// The login, or the advice to log in.
pub fn credentials(secrets: &dyn Secrets) -> anyhow::Result<Credentials> {
    let stored = secrets.load().context("reading the stored login")?;
    stored.ok_or_else(|| Exit::NotLoggedIn.because("nobody is logged in"))
}

/// The service with the stored login. Needs no network.
pub fn connect(ctx: &Context) -> anyhow::Result<(Credentials, Internxt)> {
    let secrets = secrets(ctx)?;
    let credentials = credentials(secrets.as_ref())?;
    let remote = Internxt::connect(secrets, Options { gateway: ctx.gateway()? })?;
    Ok((credentials, remote))
}
