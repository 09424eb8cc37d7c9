//! Giving out an object's bytes: the next stretch is read while the last one is sent.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::store::{Object, Place, Store};

/// Read at once.
const STRETCH: u64 = 256 << 10;

/// A stretch still to be sent.
enum Piece {
    Ram(Bytes),
    File { path: PathBuf, start: u64, end: u64 },
}

/// Bytes `start..end` of the object.
pub(super) async fn body(store: &Store, object: &Object, start: u64, end: u64) -> io::Result<Body> {
    let mut pieces = pieces(store, object, start, end);
    match (pieces.len(), pieces.pop_front()) {
        (_, None) => Ok(Body::empty()),
        (1, Some(Piece::Ram(bytes))) => Ok(Body::from(bytes)),
        (1, Some(Piece::File { path, start, end })) if end - start <= STRETCH => {
            let read = move || read(&File::open(path)?, start, end);
            Ok(Body::from(tokio::task::spawn_blocking(read).await??))
        }
        (_, Some(first)) => {
            pieces.push_front(first);
            let mut stream = Stream { pieces, left: end - start, reading: None };
            // The first file is opened before the answer begins, so that a lost one is an error, not a cut.
            stream.advance().await?;
            Ok(Body::new(stream))
        }
    }
}

fn pieces(store: &Store, object: &Object, start: u64, end: u64) -> VecDeque<Piece> {
    let mut offset = 0;
    let mut pieces = VecDeque::new();
    for segment in &object.segments {
        let (from, to) = (start.max(offset), end.min(offset + segment.len));
        if from < to {
            let (start, end) = (from - offset, to - offset);
            pieces.push_back(match &segment.place {
                Place::Ram(bytes) => {
                    let index = |at| usize::try_from(at).unwrap_or(usize::MAX);
                    Piece::Ram(bytes.slice(index(start)..index(end)))
                }
                Place::File(name) => Piece::File { path: store.path(name), start, end },
            });
        }
        offset += segment.len;
    }
    pieces
}

fn read(file: &File, start: u64, end: u64) -> io::Result<Bytes> {
    let len = usize::try_from(end - start).map_err(io::Error::other)?;
    let mut buffer = BytesMut::zeroed(len);
    file.read_exact_at(&mut buffer, start)?;
    Ok(buffer.freeze())
}

type Reading = JoinHandle<io::Result<(Bytes, Option<Rest>)>>;

/// What is left of the file being read.
struct Rest {
    file: File,
    start: u64,
    end: u64,
}

struct Stream {
    pieces: VecDeque<Piece>,
    left: u64,
    reading: Option<Ahead>,
}

enum Ahead {
    Ready(Bytes),
    Task(Reading),
}

impl Stream {
    /// Opens what comes first and has its first stretch read.
    async fn advance(&mut self) -> io::Result<()> {
        match self.pieces.pop_front() {
            None => {}
            Some(Piece::Ram(bytes)) => self.reading = Some(Ahead::Ready(bytes)),
            Some(Piece::File { path, start, end }) => {
                let file = tokio::task::spawn_blocking(move || File::open(path)).await??;
                self.reading = Some(Ahead::Task(ahead(Rest { file, start, end })));
            }
        }
        Ok(())
    }

    fn start_next(&mut self, rest: Option<Rest>) {
        self.reading = match rest {
            Some(rest) => Some(Ahead::Task(ahead(rest))),
            None => match self.pieces.pop_front() {
                None => None,
                Some(Piece::Ram(bytes)) => Some(Ahead::Ready(bytes)),
                Some(Piece::File { path, start, end }) => {
                    let open = move || stretch(Rest { file: File::open(path)?, start, end });
                    Some(Ahead::Task(tokio::task::spawn_blocking(open)))
                }
            },
        };
    }
}

fn ahead(rest: Rest) -> Reading {
    tokio::task::spawn_blocking(move || stretch(rest))
}

fn stretch(rest: Rest) -> io::Result<(Bytes, Option<Rest>)> {
    let Rest { file, start, end } = rest;
    let stop = end.min(start + STRETCH);
    let bytes = read(&file, start, stop)?;
    Ok((bytes, (stop < end).then_some(Rest { file, start: stop, end })))
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let (bytes, rest) = match &mut this.reading {
            None => return Poll::Ready(None),
            Some(Ahead::Ready(bytes)) => (std::mem::take(bytes), None),
            Some(Ahead::Task(task)) => {
                match ready!(Pin::new(task).poll(cx)).map_err(io::Error::other).flatten() {
                    Ok(read) => read,
                    Err(error) => {
                        this.reading = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        };
        this.left -= bytes.len() as u64;
        this.start_next(rest);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
