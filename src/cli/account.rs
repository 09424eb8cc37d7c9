//! The stored login.

use std::sync::Arc;

use super::context::{Context, parse_gateway};
use crate::api::{Gateway, Tuning};
use crate::remote::internxt::{Internxt, Options};
use crate::remote::session::{Credentials, FileSecrets, Secrets};

/// Its name, in a configuration folder.
pub const FILE: &str = "credentials";

/// The file of the login, wherever its key is.
pub fn file(ctx: &Context) -> anyhow::Result<FileSecrets> {
    Ok(FileSecrets::new(ctx.config_dir()?.join(FILE)))
}

/// Where the login is kept.
pub fn secrets(ctx: &Context) -> anyhow::Result<Arc<dyn Secrets>> {
    Ok(Arc::new(file(ctx)?))
}

/// The login, or the advice to log in.
pub fn credentials(secrets: &dyn Secrets, ctx: &Context) -> anyhow::Result<Credentials> {
    secrets.load()?.ok_or_else(|| ctx.nobody())
}

/// The service of a login, unless the command line names another one.
pub fn gateway(credentials: &Credentials, ctx: &Context) -> anyhow::Result<Gateway> {
    match ctx.given_gateway()? {
        Some(gateway) => Ok(gateway),
        None => parse_gateway(&credentials.gateway),
    }
}

/// The service with the stored login. Needs no network; must be called within a runtime.
pub fn connect(ctx: &Context, tuning: Tuning) -> anyhow::Result<(Credentials, Internxt)> {
    let secrets = secrets(ctx)?;
    let credentials = credentials(secrets.as_ref(), ctx)?;
    let options = Options { gateway: ctx.given_gateway()?, tuning, ..Options::default() };
    Ok((credentials, Internxt::connect(secrets, options)?))
}
