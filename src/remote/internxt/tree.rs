//! Looking: listings, feeds, single rows, names.

use std::collections::{BTreeMap, HashSet};

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::try_join;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Core;
use super::errors::{answer, of_read};
use super::rows;
use crate::api::drive::{self, FEED_PAGE, FeedQuery, FileRow, FolderRow, LIST_PAGE};
use crate::api::{Drive, Lane, Request};
use crate::names::RemoteName;
use crate::remote::{Cursor, Error, Page, Result, Row, Scope, Status};
use crate::types::{Kind, NodeId, Timestamp};

/// Pages of one listing that are asked for at one time, at most.
const AHEAD: usize = 16;

impl Core {
    pub(super) async fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
        let id = folder.as_str();
        // The service lists unknown and trashed folders all the same: only the row tells.
        let (row, folders, files) = try_join!(
            self.stat_in(Lane::Look, Kind::Folder, folder),
            self.pages(move |offset| drive::folders_in(id, offset), |page| page.folders, rows::folder),
            self.pages(move |offset| drive::files_in(id, offset), |page| page.files, rows::file),
        )?;
        if row.status != Status::Exists {
            return Err(Error::NotFound);
        }
        let mut seen = HashSet::new();
        let mut all: Vec<Row> = folders.into_iter().chain(files).collect();
        all.retain(|row| row.status == Status::Exists && seen.insert(row.id.clone()));
        Ok(all)
    }

    /// All pages of one kind. Each full page lets two more be asked for, so that long folders come fast and short ones
    /// cost one request.
    async fn pages<P, R>(
        &self,
        ask: impl Fn(u64) -> Request<Drive, P>,
        take: fn(P) -> Vec<R>,
        translate: fn(R) -> Row,
    ) -> Result<Vec<Row>> {
        let page = |n: u64| {
            let request = ask(n * LIST_PAGE);
            async move { self.session.drive(&request).await.map(|page| (n, take(page))) }
        };
        let (mut all, mut asked, mut at_once, mut ended) = (BTreeMap::new(), 0, 1, false);
        let mut running = FuturesUnordered::new();
        loop {
            while !ended && running.len() < at_once {
                running.push(page(asked));
                asked += 1;
            }
            let Some(got) = running.next().await else { break };
            let (n, rows) = got.map_err(of_read)?;
            if (rows.len() as u64) < LIST_PAGE {
                ended = true;
            } else {
                at_once = (at_once + 1).min(AHEAD);
            }
            all.insert(n, rows);
        }
        Ok(all.into_values().flatten().map(translate).collect())
    }

    pub(super) async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page> {
        let query = FeedQuery {
            live_only: scope == Scope::Live,
            after: from.after.map(Timestamp::as_millis),
            offset: from.skip,
            limit: FEED_PAGE,
            descending: false,
        };
        let (rows, asked) = self.feed(kind, query).await?;
        let full = asked >= FEED_PAGE;
        let next = full.then(|| following(from, rows.last().map(|row| row.updated), asked));
        Ok(Page { rows, next })
    }

    pub(super) async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>> {
        let query = FeedQuery { live_only: false, after: None, offset: 0, limit: 1, descending: true };
        let (rows, _) = self.feed(kind, query).await?;
        Ok(rows.into_iter().next().map(|row| (row.id, row.updated)))
    }

    pub(super) async fn stamp_at(&self, kind: Kind, skip: u64) -> Result<Option<Timestamp>> {
        let query = FeedQuery { live_only: true, after: None, offset: skip, limit: 1, descending: false };
        let (rows, _) = self.feed(kind, query).await?;
        Ok(rows.first().map(|row| row.updated))
    }

    /// A page of a feed, and how many rows it had before odd ones were left out.
    pub(super) async fn feed(&self, kind: Kind, query: FeedQuery) -> Result<(Vec<Row>, u64)> {
        let request = match kind {
            Kind::File => drive::file_feed(query),
            Kind::Folder => drive::folder_feed(query),
        };
        let values = self.session.drive(&request).await.map_err(of_read)?;
        let asked = values.len() as u64;
        let rows = values.into_iter().filter_map(|value| match kind {
            Kind::File => read::<FileRow>(value).map(rows::file),
            Kind::Folder => read::<FolderRow>(value).map(rows::folder),
        });
        Ok((rows.collect(), asked))
    }

    pub(super) async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
        self.stat_in(Lane::Send, kind, id).await
    }

    async fn stat_in(&self, lane: Lane, kind: Kind, id: &NodeId) -> Result<Row> {
        let id_text = id.as_str();
        let found = match kind {
            Kind::File => self.session.drive(&drive::file_meta(id_text).lane(lane)).await.map(rows::file),
            Kind::Folder => {
                self.session.drive(&drive::folder_meta(id_text).lane(lane)).await.map(rows::folder)
            }
        };
        match found {
            // What is no uuid names nothing.
            Err(failure) if answer(&failure).0 == 400 => Err(Error::NotFound),
            Err(failure) => Err(of_read(failure)),
            Ok(row) if kind == Kind::Folder && row.status == Status::Deleted => Err(Error::NotFound),
            Ok(row) if row.id != *id => {
                Err(Error::Protocol("the service answered with another row".to_owned()))
            }
            Ok(row) => Ok(row),
        }
    }

    pub(super) async fn versions(&self, id: &NodeId) -> Result<u64> {
        let kept = self.session.drive(&drive::file_versions(id.as_str()).lane(Lane::Look)).await;
        match kept {
            Ok(kept) => Ok(kept.len() as u64),
            Err(failure) if answer(&failure).0 == 400 => Err(Error::NotFound),
            Err(failure) => Err(of_read(failure)),
        }
    }

    pub(super) async fn find_all(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>> {
        let wanted: HashSet<&str> = displays.iter().map(String::as_str).filter(|d| !d.is_empty()).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (files, folders) =
            try_join!(self.find_files(folder, &wanted), self.find_folders(folder, &wanted))?;
        let mut seen = HashSet::new();
        let mut all: Vec<Row> = folders.into_iter().chain(files).collect();
        // A question without an extension matches every extension: only the exact name counts.
        all.retain(|row| {
            let exact = wanted.contains(row.name.display().as_str());
            row.status == Status::Exists && exact && seen.insert(row.id.clone())
        });
        Ok(all)
    }

    async fn find_files(&self, folder: &NodeId, displays: &HashSet<&str>) -> Result<Vec<Row>> {
        let splits: Vec<_> = displays.iter().flat_map(|d| RemoteName::all_splits(d)).collect();
        let mut found = Vec::new();
        for batch in splits.chunks(drive::EXISTENCE_BATCH) {
            let names: Vec<_> = batch.iter().map(|n| (n.stem.as_str(), n.ext.as_deref())).collect();
            let mut asked = self.session.drive(&drive::files_existing(folder.as_str(), &names)).await;
            if asked.as_ref().is_err_and(|f| answer(f).0 == 400)
                && names.iter().any(|(stem, _)| stem.is_empty())
            {
                // The name without a stem (`.x` as extension only) may be what it refuses.
                let rest: Vec<_> = names.into_iter().filter(|(stem, _)| !stem.is_empty()).collect();
                asked = self.session.drive(&drive::files_existing(folder.as_str(), &rest)).await;
            }
            found.extend(asked.map_err(of_read)?.files.into_iter().map(rows::file));
        }
        Ok(found)
    }

    async fn find_folders(&self, folder: &NodeId, displays: &HashSet<&str>) -> Result<Vec<Row>> {
        let names: Vec<_> = displays.iter().copied().collect();
        let mut found = Vec::new();
        for batch in names.chunks(drive::EXISTENCE_BATCH) {
            let asked = self.session.drive(&drive::folders_existing(folder.as_str(), batch)).await;
            match asked {
                Err(failure) if answer(&failure).0 == 400 => return Err(Error::NotFound),
                Err(failure) => return Err(of_read(failure)),
                Ok(existing) => found.extend(existing.folders.into_iter().map(rows::folder)),
            }
        }
        Ok(found)
    }
}

