//! Small pictures: of what a folder holds into the desktop's cache, and of what was sent to the service.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use inxtfs::fs::{Answer, Config, Disk, Gauge, OpenFlags, Thumbnails};
use inxtfs::pictures::{Desktop, Picture, uri_of};
use inxtfs::remote::fault::Action;
use inxtfs::remote::memory::Memory;
use inxtfs::remote::{Method, Remote, Row};
use inxtfs::types::NodeId;
use md5::{Digest, Md5};

use super::harness::{Engine, READ, eventually, patient};

/// 60 by 40 pixels.
const PHOTO: &[u8] = include_bytes!("../fixtures/quarters.jpg");
/// The same, held upright.
const UPRIGHT: &[u8] = include_bytes!("../fixtures/held.jpg");
/// 60 by 40 pixels, small as pictures of pictures are.
const SMALL: &[u8] = include_bytes!("../fixtures/interlaced.png");

/// A drive and a desktop.
struct Desk {
    e: Engine,
    cache: tempfile::TempDir,
}

/// Where the drive would be mounted.
fn point() -> PathBuf {
    PathBuf::from("/mnt/my drive")
}

fn address(path: &str) -> String {
    uri_of(&point().join(path))
}

impl Desk {
    fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let thumbnails = Some(Thumbnails { cache: cache.path().to_owned(), mountpoint: point() });
        // However full this disk is: what was sent stays long enough for a picture to be made of it.
        let disk = Gauge::new(|_| Some(Disk { total: 1 << 40, free: 1 << 39 }));
        Desk { e: Engine::over(Memory::new(), Config { thumbnails, disk, ..patient() }), cache }
    }

    /// Where a file's picture of a size is.
    fn place(&self, size: &str, path: &str) -> PathBuf {
        let name = hex::encode(Md5::digest(address(path)));
        self.cache.path().join(format!("thumbnails/{size}/{name}.png"))
    }

    /// How large the picture is that a desktop shows of a file as it is now.
    fn shown(&self, path: &str) -> Option<(u32, u32)> {
        let mtime = self.e.stat(path).unwrap().mtime;
        if Desktop::below(self.cache.path()).lacks(&address(path), mtime) {
            return None;
        }
        let bytes = std::fs::read(self.place("large", path)).unwrap();
        Some(Picture::decode(&bytes, 1000).unwrap().size())
    }

    fn look(&self, folder: &str) {
        self.e.fs().looked_into(self.e.ino(folder).unwrap());
    }

    /// Another client's picture of a file.
    fn foreign_picture(&self, id: &NodeId, png: &'static [u8]) {
        let b = self.e.cloud.client("b");
        self.e.block_on(b.set_thumbnail(id, None, Bytes::from_static(png))).unwrap();
    }

    /// A photo that another client put into the root, with its picture.
    fn foreign_photo(&self, name: &str, png: &'static [u8]) -> Row {
        let row = self.e.foreign_file(&self.e.cloud_root(), name, PHOTO);
        self.foreign_picture(&row.id, png);
        self.e.polls(2);
        row
    }

    /// Looks into the root, and comes back when all that it holds has been looked at: the last made is shown.
    fn look_at_all(&self, last: &str) {
        self.foreign_photo(last, SMALL);
        self.look("");
        eventually("the last one is shown", || self.shown(last).is_some());
    }

    /// What the service has for a file's picture.
    fn picture(&self, row: &Row) -> Option<Picture> {
        let parent = row.parent.clone().unwrap();
        let b = self.e.cloud.client("b");
        let bytes = self.e.block_on(async {
            let found = b.thumbnails(&parent, 0).await.unwrap().found;
            let (_, thumbnail) = found.into_iter().find(|(r, _)| r.id == row.id)?;
            Some(b.thumbnail(&thumbnail.version).await.unwrap())
        })?;
        assert!(bytes.starts_with(b"\x89PNG"));
        Some(Picture::decode(&bytes, 1000).unwrap())
    }

    fn asked(&self, method: Method) -> usize {
        self.e.cloud.calls().iter().filter(|c| c.client == "here" && c.method == method).count()
    }
}

fn is_now<T>(answer: &Answer<T>) -> bool {
    matches!(answer, Answer::Now(_))
}

#[test]
fn a_folder_that_is_looked_into_shows_its_pictures_without_a_download() {
    let d = Desk::new();
    let album = d.e.cloud.add_folder(&d.e.cloud_root(), "álbum");
    for n in 0..120 {
        let row = d.e.foreign_file(&album.id, &format!("{n}.jpg"), PHOTO);
        d.foreign_picture(&row.id, SMALL);
    }
    d.e.foreign_file(&album.id, "notes.txt", b"text");
    let hidden = d.e.foreign_file(&d.e.cloud_root(), "elsewhere.jpg", PHOTO);
    d.foreign_picture(&hidden.id, SMALL);
    d.e.polls(2);
    d.look("álbum");
    eventually("all are shown", || (0..120).all(|n| d.shown(&format!("álbum/{n}.jpg")) == Some((60, 40))));
    assert_eq!((d.asked(Method::Read), d.asked(Method::Thumbnail)), (0, 120));
    assert_eq!(d.shown("elsewhere.jpg"), None, "nobody looked there");
    for size in ["normal", "large", "x-large"] {
        let place = d.place(size, "álbum/7.jpg");
        let mode = |p: &std::path::Path| p.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(place.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(place.parent().unwrap()).unwrap().count(), 120);
    }
}

