//! Small pictures of photos: those that the service has are put where desktops look for them, and of photos that were sent
//! one is made for it. So a folder of photos shows without a download of any.
//!
//! It is of no consequence: what fails is told in the log alone, nobody waits for it, and little is done at a time. What is
//! put there is plain: a person has to have asked for it ([`Thumbnails`]).

mod send;
mod show;
mod wait;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{Fs, Result};
use crate::pictures::uri_of;
use crate::store::nodes::{self, Node};
use crate::store::{self, Conn};
use crate::types::{Ino, Kind, Timestamp, Version};

/// Folders that wait to be looked at; the latest comes first, and of more the earliest is left out.
const FOLDERS_MAX: usize = 64;
/// Photos that wait for their picture to be made; of more the earliest is left out.
const SENT_MAX: usize = 65_536;
/// What was looked for is remembered; a place on the desktop and a content make one.
const LOOKED: NonZeroUsize = NonZeroUsize::new(32_768).unwrap();
/// So long what had no picture is taken to have none: other clients make theirs a while after the file.
const NONE_FOR: Duration = Duration::from_secs(600);

/// Extensions of what clients make pictures of.
const PICTURED: [&str; 19] = [
    "jpg", "jpeg", "jpe", "png", "gif", "bmp", "webp", "tif", "tiff", "heic", "heif", "avif", "svg", "pdf",
    "mp4", "mov", "webm", "mkv", "avi",
];

/// Where small pictures are put.
#[derive(Clone, Debug)]
pub struct Thumbnails {
    /// The user's cache directory, in which the desktop's `thumbnails` are.
    pub cache: PathBuf,
    /// Where the drive is mounted: pictures are found by the addresses of what they show.
    pub mountpoint: PathBuf,
}

/// What waits, and what was done.
pub(super) struct Thumbs {
    folders: Mutex<Folders>,
    /// Told of each picture that was looked for, and of the end of each folder.
    news: watch::Sender<()>,
    sent: Mutex<VecDeque<Ino>>,
    look: Notify,
    make: Notify,
    /// Until when not to look again.
    looked: Mutex<LruCache<u64, Option<Instant>>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Folders {
    waiting: VecDeque<Ino>,
    /// The one whose pictures are being brought.
    filling: Option<Ino>,
}

impl Default for Thumbs {
    fn default() -> Self {
        Thumbs {
            folders: Mutex::default(),
            news: watch::Sender::default(),
            sent: Mutex::default(),
            look: Notify::new(),
            make: Notify::new(),
            looked: Mutex::new(LruCache::new(LOOKED)),
            hasher: RandomState::new(),
        }
    }
}

/// What a file's picture is to be of, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    ino: Ino,
    version: Version,
    uri: String,
    /// As the mount shows it.
    mtime: Timestamp,
}

impl Thumbs {
    fn key(&self, shown: &Shown) -> u64 {
        self.hasher.hash_one((&shown.version.object, &shown.uri, shown.mtime))
    }

    /// Whether it was looked for.
    fn has_looked(&self, shown: &Shown) -> bool {
        let until = self.looked.lock().get(&self.key(shown)).copied();
        until.is_some_and(|until| until.is_none_or(|until| Instant::now() < until))
    }

    /// It was, once and for all or as of now.
    fn note_looked(&self, shown: &Shown, for_good: bool) {
        let until = (!for_good).then(|| Instant::now() + NONE_FOR);
        self.looked.lock().put(self.key(shown), until);
        self.news.send_replace(());
    }

    /// The next folder to be looked at. The one before is done.
    fn next_folder(&self) -> Option<Ino> {
        let next = {
            let mut folders = self.folders.lock();
            folders.filling = folders.waiting.pop_front();
            folders.filling
        };
        self.news.send_replace(());
        next
    }

    /// Whether no folder's pictures are.
    fn is_idle(&self) -> bool {
        let folders = self.folders.lock();
        folders.filling.is_none() && folders.waiting.is_empty()
    }

    /// Whether a folder's pictures are being brought, or will be soon.
    fn is_filling(&self, folder: Ino) -> bool {
        let folders = self.folders.lock();
        folders.filling == Some(folder) || folders.waiting.contains(&folder)
    }
}

impl Fs {
    /// Whether small pictures are shown, for which [`Fs::looked_into`] is to be told.
    pub fn shows_pictures(&self) -> bool {
        self.config.thumbnails.is_some()
    }

