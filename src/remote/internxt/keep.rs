//! What the service keeps of what is gone: the trash, and former contents of files. A person's business, so no part of
//! [`Remote`](crate::remote::Remote).

use futures_util::try_join;

use super::errors::{answer, of_change, of_read};
use super::{Internxt, rows};
use crate::api::drive::{self, LIST_PAGE, TrashPage, TrashedFrom};
use crate::api::{Drive, Request};
use crate::remote::{Error, Result, Row};
use crate::types::{NodeId, Timestamp};

/// Something in the trash.
#[derive(Clone, Debug)]
pub struct Trashed {
    /// The row.
    pub row: Row,
    /// The folder it was in: identity and name.
    pub from: Option<(NodeId, String)>,
    /// When the service deletes it.
    pub expires: Option<String>,
}

/// A former content of a file.
#[derive(Clone, Debug)]
pub struct Former {
    /// How to name it towards the service.
    pub id: String,
    /// Its bytes.
    pub size: u64,
    /// Its modification time.
    pub modified: Timestamp,
    /// When it was replaced.
    pub replaced: Timestamp,
}

impl Internxt {
    /// All that was trashed itself; what lies below a trashed folder is not told.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn trashed(&self) -> Result<Vec<Trashed>> {
        let (mut all, files) = try_join!(
            self.trash_pages(drive::trashed_folders, rows::folder),
            self.trash_pages(drive::trashed_files, rows::file),
        )?;
        all.extend(files);
        Ok(all)
    }

    async fn trash_pages<R>(
        &self,
        ask: fn(u64) -> Request<Drive, TrashPage<R>>,
        translate: fn(R) -> Row,
    ) -> Result<Vec<Trashed>> {
        let mut all = Vec::new();
        for page in 0.. {
            let got = self.0.session.drive(&ask(page * LIST_PAGE)).await.map_err(of_read)?;
            let full = got.result.len() as u64 >= LIST_PAGE;
            all.extend(got.result.into_iter().map(|t| Trashed {
                row: translate(t.row),
                from: t.parent.and_then(known),
                expires: t.expires_at,
            }));
            if !full {
                break;
            }
        }
        Ok(all)
    }

    /// Deletes all that is in the trash, for good.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn empty_trash(&self) -> Result<()> {
        self.0.session.drive(&drive::empty_trash()).await.map_err(of_change)
    }

    /// The former contents that the service keeps of a file, the newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of the network.
    pub async fn formers(&self, id: &NodeId) -> Result<Vec<Former>> {
        let kept = self.0.session.drive(&drive::file_versions(id.as_str())).await.map_err(of_read)?;
        let former = |v: drive::KeptVersion| Former {
            id: v.id,
            size: v.size.unwrap_or(0),
            modified: Timestamp::from_millis(v.modification_time),
            replaced: Timestamp::from_millis(v.created_at),
        };
        Ok(kept.into_iter().map(former).collect())
    }

    /// Makes a former content the present one; the service deletes all that are newer.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of the network.
    pub async fn restore_former(&self, id: &NodeId, version: &str) -> Result<Row> {
        let restored = self.0.session.drive(&drive::restore_version(id.as_str(), version)).await;
        restored.map(rows::file).map_err(|failure| match answer(&failure).0 {
            400 => Error::NotFound,
            _ => of_change(failure),
        })
    }
}

fn known(from: TrashedFrom) -> Option<(NodeId, String)> {
    from.uuid.map(|id| (NodeId(id), from.plain_name.unwrap_or_default()))
}
