//! The calls that change something, ugly cases included.
//!
//! Writes go to the master; what the service looks at before them may be stale ([`State::checked`]).
//! No call has a precondition on what it overwrites: the last writer wins.

use bytes::Bytes;

use super::plan::is_versionable;
use super::state::{self, Object, State};
use crate::names::RemoteName;
use crate::remote::{Error, NewFile, Refusal, Replacement, Result, Row, Status, Thumbnail};
use crate::types::{Kind, NodeId, Timestamp, Version};

/// Longer folder names overflow a column: an internal error. Bytes.
const FOLDER_NAME_MAX: usize = 288;
/// The same for the columns of a file's name. Characters.
const STEM_MAX: usize = 650;
const EXT_MAX: usize = 255;

/// Items in one request of the trash.
const TRASH_BATCH: usize = 50;

impl State {
    pub fn start_upload(&self, bucket: Option<&str>, size: u64) -> Result<String> {
        let bucket = bucket.unwrap_or(&self.account.bucket).to_owned();
        if !self.buckets.contains(&bucket) {
            return Err(Error::NotFound);
        }
        if self.stored().saturating_add(size) > self.plan.quota {
            return Err(Error::Refused(Refusal::Quota));
        }
        Ok(bucket)
    }

    pub fn finish_upload(&mut self, bucket: &str, bytes: Bytes) -> Version {
        let version = self.fresh_version(bucket);
        let object = Object { pristine: bytes.clone(), bytes, readable: true };
        self.objects.insert(version.clone(), object);
        version
    }

    pub fn create(&mut self, file: &NewFile) -> Result<Row> {
        agree(file.content.as_ref(), file.size)?;
        let name = stored_file_name(&file.name);
        state::living_folder(self.checked(), &file.parent).ok_or(Error::NotFound)?;
        // The index does not hold for names without extension, so a race slips through there.
        let raced = name.ext.is_none() && std::mem::take(&mut self.race);
        if !raced && state::taken(&self.rows, Kind::File, &file.parent, &name, None) {
            return Err(Error::Exists);
        }
        if file.size == 0 && self.empty_files() >= self.plan.empty_files {
            return Err(Error::Refused(Refusal::EmptyFile));
        }
        self.check_size(file.size)?;
        check_file_columns(&name)?;
        let updated = self.begin();
        let row = Row {
            id: self.fresh_id(),
            parent: Some(file.parent.clone()),
            kind: Kind::File,
            name,
            status: Status::Exists,
            bucket: Some(
                file.content.as_ref().map_or_else(|| self.account.bucket.clone(), |v| v.bucket.clone()),
            ),
            content: file.content.clone(),
            size: file.size,
            readable: true,
            created: file.created.to_millis_precision(),
            modified: file.modified.to_millis_precision(),
            updated,
        };
        self.put_row(row.clone());
        self.usage = None;
        Ok(row)
    }

    fn empty_files(&self) -> u64 {
        let empty = |r: &Row| r.kind == Kind::File && r.size == 0 && r.status != Status::Deleted;
        self.rows.values().filter(|r| empty(&r.row)).count() as u64
    }

    fn check_size(&self, size: u64) -> Result<()> {
        match self.plan.max_file {
            Some(max) if size > max => Err(Error::Refused(Refusal::TooLarge)),
            _ => Ok(()),
        }
    }

    /// The old object dies at once, even if it is the new one: the comparison with the caller's `base`, by
    /// [`Replacement`] itself, is all the protection there is. The plan's ration of empty files is not looked at here.
    pub fn replace(&mut self, id: &NodeId, with: &Replacement) -> Result<Row> {
        let seen = self.checked().get(id).map(|r| r.row.clone());
        let old =
            seen.filter(|r| r.kind == Kind::File && r.status == Status::Exists).ok_or(Error::NotFound)?;
        self.check_size(with.size())?;
        let updated = self.begin();
        let bucket = old.bucket.clone().unwrap_or_else(|| self.account.bucket.clone());
        // The call carries no bucket: content uploaded elsewhere is not found afterwards.
        let content = with.content().map(|v| Version { bucket, object: v.object.clone() });
        self.change(id, |rec| {
            rec.row.content = content.clone();
            rec.row.size = with.size();
            rec.row.modified = with.modified().to_millis_precision();
            rec.row.updated = updated;
        });
        let keeps =
            self.plan.versions.filter(|v| is_versionable(old.name.ext.as_deref()) && old.size <= v.max_file);
        match (keeps, old.content.clone()) {
            (Some(_), None) => {
                return Err(Error::Ambiguous("internal error (the row was changed all the same)".into()));
            }
            (Some(plan), Some(former)) => self.keep(id, former, old.size, plan.count),
            (None, Some(former)) => {
                self.objects.remove(&former);
            }
            (None, None) => {}
        }
        // The answer is the row as it was read, with the new content written over.
        Ok(Row { content, size: with.size(), ..old })
    }

