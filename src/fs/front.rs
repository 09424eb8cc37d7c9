//! What the kernel asks for: of the drive's tree, or of what lies beside it for file managers ([`desk`](super::desk)).
//! Which of the two is decided here and nowhere else.

use std::sync::Arc;

use bytes::Bytes;

use super::desk::{Desk, Place};
use super::tree::{DOT, DOTDOT};
use super::{Answer, Attr, DirEntry, Error, Fs, OpenFlags, Opened, Result, SetAttr};
use crate::types::{Fh, Ino, Kind};

impl Fs {
    /// The entry of a folder.
    pub fn lookup(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        if let Some(folder) = Place::of(parent) {
            return Answer::Now(self.desk_lookup(folder, name));
        }
        match self.on_desk(parent, name) {
            Ok(Some(place)) => Answer::Now(self.desk_attr(place)),
            Ok(None) => self.tree_lookup(parent, name),
            Err(e) => Answer::Now(Err(e)),
        }
    }

    /// A node's attributes, those of an open file as its handles see it.
    ///
    /// # Errors
    /// [`Error::Stale`] for numbers that are gone.
    pub fn getattr(self: &Arc<Self>, ino: Ino) -> Result<Attr> {
        match Place::of(ino) {
            Some(place) => self.desk_attr(place),
            None => self.tree_getattr(ino),
        }
    }

    /// Sets size or modification time. The time travels with the next upload; of content that is uploaded it is
    /// kept here, for as long as that version is shown, and no request ever carries it.
    pub fn setattr(self: &Arc<Self>, ino: Ino, set: SetAttr) -> Answer<Attr> {
        match Place::of(ino) {
            Some(place) => Answer::Now(self.desk_resize(place, set.size)),
            None => self.tree_setattr(ino, set),
        }
    }

    /// Entries whose cookie is above `after`, in the order of cookies, `.` and `..` first; up to `limit` of
    /// them. An empty answer is the end.
    pub fn readdir(self: &Arc<Self>, ino: Ino, after: u64, limit: usize) -> Answer<Vec<DirEntry>> {
        let Some(folder) = Place::of(ino) else { return self.tree_readdir(ino, after, limit) };
        let looks = matches!(folder, Place::Files | Place::Info) && after == 0;
        if !looks || !self.is_trash_due() {
            return Answer::Now(self.desk_page(folder, ino, after, limit));
        }
        let fs = self.clone();
        Answer::later(async move {
            fs.see_trash().await;
            fs.desk_page(folder, ino, after, limit)
        })
    }

