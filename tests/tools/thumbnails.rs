//! Small pictures of photos, as the programs of a desktop find them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::world::World;
use crate::programs::{eventually, sh};

const PHOTO: &[u8] = include_bytes!("../fixtures/quarters.jpg");
const PHOTOS: usize = 60;

/// A drive with photos in folders, all of which have pictures on the server; nothing of it is known here.
fn photos(folders: &[&str], cache: &Path) -> World {
    let mut world = World::with_pictures(cache);
    let mark = world.mark();
    for folder in folders {
        fs::create_dir(world.path(folder)).unwrap();
        for n in 0..PHOTOS {
            fs::write(world.path(&format!("{folder}/{}", name(n))), PHOTO).unwrap();
        }
    }
    world.drain();
    let made = || world.emulator.request_log().count_since(mark, "POST", "/drive/files/thumbnail");
    eventually("all have pictures", || made() == PHOTOS * folders.len());
    assert_eq!(world.sent(mark).replaces, 0);
    world.forget();
    world
}

fn name(n: usize) -> String {
    // What is written in an address as it is, and what is not.
    let odd = ["", " ", "ä", "#", ";", "[x]", "~(2)", "&c=d", "+e,f", "g@h!", "%41", "?", "'\"", "日本"];
    format!("photo {n}{}.jpg", odd[n % odd.len()])
}

/// How many photos of a folder GLib has a valid picture for.
fn valid(world: &World, folder: &str, cache: &Path) -> usize {
    let mut gio = Command::new("gio");
    gio.args(["info", "-a", "thumbnail::path,thumbnail::is-valid"]).env("XDG_CACHE_HOME", cache);
    gio.env("LC_ALL", "C.UTF-8").env("GVFS_DISABLE_FUSE", "1").env("GIO_USE_VFS", "local");
    gio.args((0..PHOTOS).map(|n| world.path(&format!("{folder}/{}", name(n)))));
    let output = gio.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).matches("thumbnail::is-valid: TRUE").count()
}

#[test]
fn a_folder_of_photos_has_valid_pictures_for_glib_and_no_photo_is_fetched() {
    let cache = tempfile::tempdir().unwrap();
    let world = photos(&["photos"], cache.path());
    let mark = world.mark();
    assert_eq!(sh("ls \"$1/photos\" | wc -l", &[world.root()]).trim(), PHOTOS.to_string());
    eventually("all have pictures here", || valid(&world, "photos", cache.path()) == PHOTOS);
    let count = |method: &str, path: &str| world.emulator.request_log().count_since(mark, method, path);
    // Fewer, if a program of this machine looked into the folder before: what the desktop had is not fetched again.
    assert!(count("GET", "/shards/**") <= PHOTOS, "one small picture each, and no photo");
    assert_eq!((count("PUT", "/shards/**"), count("POST", "/drive/files/thumbnail")), (0, 0));
    assert!(cache.path().join("thumbnails/large").read_dir().unwrap().count() == PHOTOS);
    assert_eq!(world.status().cache_used, 0);
}

#[test]
fn a_look_of_a_program_that_nobody_waits_for_shows_nothing() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = photos(&["indexed", "looked at"], cache.path());
    let indexer = bin.path().join("tumblerd");
    sh("cp \"$(command -v ls)\" \"$1\" && \"$1\" \"$2/indexed\" >\"$1.out\"", &[&indexer, world.root()]);
    assert_eq!(fs::read_to_string(indexer.with_extension("out")).unwrap().lines().count(), PHOTOS);
    sh("ls \"$1/looked at\"", &[world.root()]);
    eventually("one has pictures", || valid(&world, "looked at", cache.path()) == PHOTOS);
    assert_eq!(valid(&world, "indexed", cache.path()), 0);
    // The kernel has the listing by now; whoever opens the folder is heard of all the same.
    sh("ls \"$1/indexed\"", &[world.root()]);
    eventually("the other has", || valid(&world, "indexed", cache.path()) == PHOTOS);
}
