//! The emulator's network API, object store, events and faults, over real connections.

mod events;
mod faults;
mod network;
mod objects;
mod support;
