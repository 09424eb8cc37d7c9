//! A command's end of the control socket.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::wire::{self, Envelope, Identity, Reply, Request};
use super::{Error, place};
use crate::fs::{Bandwidth, Conflict, Discarded, FailedItem, Pin, Pinned, Status};

/// How long a mount may take for any one line.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long its process may take to close its local state after an unmount.
const CLOSING: Duration = Duration::from_secs(60);

/// How long a mount may take to put hundreds of thousands of nodes back into the tree.
const DECIDING: Duration = Duration::from_secs(600);

/// Finds mounts.
#[derive(Clone, Debug)]
pub struct Client {
    dirs: Vec<PathBuf>,
    /// The name of a login: [`Client::all`] finds its mounts alone.
    login: Option<String>,
}

/// A mount that was found, and what it said.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who.
    pub mount: Identity,
    /// What.
    pub status: Box<Status>,
}

/// What an export brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Where the file is in the mount.
    pub path: String,
    /// Its size, what is missing included.
    pub size: u64,
    /// Ranges that could not be read, and why, in order.
    pub missing: Vec<(Range<u64>, String)>,
}

struct Connection {
    from: BufReader<OwnedReadHalf>,
    // Closing our half would tell the mount that nobody waits.
    _to: OwnedWriteHalf,
}