    /// Somebody, no program that nobody waits for, is about to list a folder.
    pub fn looked_into(&self, ino: Ino) {
        if !self.shows_pictures() || super::desk::Place::of(ino).is_some() {
            return;
        }
        let ino = self.inward(ino);
        let mut folders = self.thumbs.folders.lock();
        folders.waiting.retain(|other| *other != ino);
        folders.waiting.push_front(ino);
        folders.waiting.truncate(FOLDERS_MAX);
        drop(folders);
        self.thumbs.look.notify_one();
    }

    /// A file's content is on the server.
    pub(super) fn picture_soon(&self, ino: Ino) {
        if !self.shows_pictures() || self.config.read_only {
            return;
        }
        let mut sent = self.thumbs.sent.lock();
        sent.push_back(ino);
        if sent.len() > SENT_MAX {
            sent.pop_front();
        }
        drop(sent);
        self.thumbs.make.notify_one();
    }

    /// What is shown of a file that is as the server has it. `folder`: where it lies, if that is known.
    fn shown(&self, conn: &Conn, node: &Node, folder: Option<&Shelf>) -> store::Result<Option<Shown>> {
        let as_sent = node.kind == Kind::File && node.linked && !node.tomb && !node.content_dirty();
        let (Some(version), Some(parent)) = (node.version().filter(|_| as_sent), node.parent) else {
            return Ok(None);
        };
        let found;
        let folder = match folder {
            Some(folder) => folder,
            None => match self.shelf(conn, parent)? {
                Some(shelf) => {
                    found = shelf;
                    &found
                }
                None => return Ok(None),
            },
        };
        let uri = uri_of(&folder.path.join(&node.name));
        Ok(Some(Shown { ino: node.ino, version: version.clone(), uri, mtime: node.mtime }))
    }

    /// Where a folder is on this machine; `None` if it is not to be seen.
    fn shelf(&self, conn: &Conn, folder: Ino) -> store::Result<Option<Shelf>> {
        let Some(to) = &self.config.thumbnails else { return Ok(None) };
        let (root, mut names, mut at) = (self.inward(Ino::ROOT), Vec::new(), folder);
        while at != root {
            let Some(node) = nodes::get(conn, at)?.filter(|n| n.linked && !n.tomb) else { return Ok(None) };
            let Some(parent) = node.parent else { return Ok(None) };
            names.push(node.name);
            at = parent;
        }
        let mut path = to.mountpoint.clone();
        path.extend(names.iter().rev());
        Ok(Some(Shelf { path }))
    }
}

/// Where a folder is on this machine.
struct Shelf {
    path: PathBuf,
}

/// Whether a name is one of something that clients make pictures of.
fn is_pictured(name: &str) -> bool {
    extension(name).is_some_and(|ext| PICTURED.contains(&ext.as_str()))
}

fn extension(name: &str) -> Option<String> {
    name.rsplit_once('.').map(|(_, ext)| ext.to_ascii_lowercase())
}

/// Starts what there is to do.
pub(super) fn spawn(fs: &Arc<Fs>) {
    let Some(to) = fs.config.thumbnails.clone() else { return };
    fs.spawn(show::run(fs.clone(), to));
    if !fs.config.read_only {
        fs.spawn(send::run(fs.clone()));
    }
}

/// Runs what takes the processor or the disk for a while, away from the threads that answer.
async fn aside<T: Send + 'static>(
    fs: &Arc<Fs>,
    work: impl FnOnce(&Arc<Fs>) -> Result<T> + Send + 'static,
) -> Result<T> {
    fs.blocking(work).get().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_may_have_a_picture() {
        for name in ["a.JPG", "b.c.png", ".heic", "x.Mp4"] {
            assert!(is_pictured(name), "{name}");
        }
        for name in ["jpg", "a.txt", "a.jpg.part", "a."] {
            assert!(!is_pictured(name), "{name}");
        }
    }

    #[test]
    fn what_was_found_is_not_looked_for_again_and_what_was_not_is_after_a_while() {
        let thumbs = Thumbs::default();
        let version = Version { bucket: "b".to_owned(), object: "o".to_owned() };
        let shown = Shown {
            ino: Ino(9),
            version,
            uri: "file:///a".to_owned(),
            mtime: Timestamp { secs: 7, nanos: 0 },
        };
        assert!(!thumbs.has_looked(&shown));
        thumbs.note_looked(&shown, true);
        assert!(thumbs.has_looked(&shown));
        assert!(!thumbs.has_looked(&Shown { uri: "file:///b".to_owned(), ..shown.clone() }));
        assert!(!thumbs.has_looked(&Shown { mtime: Timestamp { secs: 8, nanos: 0 }, ..shown.clone() }));
        thumbs.looked.lock().put(thumbs.key(&shown), Some(Instant::now()));
        assert!(!thumbs.has_looked(&shown));
    }
}
