//! The language of the control socket: one line of JSON a message.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Error;
use crate::fs::{Bandwidth, Conflict, Discarded, FailedItem, Pin, Pinned, Status};

/// The version both sides must share.
pub const VERSION: u32 = 1;

/// The longest request.
pub const MAX_REQUEST: usize = 4 << 10;

/// The longest reply: a status with a hundred items of the longest paths, and room.
pub const MAX_REPLY: usize = 4 << 20;

/// The most bytes that follow a [`Reply::Piece`].
pub const MAX_PIECE: u64 = 1 << 20;

/// A request with the version of its language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the sender.
    pub v: u32,
    /// What is asked; kept raw, so that an unknown request of another version is told from nonsense.
    #[serde(flatten)]
    pub body: serde_json::Map<String, serde_json::Value>,
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Request {
    /// Who are you?
    Ping,
    /// Everything you know.
    Status,
    /// Send everything now; [`Reply::Progress`] until [`Reply::Done`].
    Drain,
    /// Unmount and end: with `detach` at once, keeping the queue; else after a drain that leaves nothing.
    Unmount {
        /// Do not wait.
        detach: bool,
    },
    /// Send the deletes that are held back.
    Resume,
    /// Take back the deletes that are not sent.
    Restore,
    /// Sets bounds on the bytes a second, 0 for none; what is left out stays.
    Bwlimit {
        /// Of what is sent.
        up: Option<u64>,
        /// Of what is fetched.
        down: Option<u64>,
    },
    /// What waits for a decision: items whose number is above `after`.
    Failed {
        /// 0 for the first page.
        after: u64,
    },
    /// Try failed items again: one, or all of them.
    Retry {
        /// Which.
        id: Option<u64>,
    },
    /// Give up the local changes of a failed item.
    Discard {
        /// Which.
        id: u64,
    },
    /// Keep a file, or a folder with all below it, here always.
    Pin {
        /// Its inode number.
        id: u64,
    },
    /// Keep it no longer.
    Unpin {
        /// Its inode number.
        id: u64,
    },
    /// What is pinned: items whose number is above `after`.
    Pins {
        /// 0 for the first page.
        after: u64,
    },
    /// Ask the service about a file or a folder now.
    Refresh {
        /// Its inode number.
        id: u64,
    },
    /// Evict what can be had again.
    Clear,
    /// Begin nothing more of what is to be sent; [`Request::Resume`] ends it.
    Pause,
    /// Conflict copies: those whose number is above `after`.
    Conflicts {
        /// 0 for the first page.
        after: u64,
    },
    /// Read what is staged of a file: [`Reply::Exporting`], then pieces, [`Reply::Exported`] at the end.
    Export {
        /// Which.
        id: u64,
    },
}

/// Who a mount is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// [`VERSION`] of the mount.
    pub v: u32,
    /// Its process.
    pub pid: u32,
    /// Where it is mounted, canonical.
    pub mountpoint: String,
    /// The program's version.
    pub program: String,
    /// Whether it refuses changes.
    pub read_only: bool,
    /// The name of the login it uses, if that is not the usual one.
    #[serde(default)]
    pub profile: Option<String>,
}

/// What a mount answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub enum Reply {
    /// To [`Request::Ping`].
    Pong(Identity),
    /// To [`Request::Status`].
    Status {
        /// Who.
        mount: Identity,
        /// What.
        status: Box<Status>,
    },
    /// A drain goes on.
    Progress {
        /// How far.
        status: Box<Status>,
    },
    /// A drain has ended: nothing is left, or what is left needs a person.
    Done {
        /// What is left.
        status: Box<Status>,
    },
    /// To [`Request::Resume`].
    Resumed {
        /// Deletes that were held back.
        deletes: u64,
    },
    /// To [`Request::Restore`].
    Restored {
        /// Deletes taken back.
        back: u64,
        /// Deletes that had been sent already.
        sent: u64,
    },
    /// To [`Request::Bwlimit`]: what holds now.
    Bwlimit(Bandwidth),
    /// The unmount succeeded. The connection ends when local state is closed.
    Unmounting,
    /// Files are open below the mountpoint; it stays mounted.
    Busy {
        /// For people.
        why: String,
    },
    /// A page of what waits for a decision. An empty one is the end.
    Failed {
        /// In the order of their numbers.
        items: Vec<FailedItem>,
    },
    /// To [`Request::Retry`].
    Retried {
        /// How many.
        items: u64,
    },
    /// To [`Request::Discard`].
    Discarded(Discarded),
    /// To [`Request::Pin`].
    Pinned {
        /// What was pinned.
        pin: Pin,
        /// All that is.
        all: Pinned,
    },
    /// To [`Request::Unpin`].
    Unpinned,
    /// A page of what is pinned. An empty one is the end.
    Pins {
        /// In the order of their numbers.
        items: Vec<Pin>,
    },
    /// To [`Request::Refresh`].
    Refreshed,
    /// To [`Request::Clear`].
    Cleared {
        /// Bytes that are free now.
        freed: u64,
    },
    /// To [`Request::Pause`].
    Paused,
    /// A page of conflict copies. An empty one is the end.
    Conflicts {
        /// In the order of their numbers.
        items: Vec<Conflict>,
    },
    /// An export begins.
    Exporting {
        /// Where the file is in the mount.
        path: String,
        /// Its size.
        size: u64,
    },
    /// Bytes of an exported file; they follow this line, raw. What no piece covers is a hole.
    Piece {
        /// Where they belong.
        offset: u64,
        /// How many follow, [`MAX_PIECE`] at most.
        len: u64,
    },
    /// Bytes that cannot be exported.
    Missing {
        /// The first of them.
        from: u64,
        /// Behind the last.
        to: u64,
        /// For people.
        why: String,
    },
    /// A sign of life while pieces are being fetched.
    Working,
    /// All that can be exported was sent.
    Exported,
    /// Nothing of that number is there, or not for this.
    Unknown {
        /// For people.
        why: String,
    },
    /// Another version of the language.
    Version {
        /// The mount's.
        v: u32,
    },
    /// Not understood, or not possible.
    Refused {
        /// For people.
        why: String,
    },
}

