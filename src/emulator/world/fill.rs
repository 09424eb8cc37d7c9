//! A drive that is full from the start, for benchmarks and large tests.

use uuid::Uuid;

use super::World;
use super::rows::{FileRow, FolderRow, Status};

impl World {
    /// Adds folders to an account's root and files to each of them, `file0.bin` and on, of one byte a
    /// file. Rows only: their objects do not exist.
    pub fn fill(&self, email: &str, folders: usize, files_each: usize) {
        let mut inner = self.lock();
        let Some(account) = inner.account_by_email(email) else { return };
        let (me, root, bucket) = (account.index, account.root, account.bucket.clone());
        let root_id = inner.primary().folders.get(root).map(|root| root.id);
        for folder in 0..folders {
            let now = inner.stamp();
            let id = inner.next_folder_id();
            let parent = FolderRow {
                id,
                uuid: Uuid::new_v4(),
                account: me,
                parent: Some(root),
                parent_id: root_id,
                plain_name: format!("folder{folder}"),
                name_seed: id,
                bucket: None,
                status: Status::Exists,
                trashed: None,
                removed: None,
                creation: now,
                modification: now,
                created: now,
                updated: now,
            };
            let (uuid, folder_id) = (parent.uuid, parent.id);
            inner.put_folder(parent);
            for file in 0..files_each {
                let now = inner.stamp();
                let id = inner.next_file_id();
                inner.put_file(FileRow {
                    id,
                    uuid: Uuid::new_v4(),
                    account: me,
                    folder: uuid,
                    folder_id,
                    plain_name: format!("file{file}"),
                    kind: Some("bin".to_owned()),
                    size: 1,
                    bucket: bucket.clone(),
                    object: Some(format!("{id:024x}")),
                    encrypt_version: "03-aes".to_owned(),
                    status: Status::Exists,
                    trashed: None,
                    removed: None,
                    creation: now,
                    modification: now,
                    created: now,
                    updated: now,
                });
            }
        }
        inner.account_mut(me).usage = None;
    }
}
