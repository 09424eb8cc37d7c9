//! The program as people use it: the real binary, real mounts, real tools, and the emulator for the service.
#![allow(clippy::unwrap_used, missing_docs)]

mod accounts;
mod asked;
mod bus;
mod decide;
mod direct;
mod doctor;
mod ends;
mod figures;
mod flow;
mod inhibit;
mod keyring;
mod keys;
mod open;
mod pages;
mod photos;
mod pins;
mod points;
mod reading;
mod refused;
mod secrets;
mod session;
mod system;
mod trouble;
mod world;
