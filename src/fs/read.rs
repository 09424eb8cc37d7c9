//! Reading: staged bytes over the base's over the cached version's, and the network for what is missing.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::files::{Handle, Source};
use super::open::loaded;
use super::{Answer, Error, Fs, Result};
use crate::store::{self, Beneath, Content, Piece};
use crate::types::{Fh, Version};

/// How deep staged contents may lie on one another. Each upload that was overtaken by a write adds one until
/// it is done; the writer of a chain this long waits for nobody, its reads fail first.
pub(super) const CHAIN_MAX: usize = 64;

/// Reading ahead begins with this much, doubles with each step, and ends here.
const WINDOW_MIN: u64 = 1 << 20;
const WINDOW_MAX: u64 = 32 << 20;

/// Part of an answer.
enum Segment {
    Data(Bytes),
    Zero(u64),
    Missing(Miss),
}

/// Bytes of a version that have to be fetched into its cached content.
pub(super) struct Miss {
    pub content: Arc<Content>,
    pub version: Version,
    pub range: Range<u64>,
}

impl Fs {
    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    pub fn read(self: &Arc<Self>, fh: Fh, offset: u64, len: u32) -> Answer<Bytes> {
        let handle = match self.files.handle(fh) {
            Ok(h) => h,
            Err(e) => return Answer::Now(Err(e)),
        };
        let (source, size, range) = match self.source_for_read(&handle, offset, len) {
            Ok(Some(found)) => found,
            Ok(None) => return Answer::Now(Ok(Bytes::new())),
            Err(e) => return Answer::Now(Err(e)),
        };
        if let Source::Version(version, None) = source {
            let fs = self.clone();
            return Answer::later(async move {
                fs.health.while_online(fs.fetch_past_cache(&version, size, range)).await
            });
        }
        self.read_ahead(&handle, &source, &range);
        let ino = handle.file.ino;
        match self.note_damage(ino, self.segments(&source, range.clone())) {
            Err(e) => Answer::Now(Err(e)),
            Ok(s) if s.iter().all(|s| !matches!(s, Segment::Missing(_))) => Answer::Now(Ok(join(s))),
            Ok(_) => {
                let fs = self.clone();
                Answer::later(async move {
                    let read = fs.health.while_online(fs.read_fetching(&source, range)).await;
                    fs.note_damage(ino, read)
                })
            }
        }
    }

    /// What to read, of how many bytes, and from where; `None` at or behind the end. A version without its cached
    /// content: the local disk is too full even for the entry.
    fn source_for_read(
        &self,
        handle: &Handle,
        offset: u64,
        len: u32,
    ) -> Result<Option<(Source, u64, Range<u64>)>> {
        let mut guard = self.state(&handle.file)?;
        let state = loaded(&mut guard)?;
        let end = offset.saturating_add(u64::from(len)).min(state.size);
        if offset >= end {
            return Ok(None);
        }
        if let Source::Version(v, cached @ None) = &mut state.source {
            let size = state.size;
            let found = self.db().read(|c| self.blocks().find(c, v))?;
            *cached = match found {
                Some(c) => Some(c),
                None => match self.db().write(|tx| self.blocks().cached(tx, v, size)) {
                    Ok(c) => Some(c),
                    Err(crate::store::Error::Full) => None,
                    Err(e) => return Err(e.into()),
                },
            };
        }
        Ok(Some((state.source.clone(), state.size, offset..end)))
    }

    /// Fetches what is missing and answers. What the cache has no room for, was evicted or refused by the local disk in
    /// between is read past the cache.
    async fn read_fetching(self: &Arc<Self>, source: &Source, range: Range<u64>) -> Result<Bytes> {
        for _ in 0..2 {
            let segments = self.segments(source, range.clone())?;
            let mut missing = Vec::new();
            for s in &segments {
                if let Segment::Missing(m) = s {
                    missing.push(m);
                }
            }
            if missing.is_empty() {
                return Ok(join(segments));
            }
            if !self.make_room(missing.iter().map(|m| m.range.end - m.range.start).sum()).await {
                break;
            }
            for m in missing {
                self.fetch(&m.content, &m.version, m.range.clone()).await?;
            }
        }
        let mut parts = Vec::new();
        for s in self.segments(source, range)? {
            parts.push(match s {
                Segment::Missing(m) => {
                    Segment::Data(self.fetch_past_cache(&m.version, m.content.size(), m.range).await?)
                }
                other => other,
            });
        }
        Ok(join(parts))
    }

    fn segments(&self, source: &Source, range: Range<u64>) -> Result<Vec<Segment>> {
        let mut out = Vec::new();
        match source {
            Source::Empty => out.push(Segment::Zero(range.end - range.start)),
            Source::Unreadable => {
                return Err(Error::Io("the file is stored in a way this version cannot read".to_owned()));
            }
            Source::Version(_, Some(c)) | Source::Staged(c) => self.collect(c, range, 0, &mut out)?,
            Source::Version(v, None) => return Err(Error::Io(format!("no cache for {}", v.object))),
        }
        Ok(out)
    }

    /// One content's pieces of `range`, its gaps filled from what it lies on.
    fn collect(
        &self,
        content: &Arc<Content>,
        range: Range<u64>,
        depth: usize,
        out: &mut Vec<Segment>,
    ) -> Result<()> {
        if depth > CHAIN_MAX {
            return Err(Error::Io("staged contents lie too deep on one another".to_owned()));
        }
        let within = range.start.min(content.size())..range.end.min(content.size());
        if let Some(version) = content.version() {
            self.check_sound(&version)?;
        }
        for piece in content.read(within.clone())? {
            match piece {
                Piece::Data(_, bytes) => out.push(Segment::Data(bytes)),
                Piece::Gap(gap) => self.collect_beneath(content, gap, depth, out)?,
            }
        }
        zeros(range.end.saturating_sub(within.end.max(range.start)), out);
        Ok(())
    }

