//! One ranged request, from its start to the last of its blocks.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::failure::Failure;
use super::{Progress, Run, VERIFY_MAX, verify};
use crate::block::{self, BLOCK};
use crate::fs::Fs;
use crate::remote;
use crate::store::{Content, FILL_AT_ONCE};
use crate::types::Version;

/// Bytes of a run that are in memory at a time, at most: blocks that go to the cache together, and what the network brings at
/// a time.
const IN_MEMORY: u64 = 2 * FILL_AT_ONCE as u64 * BLOCK;

/// Runs one request to its end, whoever still waits for it.
pub(super) async fn run_to_end(
    fs: Arc<Fs>,
    content: Arc<Content>,
    version: Version,
    run: Arc<Run>,
    progress: watch::Sender<Progress>,
) {
    let outcome = run.hurry.call(stream_into(&fs, &content, &version, &run, &progress)).await;
    if let Err(remote::Error::Corrupt(_)) = &outcome
        && !fs.fetcher.corrupt.lock().contains(&version)
    {
        fs.condemn(&content, &version);
    }
    let unverified = matches!(outcome, Ok(false));
    let end = outcome.map(|_| ()).map_err(Failure::from);
    if end.is_err() {
        // Whoever asks from now on begins anew.
        fs.end_run(&content, &run);
    }
    progress.send_modify(|p| p.end = Some(end));
    // Too large to wait for, or one of several that ended at once: found out late, but found out.
    if unverified && completes(&content, &run.range) {
        let _ = verify::verify(&fs, &content, &version, None).await;
    }
    // Only now: who must not build on damaged bytes waits for the table to be empty.
    fs.end_run(&content, &run);
    drop(progress);
}

/// Whether a version that was fetched in parts is here as a whole now.
fn completes(content: &Content, range: &Range<u64>) -> bool {
    let whole = 0..content.size();
    *range != whole && content.missing(whole).is_ok_and(|m| m.is_empty())
}

/// Says whether what the run completed was verified.
async fn stream_into(
    fs: &Arc<Fs>,
    content: &Arc<Content>,
    version: &Version,
    run: &Run,
    progress: &watch::Sender<Progress>,
) -> remote::Result<bool> {
    let (size, range) = (content.size(), &run.range);
    // Verified as a whole at its end: nothing of it counts before.
    let whole = *range == (0..size);
    let memory = range.end - range.start;
    let memory = if whole { memory } else { memory.min(IN_MEMORY) };
    // The disk may be emptier than it was, or fuller.
    fs.has_room(range.end - range.start);
    let _memory = fs.config.memory.take(memory, run.urgency).await;
    let mut stream = fs.health.note(fs.remote.read(version, size, range.clone(), run.urgency).await)?;
    let mut cutter = Cutter { at: range.start, end: range.end, pending: BytesMut::new() };
    let mut arrived = Arrived { at: range.start, blocks: Vec::new() };
    let mut held = Vec::new();
    loop {
        // What is here already is kept at once, in one piece; nobody waits for what is still to come.
        let chunk = match stream.next().now_or_never() {
            Some(chunk) => chunk,
            None => {
                arrived.keep(fs, content, progress);
                stream.next().await
            }
        };
        let Some(chunk) = chunk else { break };
        // What came before the line broke is here.
        let mut chunk = fs.health.note(chunk).inspect_err(|_| arrived.keep(fs, content, progress))?;
        while let Some((at, block)) = cutter.cut(&mut chunk) {
            // The last block waits: it may be the one that makes the version whole, to be verified first.
            if whole || cutter.at == range.end {
                held.push((at, block));
                continue;
            }
            arrived.blocks.push(block);
            if arrived.blocks.len() == FILL_AT_ONCE {
                arrived.keep(fs, content, progress);
            }
        }
        if !chunk.is_empty() && cutter.at == range.end {
            return Err(remote::Error::Protocol("more bytes than were asked for".to_owned()));
        }
    }
    arrived.keep(fs, content, progress);
    if cutter.at != range.end {
        return Err(remote::Error::Protocol("fewer bytes than the file has".to_owned()));
    }
    let last = {
        // Of several runs that end at once, one sees that it has the last of the version.
        let _turn = fs.fetcher.ending.lock();
        let last = !whole
            && size <= VERIFY_MAX
            && held.last().is_some_and(|(at, _)| {
                let tail = *at..range.end;
                content.missing(0..size).is_ok_and(|m| matches!(m.as_slice(), [only] if *only == tail))
            });
        if !last {
            held.drain(..).for_each(|(at, block)| keep(fs, content, at, &[block]));
        }
        last
    };
    for (at, block) in held {
        // Nobody can have read the whole version before this.
        verify::verify(fs, content, version, Some((at, block.clone()))).await?;
        keep(fs, content, at, &[block]);
    }
    progress.send_modify(|p| p.upto = range.end);
    Ok(whole || last)
}

