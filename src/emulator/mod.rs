//! An Internxt-compatible local server.

mod auth;
pub mod drive;
mod errors;
pub mod events;
pub mod knobs;
pub mod network;
mod secret;
mod server;
mod validation;
pub mod world;

pub use server::Shared;
