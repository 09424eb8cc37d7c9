//! What a mount tells about one file or folder in it, by its attributes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::term::{bytes, plain};

/// One file or folder.
#[derive(Debug, Serialize)]
pub struct Item {
    /// As it was given.
    path: PathBuf,
    /// `clean`, `dirty`, `uploading` or `blocked`.
    state: String,
    /// The identity on the server, if it has one.
    uuid: Option<String>,
    /// Bytes; of files.
    size: Option<u64>,
    /// Bytes that are here; of files.
    cached: Option<u64>,
    /// The modification time that is shown.
    mtime: Option<String>,
    /// The server's, if that is another one: a program has set it since the upload, and this machine keeps it.
    server_mtime: Option<String>,
    /// The last failure.
    error: Option<String>,
}

impl Item {
    /// `None`: it is on no drive of ours.
    pub fn read(path: &Path) -> Option<Item> {
        let state = attribute(path, "state")?;
        let meta = std::fs::symlink_metadata(path).ok();
        let mtime =
            meta.as_ref().and_then(|m| m.modified().ok()).and_then(|t| jiff::Timestamp::try_from(t).ok());
        Some(Item {
            path: path.to_owned(),
            state,
            uuid: attribute(path, "uuid"),
            size: meta.filter(std::fs::Metadata::is_file).map(|m| m.len()),
            cached: attribute(path, "cached").and_then(|n| n.parse().ok()),
            mtime: mtime.map(|t| t.to_string()),
            server_mtime: attribute(path, "mtime"),
            error: attribute(path, "error"),
        })
    }

    /// For people.
    pub fn print(&self) {
        println!("{}", plain(&self.path.to_string_lossy()));
        println!("  state    {}", plain(&self.state));
        if let Some(error) = &self.error {
            println!("  error    {}", plain(error));
        }
        if let Some(uuid) = &self.uuid {
            println!("  uuid     {}", plain(uuid));
        }
        if let (Some(here), Some(size)) = (self.cached, self.size) {
            println!("  cached   {} of {}", bytes(here), bytes(size));
        }
        if let Some(mtime) = &self.mtime {
            let other =
                self.server_mtime.as_ref().map(|t| format!(" (here only; the server has {})", plain(t)));
            println!("  mtime    {mtime}{}", other.unwrap_or_default());
        }
    }
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut value = [0; 4096];
    let len = rustix::fs::getxattr(path, format!("user.inxtfs.{name}"), &mut value[..]).ok()?;
    Some(String::from_utf8_lossy(value.get(..len)?).into_owned())
}