    /// A content's gap: to be fetched; or, of a staged one, the base's bytes as far as they count, then zeros.
    fn collect_beneath(
        &self,
        content: &Arc<Content>,
        gap: Range<u64>,
        depth: usize,
        out: &mut Vec<Segment>,
    ) -> Result<()> {
        let missing =
            |version| Segment::Missing(Miss { content: content.clone(), version, range: gap.clone() });
        let (base, limit) = match content.beneath() {
            Beneath::Version(version) => {
                out.push(missing(version));
                return Ok(());
            }
            Beneath::Base(base, limit) => (base, limit),
            Beneath::Nothing => {
                zeros(gap.end - gap.start, out);
                return Ok(());
            }
        };
        let from_base = gap.start..gap.end.min(limit);
        if from_base.start < from_base.end {
            let base = match (self.blocks().open(base), content.beneath()) {
                // Uploaded meanwhile, and the base has gone.
                (Err(store::Error::Gone(_)), Beneath::Version(version)) => {
                    out.push(missing(version));
                    return Ok(());
                }
                (base, _) => base?,
            };
            self.collect(&base, from_base.clone(), depth + 1, out)?;
        }
        zeros(gap.end - gap.end.min(limit.max(gap.start)), out);
        Ok(())
    }

    /// All that a content still needs from the network within `range`. Reads no content.
    pub(super) fn misses(&self, content: &Arc<Content>, range: Range<u64>) -> Result<Vec<Miss>> {
        let mut out = Vec::new();
        self.collect_misses(content, range, 0, &mut out)?;
        Ok(out)
    }

    fn collect_misses(
        &self,
        content: &Arc<Content>,
        range: Range<u64>,
        depth: usize,
        out: &mut Vec<Miss>,
    ) -> Result<()> {
        if depth > CHAIN_MAX {
            return Err(Error::Io("staged contents lie too deep on one another".to_owned()));
        }
        let range = range.start..range.end.min(content.size());
        let (base, written) = (content.base(), content.written());
        // After the look at those: what is staged now was so then.
        if content.is_staged() {
            let Some((base, limit)) = base else { return Ok(()) };
            match self.blocks().open(base) {
                // The upload was confirmed just now, and the base let go.
                Err(crate::store::Error::Gone(_)) if !content.is_staged() => {}
                base => {
                    let base = base?;
                    return written
                        .gaps(range.start..range.end.min(limit))
                        .try_for_each(|gap| self.collect_misses(&base, gap, depth + 1, out));
                }
            }
        }
        for range in content.missing(range)? {
            let version = content.version().ok_or_else(gone)?;
            out.push(Miss { content: content.clone(), version, range });
        }
        Ok(())
    }

    /// A content's bytes, from local state alone.
    pub(super) fn read_local(&self, content: &Arc<Content>, range: Range<u64>) -> Result<Bytes> {
        let mut out = Vec::new();
        self.collect(content, range, 0, &mut out)?;
        if out.iter().any(|s| matches!(s, Segment::Missing(_))) {
            return Err(Error::Io("a block that was fetched is not here any more".to_owned()));
        }
        Ok(join(out))
    }

    /// Watches a handle's reads; sequential ones are read ahead in the background, never waited for.
    fn read_ahead(self: &Arc<Self>, handle: &Handle, source: &Source, range: &Range<u64>) {
        let Source::Version(version, Some(content)) = source else { return };
        let want = {
            let mut cur = handle.cursor.lock();
            let sequential = range.start == cur.next && (range.start > 0 || range.end == content.size());
            let near = range.start >= cur.next.saturating_sub(1 << 20) && range.start <= cur.next + (1 << 20);
            cur.next = range.end;
            if !near {
                (cur.window, cur.ahead) = (0, range.end);
                return;
            }
            if !sequential && cur.window == 0 {
                return;
            }
            let behind = cur.ahead.saturating_sub(range.end);
            if cur.window > 0 && behind >= cur.window / 2 {
                return;
            }
            cur.window = (cur.window * 2).clamp(WINDOW_MIN, WINDOW_MAX);
            let start = cur.ahead.max(range.end);
            let end = range.end.saturating_add(cur.window).min(content.size());
            cur.ahead = end.max(cur.ahead);
            start..end
        };
        if want.start < want.end && self.has_room(want.end - want.start) {
            self.fetch_soon(content, version, want);
        }
    }
}

/// Bytes that are nowhere are an error, never zeros.
fn gone() -> Error {
    Error::Io("where the rest of the file is to be fetched from is not known any more".to_owned())
}

fn zeros(count: u64, out: &mut Vec<Segment>) {
    if count > 0 {
        out.push(Segment::Zero(count));
    }
}

/// One answer of all segments, without a copy where there is only one.
fn join(segments: Vec<Segment>) -> Bytes {
    let length = |s: &Segment| match s {
        Segment::Data(b) => b.len(),
        Segment::Zero(n) => usize::try_from(*n).unwrap_or(0),
        Segment::Missing(_) => 0,
    };
    if let [Segment::Data(bytes)] = segments.as_slice() {
        return bytes.clone();
    }
    let mut all = BytesMut::with_capacity(segments.iter().map(length).sum());
    for s in &segments {
        match s {
            Segment::Data(b) => all.extend_from_slice(b),
            Segment::Zero(_) => all.resize(all.len() + length(s), 0),
            Segment::Missing(_) => {}
        }
    }
    all.freeze()
}
