//! Reading: staged bytes over the base's over the cached version's, and the network for what is missing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::fetch::Claimed;
use super::files::{Handle, Source};
use super::open::loaded;
use super::readahead::Found;
use super::{Answer, Error, Fs, Result};
use crate::store::{self, Beneath, Content, Piece};
use crate::types::{Fh, Urgency, Version};

/// How deep staged contents may lie on one another. Each upload that was overtaken by a write adds one until
/// it is done; the writer of a chain this long waits for nobody, its reads fail first.
pub(super) const CHAIN_MAX: usize = 64;

/// So long a read waits for room in the cache; then it goes past it.
const ROOM: Duration = Duration::from_secs(1);

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
    pub(super) fn tree_read(self: &Arc<Self>, fh: Fh, offset: u64, len: u32) -> Answer<Bytes> {
        let handle = match self.files.handle(fh) {
            Ok(h) => h,
            Err(e) => return Answer::Now(Err(e)),
        };
        let (source, size, range) = match self.source_for_read(&handle, offset, len) {
            Ok(Some(found)) => found,
            Ok(None) => return Answer::Now(Ok(Bytes::new())),
            Err(e) => return Answer::Now(Err(e)),
        };
        let urgency = handle.urgency();
        if let Source::Version(version, None) = source {
            let fs = self.clone();
            return Answer::later(async move {
                fs.health.while_online(fs.fetch_past_cache(&version, size, range, urgency)).await
            });
        }
        let ino = handle.file.ino;
        let segments = match self.note_damage(ino, self.segments(&source, range.clone())) {
            Ok(segments) => segments,
            Err(e) => return Answer::Now(Err(e)),
        };
        let asked = self.ask(&handle, &source, &segments, &range);
        if segments.iter().all(|s| !matches!(s, Segment::Missing(_))) {
            return Answer::Now(Ok(join(segments)));
        }
        drop(segments);
        let fs = self.clone();
        Answer::later(async move {
            let read = async {
                for claimed in asked? {
                    claimed.arrived().await?;
                }
                fs.read_fetching(&source, range, urgency).await
            };
            let read = fs.health.while_online(read).await;
            fs.note_damage(ino, read)
        })
    }

    /// Asks for what a read lacks; then, without anybody waiting for it, for what is likely to be read next.
    fn ask(
        self: &Arc<Self>,
        handle: &Handle,
        source: &Source,
        segments: &[Segment],
        range: &Range<u64>,
    ) -> Result<Vec<Claimed>> {
        let ahead = match source {
            Source::Version(version, Some(content)) if !handle.flags.background => Some((version, content)),
            _ => None,
        };
        let mut asked = Vec::new();
        let mut found = Found::Here;
        for s in segments {
            let Segment::Missing(m) = s else { continue };
            let reach = match ahead {
                Some(_) if m.range.start == range.start => {
                    handle.ahead.lock().reach(&m.range, m.content.size())
                }
                _ => m.range.clone(),
            };
            let claimed = self.claim(&m.content, &m.version, m.range.clone(), reach, handle.urgency())?;
            found = found.max(claimed.found());
            asked.push(claimed);
        }
        if let Some((version, content)) = ahead {
            let begins = handle.ahead.lock().observe(range, content.size(), found);
            if begins && !content.looks_whole() {
                self.verify_along(content, version);
            }
            self.run_ahead(&handle.ahead, content, version, None);
        }
        Ok(asked)
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
    async fn read_fetching(
        self: &Arc<Self>,
        source: &Source,
        range: Range<u64>,
        urgency: Urgency,
    ) -> Result<Bytes> {
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
            let room = self.make_room(missing.iter().map(|m| m.range.end - m.range.start).sum());
            if !tokio::time::timeout(ROOM, room).await.unwrap_or(false) {
                break;
            }
            for m in missing {
                self.fetch(&m.content, &m.version, m.range.clone(), urgency).await?;
            }
        }
        let mut parts = Vec::new();
        for s in self.segments(source, range)? {
            parts.push(match s {
                Segment::Missing(m) => {
                    let size = m.content.size();
                    Segment::Data(self.fetch_past_cache(&m.version, size, m.range, urgency).await?)
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