pub(super) fn read<R: DeserializeOwned>(value: Value) -> Option<R> {
    let row = serde_json::from_value(value);
    if row.is_err() {
        tracing::warn!("a row makes no sense and is passed over");
    }
    row.ok()
}

/// Where a feed goes on behind a full page: just before its last instant, since rows of one instant may
/// be on both sides of the cut. A stretch of equal instants as long as a page would then never
/// end; it is crossed by counting rows, a tenth of them twice because rows that change meanwhile
/// leave the stretch.
fn following(from: Cursor, last: Option<Timestamp>, rows: u64) -> Cursor {
    let keyset = last.map(|last| Timestamp::from_millis(last.as_millis() - 1));
    match keyset {
        Some(ahead) if from.after.is_none_or(|after| after < ahead) => Cursor::since(ahead),
        _ => Cursor { after: from.after, skip: from.skip + (rows - rows / 10).max(1) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_always_go_ahead() {
        let at = Timestamp::from_millis;
        assert_eq!(following(Cursor::default(), Some(at(500)), 1000), Cursor::since(at(499)));
        let from = Cursor::since(at(499));
        assert_eq!(following(from, Some(at(800)), 1000), Cursor::since(at(799)));
        // The whole page is of the instant 500: the trap.
        let stuck = following(from, Some(at(500)), 1000);
        assert_eq!(stuck, Cursor { after: Some(at(499)), skip: 900 });
        assert_eq!(following(stuck, Some(at(500)), 1000).skip, 1800);
        assert_eq!(following(stuck, Some(at(900)), 1000), Cursor::since(at(899)));
        assert_eq!(following(stuck, None, 1000).skip, 1800);
    }
}
