//! What tests with real mounts have in common: programs that are run on them, and their end.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inxtfs::fs::Fs;
use inxtfs::fuse::{MountError, Mounted};

/// Nothing takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds that another thread brings about.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a shell command that must succeed; `$1`, `$2`… are `args`.
pub fn sh(script: &str, args: &[&Path]) -> String {
    let output = try_sh(script, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {} {out} {err}", output.status);
    out.into_owned()
}

pub fn try_sh(script: &str, args: &[&Path]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script, "sh"]).args(args).env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    shell.output().unwrap()
}

/// The errno of a failure.
#[track_caller]
pub fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// Unmounts and stops, at worst lazily, so that nothing stays mounted; tells whether it went in order.
pub async fn unmount(mounted: &Mounted, fs: &Arc<Fs>) -> Result<(), MountError> {
    let orderly = mounted.unmount().await;
    if orderly.is_err() {
        let _ = mounted.unmount_lazily().await;
    }
    let _ = tokio::time::timeout(PATIENCE, fs.stop()).await;
    orderly
}
