//! The trash, by the program that file managers of GNOME and its kin use for it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use inxtfs::remote::Status;

use super::world::{Sent, World};
use crate::programs::{PATIENCE, eventually};

fn trash() -> String {
    format!(".Trash-{}", rustix::process::geteuid().as_raw())
}

/// Runs `gio` in a session of its own, which knows no other mounts and no other trash.
fn gio(world: &World, script: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let run = tempfile::Builder::new().prefix("run").tempdir().unwrap();
    let mut session = Command::new("timeout");
    session.args([&PATIENCE.as_secs().to_string(), "dbus-run-session", "--", "sh", "-euc", script, "sh"]);
    session.arg(world.root()).env("LC_ALL", "C.UTF-8").env("GVFS_DISABLE_FUSE", "1");
    session.env("HOME", home.path()).env("XDG_DATA_HOME", home.path().join("data"));
    session.env("XDG_RUNTIME_DIR", run.path()).env_remove("DBUS_SESSION_BUS_ADDRESS");
    let output = session.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {} {out} {err}", output.status);
    out.into_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn gio_puts_a_folder_into_the_services_trash_with_one_request() {
    let world = World::new();
    fs::create_dir(world.path("album")).unwrap();
    for n in 0..20 {
        fs::write(world.path(&format!("album/{n}.txt")), format!("page {n}")).unwrap();
    }
    world.put("letter ä.txt", b"content");
    let mark = world.mark();
    gio(&world, r#"gio trash "$1/album" "$1/letter ä.txt""#);
    assert!(!world.path("album").exists() && !world.path("letter ä.txt").exists());
    let (files, info) = (world.path(&format!("{}/files", trash())), world.path(&format!("{}/info", trash())));
    assert_eq!(names(&files), ["album", "letter ä.txt"]);
    assert_eq!(names(&info), ["album.trashinfo", "letter ä.txt.trashinfo"]);
    let told = fs::read_to_string(info.join("letter ä.txt.trashinfo")).unwrap();
    assert!(told.contains("Path=letter%20%C3%A4.txt\n") && told.contains("DeletionDate="), "{told}");
    let private = fs::metadata(world.path(&trash())).unwrap();
    assert_eq!(
        private.mode() & 0o7777,
        0o700,
        "others of the mount may read, and the trash is nobody else's"
    );
    world.drain();
    assert_eq!(world.sent(mark), Sent { trashes: 1, ..Sent::NOTHING });
    assert_eq!(fs::read_to_string(files.join("album/7.txt")).unwrap(), "page 7");
    assert!(world.rows().iter().all(|r| !r.name.display().contains("trashinfo")));
}

#[test]
fn gio_lists_restores_and_deletes_what_is_in_the_trash() {
    let world = World::new();
    fs::create_dir(world.path("album")).unwrap();
    fs::write(world.path("album/page.txt"), "page").unwrap();
    let gone = world.put("gone.txt", b"content");
    world.drain();
    gio(&world, r#"gio trash "$1/album" "$1/gone.txt""#);
    world.drain();
    let album = world.rows().into_iter().find(|r| r.name.display() == "page.txt").unwrap();
    let listed = gio(&world, "gio trash --list");
    for name in ["album", "gone.txt"] {
        assert!(listed.contains(&world.path(name).display().to_string()), "{listed}");
    }
    // Other mounts of this machine have a trash, too: nothing here is done to all that is listed.
    let item = |name: &str| format!(r#""$(gio trash --list | grep -F "$1/{name}" | cut -f1)""#);
    gio(&world, &format!("gio trash --restore {}", item("album")));
    assert_eq!(fs::read_to_string(world.path("album/page.txt")).unwrap(), "page");
    world.drain();
    assert_eq!(world.row("page.txt").id, album.id);
    // gvfs moves it aside first, and deletes it there in its own time.
    gio(&world, &format!("gio remove {}", item("gone.txt")));
    world.drain();
    eventually("it is deleted for good", || {
        world.rows().iter().any(|r| r.id == gone.id && r.status == Status::Deleted)
    });
    assert_eq!(fs::read_to_string(world.path("album/page.txt")).unwrap(), "page");
}

#[test]
fn the_kernel_and_the_trash_agree_on_what_is_where() {
    let world = World::new();
    world.put("a.txt", b"content");
    let inside = world.path(&format!("{}/files/a.txt", trash()));
    let number = fs::metadata(world.path("a.txt")).unwrap().ino();
    fs::rename(world.path("a.txt"), &inside).unwrap();
    assert!(!world.path("a.txt").exists());
    assert_eq!(fs::metadata(&inside).unwrap().ino(), number);
    assert_eq!(fs::read(&inside).unwrap(), b"content");
    fs::write(world.path("a.txt"), "another").unwrap();
    fs::rename(&inside, world.path("b.txt")).unwrap();
    world.drain();
    assert!(names(world.root()).iter().all(|name| !name.starts_with('.')), "the trash is not listed");
    assert_eq!(
        (world.uploaded("a.txt"), world.uploaded("b.txt")),
        (b"another".to_vec(), b"content".to_vec())
    );
    // They take it out on another machine: it is back here, and nowhere else.
    let row = world.row("b.txt");
    fs::rename(world.path("b.txt"), &inside).unwrap();
    world.drain();
    assert!(inside.exists());
    world.restore_elsewhere(&row);
    eventually("it is back", || world.path("b.txt").exists() && !inside.exists());
    assert!(names(inside.parent().unwrap()).is_empty());
}
