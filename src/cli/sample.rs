//! What the demo drive holds.

use bytes::Bytes;

use crate::names::RemoteName;
use crate::remote::{Body, NewFile, Remote, Result};
use crate::types::{NodeId, Timestamp};

/// Folder, name, content. A folder is listed before what is in it.
const FILES: [(&str, &str, &str); 8] = [
    ("", "Welcome.txt", WELCOME),
    ("Documents", "Notes.md", "# Notes\n\nEdit me with any editor: a save is one upload.\n"),
    ("Documents", "Budget 2026.csv", "month,amount\nJanuary,120\nFebruary,95\nMarch,143\n"),
    ("Documents/Recipes", "Crêpes.txt", "250 g flour, 4 eggs, half a litre of milk, a pinch of salt.\n"),
    ("Documents/Recipes", "お好み焼き.txt", "キャベツ、小麦粉、卵、だし。\n"),
    ("Projects/hello", "hello.sh", "#!/bin/sh\necho 'Hello from an encrypted drive.'\n"),
    ("Projects/hello", ".gitignore", "target/\n"),
    ("Música 🎵", "playlist.m3u", "#EXTM3U\n"),
];

const FOLDERS: [&str; 5] = ["Documents", "Documents/Recipes", "Projects", "Projects/hello", "Música 🎵"];

const WELCOME: &str = "This is a demo drive. It lives in an emulator of Internxt on this machine: what you write here \
is encrypted as it would be for the real service, uploaded to the emulator, and gone when the demo ends.\n";

/// Puts it onto an empty drive.
pub async fn fill(remote: &dyn Remote) -> Result<()> {
    let account = remote.account();
    let mut known: Vec<(&str, NodeId)> = vec![("", account.root)];
    let id_of = |known: &[(&str, NodeId)], path: &str| {
        known.iter().find(|(p, _)| *p == path).map_or_else(|| known[0].1.clone(), |(_, id)| id.clone())
    };
    let now = Timestamp::now();
    for path in FOLDERS {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let row = remote.mkdir(&id_of(&known, parent), name, now, now).await?;
        known.push((path, row.id));
    }
    for (folder, name, text) in FILES {
        let size = text.len() as u64;
        let content = remote.put(None, Body::from_bytes(Bytes::from_static(text.as_bytes()))).await?;
        let parent = id_of(&known, folder);
        let name = RemoteName::split(name);
        let file = NewFile { parent, name, content: Some(content), size, modified: now, created: now };
        remote.create(&file).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_folder_and_every_folder_its_parent_before_it() {
        for (i, path) in FOLDERS.iter().enumerate() {
            let parent = path.rsplit_once('/').map_or("", |(p, _)| p);
            assert!(parent.is_empty() || FOLDERS[..i].contains(&parent), "{path}");
        }
        for (folder, name, text) in FILES {
            assert!(folder.is_empty() || FOLDERS.contains(&folder), "{folder}/{name}");
            assert!(!text.is_empty(), "empty files are rationed");
        }
    }
}
