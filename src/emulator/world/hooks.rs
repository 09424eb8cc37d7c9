//! Another hand in the database: what tests do that no request can.

use uuid::Uuid;

use super::rows::Status;
use super::{World, micros};
use crate::emulator::secret;

/// Something drive rows say of a network object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct Claim {
    pub row: Uuid,
    pub bucket: String,
    pub object: Option<String>,
    pub size: u64,
}

impl World {
    /// Changes what an account may do; what it holds already stays. Unknown accounts are nothing to do.
    pub fn set_limits(&self, email: &str, quota: u64, max_file: u64, empty_files: usize) {
        let mut inner = self.inner.lock();
        let Some(index) = inner.account_by_email(email).map(|account| account.index) else { return };
        let account = inner.account_mut(index);
        account.spec.max_space = Some(quota);
        account.spec.max_upload = Some(max_file);
        account.spec.max_empty_files = Some(empty_files);
        account.usage = None;
        inner.mark_dirty();
    }

    /// Gives an account one more bucket, as backups have; its id. `None` without such an account.
    pub fn add_bucket(&self, email: &str) -> Option<String> {
        let mut inner = self.inner.lock();
        let index = inner.account_by_email(email)?.index;
        let buckets = &mut inner.account_mut(index).spec.more_buckets;
        let id = hex::encode(&secret::sha256(&format!("bucket {} of {email}", buckets.len() + 1))[..12]);
        buckets.push(id.clone());
        inner.mark_dirty();
        Some(id)
    }

    /// Stamps rows with one instant of change, as a statement over many rows does. Unknown ids are
    /// passed over.
    pub fn bulk_stamp<'a>(&self, uuids: impl IntoIterator<Item = &'a str>) {
        let mut inner = self.inner.lock();
        let now = inner.stamp();
        for uuid in uuids.into_iter().filter_map(|text| Uuid::try_parse(text).ok()) {
            if let Some(row) = inner.primary().folders.get(uuid).cloned() {
                inner.put_folder(super::FolderRow { updated: now, ..(*row).clone() });
            } else if let Some(row) = inner.primary().files.get(uuid).cloned() {
                inner.put_file(super::FileRow { updated: now, ..(*row).clone() });
            }
        }
    }

    /// What every file that is not deleted, and every kept version of one, says of its content.
    pub(in crate::emulator) fn claims(&self) -> Vec<Claim> {
        let inner = self.inner.lock();
        let mut claims = Vec::new();
        for row in inner.primary().files.all().filter(|row| row.status != Status::Deleted) {
            let claim = |object, size| Claim { row: row.uuid, bucket: row.bucket.clone(), object, size };
            claims.push(claim(row.object.clone(), row.size));
            let kept = inner.versions.get(&row.uuid).into_iter().flatten();
            claims.extend(kept.map(|kept| claim(Some(kept.object.clone()), kept.size)));
        }
        claims
    }

    /// Lets all time pass that a deleted folder's content waits for, and returns the objects to remove.
    pub(in crate::emulator) fn decay_now(&self) -> Vec<(String, String)> {
        let mut inner = self.inner.lock();
        let mut purged = inner.decay();
        while inner.cascades_wait() {
            inner.offset += micros(inner.cascade_delay).max(1);
            purged.extend(inner.decay());
        }
        purged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::{AccountSpec, Tier};

    #[test]
    fn a_bucket_more_is_the_accounts_own_and_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let specs = || vec![AccountSpec::new("a@b.test", "pw", Tier::Ultimate)];
        let world = World::open(dir.path(), specs()).unwrap();
        let (one, two) = (world.add_bucket("a@b.test").unwrap(), world.add_bucket("a@b.test").unwrap());
        assert_ne!(one, two);
        assert_eq!(world.add_bucket("nobody@b.test"), None);
        world.save().unwrap();
        let again = World::open(dir.path(), specs()).unwrap();
        for bucket in [one, two] {
            assert_eq!(again.bucket_owner(&bucket), Some(again.accounts()[0].uuid.clone()));
        }
    }

    #[test]
    fn a_delayed_cascade_reaches_the_bottom_at_once() {
        let world = World::new(vec![AccountSpec::new("a@b.test", "pw", Tier::Ultimate)]);
        world.set_cascade_delay(std::time::Duration::from_secs(1800));
        let mut inner = world.lock();
        let root = inner.account(0).root;
        let top = inner.primary().folders.children(root).next().unwrap().clone();
        let id = inner.next_folder_id();
        let low =
            super::super::FolderRow { id, uuid: Uuid::new_v4(), parent: Some(top.uuid), ..(*top).clone() };
        inner.put_folder(low.clone());
        let now = inner.stamp();
        inner.delete_folder(top.uuid, now);
        assert_eq!(inner.primary().folders.get(low.uuid).unwrap().status, Status::Exists);
        drop(inner);
        world.decay_now();
        assert_eq!(world.lock().primary().folders.get(low.uuid).unwrap().status, Status::Deleted);
    }
}
