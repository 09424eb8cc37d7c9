//! The mount's answers to what a person decides: about failed items, bounds, pins.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Error;
use super::wire::{self, Reply, Request};
use crate::fs::{self, Fs, Part};
use crate::types::Ino;

/// Items of one page, and bytes of their paths, at most: a reply is one line of bounded length.
const PAGE: usize = 200;
const PAGE_BYTES: usize = 1 << 20;
/// Between two signs of life. Well below the client's patience.
const TICK: Duration = Duration::from_secs(2);

/// Answers one of them.
pub(super) async fn answer(
    request: Request,
    fs: &Arc<Fs>,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Error> {
    let reply = match request {
        Request::Failed { after } => page(fs, after),
        Request::Retry { id } => match fs.retry(id.map(Ino)) {
            Ok(items) => Reply::Retried { items },
            Err(e) => refusal(&e, id.unwrap_or(0)),
        },
        Request::Discard { id } => {
            let fs = Arc::clone(fs);
            match tokio::task::spawn_blocking(move || fs.discard(Ino(id))).await {
                Ok(Ok(discarded)) => Reply::Discarded(discarded),
                Ok(Err(e)) => refusal(&e, id),
                Err(e) => Reply::Refused { why: e.to_string() },
            }
        }
        Request::Export { id } => return export(fs, id, to).await,
        Request::Bwlimit { up, down } => match fs.set_bandwidth(up, down) {
            Ok(bounds) => Reply::Bwlimit(bounds),
            Err(e) => Reply::Refused { why: e.to_string() },
        },
        Request::Pin { .. } | Request::Unpin { .. } | Request::Pins { .. } => {
            let fs = Arc::clone(fs);
            let done = tokio::task::spawn_blocking(move || pins(&fs, request)).await;
            done.unwrap_or_else(|e| Reply::Refused { why: e.to_string() })
        }
        Request::Refresh { id } => {
            let fresh = Box::pin(fs.refresh(Ino(id)));
            return slowly(fresh, |()| Reply::Refreshed, to).await;
        }
        Request::Clear => {
            let fs = Arc::clone(fs);
            let work = tokio::task::spawn_blocking(move || fs.clear_cache());
            let cleared = Box::pin(async { work.await.map_err(|e| fs::Error::Io(e.to_string()))? });
            return slowly(cleared, |freed| Reply::Cleared { freed }, to).await;
        }
        Request::Pause => {
            fs.pause(true);
            Reply::Paused
        }
        Request::Conflicts { after } => match fs.conflicts(after, PAGE) {
            Ok(items) => Reply::Conflicts { items: fitting(items, |item| item.path.len()) },
            Err(e) => Reply::Refused { why: e.to_string() },
        },
        _ => Reply::Refused { why: "not for this".to_owned() },
    };
    wire::send(to, &reply).await
}

/// Answers what takes its time, with signs of life meanwhile.
async fn slowly<T>(
    mut work: impl Future<Output = fs::Result<T>> + Unpin,
    done: impl FnOnce(T) -> Reply,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Error> {
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => {
                let refused = |e: fs::Error| Reply::Refused { why: e.to_string() };
                return wire::send(to, &outcome.map_or_else(refused, done)).await;
            }
            () = tokio::time::sleep(TICK) => wire::send(to, &Reply::Working).await?,
        }
    }
}

fn page(fs: &Fs, after: u64) -> Reply {
    match fs.failed(after, PAGE) {
        Ok(items) => Reply::Failed { items: fitting(items, |item| item.path.len()) },
        Err(e) => Reply::Refused { why: e.to_string() },
    }
}

/// The first of them, as many as a reply takes.
fn fitting<T>(mut items: Vec<T>, len: impl Fn(&T) -> usize) -> Vec<T> {
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        bytes += len(item);
        bytes <= PAGE_BYTES
    });
    let fits = fits.count().max(1);
    items.truncate(fits);
    items
}

fn pins(fs: &Arc<Fs>, request: Request) -> Reply {
    let done = match request {
        Request::Pin { id } => fs.pin(Ino(id)).map(|pin| Reply::Pinned { pin, all: fs.status().pinned }),
        Request::Unpin { id } => fs.unpin(Ino(id)).map(|kept| match kept {
            None => Reply::Unpinned,
            Some(Some(folder)) => {
                Reply::Refused { why: format!("it is pinned with its folder {folder}; unpin that") }
            }
            Some(None) => Reply::Unknown { why: "it is not pinned; see `inxtfs pin --list`".to_owned() },
        }),
        Request::Pins { after } => {
            fs.pins(after, PAGE).map(|items| Reply::Pins { items: fitting(items, |pin| pin.path.len()) })
        }
        _ => return Reply::Refused { why: "not for this".to_owned() },
    };
    done.unwrap_or_else(|e| match e {
        fs::Error::Stale => Reply::Unknown { why: "nothing of the drive is there any more".to_owned() },
        fs::Error::Denied => Reply::Refused { why: "this is not the drive's own".to_owned() },
        e => Reply::Refused { why: e.to_string() },
    })
}

fn refusal(e: &fs::Error, id: u64) -> Reply {
    match e {
        fs::Error::NotFound => {
            Reply::Unknown { why: format!("nothing that failed has the id {id}; see `inxtfs failed list`") }
        }
        fs::Error::Busy => {
            Reply::Busy { why: format!("item {id} is open, or being sent; close it and try again") }
        }
        fs::Error::NotEmpty => Reply::Refused {
            why: format!("item {id} is a new folder that holds something; see to that first"),
        },
        e => Reply::Refused { why: e.to_string() },
    }
}

async fn export(fs: &Arc<Fs>, id: u64, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Error> {
    let mut export = match fs.export(Ino(id)) {
        Ok(export) => export,
        Err(fs::Error::NotFound) => {
            let why = format!("item {id} has no content of its own here");
            return wire::send(to, &Reply::Unknown { why }).await;
        }
        Err(e) => return wire::send(to, &Reply::Refused { why: e.to_string() }).await,
    };
    wire::send(to, &Reply::Exporting { path: export.path().to_owned(), size: export.size() }).await?;
    loop {
        let parts = {
            let mut next = std::pin::pin!(export.next());
            loop {
                tokio::select! {
                    biased;
                    parts = &mut next => break parts,
                    () = tokio::time::sleep(TICK) => wire::send(to, &Reply::Working).await?,
                }
            }
        };
        match parts {
            Ok(Some(parts)) => {
                for part in parts {
                    send_part(to, part).await?;
                }
            }
            Ok(None) => return wire::send(to, &Reply::Exported).await,
            Err(e) => return wire::send(to, &Reply::Refused { why: e.to_string() }).await,
        }
    }
}

async fn send_part(to: &mut (impl AsyncWrite + Unpin), part: Part) -> Result<(), Error> {
    let (offset, bytes) = match part {
        Part::Missing(range, why) => {
            return wire::send(to, &Reply::Missing { from: range.start, to: range.end, why }).await;
        }
        Part::Data(offset, bytes) => (offset, bytes),
    };
    let longest = usize::try_from(wire::MAX_PIECE).unwrap_or(usize::MAX);
    let mut at = offset;
    for piece in bytes.chunks(longest) {
        wire::send(to, &Reply::Piece { offset: at, len: piece.len() as u64 }).await?;
        to.write_all(piece).await?;
        at += piece.len() as u64;
    }
    Ok(to.flush().await?)
}
