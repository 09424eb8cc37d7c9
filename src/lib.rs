//! inxtfs: Internxt Drive as an ordinary Linux folder.
//!
//! The house has floors; a floor uses only floors below it (`scripts/check` holds it to that).
//!
//! | floor | room | its one job |
//! | --- | --- | --- |
//! | 5 | [`cli`] | one file a command: parse, call, print. Only `cli` constructs things |
//! | 4 | [`fuse`] | kernel requests to `fs` calls, `fs` errors to errno |
//! | 4 | [`control`] | the control socket of a running mount |
//! | 3 | [`fs`] | the drive as the user sees it |
//! | 2 | [`remote`] | the cloud as a filesystem sees it: plaintext names, plaintext bytes |
//! | 1 | [`api`] | Internxt's wire, typed, no policy |
//! | 1 | [`bus`] | D-Bus: the desktop's keyring, the system's login manager |
//! | 1 | [`crypto`] | keys, ciphers, hashes, sealing |
//! | 1 | [`store`] | local persistent state: mirror and blocks |
//! | 1 | [`pictures`] | small pictures: made of large ones, and put where desktops look for them |
//! | 0 | [`types`], [`names`], [`block`], [`extent`], [`units`] | newtypes and pure arithmetic |
//! | side | [`emulator`] | an Internxt-compatible local server; shares no wire type with `api` |

pub mod api;
pub mod block;
pub mod bus;
pub mod cli;
pub mod control;
pub mod crypto;
pub mod emulator;
pub mod extent;
pub mod fs;
pub mod fuse;
pub mod names;
pub mod pictures;
pub mod remote;
pub mod store;
pub mod types;
pub mod units;
