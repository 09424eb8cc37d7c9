//! The drive at the service itself, without a mount: paths, and walking below folders.

use std::path::Path;

use super::account;
use super::context::Context;
use super::exit::Exit;
use super::term::plain;
use crate::api::Tuning;
use crate::remote::internxt::Internxt;
use crate::remote::{self, Remote, Row};
use crate::types::{Kind, NodeId};

/// A file or folder of the drive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// File or folder.
    pub kind: Kind,
    /// Its identity.
    pub id: NodeId,
    /// Where it is, from the root: `/a/b`.
    pub path: String,
    /// All that is known of it; nothing of the root.
    pub row: Option<Row>,
}

impl Entry {
    /// Its last part; empty for the root.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn child(&self, row: Row) -> Entry {
        let path = format!("{}/{}", self.path.trim_end_matches('/'), row.name.display());
        Entry { kind: row.kind, id: row.id.clone(), path, row: Some(row) }
    }
}

/// The service, logged in. Must be called within a runtime.
pub fn connect(ctx: &Context) -> anyhow::Result<Internxt> {
    Ok(account::connect(ctx, Tuning::default())?.1)
}

/// The root.
pub fn root(cloud: &Internxt) -> Entry {
    Entry { kind: Kind::Folder, id: cloud.account().root, path: "/".to_owned(), row: None }
}

/// What a path within the drive names. A slash at its end asks for a folder.
pub async fn find(cloud: &Internxt, path: &str) -> anyhow::Result<Entry> {
    let mut at = root(cloud);
    let names: Vec<&str> = path.split('/').filter(|n| !n.is_empty() && *n != ".").collect();
    for (n, name) in names.iter().enumerate() {
        let folder = n + 1 < names.len() || path.ends_with('/');
        let rows = cloud.find(&at.id, name).await?;
        // A file and a folder may share a name.
        let file = rows.iter().find(|r| r.kind == Kind::File && !folder);
        let Some(row) = file.or_else(|| rows.iter().find(|r| r.kind == Kind::Folder)) else {
            return Err(missing(path));
        };
        at = at.child(row.clone());
    }
    Ok(at)
}

fn missing(path: &str) -> anyhow::Error {
    Exit::Usage.because(format!("the drive has no {}; `inxtfs ls` shows what it has", plain(path)))
}

/// What a person names: a file or folder on a mount, or else a path within the drive.
pub async fn named(cloud: &Internxt, given: &Path) -> anyhow::Result<Entry> {
    let mut value = [0; 64];
    let Ok(len) = rustix::fs::getxattr(given, "user.inxtfs.uuid", &mut value[..]) else {
        if rustix::fs::getxattr(given, "user.inxtfs.state", &mut value[..]).is_ok() {
            let why = format!("{} is not sent yet, so the service knows nothing of it", given.display());
            return Err(Exit::Unsent.because(why));
        }
        return find(cloud, &given.to_string_lossy()).await;
    };
    let id = NodeId(String::from_utf8_lossy(value.get(..len).unwrap_or_default()).into_owned());
    let kind = if given.is_dir() { Kind::Folder } else { Kind::File };
    let path = given.display().to_string();
    if id == cloud.account().root {
        return Ok(Entry { path, ..root(cloud) });
    }
    let row = cloud.stat(kind, &id).await?;
    Ok(Entry { kind, id, path, row: Some(row) })
}

/// A folder's children, folders first, by name.
pub async fn children(cloud: &Internxt, folder: &Entry) -> remote::Result<Vec<Entry>> {
    let rows = cloud.list(&folder.id).await?;
    let mut all: Vec<Entry> = rows.into_iter().map(|row| folder.child(row)).collect();
    all.sort_by(|a, b| (a.kind == Kind::File, &a.path).cmp(&(b.kind == Kind::File, &b.path)));
    Ok(all)
}

/// All below a folder (or the file itself), folders before what is in them.
pub async fn below(cloud: &Internxt, top: Entry) -> remote::Result<Vec<Entry>> {
    let (mut all, mut next) = (Vec::new(), vec![top]);
    while let Some(entry) = next.pop() {
        if entry.kind == Kind::Folder {
            next.extend(children(cloud, &entry).await?);
        }
        all.push(entry);
    }
    Ok(all)
}
