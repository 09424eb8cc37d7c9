//! The mount's answers to what a person decides: about failed items, about bounds.

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
        _ => Reply::Refused { why: "not for this".to_owned() },
    };
    wire::send(to, &reply).await
}

fn page(fs: &Fs, after: u64) -> Reply {
    let mut items = match fs.failed(after, PAGE) {
        Ok(items) => items,
        Err(e) => return Reply::Refused { why: e.to_string() },
    };
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        bytes += item.path.len();
        bytes <= PAGE_BYTES
    });
    let fits = fits.count().max(1);
    items.truncate(fits);
    Reply::Failed { items }
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