impl Envelope {
    /// Wraps a request in this version.
    ///
    /// # Errors
    /// Never for the requests there are.
    pub fn new(request: Request) -> Result<Self, Error> {
        match serde_json::to_value(request).map_err(|e| Error::Protocol(e.to_string()))? {
            serde_json::Value::Object(body) => Ok(Envelope { v: VERSION, body }),
            other => Err(Error::Protocol(format!("a request is an object, not {other}"))),
        }
    }

    /// The request, if its version is ours and it is known.
    ///
    /// # Errors
    /// The reply to send instead.
    pub fn open(self) -> Result<Request, Reply> {
        if self.v != VERSION {
            return Err(Reply::Version { v: VERSION });
        }
        serde_json::from_value(serde_json::Value::Object(self.body))
            .map_err(|e| Reply::Refused { why: format!("unknown request: {e}") })
    }
}

/// Reads one message; `None` at the end of the connection.
///
/// # Errors
/// [`Error::Protocol`] for a line over `max` bytes (nothing beyond it is read), one without an end, or nonsense.
pub async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
    max: usize,
) -> Result<Option<T>, Error> {
    let mut line = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => serde_json::from_slice(&line)
            .map(Some)
            .map_err(|e| Error::Protocol(format!("not a message: {e}"))),
        Some(_) if line.len() > max => Err(Error::Protocol(format!("a line is longer than {max} bytes"))),
        Some(_) => Err(Error::Protocol("the connection ended within a line".to_owned())),
    }
}

/// Writes one message.
///
/// # Errors
/// Those of the socket.
pub async fn send<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), Error> {
    let mut line = serde_json::to_vec(message).map_err(|e| Error::Protocol(e.to_string()))?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8], max: usize) -> Result<Option<Envelope>, Error> {
        receive(&mut tokio::io::BufReader::new(bytes), max).await
    }

    #[tokio::test]
    async fn requests_survive_the_line() {
        use Request as R;
        let asked = [R::Ping, R::Status, R::Drain, R::Unmount { detach: true }, R::Resume, R::Restore];
        let decided = [
            R::Failed { after: u64::MAX },
            R::Retry { id: None },
            R::Retry { id: Some(7) },
            R::Discard { id: 7 },
            R::Export { id: 7 },
            R::Bwlimit { up: Some(0), down: None },
            R::Pin { id: 7 },
            R::Unpin { id: 7 },
            R::Pins { after: 0 },
            R::Refresh { id: 7 },
            R::Clear,
            R::Pause,
            R::Conflicts { after: 7 },
        ];
        for request in asked.into_iter().chain(decided) {
            let mut line = Vec::new();
            send(&mut line, &Envelope::new(request).unwrap()).await.unwrap();
            let back = read(&line, MAX_REQUEST).await.unwrap().unwrap().open().unwrap();
            assert_eq!(back, request);
        }
    }

    #[tokio::test]
    async fn another_version_is_told_apart_from_nonsense() {
        let newer = read(b"{\"v\":99,\"ask\":\"teleport\"}\n", 100).await.unwrap().unwrap();
        assert!(matches!(newer.open(), Err(Reply::Version { v: VERSION })));
        let unknown = read(b"{\"v\":1,\"ask\":\"teleport\"}\n", 100).await.unwrap().unwrap();
        assert!(matches!(unknown.open(), Err(Reply::Refused { .. })));
        assert!(matches!(read(b"hello\n", 100).await, Err(Error::Protocol(_))));
    }

    #[tokio::test]
    async fn lines_are_bounded_and_whole() {
        assert!(read(b"", 10).await.unwrap().is_none());
        assert!(matches!(read(b"{\"v\":1", 100).await, Err(Error::Protocol(why)) if why.contains("ended")));
        let long = vec![b' '; 1000];
        assert!(matches!(read(&long, 100).await, Err(Error::Protocol(why)) if why.contains("longer")));
    }
}
