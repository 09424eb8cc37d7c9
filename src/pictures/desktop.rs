//! Where desktops keep small pictures of files (the thumbnail standard of freedesktop.org): one file for each size, named
//! by the hash of the address of what it shows, with that address and its modification time in notes.
//!
//! The time is in it twice. GLib, and the standard, take whole seconds in a plain note and nothing else; the thumbnailer of Xfce
//! compares microseconds, and makes anew what has none. It takes the first note of that name, whatever the kind; GLib passes
//! over those that are not plain.
//!
//! They are the desktop's: what is valid is left alone, whoever made it, and nothing is ever removed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use md5::{Digest, Md5};

use super::{Note, Picture};
use crate::types::Timestamp;

/// The folders, and how large what is in them is at most.
const SIZES: [(&str, u32); 3] = [("normal", 128), ("large", 256), ("x-large", 512)];
const URI: &str = "Thumb::URI";
const MTIME: &str = "Thumb::MTime";
/// Parts of a file that are looked at for its notes, and bytes of a note.
const PARTS_MAX: usize = 1000;
const NOTE_MAX: u32 = 16 << 10;

/// A desktop's small pictures.
#[derive(Clone, Debug)]
pub struct Desktop {
    root: PathBuf,
}

impl Desktop {
    /// Those in `thumbnails` below the cache directory of a user.
    #[must_use]
    pub fn below(cache: &Path) -> Self {
        Desktop { root: cache.join("thumbnails") }
    }

    /// Whether any size of what is at an address, as it has been since `mtime`, is not there.
    #[must_use]
    pub fn lacks(&self, uri: &str, mtime: Timestamp) -> bool {
        SIZES.iter().any(|(folder, _)| !is_valid(&self.place(folder, uri), uri, mtime))
    }

    /// Adds the sizes that are not there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn put(&self, uri: &str, mtime: Timestamp, picture: &Picture) -> io::Result<()> {
        for (folder, most) in SIZES {
            let place = self.place(folder, uri);
            if is_valid(&place, uri, mtime) {
                continue;
            }
            let notes = [
                Note::International(MTIME, &precise(mtime)),
                Note::Plain(URI, uri),
                Note::Plain(MTIME, &mtime.secs.to_string()),
                Note::Plain("Software", "inxtfs"),
            ];
            let png = picture.within(most).to_png(&notes).map_err(io::Error::other)?;
            write(&self.root.join(folder), &place, &png)?;
        }
        Ok(())
    }

    fn place(&self, folder: &str, uri: &str) -> PathBuf {
        let name = hex::encode(Md5::digest(uri.as_bytes()));
        self.root.join(folder).join(format!("{name}.png"))
    }
}

/// Whole or not at all, and nobody else's to read.
fn write(folder: &Path, place: &Path, png: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".inxtfs-{}-{next}.png", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(png).and_then(|()| std::fs::rename(&temporary, place));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// To the microsecond.
fn precise(mtime: Timestamp) -> String {
    format!("{}.{:06}", mtime.secs, mtime.nanos / 1000)
}

/// Whether a file is the picture of what is at an address since then, by its notes.
fn is_valid(place: &Path, uri: &str, mtime: Timestamp) -> bool {
    let Ok(file) = File::open(place) else { return false };
    let (mut of, mut since) = (None, None);
    let read = each_note(&mut BufReader::new(file), |key, note| match key {
        URI => of = Some(note == uri),
        MTIME => since = Some(note == precise(mtime) || note.parse() == Ok(mtime.secs)),
        _ => {}
    });
    read.is_ok() && of == Some(true) && since == Some(true)
}

/// Reads a picture's notes; what is no picture is an error.
fn each_note(file: &mut (impl Read + Seek), mut tell: impl FnMut(&str, &str)) -> io::Result<()> {
    let mut signature = [0; 8];
    file.read_exact(&mut signature)?;
    if signature != [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    for _ in 0..PARTS_MAX {
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        if &kind == b"IEND" {
            return Ok(());
        }
        if &kind != b"tEXt" || length > NOTE_MAX {
            file.seek(SeekFrom::Current(i64::from(length) + 4))?;
            continue;
        }
        let mut part = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact(&mut part)?;
        file.seek(SeekFrom::Current(4))?;
        let mut halves = part.splitn(2, |byte| *byte == 0).map(std::str::from_utf8);
        if let (Some(Ok(key)), Some(Ok(note))) = (halves.next(), halves.next()) {
            tell(key, note);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The address of a file, written as GLib does it: programs look for it byte by byte.
#[must_use]
pub fn uri_of(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,:=@".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}
