//! The emulator's network API, object store, events and faults, over real connections.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod events;
mod faults;
mod network;
mod objects;
mod support;
