//! What a service manager wants to know (`Type=notify`): readiness, a line of status, signs of life.

use std::sync::Arc;
use std::time::Duration;

use super::term::{bytes, changes};
use crate::fs::{Fs, SessionState, Status};

/// Between two lines of status.
const TICK: Duration = Duration::from_secs(5);

/// Whether one wants to know.
pub fn is_told() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells it, if it asked to be told.
pub fn notify(what: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text = std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str());
    let address = match text.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address.and_then(|to| UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &to));
    if let Err(e) = sent {
        tracing::debug!(error = %e, "notifying systemd");
    }
}

/// Tells what the mount does, and that it lives: that its state can be read, which is what all operations need. Never asks
/// through the kernel, where a process that waits for its own mount cannot be killed.
pub async fn tell(fs: Arc<Fs>) {
    if !is_told() {
        return std::future::pending().await;
    }
    let tick = watchdog().map_or(TICK, |limit| (limit / 2).min(TICK));
    let mut last = String::new();
    loop {
        let looked = Arc::clone(&fs);
        let Ok(status) = tokio::task::spawn_blocking(move || looked.status()).await else { return };
        let words = words(&status);
        if words == last {
            notify("WATCHDOG=1");
        } else {
            notify(&format!("WATCHDOG=1\nSTATUS={words}"));
            last = words;
        }
        tokio::time::sleep(tick).await;
    }
}

/// How long the manager waits for a sign of life.
fn watchdog() -> Option<Duration> {
    let micros = std::env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|n| *n > 0)?;
    Some(Duration::from_micros(micros))
}

fn words(status: &Status) -> String {
    let session = match &status.session {
        SessionState::Online => "Online",
        SessionState::Offline { .. } => "Offline",
        SessionState::LoggedOut { .. } => "Logged out; run `inxtfs login`",
    };
    let t = status.totals;
    let mut text = match t.items {
        0 => format!("{session}, everything is on the server"),
        n => format!("{session}, {} to send ({})", changes(n), bytes(t.bytes)),
    };
    if t.blocked > 0 {
        text.push_str(&format!(", {} blocked", t.blocked));
    }
    if status.paused {
        text.push_str(", paused");
    }
    text
}
