//! Taking in a body: at most two stretches of it are in memory, one being written, one filling.

use std::fs::File;
use std::io::{self, Write};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use md5::{Digest, Md5};

use super::store::{Place, Segment, Store};

/// How much is gathered before it is written.
const STRETCH: usize = 1 << 20;

/// Keeps the body, which must have exactly `len` bytes; `UnexpectedEof` where it ends or breaks early.
pub(super) async fn segment(store: &Store, body: Body, len: u64) -> io::Result<Segment> {
    if store.fits_ram(len) {
        let bytes = body.collect().await.map_err(broken)?.to_bytes();
        return exactly(bytes.len() as u64, len).map(|()| Segment {
            md5: hex::encode(Md5::digest(&bytes)),
            len,
            place: Place::Ram(compact(bytes)),
        });
    }
    let (name, path) = store.new_file();
    let unfinished = Unfinished(Some(path.clone()));
    let file = tokio::task::spawn_blocking(move || File::create_new(path)).await??;
    let (md5, written) = stream(body, Sink { file, md5: Md5::new(), written: 0 }).await?;
    exactly(written, len)?;
    unfinished.keep();
    Ok(Segment { md5, len, place: Place::File(name) })
}

/// A file that goes away again unless kept, also when the request is dropped half-way.
struct Unfinished(Option<std::path::PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

struct Sink {
    file: File,
    md5: Md5,
    written: u64,
}

impl Sink {
    fn take(mut self, frames: Vec<Bytes>) -> io::Result<Sink> {
        for frame in frames {
            self.md5.update(&frame);
            self.file.write_all(&frame)?;
            self.written += frame.len() as u64;
        }
        Ok(self)
    }
}

async fn stream(mut body: Body, sink: Sink) -> io::Result<(String, u64)> {
    let mut writing = tokio::task::spawn_blocking(move || Ok(sink));
    let (mut frames, mut gathered) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            gathered += data.len();
            frames.push(data);
        }
        if gathered >= STRETCH {
            let sink = writing.await??;
            let full = std::mem::take(&mut frames);
            gathered = 0;
            writing = tokio::task::spawn_blocking(move || sink.take(full));
        }
    }
    let sink = writing.await??;
    let sink = tokio::task::spawn_blocking(move || sink.take(frames)).await??;
    Ok((hex::encode(sink.md5.finalize()), sink.written))
}

fn broken(error: axum::Error) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, error)
}

fn exactly(got: u64, want: u64) -> io::Result<()> {
    if got == want { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A frame may be a view of a much larger buffer: what is kept must not pin it.
fn compact(bytes: Bytes) -> Bytes {
    Bytes::copy_from_slice(&bytes)
}
