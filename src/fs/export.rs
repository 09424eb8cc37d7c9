//! Saving what is staged to somewhere else: all that can be read of it, and word of what cannot.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::read::{CHAIN_MAX, Miss};
use super::{Error, Fs, Result};
use crate::block;
use crate::store::{Content, Piece, nodes};
use crate::types::{Ino, Urgency, Version};

/// Read at a time: long enough for what is fetched on the way to come in large requests.
const WINDOW: u64 = 4 << 20;

/// Part of an exported file. What no part names is a hole: zeros.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Bytes, from this offset.
    Data(u64, Bytes),
    /// Not to be had, and why. Nothing stands in for it.
    Missing(Range<u64>, String),
}

/// A file on its way out, piece by piece. What it is made of stays until it is dropped.
pub struct Export {
    fs: Arc<Fs>,
    content: Option<Arc<Content>>,
    path: String,
    size: u64,
    at: u64,
    /// Versions the server does not give, and why.
    refused: HashMap<Version, String>,
}

/// What reading a range found.
enum Found {
    Part(Part),
    Miss(Miss),
}

impl Fs {
    /// The staged content of a file, to be saved elsewhere.
    ///
    /// # Errors
    /// [`Error::NotFound`] if nothing of that number is staged; those of the local state.
    pub fn export(self: &Arc<Self>, ino: Ino) -> Result<Export> {
        let (node, path) = self.db().read(|c| Ok((nodes::get(c, ino)?, nodes::path_of(c, ino)?)))?;
        let node = node.filter(|n| !n.tomb && n.content_dirty()).ok_or(Error::NotFound)?;
        let content = node.content.map(|id| self.blocks().open(id)).transpose()?;
        let size = content.as_ref().map_or(0, |c| c.size());
        let path = path.unwrap_or(node.name);
        Ok(Export { fs: self.clone(), content, path, size, at: 0, refused: HashMap::new() })
    }

    /// All that can be read of `range` (within one block) from local state.
    fn salvage(&self, content: &Arc<Content>, range: Range<u64>, depth: usize, out: &mut Vec<Found>) {
        let range = range.start..range.end.min(content.size());
        let missing = |why: String| Found::Part(Part::Missing(range.clone(), why));
        if range.is_empty() {
            return;
        }
        if depth > CHAIN_MAX {
            return out.push(missing("staged contents lie too deep on one another".to_owned()));
        }
        let staged = content.is_staged();
        let version = content.version().filter(|_| !staged);
        if let Some(Err(e)) = version.as_ref().map(|v| self.check_sound(v)) {
            return out.push(missing(e.to_string()));
        }
        let pieces = match content.read(range.clone()) {
            Ok(pieces) => pieces,
            Err(e) if staged => return self.salvage_around(content, range, &e.to_string(), depth, out),
            Err(e) => return out.push(missing(e.to_string())),
        };
        for piece in pieces {
            match (piece, &version) {
                (Piece::Data(at, bytes), _) => out.push(Found::Part(Part::Data(at, bytes))),
                (Piece::Gap(range), Some(version)) => {
                    out.push(Found::Miss(Miss { content: content.clone(), version: version.clone(), range }));
                }
                (Piece::Gap(range), None) if staged => self.salvage_base(content, range, depth, out),
                (Piece::Gap(range), None) => {
                    out.push(Found::Part(Part::Missing(range, "it is not cached any more".to_owned())));
                }
            }
        }
    }

    /// What was written to a block that does not open is missing; what was not still comes from the base.
    fn salvage_around(
        &self,
        content: &Content,
        range: Range<u64>,
        why: &str,
        depth: usize,
        out: &mut Vec<Found>,
    ) {
        let written = content.written();
        for lost in written.within(range.clone()) {
            out.push(Found::Part(Part::Missing(lost, why.to_owned())));
        }
        for gap in written.gaps(range) {
            self.salvage_base(content, gap, depth, out);
        }
    }

    fn salvage_base(&self, content: &Content, gap: Range<u64>, depth: usize, out: &mut Vec<Found>) {
        let Some((base, limit)) = content.base() else { return };
        let gap = gap.start..gap.end.min(limit);
        match self.blocks().open(base) {
            Ok(base) => self.salvage(&base, gap, depth + 1, out),
            Err(e) => out.push(Found::Part(Part::Missing(gap, e.to_string()))),
        }
    }
}

impl Export {
    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its size, what is missing included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next parts; `None` at the end. What lies on a version of the server is fetched, as far as that works.
    ///
    /// # Errors
    /// If the task that reads failed; what cannot be read is no error but a part.
    pub async fn next(&mut self) -> Result<Option<Vec<Part>>> {
        let Some(content) = self.content.clone().filter(|_| self.at < self.size) else { return Ok(None) };
        let window = self.at..self.size.min(self.at + WINDOW);
        self.at = window.end;
        self.fetch(&content, window.clone()).await;
        let fs = self.fs.clone();
        let salvaged = self.fs.rt.spawn_blocking(move || {
            let mut found = Vec::new();
            for part in block::parts(window) {
                let at = part.offset();
                fs.salvage(&content, at..at + part.len() as u64, 0, &mut found);
            }
            found
        });
        let mut parts = Vec::new();
        for found in salvaged.await.map_err(|e| Error::Io(e.to_string()))? {
            match found {
                Found::Part(part) => parts.push(part),
                Found::Miss(miss) => parts.push(self.past_cache(miss).await),
            }
        }
        parts.sort_by_key(|part| match part {
            Part::Data(at, _) => *at,
            Part::Missing(range, _) => range.start,
        });
        Ok(Some(parts))
    }

    async fn fetch(&mut self, content: &Arc<Content>, window: Range<u64>) {
        for miss in self.fs.misses(content, window).unwrap_or_default() {
            if self.refused.contains_key(&miss.version) {
                continue;
            }
            if let Err(e) = self.fs.fetch(&miss.content, &miss.version, miss.range, Urgency::Now).await {
                self.refused.insert(miss.version, e.to_string());
            }
        }
    }

    /// What is not in the cache though it may have been fetched: the local disk did not take it.
    async fn past_cache(&self, miss: Miss) -> Part {
        if let Some(why) = self.refused.get(&miss.version) {
            return Part::Missing(miss.range, why.clone());
        }
        let range = miss.range;
        match self.fs.fetch_past_cache(&miss.version, miss.content.size(), range.clone(), Urgency::Now).await
        {
            Ok(bytes) => Part::Data(range.start, bytes),
            Err(e) => Part::Missing(range, e.to_string()),
        }
    }
}
