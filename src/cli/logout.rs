//! `inxtfs logout`.

use super::account;
use super::context::{Context, block_on};
use super::exit::Exit;
use crate::remote::session;

/// Ends the session and forgets it on this machine.
///
/// The cache and unsent changes stay; they are sealed with the account's key and used again after the next login.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let secrets = account::secrets(ctx)?;
    let credentials = account::credentials(secrets.as_ref())?;
    let gateway = account::gateway(&credentials, ctx)?;
    let ended = block_on(async { Ok(session::logout(&credentials, &gateway).await) })?;
    secrets.forget()?;
    if let Err(e) = ended {
        ctx.say(&format!("The service was not told ({e}); the session ends there by itself within days."));
    }
    println!("Logged out {}.", credentials.email);
    Ok(Exit::Ok)
}
