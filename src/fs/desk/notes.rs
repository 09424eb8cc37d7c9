//! The small files that programs keep beside the trash. Each write is a transaction: they are written once, in one go.

use bytes::Bytes;

use super::{Open, Place, utf8};
use crate::fs::{Attr, Error, Fs, OpenFlags, Opened, Result};
use crate::names;
use crate::store::nodes;
use crate::types::{Fh, Ino, Timestamp};

/// What a program tells of a thing in the trash has the thing's name and this behind it.
pub(in crate::fs) const INFO: &str = ".trashinfo";
/// No note is larger.
const LARGEST: usize = 1 << 20;

impl Fs {
    /// Makes a note and opens it.
    pub(in crate::fs) fn desk_create(
        &self,
        folder: Place,
        name: &[u8],
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        self.check_writable()?;
        let name = names::check(name, false)?;
        if !matches!(folder, Place::Trash | Place::Info) {
            return Err(Error::NotPermitted);
        }
        match self.desk_lookup(folder, name.as_bytes()) {
            Err(Error::NotFound) => {}
            Err(e) => return Err(e),
            Ok(_) if flags.exclusive => return Err(Error::Exists),
            Ok(found) => {
                let place = Place::of(found.ino).ok_or(Error::NotFound)?;
                let opened = self.desk_open(place, flags)?;
                return Ok((self.desk_attr(place)?, opened));
            }
        }
        let note = self.db().write(|tx| nodes::put_note(tx, folder.ino(), name, &[], Timestamp::now()))?;
        let place = Place::Note(note.id);
        let opened = self.desk_open(place, OpenFlags { truncate: false, ..flags })?;
        Ok((super::attr_of(&note), opened))
    }

    /// Opens a note, or the drive's name.
    pub(in crate::fs) fn desk_open(&self, place: Place, flags: OpenFlags) -> Result<Opened> {
        if flags.write || flags.truncate {
            self.check_writable()?;
        }
        match place {
            Place::Volume if flags.write || flags.truncate => return Err(Error::ReadOnly),
            Place::Volume => {}
            Place::Note(id) if flags.truncate => self.change(id, Vec::clear)?,
            Place::Note(_) => {}
            _ => return Err(Error::IsDir),
        }
        let fh = self.desk.add(Open { place, write: flags.write, append: flags.append });
        Ok(Opened { fh, keep_cache: false })
    }

    /// Bytes of it.
    pub(in crate::fs) fn desk_read(&self, fh: Fh, offset: u64, len: u32) -> Result<Bytes> {
        let body = match self.desk.get(fh)?.place {
            Place::Volume => self.volume_info().into_bytes(),
            Place::Note(id) => self.db().read(|c| nodes::note(c, id))?.ok_or(Error::Stale)?.1,
            _ => return Err(Error::IsDir),
        };
        let start = usize::try_from(offset).map_or(body.len(), |at| at.min(body.len()));
        let end = body.len().min(start.saturating_add(len as usize));
        Ok(Bytes::from(body).slice(start..end))
    }

    /// Writes bytes of it.
    pub(in crate::fs) fn desk_write(&self, fh: Fh, offset: u64, data: &[u8]) -> Result<u32> {
        let Open { place: Place::Note(id), write: true, append } = self.desk.get(fh)? else {
            return Err(Error::BadHandle);
        };
        let offset = usize::try_from(offset).map_err(|_| Error::TooLarge)?;
        if offset.saturating_add(data.len()) > LARGEST {
            return Err(Error::TooLarge);
        }
        self.change(id, |body| {
            let at = if append { body.len() } else { offset };
            let end = at + data.len();
            body.resize(body.len().max(end), 0);
            body[at..end].copy_from_slice(data);
        })?;
        u32::try_from(data.len()).map_err(|_| Error::TooLarge)
    }

    /// Cuts or extends it.
    pub(in crate::fs) fn desk_resize(&self, place: Place, size: Option<u64>) -> Result<Attr> {
        if let Some(size) = size {
            let Place::Note(id) = place else { return Err(Error::NotPermitted) };
            self.check_writable()?;
            let size = usize::try_from(size).ok().filter(|s| *s <= LARGEST).ok_or(Error::TooLarge)?;
            self.change(id, |body| body.resize(size, 0))?;
        }
        self.desk_attr(place)
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let changed = self.db().write(|tx| {
            let Some((_, mut body)) = nodes::note(tx, id)? else { return Ok(false) };
            change(&mut body);
            if body.len() > LARGEST {
                return Ok(true);
            }
            nodes::change_note(tx, id, &body, Timestamp::now())
        })?;
        self.sync.note_names();
        if changed { Ok(()) } else { Err(Error::Stale) }
    }

    /// Removes a note.
    pub(super) fn drop_note(&self, folder: Place, name: &[u8]) -> Result<()> {
        let name = utf8(name)?;
        let dropped = self.db().write(|tx| nodes::drop_note(tx, folder.ino(), name))?;
        if dropped { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Gives a note another name.
    pub(super) fn rename_note(
        &self,
        from: (Place, &[u8]),
        to: (Place, &[u8]),
        noreplace: bool,
    ) -> Result<()> {
        let (name, to_name) = (utf8(from.1)?, names::check(to.1, false)?);
        if to.0 == Place::Trash && super::FOLDERS.iter().any(|(taken, _, _)| *taken == to_name) {
            return Err(Error::IsDir);
        }
        let (from, to): ((Ino, &str), _) = ((from.0.ino(), name), (to.0.ino(), to_name));
        let renamed = self.db().write(|tx| {
            if noreplace && nodes::note_named(tx, to.0, to.1)?.is_some() {
                return Ok(Err(Error::Exists));
            }
            Ok(Ok(nodes::rename_note(tx, from, to)?))
        })??;
        self.sync.note_names();
        if renamed { Ok(()) } else { Err(Error::NotFound) }
    }
}
