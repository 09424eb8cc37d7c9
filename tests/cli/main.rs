//! The program as people use it: the real binary, real mounts, real tools, and the emulator for the service.
#![allow(clippy::unwrap_used, missing_docs)]

mod decide;
mod ends;
mod figures;
mod flow;
mod photos;
mod pins;
mod points;
mod reading;
mod refused;
mod secrets;
mod session;
mod trouble;
mod world;
