//! A report for others: figures and findings, without what tells who and where.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::Found;
use crate::cli::exit::Exit;
use crate::fs::{SessionState, Status};

/// Writes it; never over something.
pub fn write(file: &Path, found: &Found) -> anyhow::Result<()> {
    let secret = Secret::of(found);
    let mut report = json!({
        "program": env!("CARGO_PKG_VERSION"),
        "system": system(),
        "findings": &found.findings,
        "mounts": found.mounts.iter().map(|f| figures(&f.status, f.mount.read_only)).collect::<Vec<_>>(),
    });
    secret.strip(&mut report);
    let refused = |e: std::io::Error| match e.kind() {
        ErrorKind::AlreadyExists => {
            Exit::Usage.because(format!("{} exists; choose another name", file.display()))
        }
        _ => Exit::Other.because(format!("{} cannot be written: {e}", file.display())),
    };
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let text = serde_json::to_string_pretty(&report)?;
    open.and_then(|mut f| writeln!(f, "{text}")).map_err(refused)
}

fn system() -> Value {
    let uname = rustix::system::uname();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    json!({
        "kernel": uname.release().to_string_lossy(),
        "machine": uname.machine().to_string_lossy(),
        "name": name.trim_matches('"'),
        "root": rustix::process::geteuid().is_root(),
    })
}

/// What is safe by its kind is named here; all else (paths, names, messages about them) stays out.
fn figures(status: &Status, read_only: bool) -> Value {
    let session = match &status.session {
        SessionState::Online => "online",
        SessionState::Offline { .. } => "offline",
        SessionState::LoggedOut { .. } => "logged out",
    };
    let queue = status.queue.iter().map(|i| {
        json!({"what": i.what, "state": i.state, "size": i.size, "sent": i.sent, "tries": i.tries, "reason": i.reason})
    });
    json!({
        "session": session,
        "read_only": read_only,
        "totals": status.totals,
        "queue": queue.collect::<Vec<_>>(),
        "deletes_held": status.brake.map(|b| b.held),
        "lost": status.lost.len(),
        "conflicts": status.conflicts.made,
        "bandwidth": status.bandwidth,
        "cache_used": status.cache_used,
        "cache_size": status.cache_size,
        "staged": status.staged,
        "pinned_bytes": status.pinned.bytes,
        "quota_used": status.quota_used,
        "quota_total": status.quota_total,
        "hydrated": status.hydrated,
        "last_sync": status.last_sync,
        "nodes": status.nodes,
    })
}

/// Words that tell who and where, the longer ones first, and what stands for them.
struct Secret(Vec<(String, String)>);

impl Secret {
    fn of(found: &Found) -> Self {
        let mut words = Vec::new();
        let mut hide = |word: Option<String>, by: &str| {
            words.extend(word.filter(|w| w.len() > 1).map(|w| (w, by.to_owned())));
        };
        hide(found.email.clone(), "EMAIL");
        hide(found.account.clone(), "ACCOUNT");
        for (n, mount) in found.mounts.iter().enumerate() {
            hide(Some(mount.mount.mountpoint.clone()), &format!("MOUNT{}", n + 1));
            hide(Some(mount.status.account.clone()), "EMAIL");
        }
        hide(dirs::home_dir().map(|d| d.to_string_lossy().into_owned()), "HOME");
        hide(std::env::var("USER").ok().filter(|u| u != "root"), "USER");
        hide(Some(crate::cli::mount::host()).filter(|h| h != "localhost"), "HOST");
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Secret(words)
    }

    fn strip(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for (word, by) in &self.0 {
                    *text = text.replace(word.as_str(), by);
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|v| self.strip(v)),
            Value::Object(all) => all.values_mut().for_each(|v| self.strip(v)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_where_are_taken_out_however_deep_they_are() {
        let secret = Secret(vec![
            ("/home/ann/Drive".to_owned(), "MOUNT1".to_owned()),
            ("/home/ann".to_owned(), "HOME".to_owned()),
        ]);
        let mut value = json!({"a": [{"b": "in /home/ann/Drive and /home/ann/x"}], "n": 1});
        secret.strip(&mut value);
        assert_eq!(value, json!({"a": [{"b": "in MOUNT1 and HOME/x"}], "n": 1}));
    }
}