/// Blocks that follow one another and are not in the cache yet.
struct Arrived {
    at: u64,
    blocks: Vec<Bytes>,
}

impl Arrived {
    fn keep(&mut self, fs: &Fs, content: &Content, progress: &watch::Sender<Progress>) {
        if !self.blocks.is_empty() {
            keep(fs, content, self.at, &self.blocks);
            self.at += length(&self.blocks);
            self.blocks.clear();
            progress.send_modify(|p| p.upto = self.at);
        }
    }
}

/// A cache that is full or failing is no reason to fail a read.
fn keep(fs: &Fs, content: &Content, at: u64, blocks: &[Bytes]) {
    if let Err(e) = content.fill_blocks(at, blocks) {
        tracing::warn!(error = %e, "the cache did not take a block");
    }
    fs.fetcher.arrived(content.id(), at..at + length(blocks));
}

fn length(blocks: &[Bytes]) -> u64 {
    blocks.iter().map(|b| b.len() as u64).sum()
}

/// Cuts what arrives into the blocks of `at..end`; what is a block already is not copied.
struct Cutter {
    at: u64,
    end: u64,
    pending: BytesMut,
}

impl Cutter {
    /// The next block and where it begins. What it leaves of the chunk is more than was asked for.
    fn cut(&mut self, chunk: &mut Bytes) -> Option<(u64, Bytes)> {
        let whole = block::range(block::index(self.at)).end.min(self.end).saturating_sub(self.at);
        let want = usize::try_from(whole).unwrap_or(usize::MAX) - self.pending.len();
        if want == 0 || chunk.is_empty() {
            return None;
        }
        let block = if self.pending.is_empty() && chunk.len() >= want {
            chunk.split_to(want)
        } else {
            let part = chunk.split_to(want.min(chunk.len()));
            self.pending.reserve(want);
            self.pending.extend_from_slice(&part);
            if part.len() < want {
                return None;
            }
            self.pending.split().freeze()
        };
        let at = self.at;
        self.at += block.len() as u64;
        Some((at, block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_arrives_is_cut_into_blocks(
            first in 0..3u64,
            len in 1..4 * BLOCK,
            cuts in prop::collection::vec(1..100_000usize, 0..12),
        ) {
            let (start, end) = (first * BLOCK, first * BLOCK + len);
            let all: Bytes = (start..end).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2]).collect::<Vec<u8>>().into();
            let mut cutter = Cutter { at: start, end, pending: BytesMut::new() };
            let (mut rest, mut got, mut at) = (all.clone(), Vec::new(), start);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let mut chunk = rest.split_to(cut.min(rest.len()));
                while let Some((from, block)) = cutter.cut(&mut chunk) {
                    prop_assert_eq!(from, at);
                    prop_assert!(block.len() as u64 == BLOCK || from + block.len() as u64 == end);
                    at += block.len() as u64;
                    got.extend_from_slice(&block);
                }
                prop_assert!(chunk.is_empty());
            }
            prop_assert_eq!((cutter.at, got), (end, all.to_vec()));
        }
    }
}