impl Client {
    /// Looks into these directories ([`place::directories`]).
    #[must_use]
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Client { dirs, login: None }
    }

    /// Who serves this mountpoint.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody does.
    pub async fn ping(&self, mountpoint: &Path) -> Result<Identity, Error> {
        match self.ask(mountpoint, Request::Ping).await?.next(PATIENCE).await? {
            Reply::Pong(identity) => Ok(identity),
            other => Err(unexpected(other)),
        }
    }

    /// Everything one mount knows.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn status(&self, mountpoint: &Path) -> Result<Found, Error> {
        status(self.ask(mountpoint, Request::Status).await?).await
    }

    /// The same, for the mounts of one login, if one is named.
    #[must_use]
    pub fn of_login(self, login: Option<String>) -> Self {
        Client { login, ..self }
    }

    /// The login whose mounts alone are found.
    #[must_use]
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// All running mounts of this user, or those of [`Client::login`]; the sockets of dead ones are removed on the way.
    pub async fn all(&self) -> Vec<Result<Found, Error>> {
        let mut found = Vec::new();
        for path in place::sockets(&self.dirs) {
            match connect(&path, Request::Status).await {
                Ok(Some(connection)) => found.push(status(connection).await),
                Ok(None) => {}
                Err(e) => found.push(Err(e)),
            }
        }
        found.retain(|f| self.login.is_none() || !f.as_ref().is_ok_and(|f| f.mount.profile != self.login));
        found
    }

    /// Sends everything now and waits, telling `progress`; the last status says what is left. Dropping
    /// the future stops the waiting, not the sending.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn drain(
        &self,
        mountpoint: &Path,
        progress: impl FnMut(&Status),
    ) -> Result<Box<Status>, Error> {
        let mut connection = self.ask(mountpoint, Request::Drain).await?;
        connection.drained(progress).await
    }

    /// Unmounts. Without `detach` everything is sent first, and a status that is not clean means that the
    /// mount still stands. Returns when the mount's process has closed its local state.
    ///
    /// # Errors
    /// [`Error::Busy`] if files are open; the mount then stands.
    pub async fn unmount(
        &self,
        mountpoint: &Path,
        detach: bool,
        progress: impl FnMut(&Status),
    ) -> Result<Option<Box<Status>>, Error> {
        let mut connection = self.ask(mountpoint, Request::Unmount { detach }).await?;
        if !detach {
            let status = connection.drained(progress).await?;
            if status.totals.items > 0 {
                return Ok(Some(status));
            }
        }
        // The process may be gone before its answer was sent: the end of the connection says the same.
        match connection.next(CLOSING).await {
            Ok(Reply::Unmounting) => {}
            Err(Error::Io(e)) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => return other.and_then(|reply| Err(unexpected(reply))),
        }
        match connection.next(CLOSING).await {
            Err(Error::Io(_)) => Ok(None),
            Err(Error::Silent) => Err(Error::Silent),
            other => other.and_then(|reply| Err(unexpected(reply))),
        }
    }

    /// Sends the deletes that one mount holds back; their number.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn resume(&self, mountpoint: &Path) -> Result<u64, Error> {
        match self.ask(mountpoint, Request::Resume).await?.next(DECIDING).await? {
            Reply::Resumed { deletes } => Ok(deletes),
            other => Err(unexpected(other)),
        }
    }

    /// Takes back the deletes that one mount has not sent: how many, and how many had been sent already.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn restore(&self, mountpoint: &Path) -> Result<(u64, u64), Error> {
        match self.ask(mountpoint, Request::Restore).await?.next(DECIDING).await? {
            Reply::Restored { back, sent } => Ok((back, sent)),
            other => Err(unexpected(other)),
        }
    }

    /// Sets bounds on the bytes a second of one mount, 0 for none; what is left out stays. What holds then.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint; [`Error::Refused`] for bounds that are too low.
    pub async fn bwlimit(
        &self,
        mountpoint: &Path,
        up: Option<u64>,
        down: Option<u64>,
    ) -> Result<Bandwidth, Error> {
        match self.ask(mountpoint, Request::Bwlimit { up, down }).await?.next(PATIENCE).await? {
            Reply::Bwlimit(bounds) => Ok(bounds),
            other => Err(unexpected(other)),
        }
    }

    /// What waits for a decision at one mount.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn failed(&self, mountpoint: &Path) -> Result<Vec<FailedItem>, Error> {
        let mut all: Vec<FailedItem> = Vec::new();
        loop {
            let after = all.last().map_or(0, |item| item.id);
            match self.ask(mountpoint, Request::Failed { after }).await?.next(PATIENCE).await? {
                Reply::Failed { items } if items.is_empty() => return Ok(all),
                Reply::Failed { items } => all.extend(items.into_iter().filter(|item| item.id > after)),
                other => return Err(unexpected(other)),
            }
            if all.last().is_none_or(|item| item.id <= after) {
                return Err(Error::Protocol("a page that leads nowhere".to_owned()));
            }
        }
    }

    /// Tries a failed item again, or all of them; says how many.
    ///
    /// # Errors
    /// [`Error::Unknown`] if no such item has failed.
    pub async fn retry(&self, mountpoint: &Path, id: Option<u64>) -> Result<u64, Error> {
        match self.ask(mountpoint, Request::Retry { id }).await?.next(PATIENCE).await? {
            Reply::Retried { items } => Ok(items),
            other => Err(unexpected(other)),
        }
    }

    /// Gives up the local changes of a failed item.
    ///
    /// # Errors
    /// [`Error::Unknown`] if no such item has failed; [`Error::Busy`] while it is in use.
    pub async fn discard(&self, mountpoint: &Path, id: u64) -> Result<Discarded, Error> {
        match self.ask(mountpoint, Request::Discard { id }).await?.next(PATIENCE).await? {
            Reply::Discarded(discarded) => Ok(discarded),
            other => Err(unexpected(other)),
        }
    }

    /// Pins what has this number in a mount; and what is pinned there by then, all together.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing has it.
    pub async fn pin(&self, mountpoint: &Path, id: u64) -> Result<(Pin, Pinned), Error> {
        match self.ask(mountpoint, Request::Pin { id }).await?.next(PATIENCE).await? {
            Reply::Pinned { pin, all } => Ok((pin, all)),
            other => Err(unexpected(other)),
        }
    }

    /// Asks the service about what has this number in a mount, now.
    ///
    /// # Errors
    /// [`Error::Refused`] if it cannot be asked, or there is nothing of that number.
    pub async fn refresh(&self, mountpoint: &Path, id: u64) -> Result<(), Error> {
        match self.ask(mountpoint, Request::Refresh { id }).await?.after_work().await? {
            Reply::Refreshed => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Evicts what can be had again; the bytes freed.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn clear_cache(&self, mountpoint: &Path) -> Result<u64, Error> {
        match self.ask(mountpoint, Request::Clear).await?.after_work().await? {
            Reply::Cleared { freed } => Ok(freed),
            other => Err(unexpected(other)),
        }
    }

    /// Lets one mount begin nothing more of what is to be sent.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn pause(&self, mountpoint: &Path) -> Result<(), Error> {
        match self.ask(mountpoint, Request::Pause).await?.next(PATIENCE).await? {
            Reply::Paused => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// The conflict copies in one mount.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn conflicts(&self, mountpoint: &Path) -> Result<Vec<Conflict>, Error> {
        let mut all: Vec<Conflict> = Vec::new();
        loop {
            let after = all.last().map_or(0, |item| item.id);
            match self.ask(mountpoint, Request::Conflicts { after }).await?.next(PATIENCE).await? {
                Reply::Conflicts { items } if items.is_empty() => return Ok(all),
                Reply::Conflicts { items } => all.extend(items.into_iter().filter(|item| item.id > after)),
                other => return Err(unexpected(other)),
            }
            if all.last().is_none_or(|item| item.id <= after) {
                return Err(Error::Protocol("a page that leads nowhere".to_owned()));
            }
        }
    }

    /// Takes a pin away.
    ///
    /// # Errors
    /// [`Error::Unknown`] if it is not pinned, [`Error::Refused`] if a folder above it is.
    pub async fn unpin(&self, mountpoint: &Path, id: u64) -> Result<(), Error> {
        match self.ask(mountpoint, Request::Unpin { id }).await?.next(PATIENCE).await? {
            Reply::Unpinned => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// What is pinned at one mount.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if nobody serves this mountpoint.
    pub async fn pins(&self, mountpoint: &Path) -> Result<Vec<Pin>, Error> {
        let mut all: Vec<Pin> = Vec::new();
        loop {
            let after = all.last().map_or(0, |pin| pin.id);
            match self.ask(mountpoint, Request::Pins { after }).await?.next(PATIENCE).await? {
                Reply::Pins { items } if items.is_empty() => return Ok(all),
                Reply::Pins { items } => all.extend(items.into_iter().filter(|pin| pin.id > after)),
                other => return Err(unexpected(other)),
            }
            if all.last().is_none_or(|pin| pin.id <= after) {
                return Err(Error::Protocol("a page that leads nowhere".to_owned()));
            }
        }
    }

    /// Reads what is staged of a file; `put` gets its bytes in order, and where they belong.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing of that number is staged; [`Error::Target`] with what `put` failed.
    pub async fn export(
        &self,
        mountpoint: &Path,
        id: u64,
        mut put: impl FnMut(u64, &[u8]) -> std::io::Result<()>,
    ) -> Result<Exported, Error> {
        let mut connection = self.ask(mountpoint, Request::Export { id }).await?;
        let mut exported = match connection.next(PATIENCE).await? {
            Reply::Exporting { path, size } => Exported { path, size, missing: Vec::new() },
            other => return Err(unexpected(other)),
        };
        loop {
            match connection.next(PATIENCE).await? {
                Reply::Piece { offset, len } => {
                    let bytes = connection.raw(len).await?;
                    put(offset, &bytes).map_err(Error::Target)?;
                }
                Reply::Missing { from, to, why } => exported.lack(from..to, why),
                Reply::Working => {}
                Reply::Exported => return Ok(exported),
                other => return Err(unexpected(other)),
            }
        }
    }

    async fn ask(&self, mountpoint: &Path, request: Request) -> Result<Connection, Error> {
        let canonical = place::canonical(mountpoint);
        let name = place::socket_name(&canonical);
        for dir in &self.dirs {
            if let Some(connection) = connect(&dir.join(&name), request).await? {
                return Ok(connection);
            }
        }
        Err(Error::NotRunning(canonical.display().to_string()))
    }
}

impl Exported {
    /// Ranges that meet and lack for one reason are told as one.
    fn lack(&mut self, range: Range<u64>, why: String) {
        match self.missing.last_mut() {
            Some((last, reason)) if last.end == range.start && *reason == why => last.end = range.end,
            _ => self.missing.push((range, why)),
        }
    }
}

async fn status(mut connection: Connection) -> Result<Found, Error> {
    match connection.next(PATIENCE).await? {
        Reply::Status { mount, status } => Ok(Found { mount, status }),
        other => Err(unexpected(other)),
    }
}

/// `None` if nobody listens; a dead socket is removed.
async fn connect(path: &Path, request: Request) -> Result<Option<Connection>, Error> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            let _ = std::fs::remove_file(path);
            return Ok(None);
        }
        Err(e) => return Err(e.into()),
    };
    let (from, mut to) = stream.into_split();
    wire::send(&mut to, &Envelope::new(request)?).await?;
    Ok(Some(Connection { from: BufReader::new(from), _to: to }))
}

