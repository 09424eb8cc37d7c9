//! Hygiene of the process: it holds keys.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// New files are ours alone; memory goes into no core dump and to no debugger of the same user.
///
/// Each step may be refused in a container; that makes nothing worse than it was.
pub fn harden() {
    umask(Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(e) = setrlimit(Resource::Core, none) {
        tracing::debug!(error = %e, "core dumps stay possible");
    }
    if let Err(e) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(error = %e, "memory stays readable for debuggers");
    }
}
