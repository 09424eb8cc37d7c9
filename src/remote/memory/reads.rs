//! The calls that change nothing: they see what the replica shows.

use std::ops::Range;

use bytes::Bytes;

use super::state::{self, State};
use crate::remote::{Cursor, Error, Page, Result, Row, Scope, Status, Usage};
use crate::types::{Kind, NodeId, Timestamp, Version};

/// How long the service answers with the usage it computed once.
const USAGE_CACHED_MS: i64 = 10 * 60 * 1000;

/// Streams come in pieces of this size.
const PIECE: usize = 64 << 10;

impl State {
    pub fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
        let rows = self.view();
        state::living_folder(rows, folder).ok_or(Error::NotFound)?;
        Ok(state::children(rows, folder).cloned().collect())
    }

    /// Ordered by `updated`; equal instants by identity, which the service does not promise but a
    /// specification needs in order to be one. A full page goes on a millisecond before its last row,
    /// unless that would not be ahead.
    pub fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Page {
        let mut rows: Vec<&Row> = self
            .view()
            .values()
            .map(|r| &r.row)
            .filter(|r| r.kind == kind && r.parent.is_some())
            .filter(|r| scope == Scope::All || r.status == Status::Exists)
            .filter(|r| from.after.is_none_or(|after| r.updated > after))
            .collect();
        rows.sort_by_key(|r| (r.updated, &r.id));
        let skip = usize::try_from(from.skip).unwrap_or(usize::MAX);
        let rows: Vec<Row> = rows.into_iter().skip(skip).take(self.page).cloned().collect();
        let next = rows.last().filter(|_| rows.len() == self.page).map(|last| {
            let before = Timestamp::from_millis(last.updated.as_millis() - 1);
            if from.after.is_none_or(|after| before > after) {
                Cursor::since(before)
            } else {
                Cursor { after: from.after, skip: from.skip + rows.len() as u64 }
            }
        });
        Page { rows, next }
    }

    pub fn newest(&self, kind: Kind) -> Option<(NodeId, Timestamp)> {
        self.view()
            .values()
            .map(|r| &r.row)
            .filter(|r| r.kind == kind && r.parent.is_some())
            .max_by_key(|r| (r.updated, &r.id))
            .map(|r| (r.id.clone(), r.updated))
    }

    pub fn stamp_at(&self, kind: Kind, skip: u64) -> Option<Timestamp> {
        let living = |r: &&Row| r.kind == kind && r.parent.is_some() && r.status == Status::Exists;
        let mut stamps: Vec<_> =
            self.view().values().map(|r| &r.row).filter(living).map(|r| r.updated).collect();
        stamps.sort();
        stamps.get(usize::try_from(skip).ok()?).copied()
    }

    /// Deleted files answer, deleted folders do not.
    pub fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
        let row = self.view().get(id).map(|r| &r.row).filter(|r| r.kind == kind);
        row.filter(|r| kind == Kind::File || r.status != Status::Deleted).cloned().ok_or(Error::NotFound)
    }

    pub fn versions(&self, id: &NodeId) -> Result<u64> {
        let row = self.rows.get(id).filter(|r| r.row.kind == Kind::File).ok_or(Error::NotFound)?;
        Ok(row.kept.len() as u64)
    }

    pub fn trashed(&self) -> Vec<Row> {
        let mut rows: Vec<_> = self.view().values().map(|r| r.row.clone()).collect();
        rows.retain(|r| r.status == Status::Trashed);
        rows.sort_by_key(|r| std::cmp::Reverse(r.updated));
        rows
    }

    pub fn find(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>> {
        let mut rows = self.list(folder)?;
        rows.retain(|r| displays.contains(&r.name.display()));
        Ok(rows)
    }

    /// The pieces of a stream; an error is its last item.
    pub fn read(&self, of: &Version, size: u64, range: Range<u64>) -> Result<Vec<Result<Bytes>>> {
        let range = range.start..range.end.min(size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let object = self.objects.get(of).ok_or(Error::NotFound)?;
        if !object.readable {
            return Err(Error::Unreadable("an unknown encryption version".into()));
        }
        let have = object.bytes.len();
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(have);
        let part = object.bytes.slice(at(range.start)..at(range.end));
        let short = (part.len() as u64) < range.end - range.start;
        let mut pieces: Vec<Result<Bytes>> =
            (0..part.len()).step_by(PIECE).map(|i| Ok(part.slice(i..part.len().min(i + PIECE)))).collect();
        let whole = range == (0..size);
        if short || (whole && (object.bytes != object.pristine || have as u64 != size)) {
            pieces.push(Err(Error::Corrupt("the content does not match its hash".into())));
        }
        Ok(pieces)
    }

    /// Stale for minutes, but for a new file.
    pub fn usage(&mut self) -> Usage {
        let now = self.now_ms();
        let used = match self.usage {
            Some((at, used)) if now - at < USAGE_CACHED_MS => used,
            _ => {
                let used = self.plan.elsewhere + self.drive_used();
                self.usage = Some((now, used));
                used
            }
        };
        Usage { used, total: self.plan.quota }
    }

    /// Living and trashed files and kept versions.
    fn drive_used(&self) -> u64 {
        let kept = |r: &state::Rec| r.kept.iter().map(|(_, size)| size).sum::<u64>();
        self.rows.values().filter(|r| r.row.status != Status::Deleted).map(|r| r.row.size + kept(r)).sum()
    }

    /// What the network counts against the quota: every object that is still there.
    pub fn stored(&self) -> u64 {
        self.plan.elsewhere + self.objects.values().map(|o| o.bytes.len() as u64).sum::<u64>()
    }
}
