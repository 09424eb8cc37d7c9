//! What file managers look for at the root of a drive, and the service does not know: the trash, and what the drive is
//! called. None of it is a node, none of it is ever sent.
//!
//! ```text
//! .Trash-UID/files/       what lies in the trash (`bin`)
//! .Trash-UID/info/        what programs tell of each: where it was, and since when it is there (`notes`)
//! .Trash-UID/expunged/    whatever is put here is deleted for good
//! .Trash-UID/directorysizes and the like: notes, too
//! .xdg-volume-info        a name and an icon (`volume`)
//! ```
//!
//! They are found by name and not listed: what walks through the drive (`rsync --delete`, `find`, a backup) is to leave
//! the trash alone. [`front`](super::front) is the one place that tells them from the tree.

mod bin;
mod notes;
mod others;
mod volume;

use std::collections::HashMap;

pub(super) use notes::INFO;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Attr, DirEntry, Error, Fs, Result};
use crate::store::nodes::{self, Note};
use crate::types::{Fh, Ino, Kind, Timestamp};

/// Notes are numbered from here, nodes never come so far.
const NOTES: u64 = 1 << 62;
/// So are the handles of what is not in the tree.
const HANDLES: u64 = 1 << 62;

/// What is behind a number that is no node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// `.Trash-UID`.
    Trash,
    /// `files`.
    Files,
    /// `info`.
    Info,
    /// `expunged`.
    Expunged,
    /// `.xdg-volume-info`.
    Volume,
    /// A note.
    Note(u64),
}

/// The folders of the trash.
const FOLDERS: [(&str, Place, Ino); 3] = [
    ("files", Place::Files, Ino::TRASH_FILES),
    ("info", Place::Info, Ino::TRASH_INFO),
    ("expunged", Place::Expunged, Ino::TRASH_EXPUNGED),
];

impl Place {
    /// `None`: a node.
    pub fn of(ino: Ino) -> Option<Place> {
        match ino {
            Ino::TRASH => Some(Place::Trash),
            Ino::VOLUME_INFO => Some(Place::Volume),
            Ino(n) if n >= NOTES => Some(Place::Note(n - NOTES)),
            _ => FOLDERS.iter().find(|(_, _, number)| *number == ino).map(|(_, place, _)| *place),
        }
    }

    /// Its number.
    fn ino(self) -> Ino {
        match self {
            Place::Trash => Ino::TRASH,
            Place::Files => Ino::TRASH_FILES,
            Place::Info => Ino::TRASH_INFO,
            Place::Expunged => Ino::TRASH_EXPUNGED,
            Place::Volume => Ino::VOLUME_INFO,
            Place::Note(id) => Ino(NOTES + id),
        }
    }
}

/// An open note, or the drive's name.
#[derive(Clone, Copy)]
struct Open {
    place: Place,
    write: bool,
    append: bool,
}

/// What is remembered while the mount stands.
pub(super) struct Desk {
    /// When the mount began, for the times of what has none.
    since: Timestamp,
    handles: Mutex<(u64, HashMap<Fh, Open>)>,
    /// When the service was last asked what is in its trash.
    asked: Mutex<Option<Instant>>,
}

impl Default for Desk {
    fn default() -> Self {
        let handles = Mutex::new((HANDLES, HashMap::new()));
        Desk { since: Timestamp::now(), handles, asked: Mutex::default() }
    }
}

impl Desk {
    /// Whether a handle is one of these.
    pub fn has_opened(fh: Fh) -> bool {
        fh.0 >= HANDLES
    }

    fn add(&self, open: Open) -> Fh {
        let mut handles = self.handles.lock();
        handles.0 += 1;
        let fh = Fh(handles.0);
        handles.1.insert(fh, open);
        fh
    }

    fn get(&self, fh: Fh) -> Result<Open> {
        self.handles.lock().1.get(&fh).copied().ok_or(Error::BadHandle)
    }

    /// Closes a handle.
    pub fn release(&self, fh: Fh) {
        self.handles.lock().1.remove(&fh);
    }
}

fn utf8(name: &[u8]) -> Result<&str> {
    std::str::from_utf8(name).map_err(|_| Error::NotFound)
}

impl Fs {
    /// The trash's name in the root.
    fn trash_name(&self) -> String {
        format!(".Trash-{}", self.config.owner)
    }

    /// Whether a name in the root belongs to somebody's trash, which is not made there.
    pub(super) fn is_trash_name(name: &[u8]) -> bool {
        let rest = name.strip_prefix(b".Trash");
        rest.is_some_and(|rest| match rest.strip_prefix(b"-") {
            Some(uid) => !uid.is_empty() && uid.iter().all(u8::is_ascii_digit),
            None => rest.is_empty(),
        })
    }

    /// Whether a real entry of this name would be hidden by the trash.
    pub(super) fn is_hidden_by_trash(&self, parent: Ino, name: &str) -> bool {
        self.outward(parent) == Ino::ROOT && name == self.trash_name()
    }