impl Connection {
    /// The next message. The end of the connection is [`Error::Io`].
    async fn next(&mut self, patience: Duration) -> Result<Reply, Error> {
        let received = tokio::time::timeout(patience, wire::receive(&mut self.from, wire::MAX_REPLY));
        received
            .await
            .map_err(|_| Error::Silent)??
            .ok_or_else(|| ErrorKind::UnexpectedEof.into())
            .map_err(Error::Io)
    }

    /// The next message that is more than a sign of life.
    async fn after_work(&mut self) -> Result<Reply, Error> {
        loop {
            match self.next(PATIENCE).await? {
                Reply::Working => {}
                other => return Ok(other),
            }
        }
    }

    /// Bytes that follow a message.
    async fn raw(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        let len = usize::try_from(len.min(wire::MAX_PIECE + 1)).unwrap_or(usize::MAX);
        if len as u64 > wire::MAX_PIECE {
            return Err(Error::Protocol("a piece is too long".to_owned()));
        }
        let mut bytes = vec![0; len];
        let read = tokio::time::timeout(PATIENCE, self.from.read_exact(&mut bytes));
        read.await.map_err(|_| Error::Silent)??;
        Ok(bytes)
    }

    async fn drained(&mut self, mut progress: impl FnMut(&Status)) -> Result<Box<Status>, Error> {
        loop {
            match self.next(PATIENCE).await? {
                Reply::Progress { status } => progress(&status),
                Reply::Done { status } => return Ok(status),
                other => return Err(unexpected(other)),
            }
        }
    }
}

fn unexpected(reply: Reply) -> Error {
    match reply {
        Reply::Busy { why } => Error::Busy(why),
        Reply::Unknown { why } => Error::Unknown(why),
        Reply::Version { v } => Error::Version { theirs: v },
        Reply::Refused { why } => Error::Refused(why),
        other => Error::Protocol(format!("{other:?}").chars().take(200).collect()),
    }
}