#[test]
fn a_program_that_nobody_waits_for_opens_a_photo_when_its_picture_has_come() {
    let d = Desk::new();
    for name in ["a.jpg", "b.jpg"] {
        d.foreign_photo(name, SMALL);
    }
    d.e.foreign_file(&d.e.cloud_root(), "bare.jpg", PHOTO);
    d.e.foreign_file(&d.e.cloud_root(), "notes.txt", b"text");
    d.e.polls(2);
    let asked = OpenFlags { background: true, ..READ };
    let open = |path: &str| d.e.fs().open(d.e.ino(path).unwrap(), asked);
    assert!(is_now(&open("a.jpg")), "nobody looked yet");
    for nth in 1..=2 {
        d.e.fault.script(Method::Thumbnail, nth, Action::Delay(Duration::from_secs(2)));
    }
    d.look("");
    let (photo, bare) = (open("a.jpg"), open("bare.jpg"));
    let (a, notes) = (d.e.ino("a.jpg").unwrap(), d.e.ino("notes.txt").unwrap());
    let attr = d.e.fs().getattr_unhurried(a);
    assert!(d.e.fs().awaits_picture(a) && !d.e.fs().awaits_picture(notes), "the kernel asks again");
    assert!(
        matches!(attr, Answer::Later(_)) && matches!(d.e.fs().getattr_unhurried(notes), Answer::Now(Ok(_)))
    );
    assert!(is_now(&open("notes.txt")), "nothing is made of it");
    assert!(is_now(&d.e.fs().open(d.e.ino("b.jpg").unwrap(), READ)), "somebody waits");
    assert!(!is_now(&photo) && d.shown("a.jpg").is_none());
    d.e.get(attr).unwrap();
    assert!(d.shown("a.jpg").is_some() && !d.e.fs().awaits_picture(a));
    d.e.get(photo).unwrap();
    // There is none: that is known when the folder has been looked through.
    d.e.get(bare).unwrap();
    assert!(is_now(&open("bare.jpg")));
    assert_eq!(d.asked(Method::Read), 0);
}

#[test]
fn a_program_that_waits_for_a_picture_is_let_in_when_the_line_fails() {
    let d = Desk::new();
    d.foreign_photo("a.jpg", SMALL);
    // Once is not enough for that.
    for nth in 1..=3 {
        d.e.fault.script(Method::Thumbnail, nth, Action::Offline);
    }
    d.look("");
    d.e.get(d.e.fs().open(d.e.ino("a.jpg").unwrap(), OpenFlags { background: true, ..READ })).unwrap();
    assert!(d.shown("a.jpg").is_none());
}

#[test]
fn unless_somebody_wants_them_pictures_are_neither_fetched_nor_made() {
    let e = Engine::new();
    let row = e.foreign_file(&e.cloud_root(), "a.jpg", PHOTO);
    e.block_on(e.cloud.client("b").set_thumbnail(&row.id, None, Bytes::from_static(SMALL))).unwrap();
    e.polls(2);
    assert!(!e.fs().shows_pictures());
    e.fs().looked_into(e.ino("").unwrap());
    e.put("b.jpg", PHOTO).unwrap();
    e.drain();
    e.polls(2);
    for method in [Method::Thumbnails, Method::Thumbnail, Method::SetThumbnail] {
        assert_eq!(e.fault.calls(method), 0);
    }
}

#[test]
fn a_picture_is_fetched_once_a_version_and_not_at_all_if_the_desktop_has_it() {
    let mut d = Desk::new();
    d.foreign_photo("a.jpg", SMALL);
    d.look_at_all("b.jpg");
    assert_eq!(d.asked(Method::Thumbnail), 2);
    // Others may throw theirs away: it was theirs.
    std::fs::remove_file(d.place("large", "a.jpg")).unwrap();
    d.look("");
    d.look("");
    d.look_at_all("c.jpg");
    assert_eq!((d.asked(Method::Thumbnail), d.shown("a.jpg")), (3, None));
    let pages = d.asked(Method::Thumbnails);
    d.e.restart();
    d.e.hydrated();
    d.look_at_all("d.jpg");
    assert_eq!(
        (d.asked(Method::Thumbnail), d.shown("a.jpg")),
        (5, Some((60, 40))),
        "after a restart it is, once"
    );
    assert_eq!(d.asked(Method::Thumbnails), pages + 1);
    let theirs = std::fs::read(d.place("large", "b.jpg")).unwrap();
    d.look_at_all("e.jpg");
    assert_eq!(std::fs::read(d.place("large", "b.jpg")).unwrap(), theirs);
}