    /// What has this name in the root, if it is none of the tree's.
    pub(super) fn on_desk(&self, parent: Ino, name: &[u8]) -> Result<Option<Place>> {
        if parent != Ino::ROOT {
            return Ok(None);
        }
        if name == self.trash_name().as_bytes() {
            return Ok(Some(Place::Trash));
        }
        if name != volume::NAME.as_bytes() {
            return Ok(None);
        }
        let real = self.db().glance(|c| nodes::child(c, self.inward(parent), volume::NAME))?;
        Ok(real.is_none().then_some(Place::Volume))
    }

    /// The entry of one of the trash's folders.
    pub(super) fn desk_lookup(&self, folder: Place, name: &[u8]) -> Result<Attr> {
        let name = utf8(name)?;
        if folder == Place::Files {
            let node = self.db().glance(|c| nodes::entry_named(c, name))?.ok_or(Error::NotFound)?;
            return Ok(self.attr(&node));
        }
        let inner = FOLDERS.iter().find(|(n, _, _)| folder == Place::Trash && *n == name);
        match inner {
            Some((_, place, _)) => self.desk_attr(*place),
            None => self.note_attr(folder, name),
        }
    }

    fn note_attr(&self, folder: Place, name: &str) -> Result<Attr> {
        let note = self.db().glance(|c| nodes::note_named(c, folder.ino(), name))?;
        Ok(attr_of(&note.ok_or(Error::NotFound)?))
    }

    /// Attributes of what is not in the tree.
    pub(super) fn desk_attr(&self, place: Place) -> Result<Attr> {
        let (kind, size, writable) = match place {
            Place::Volume => (Kind::File, self.volume_info().len() as u64, false),
            Place::Note(id) => {
                let (note, _) = self.db().glance(|c| nodes::note(c, id))?.ok_or(Error::Stale)?;
                return Ok(attr_of(&note));
            }
            _ => (Kind::Folder, 0, true),
        };
        let at = self.desk.since;
        // Programs use a trash only if it is nobody else's.
        let private = kind == Kind::Folder;
        Ok(Attr {
            ino: place.ino(),
            kind,
            size,
            mtime: at,
            ctime: at,
            btime: at,
            writable,
            linked: true,
            private,
        })
    }

    /// A page of a folder's entries, without `.` and `..`.
    pub(super) fn desk_entries(&self, folder: Place, after: u64, limit: usize) -> Result<Vec<DirEntry>> {
        if folder == Place::Files {
            let entries = self.db().read(|c| nodes::entries_in_trash(c, Ino(after), limit))?;
            let entry = |(name, node): (String, _)| {
                let attr = self.attr(&node);
                DirEntry { cookie: attr.ino.0, name, attr }
            };
            return Ok(entries.into_iter().map(entry).collect());
        }
        let mut entries = Vec::new();
        for (name, place, ino) in FOLDERS.into_iter().filter(|(_, _, ino)| ino.0 > after) {
            if folder == Place::Trash {
                entries.push(DirEntry { cookie: ino.0, name: name.to_owned(), attr: self.desk_attr(place)? });
            }
        }
        let seen = after.saturating_sub(NOTES);
        let notes = self.db().read(|c| nodes::notes(c, folder.ino(), seen, limit))?;
        entries.extend(notes.into_iter().map(|note| {
            let attr = attr_of(&note);
            DirEntry { cookie: attr.ino.0, name: note.name, attr }
        }));
        Ok(entries)
    }

    /// Before anything is shown: a real entry that has the trash's name gets another one, and what was told of things
    /// that are gone goes.
    pub(super) fn set_desk(&self) -> Result<()> {
        let (root, name) = (self.inward(Ino::ROOT), self.trash_name());
        self.db().write(|tx| {
            nodes::loose_notes(tx, Ino::TRASH_INFO, INFO)?;
            let Some(mut real) = nodes::child(tx, root, &name)? else { return Ok(()) };
            let id = real.id().map_or_else(|| real.ino.to_string(), |id| id.as_str().to_owned());
            real.alias = real.remote.is_some();
            real.name = crate::names::alias(&name, &id);
            nodes::save(tx, &real)
        })?;
        Ok(())
    }
}

fn attr_of(note: &Note) -> Attr {
    Attr {
        ino: Place::Note(note.id).ino(),
        kind: Kind::File,
        size: note.size,
        mtime: note.mtime,
        ctime: note.mtime,
        btime: note.mtime,
        writable: true,
        linked: true,
        private: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_trash_a_name_is() {
        for name in [".Trash", ".Trash-1000", ".Trash-0"] {
            assert!(Fs::is_trash_name(name.as_bytes()), "{name}");
        }
        for name in ["Trash", ".Trash-", ".Trash-me", ".Trash-1 (x)", ".Trashes", ".Trash-1/x"] {
            assert!(!Fs::is_trash_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn numbers_lead_to_places_and_back() {
        let all = [Place::Trash, Place::Files, Place::Info, Place::Expunged, Place::Volume, Place::Note(7)];
        assert!(all.into_iter().all(|place| Place::of(place.ino()) == Some(place)));
        assert_eq!([Ino::ROOT, Ino::RECOVERY, Ino(64)].map(Place::of), [None; 3]);
    }
}
