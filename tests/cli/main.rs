//! The program as people use it: the real binary, real mounts, real tools, and the emulator for the service.
#![allow(missing_docs)]

mod flow;
mod session;
mod world;
