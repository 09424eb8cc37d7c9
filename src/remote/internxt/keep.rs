//! What the service keeps of what is gone: the trash, and former contents of files. A person's business, so no part of
//! [`Remote`](crate::remote::Remote).

use std::collections::HashSet;

use futures_util::try_join;
use serde::de::DeserializeOwned;

use super::errors::{answer, of_change, of_read};
use super::tree::read;
use super::{Core, Internxt, rows};
use crate::api::drive::{self, LIST_PAGE, TrashedFrom};
use crate::remote::{Error, Result, Row, Status};
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

/// Pages of the trash that a mount asks for, of each kind.
pub(super) const SHOWN: u64 = 40;
/// Pages that a person is shown: a service that repeats one for ever comes to an end.
const MOST: u64 = 4000;

impl Core {
    /// Up to so many pages of each kind of what was trashed itself, the latest first; what lies below a trashed folder is
    /// not told.
    pub(super) async fn trashed(&self, pages: u64) -> Result<Vec<Trashed>> {
        let (mut all, files) = try_join!(
            self.trashed_of("folders", rows::folder, pages),
            self.trashed_of("files", rows::file, pages),
        )?;
        all.extend(files);
        let mut seen = HashSet::new();
        all.retain(|t| seen.insert(t.row.id.clone()));
        all.sort_by_key(|t| std::cmp::Reverse(t.row.updated));
        Ok(all)
    }

    async fn trashed_of<R: DeserializeOwned>(
        &self,
        kind: &str,
        translate: fn(R) -> Row,
        pages: u64,
    ) -> Result<Vec<Trashed>> {
        let mut all = Vec::new();
        for page in 0..pages {
            let got = self.session.drive(&drive::trashed(kind, page * LIST_PAGE)).await.map_err(of_read)?;
            let ended = (got.result.len() as u64) < LIST_PAGE;
            all.extend(got.result.into_iter().filter_map(read).map(|t| trashed(t, translate)));
            if ended {
                break;
            }
        }
        Ok(all)
    }
}

/// A folder's own folder has another name here than in all other answers.
fn trashed<R>(t: drive::Trashed<R>, translate: fn(R) -> Row) -> Trashed {
    let from = t.parent.and_then(known);
    let row = translate(t.row);
    let parent = row.parent.clone().or_else(|| from.as_ref().map(|(id, _)| id.clone()));
    Trashed { row: Row { status: Status::Trashed, parent, ..row }, from, expires: t.expires_at }
}

impl Internxt {
    /// All that was trashed itself, the latest first.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn trash_contents(&self) -> Result<Vec<Trashed>> {
        self.0.trashed(MOST).await
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
    let id = from.uuid.filter(|id| !id.is_empty())?;
    Some((NodeId(id), from.plain_name.unwrap_or_default()))
}
