//! What happens by itself some time after a request: cascades of deleted folders, purges of objects.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::rows::{Row, Status};
use super::{Inner, micros};

/// A deleted folder whose children are to follow.
#[derive(Debug)]
pub(super) struct Cascade {
    due: i64,
    folder: Uuid,
}

/// An object of a deleted row, to be removed from the network by the background worker.
#[derive(Debug)]
pub(super) struct Purge {
    pub bucket: String,
    pub object: String,
}

/// How often the service looks for what has expired.
const SWEEP: i64 = 600_000_000;

const DAY: i64 = 86_400_000_000;

fn expired<'a, R: Row + 'a>(rows: impl Iterator<Item = &'a Arc<R>>, oldest: i64) -> Vec<Uuid> {
    rows.filter(|row| row.status() == Status::Trashed && row.updated() < oldest)
        .map(|row| row.uuid())
        .collect()
}

impl Inner {
    /// Marks a file deleted and has its object purged later. The row stays.
    pub(crate) fn delete_file(&mut self, uuid: Uuid, now: i64) {
        let Some(row) = self.primary().files.get(uuid) else { return };
        let mut row = (**row).clone();
        if row.status == Status::Deleted {
            return;
        }
        row.status = Status::Deleted;
        row.removed = Some(now);
        row.updated = now;
        if let Some(object) = &row.object {
            self.purges.push(Purge { bucket: row.bucket.clone(), object: object.clone() });
        }
        // Its picture goes along.
        for thumbnail in self.thumbnails.remove(&uuid).unwrap_or_default() {
            let Some(object) = thumbnail["bucketFile"].as_str() else { continue };
            self.purges.push(Purge { bucket: row.bucket.clone(), object: object.to_owned() });
        }
        self.put_file(row);
    }

    /// Marks a folder deleted; its content follows at once or by and by.
    pub(crate) fn delete_folder(&mut self, uuid: Uuid, now: i64) {
        if !self.mark_folder_deleted(uuid, now, true) {
            return;
        }
        if self.cascade_delay.is_zero() {
            self.cascade_at_once(uuid, now);
        } else {
            let due = now + micros(self.cascade_delay);
            self.cascades.push_back(Cascade { due, folder: uuid });
        }
    }

    fn mark_folder_deleted(&mut self, uuid: Uuid, now: i64, touch: bool) -> bool {
        let Some(row) = self.primary().folders.get(uuid) else { return false };
        let mut row = (**row).clone();
        if row.status == Status::Deleted {
            return false;
        }
        row.status = Status::Deleted;
        row.trashed = Some(row.trashed.unwrap_or(now));
        row.removed = Some(now);
        if touch {
            row.updated = now;
        }
        self.put_folder(row);
        true
    }

    /// The database trigger: everything below in one statement. Folders keep their `updatedAt`.
    fn cascade_at_once(&mut self, top: Uuid, now: i64) {
        let mut pending = vec![top];
        while let Some(folder) = pending.pop() {
            for child in self.child_files(folder) {
                self.delete_file(child, now);
            }
            for child in self.child_folders(folder) {
                if self.mark_folder_deleted(child, now, false) {
                    pending.push(child);
                }
            }
        }
    }

    fn child_files(&self, folder: Uuid) -> Vec<Uuid> {
        self.primary().files.children(folder).map(|row| row.uuid).collect()
    }

    fn child_folders(&self, folder: Uuid) -> Vec<Uuid> {
        self.primary().folders.children(folder).map(|row| row.uuid).collect()
    }

    /// The half-hourly job: one level of every deleted folder that is due.
    fn cascade_due(&mut self) {
        let now = self.now();
        while self.cascades.front().is_some_and(|cascade| cascade.due <= now) {
            let Some(Cascade { folder, .. }) = self.cascades.pop_front() else { return };
            let stamp = self.stamp();
            for child in self.child_files(folder) {
                self.delete_file(child, stamp);
            }
            let due = stamp + micros(self.cascade_delay);
            for child in self.child_folders(folder) {
                if self.mark_folder_deleted(child, stamp, true) {
                    self.cascades.push_back(Cascade { due, folder: child });
                }
            }
        }
    }

    /// Whether the content of a deleted folder is still there.
    pub(super) fn cascades_wait(&self) -> bool {
        !self.cascades.is_empty()
    }

    /// The job that ends what is past its retention: trash, and kept versions. One statement, so all
    /// rows get one time.
    fn sweep(&mut self) {
        let now = self.now();
        if now - self.last_sweep < SWEEP {
            return;
        }
        self.last_sweep = now;
        let stamp = self.stamp();
        for account in 0..u32::try_from(self.accounts.len()).unwrap_or(0) {
            let oldest = now - self.account(account).spec.plan.trash_days() * DAY;
            let primary = self.primary();
            let files = expired(primary.files.by_uuid(account), oldest);
            let folders = expired(primary.folders.by_uuid(account), oldest);
            files.into_iter().for_each(|uuid| self.delete_file(uuid, stamp));
            folders.into_iter().for_each(|uuid| self.delete_folder(uuid, stamp));
        }
        let mut ended = Vec::new();
        for (file, kept) in &mut self.versions {
            ended.extend(
                kept.extract_if(.., |version| version.expires <= now).map(|version| (*file, version)),
            );
        }
        self.dirty |= !ended.is_empty();
        for (file, version) in ended {
            if let Some(bytes) = self.version_bytes.get_mut(&version.account) {
                *bytes = bytes.saturating_sub(version.size);
            }
            if let Some(row) = self.rows.primary.files.get(file) {
                self.purges.push(Purge { bucket: row.bucket.clone(), object: version.object });
            }
        }
    }

    /// Does what is due and returns the objects to remove from the network, as (bucket, object).
    pub(crate) fn decay(&mut self) -> Vec<(String, String)> {
        self.cascade_due();
        self.sweep();
        let expired = self.now() / 1_000_000;
        self.blacklist.retain(|_, expiry| *expiry > expired);
        std::mem::take(&mut self.purges).into_iter().map(|purge| (purge.bucket, purge.object)).collect()
    }

    /// How long until something could be due.
    pub(crate) fn decay_step() -> Duration {
        Duration::from_millis(250)
    }
}