    fn keep(&mut self, id: &NodeId, former: Version, size: u64, count: usize) {
        let mut pruned = Vec::new();
        self.change(id, |rec| {
            rec.kept.push((former, size));
            let over = rec.kept.len().saturating_sub(count);
            pruned = rec.kept.drain(..over).map(|(v, _)| v).collect();
        });
        for version in pruned {
            self.objects.remove(&version);
        }
    }

    /// Any row has one, whatever became of it; what it had before goes at once. Nothing is announced.
    pub fn set_thumbnail(&mut self, id: &NodeId, version: Version) -> Result<Version> {
        self.checked().get(id).filter(|r| r.row.kind == Kind::File).ok_or(Error::NotFound)?;
        let registered = self.begin();
        let mut former = None;
        self.change(id, |rec| {
            former = rec.thumbnail.replace(Thumbnail { version: version.clone(), registered });
        });
        if let Some(former) = former {
            self.objects.remove(&former.version);
        }
        Ok(version)
    }

    /// The parent may be in the trash or deleted: the folder then exists and nobody sees it.
    pub fn mkdir(
        &mut self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row> {
        state::folder(self.checked(), parent).ok_or(Error::NotFound)?;
        check_folder_name(name)?;
        let name = RemoteName::whole(&name.replace('\0', "\\0"));
        if state::taken(&self.rows, Kind::Folder, parent, &name, None) {
            return Err(Error::Exists);
        }
        check_folder_column(&name)?;
        let updated = self.begin();
        let row = Row {
            id: self.fresh_id(),
            parent: Some(parent.clone()),
            kind: Kind::Folder,
            name,
            status: Status::Exists,
            bucket: None,
            content: None,
            size: 0,
            readable: true,
            created: created.to_millis_precision(),
            modified: modified.to_millis_precision(),
            updated,
        };
        self.put_row(row.clone());
        Ok(row)
    }

    /// One row changes, whatever lies below it; nobody looks for cycles.
    pub fn relocate(&mut self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row> {
        let rows = self.checked();
        let old = rows.get(id).map(|r| r.row.clone());
        let old = old.filter(|r| r.kind == kind && r.status != Status::Deleted).ok_or(Error::NotFound)?;
        let Some(home) = &old.parent else { return Err(Error::Refused(Refusal::Forbidden)) };
        let home_deleted = state::folder(rows, home).is_none_or(|r| r.status == Status::Deleted);
        if kind == Kind::Folder && home_deleted {
            return Err(Error::NotFound);
        }
        state::living_folder(rows, parent).ok_or(Error::NotFound)?;
        let name = match kind {
            Kind::Folder => {
                check_folder_name(&name.display())?;
                RemoteName::whole(&name.display().replace('\0', "\\0"))
            }
            Kind::File => {
                let name = stored_file_name(name);
                if name.stem.is_empty() && name.ext.is_none() {
                    return Err(Error::Refused(Refusal::Name));
                }
                name
            }
        };
        if old.status == Status::Exists && home == parent && old.name == name {
            return Ok(old);
        }
        if state::taken(&self.rows, kind, parent, &name, Some(id)) {
            return Err(Error::Exists);
        }
        match kind {
            Kind::Folder => check_folder_column(&name)?,
            Kind::File => check_file_columns(&name)?,
        }
        let updated = self.begin();
        self.change(id, |rec| {
            rec.row.parent = Some(parent.clone());
            rec.row.name = name.clone();
            rec.row.status = Status::Exists;
            rec.row.updated = updated;
        });
        Ok(Row { parent: Some(parent.clone()), name, status: Status::Exists, ..old })
    }

    /// Whatever is not there, not living or a root is passed over in silence. A batch carries one instant.
    pub fn trash(&mut self, items: &[(Kind, NodeId)]) {
        for batch in items.chunks(TRASH_BATCH) {
            let updated = self.begin();
            for (kind, id) in batch {
                self.change(id, |rec| {
                    let row = &mut rec.row;
                    if row.kind == *kind && row.status == Status::Exists && row.parent.is_some() {
                        row.status = Status::Trashed;
                        row.updated = updated;
                    }
                });
            }
        }
    }

    /// Marks one row. What lies below a folder, and the objects, follow at the next [`State::settle`].
    pub fn delete(&mut self, kind: Kind, id: &NodeId) -> Result<()> {
        let Some(row) = self.rows.get(id).map(|r| &r.row).filter(|r| r.kind == kind) else { return Ok(()) };
        if row.status == Status::Deleted {
            return Ok(());
        }
        if row.parent.is_none() {
            return Err(Error::Refused(Refusal::Forbidden));
        }
        let updated = self.begin();
        self.mark_deleted(id, updated);
        Ok(())
    }

    fn mark_deleted(&mut self, id: &NodeId, updated: Timestamp) {
        let mut doomed = Vec::new();
        self.change(id, |rec| {
            rec.row.status = Status::Deleted;
            rec.row.updated = updated;
            doomed.extend(rec.row.content.clone());
            doomed.extend(rec.kept.drain(..).map(|(v, _)| v));
            doomed.extend(rec.thumbnail.take().map(|t| t.version));
        });
        self.doomed.append(&mut doomed);
    }

    /// What the service's jobs do in time: deletions reach everything below (one instant a level), and the
    /// objects of deleted rows go. Announces nothing.
    pub fn settle(&mut self) {
        loop {
            let deleted =
                |id: &NodeId| state::folder(&self.rows, id).is_some_and(|r| r.status == Status::Deleted);
            let level: Vec<NodeId> = self
                .rows
                .values()
                .map(|r| &r.row)
                .filter(|r| r.status != Status::Deleted && r.parent.as_ref().is_some_and(deleted))
                .map(|r| r.id.clone())
                .collect();
            if level.is_empty() {
                break;
            }
            let updated = self.begin();
            for id in &level {
                self.mark_deleted(id, updated);
            }
        }
        for version in std::mem::take(&mut self.doomed) {
            self.objects.remove(&version);
        }
    }
}

/// `content` is there exactly if there are bytes; anything else is a malformed request.
fn agree(content: Option<&Version>, size: u64) -> Result<()> {
    if content.is_some() == (size > 0) {
        Ok(())
    } else {
        Err(Error::Protocol("a file has content exactly if its size is not 0".into()))
    }
}

/// As the columns keep it: a blank part is none, NUL becomes two characters.
fn stored_file_name(name: &RemoteName) -> RemoteName {
    let part = |s: &str| if s.trim().is_empty() { String::new() } else { s.replace('\0', "\\0") };
    RemoteName::from_columns(&part(&name.stem), name.ext.as_deref().map(part).as_deref())
}

fn check_folder_name(name: &str) -> Result<()> {
    let bad = name.trim().is_empty() || name.contains(['/', '\\']);
    if bad { Err(Error::Refused(Refusal::Name)) } else { Ok(()) }
}

fn check_folder_column(name: &RemoteName) -> Result<()> {
    if name.stem.len() > FOLDER_NAME_MAX { Err(overflow()) } else { Ok(()) }
}

fn check_file_columns(name: &RemoteName) -> Result<()> {
    let ext = name.ext.as_deref().unwrap_or_default();
    let fits = name.stem.chars().count() <= STEM_MAX && ext.chars().count() <= EXT_MAX;
    if fits { Ok(()) } else { Err(overflow()) }
}

fn overflow() -> Error {
    Error::Ambiguous("internal error (the name is longer than its column)".into())
}
