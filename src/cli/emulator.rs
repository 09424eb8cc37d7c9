//! `inxtfs emulator`: an Internxt-compatible server on this machine.

use super::Context;

/// Runs an Internxt-compatible server on this machine.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: Args, _ctx: &Context) -> anyhow::Result<super::exit::Exit> {
    Ok(super::exit::Exit::Ok)
}
