//! The state as one JSON file, replaced by rename.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Inner;
use super::account::AccountSpec;
use super::rows::{FileRow, FolderRow, Row as _, VersionRow};

const FILE: &str = "drive.json";

#[derive(Serialize, Deserialize)]
struct Saved {
    accounts: Vec<SavedAccount>,
    files: Vec<FileRow>,
    folders: Vec<FolderRow>,
    versions: Vec<(Uuid, Vec<VersionRow>)>,
    thumbnails: Vec<(Uuid, Vec<Value>)>,
    blacklist: Vec<(String, i64)>,
    next_file: u64,
    next_folder: u64,
    offset: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedAccount {
    spec: AccountSpec,
    created: i64,
    password_changed: Option<i64>,
}

/// What is to be written, taken under the lock without copying rows.
pub(super) struct Snapshot {
    files: Vec<Arc<FileRow>>,
    folders: Vec<Arc<FolderRow>>,
    rest: Saved,
}

pub(super) fn snapshot(inner: &Inner) -> Snapshot {
    let primary = inner.primary();
    let accounts = inner.accounts.iter().map(|account| SavedAccount {
        spec: account.spec.clone(),
        created: account.created,
        password_changed: account.password_changed,
    });
    Snapshot {
        files: primary.files.all().cloned().collect(),
        folders: primary.folders.all().cloned().collect(),
        rest: Saved {
            accounts: accounts.collect(),
            files: Vec::new(),
            folders: Vec::new(),
            versions: inner.versions.iter().map(|(file, rows)| (*file, rows.clone())).collect(),
            thumbnails: inner.thumbnails.iter().map(|(file, rows)| (*file, rows.clone())).collect(),
            blacklist: inner.blacklist.iter().map(|(jti, expiry)| (jti.clone(), *expiry)).collect(),
            next_file: inner.next_file,
            next_folder: inner.next_folder,
            offset: inner.offset,
        },
    }
}

/// Writes a snapshot beside the old file, makes it durable, and puts it in its place.
pub(super) fn write(dir: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let saved = Saved {
        accounts: snapshot.rest.accounts.clone(),
        files: snapshot.files.iter().map(|row| (**row).clone()).collect(),
        folders: snapshot.folders.iter().map(|row| (**row).clone()).collect(),
        versions: snapshot.rest.versions.clone(),
        thumbnails: snapshot.rest.thumbnails.clone(),
        blacklist: snapshot.rest.blacklist.clone(),
        ..snapshot.rest
    };
    let temporary = dir.join(format!("{FILE}.new"));
    let mut file = BufWriter::new(File::create(&temporary)?);
    serde_json::to_writer(&mut file, &saved)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    std::fs::rename(&temporary, dir.join(FILE))
}

/// Reads a directory; an empty one is an empty world.
pub(super) fn load(dir: &Path) -> io::Result<Inner> {
    let mut inner = Inner::empty();
    let file = match File::open(dir.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(inner),
        Err(error) => return Err(error),
    };
    let saved: Saved = serde_json::from_reader(BufReader::new(file))?;
    for account in saved.accounts {
        let index = inner.insert_account(account.spec, account.created);
        inner.account_mut(index).password_changed = account.password_changed;
    }
    inner.offset = saved.offset;
    for row in saved.folders {
        inner.last_stamp = inner.last_stamp.max(row.updated());
        inner.put_folder(row);
    }
    for row in saved.files {
        inner.last_stamp = inner.last_stamp.max(row.updated());
        inner.put_file(row);
    }
    for (file, rows) in saved.versions {
        for row in &rows {
            *inner.version_bytes.entry(row.account).or_default() += row.size;
        }
        inner.versions.insert(file, rows);
    }
    inner.thumbnails = saved.thumbnails.into_iter().collect();
    inner.blacklist = saved.blacklist.into_iter().collect();
    inner.next_file = saved.next_file;
    inner.next_folder = saved.next_folder;
    inner.dirty = false;
    Ok(inner)
}