#[test]
fn a_picture_that_is_older_than_the_content_is_not_shown() {
    let mut d = Desk::new();
    let row = d.foreign_photo("a.jpg", SMALL);
    d.e.foreign_write(&row.id, UPRIGHT);
    d.e.polls(2);
    d.look_at_all("b.jpg");
    assert_eq!((d.shown("a.jpg"), d.asked(Method::Thumbnail)), (None, 1));
    d.foreign_picture(&row.id, SMALL);
    d.e.restart();
    d.look("");
    eventually("a younger one is", || d.shown("a.jpg").is_some());
}

#[test]
fn a_photo_that_was_moved_keeps_its_picture() {
    let mut d = Desk::new();
    let row = d.foreign_photo("a.jpg", SMALL);
    d.look("");
    eventually("it is shown", || d.shown("a.jpg").is_some());
    d.e.mkdir("album").unwrap();
    d.e.rename("a.jpg", "album/b.jpg").unwrap();
    d.e.drain();
    d.e.polls(2);
    d.look("album");
    eventually("it is shown there", || d.shown("album/b.jpg").is_some());
    d.e.foreign_move(&row, &d.e.cloud_root(), "c.jpg");
    eventually("it is here", || d.e.exists("c.jpg"));
    d.e.restart();
    d.look("");
    eventually("they moved it, and it is shown", || d.shown("c.jpg").is_some());
    // But not once it is another, of another second: that is what desktops go by.
    d.e.cloud.advance(std::time::Duration::from_secs(2));
    d.e.foreign_write(&row.id, UPRIGHT);
    d.e.polls(2);
    d.look_at_all("d.jpg");
    assert_eq!(d.shown("c.jpg"), None);
}

#[test]
fn what_was_changed_here_is_not_shown_with_the_picture_of_before() {
    let d = Desk::new();
    d.foreign_photo("a.jpg", SMALL);
    d.e.put("a.jpg", UPRIGHT).unwrap();
    d.look_at_all("b.jpg");
    assert_eq!((d.shown("a.jpg"), d.asked(Method::Thumbnail)), (None, 1));
}

#[test]
fn what_is_no_picture_or_is_not_to_be_had_is_not_shown_and_disturbs_no_others() {
    let d = Desk::new();
    d.foreign_photo("garbage.jpg", b"no picture");
    d.foreign_photo("cut.jpg", &SMALL[..100]);
    d.foreign_photo("damaged.jpg", SMALL);
    let thumbnails = d.e.block_on(d.e.cloud.client("b").thumbnails(&d.e.cloud_root(), 0)).unwrap().found;
    let damaged = thumbnails.into_iter().find(|(row, _)| row.name.display() == "damaged.jpg").unwrap().1;
    assert!(d.e.cloud.corrupt(&damaged.version));
    d.look_at_all("sound.jpg");
    for name in ["garbage.jpg", "cut.jpg", "damaged.jpg"] {
        assert_eq!(d.shown(name), None, "{name}");
    }
    d.e.drain();
    assert!(d.e.failed().is_empty());
}

#[test]
fn a_photo_that_was_sent_gets_a_picture_and_a_new_one_when_it_changes() {
    let d = Desk::new();
    d.e.put("a.jpg", PHOTO).unwrap();
    d.e.drain();
    let row = d.e.row("a.jpg");
    eventually("it has a picture", || d.picture(&row).is_some_and(|p| p.size() == (60, 40)));
    assert_eq!(d.e.row("a.jpg").updated, row.updated);
    d.e.put("a.jpg", UPRIGHT).unwrap();
    d.e.drain();
    eventually("it has another", || d.picture(&row).is_some_and(|p| p.size() == (40, 60)));
    assert_eq!((d.asked(Method::SetThumbnail), d.asked(Method::Read)), (2, 0));
    d.e.drain();
    assert_eq!(d.e.cloud.orphans(), []);
    d.look("");
    eventually("it is shown here, too", || d.shown("a.jpg") == Some((40, 60)));
}

#[test]
fn a_picture_that_cannot_be_made_or_sent_is_no_failure_of_the_file() {
    let d = Desk::new();
    d.e.put("text.jpg", b"no picture").unwrap();
    d.e.put("a.txt", PHOTO).unwrap();
    d.e.drain();
    d.e.fault.script(Method::SetThumbnail, 1, Action::Offline);
    d.e.put("a.jpg", PHOTO).unwrap();
    d.e.drain();
    eventually("it is tried", || d.e.fault.calls(Method::SetThumbnail) == 1);
    d.e.put("b.jpg", PHOTO).unwrap();
    d.e.drain();
    eventually("the next one has its picture", || d.picture(&d.e.row("b.jpg")).is_some());
    for name in ["text.jpg", "a.txt", "a.jpg"] {
        assert!(d.picture(&d.e.row(name)).is_none(), "{name}");
    }
    assert!(d.e.failed().is_empty() && d.e.blocked().is_empty());
    assert_eq!(d.e.cloud.content(&d.e.row("a.jpg").id).unwrap(), PHOTO);
}