    fn desk_page(
        self: &Arc<Self>,
        folder: Place,
        ino: Ino,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DirEntry>> {
        let above = if folder == Place::Trash { Ino::ROOT } else { Ino::TRASH };
        let mut entries = Vec::new();
        for (cookie, name, of) in [(DOT, ".", ino), (DOTDOT, "..", above)] {
            if after < cookie {
                entries.push(DirEntry { cookie, name: name.to_owned(), attr: self.getattr(of)? });
            }
        }
        entries.extend(self.desk_entries(folder, after.max(DOTDOT), limit)?);
        Ok(entries)
    }

    /// Creates a file and opens it.
    pub fn create(self: &Arc<Self>, parent: Ino, name: &[u8], flags: OpenFlags) -> Answer<(Attr, Opened)> {
        if let Some(folder) = Place::of(parent) {
            return Answer::Now(self.desk_create(folder, name, flags));
        }
        match self.check_new(parent, name) {
            Ok(()) => self.tree_create(parent, name, flags),
            Err(e) => Answer::Now(Err(e)),
        }
    }

    /// Creates a folder.
    pub fn mkdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<Attr> {
        if let Some(folder) = Place::of(parent) {
            let there = self.desk_lookup(folder, name);
            return Answer::Now(there.and(Err(Error::Exists)).map_err(|e| match e {
                Error::NotFound => Error::NotPermitted,
                other => other,
            }));
        }
        match self.check_new(parent, name) {
            Ok(()) => self.tree_mkdir(parent, name),
            Err(e) => Answer::Now(Err(e)),
        }
    }

    /// Nobody's trash is made in the root: it would be a folder like any other, and sent.
    fn check_new(&self, parent: Ino, name: &[u8]) -> Result<()> {
        match self.on_desk(parent, name)? {
            Some(Place::Trash) => Err(Error::Exists),
            _ if parent == Ino::ROOT && Self::is_trash_name(name) => Err(Error::NotPermitted),
            _ => Ok(()),
        }
    }

    /// Removes a file's name. On the server it goes to the trash; what lies in that goes for good.
    pub fn unlink(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<()> {
        self.remove(parent, name, Kind::File)
    }

    /// Removes an empty folder. On the server it goes to the trash, after a look whether it is still empty there.
    pub fn rmdir(self: &Arc<Self>, parent: Ino, name: &[u8]) -> Answer<()> {
        self.remove(parent, name, Kind::Folder)
    }

    fn remove(self: &Arc<Self>, parent: Ino, name: &[u8], kind: Kind) -> Answer<()> {
        if let Some(folder) = Place::of(parent) {
            return Answer::Now(self.desk_remove(folder, name, kind));
        }
        match self.check_old(parent, name) {
            Ok(()) => self.tree_remove(parent, name, kind),
            Err(e) => Answer::Now(Err(e)),
        }
    }

    /// The trash itself and the drive's name stay.
    fn check_old(&self, parent: Ino, name: &[u8]) -> Result<()> {
        match self.on_desk(parent, name)? {
            Some(Place::Trash) => Err(Error::Busy),
            Some(_) => Err(Error::NotPermitted),
            None => Ok(()),
        }
    }

    /// Moves and renames; over an existing entry unless `noreplace`. Into the trash, and out of it again.
    pub fn rename(
        self: &Arc<Self>,
        parent: Ino,
        name: &[u8],
        to: Ino,
        to_name: &[u8],
        noreplace: bool,
    ) -> Answer<()> {
        let outside = Place::of(parent).is_some() || Place::of(to).is_some();
        let allowed = self.check_old(parent, name).and_then(|()| self.check_new(to, to_name));
        match allowed {
            Err(e) => Answer::Now(Err(e)),
            Ok(()) if outside => self.desk_rename(((parent, name), (to, to_name)), noreplace),
            Ok(()) => self.tree_rename(parent, name, to, to_name, noreplace),
        }
    }

    /// Opens a file. Never waits for the network.
    pub fn open(self: &Arc<Self>, ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        match Place::of(ino) {
            Some(place) => Answer::Now(self.desk_open(place, flags)),
            None => self.tree_open(ino, flags),
        }
    }

    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    pub fn read(self: &Arc<Self>, fh: Fh, offset: u64, len: u32) -> Answer<Bytes> {
        if Desk::has_opened(fh) {
            return Answer::Now(self.desk_read(fh, offset, len));
        }
        self.tree_read(fh, offset, len)
    }

    /// Writes through a handle.
    pub fn write(self: &Arc<Self>, fh: Fh, offset: u64, data: &[u8]) -> Answer<u32> {
        if Desk::has_opened(fh) {
            return Answer::Now(self.desk_write(fh, offset, data));
        }
        self.tree_write(fh, offset, data)
    }

    /// Each `close(2)`: the bytes, the name and the times survive the death of this process; and what they replace
    /// survives a loss of power if they do not.
    pub fn flush(self: &Arc<Self>, fh: Fh) -> Answer<()> {
        if Desk::has_opened(fh) { Answer::Now(Ok(())) } else { self.tree_flush(fh) }
    }

    /// They survive a loss of power.
    pub fn fsync(self: &Arc<Self>, fh: Fh) -> Answer<()> {
        if Desk::has_opened(fh) { self.blocking(Fs::sync_all) } else { self.tree_fsync(fh) }
    }

    /// The last close of a handle.
    pub fn release(self: &Arc<Self>, fh: Fh) {
        if Desk::has_opened(fh) { self.desk.release(fh) } else { self.tree_release(fh) }
    }

    /// An attribute's value.
    pub fn getxattr(self: &Arc<Self>, ino: Ino, name: &[u8]) -> Answer<Vec<u8>> {
        match Place::of(ino) {
            Some(_) => Answer::Now(Err(Error::NotSupported)),
            None => self.tree_getxattr(ino, name),
        }
    }

    /// Sets an attribute.
    pub fn setxattr(self: &Arc<Self>, ino: Ino, name: &[u8], value: &[u8]) -> Answer<()> {
        match Place::of(ino) {
            Some(_) => Answer::Now(Err(Error::NotSupported)),
            None => self.tree_setxattr(ino, name, value),
        }
    }

    /// Takes an attribute away.
    pub fn removexattr(self: &Arc<Self>, ino: Ino, name: &[u8]) -> Answer<()> {
        match Place::of(ino) {
            Some(_) => Answer::Now(Err(Error::NotSupported)),
            None => self.tree_removexattr(ino, name),
        }
    }
}
