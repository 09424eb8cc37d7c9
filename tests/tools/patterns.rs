//! Saves of programs that need a screen, call by call as they were traced.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::Duration;

use super::world::{Sent, World, quick};

fn make_new(at: &Path) -> File {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(at).unwrap()
}

/// A file that the server has is saved so; it must be one replace of the same row, whatever else came and went.
fn saves(name: &str, save: impl FnOnce(&World), kept: &[&str]) {
    let world = World::new();
    let before = world.put(name, b"the former content");
    let mark = world.mark();
    save(&world);
    world.rests(kept);
    assert_eq!(world.sent(mark), Sent::ONE_REPLACE);
    assert_eq!(world.row(name).id, before.id);
    assert_eq!(world.uploaded(name), b"saved");
    assert_eq!(world.names(), [name], "no other name ever was there");
}

#[test]
fn the_save_of_gio_is_one_replace() {
    saves(
        "letter.txt",
        |world| {
            let target = world.path("letter.txt");
            // It looks whether it may write, and writes nothing.
            let probe = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&target)
                .unwrap();
            let temporary = world.path(".goutputstream-A1B2C3");
            let mut file = make_new(&temporary);
            fchown(&file, Some(rustix::process::geteuid().as_raw()), None).unwrap();
            file.set_permissions(Permissions::from_mode(0o644)).unwrap();
            file.write_all(b"saved").unwrap();
            file.sync_all().unwrap();
            drop(file);
            fs::rename(&temporary, &target).unwrap();
            drop(probe);
        },
        &[],
    );
}

#[test]
fn the_save_of_kde_is_one_replace() {
    saves(
        "main.cpp",
        |world| {
            let swap = world.path(".main.cpp.kate-swp");
            fs::write(&swap, b"what was typed").unwrap();
            // Its backup is a copy.
            fs::copy(world.path("main.cpp"), world.path("main.cpp~")).unwrap();
            let temporary = world.path("main.cpp.aB3dE9");
            let mut file = make_new(&temporary);
            file.write_all(b"saved").unwrap();
            file.sync_data().unwrap();
            file.set_permissions(Permissions::from_mode(0o644)).unwrap();
            drop(file);
            fs::rename(&temporary, world.path("main.cpp")).unwrap();
            fs::remove_file(swap).unwrap();
        },
        &["main.cpp~"],
    );
}

#[test]
fn the_save_of_libreoffice_is_one_replace_and_its_lock_stays_here() {
    saves(
        "letter.odt",
        |world| {
            let lock = world.path(".~lock.letter.odt#");
            make_new(&lock).write_all(b",user,host,01.01.2026 10:00,file:///home/user;").unwrap();
            // Long enough for anything that is not held back to be sent.
            std::thread::sleep(quick().writeback_delay * 2);
            let temporary = world.path("lu4711abcd.tmp");
            make_new(&temporary).write_all(b"saved").unwrap();
            let mut target =
                OpenOptions::new().write(true).truncate(true).open(world.path("letter.odt")).unwrap();
            target.write_all(b"saved").unwrap();
            target.sync_all().unwrap();
            drop(target);
            fs::remove_file(temporary).unwrap();
            std::thread::sleep(quick().writeback_delay * 2);
            fs::remove_file(lock).unwrap();
        },
        &[],
    );
    saves(
        "letter.odt",
        |world| {
            let temporary = world.path("lu4711abcd.tmp");
            make_new(&temporary).write_all(b"saved").unwrap();
            fs::rename(&temporary, world.path("letter.odt")).unwrap();
        },
        &[],
    );
}

#[test]
fn the_save_of_vs_code_is_one_replace() {
    saves(
        "main.rs",
        |world| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(world.path("main.rs"))
                .unwrap();
            // Between the truncation and the bytes.
            std::thread::sleep(quick().empty_delay * 2);
            file.write_all(b"saved").unwrap();
            file.sync_data().unwrap();
        },
        &[],
    );
    saves(
        "main.rs",
        |world| {
            let temporary = world.path("main.rs.vsctmp");
            make_new(&temporary).write_all(b"saved").unwrap();
            fs::rename(temporary, world.path("main.rs")).unwrap();
        },
        &[],
    );
}

#[test]
fn the_save_of_keepassxc_is_one_replace_and_its_lock_stays_here() {
    saves(
        "keys.kdbx",
        |world| {
            let lock = world.path(".keys.kdbx.lock");
            make_new(&lock).write_all(b"4711\nkeepassxc\nhost\n").unwrap();
            std::thread::sleep(quick().writeback_delay * 2);
            let temporary = world.path("keys.kdbx.hTgz4Q");
            let mut file = make_new(&temporary);
            file.write_all(b"saved").unwrap();
            file.sync_all().unwrap();
            drop(file);
            fs::rename(temporary, world.path("keys.kdbx")).unwrap();
            fs::remove_file(lock).unwrap();
        },
        &[],
    );
}

#[test]
fn a_download_of_firefox_is_one_create_when_it_is_complete() {
    let world = World::new();
    let mark = world.mark();
    // The name is taken first, and stays empty until the end.
    make_new(&world.path("film.en.mkv"));
    let partial = world.path("film.x7Ab9Qkd.en.mkv.part");
    make_new(&partial).write_all(b"the first half, ").unwrap();
    std::thread::sleep(quick().empty_delay * 3);
    let mut file = OpenOptions::new().append(true).open(&partial).unwrap();
    std::thread::sleep(quick().empty_delay * 3);
    file.write_all(b"and the second").unwrap();
    drop(file);
    assert_eq!(world.sent(mark), Sent::NOTHING);
    fs::rename(&partial, world.path("film.en.mkv")).unwrap();
    world.rests(&[]);
    assert_eq!(world.sent(mark), Sent::ONE_CREATE);
    assert_eq!(world.uploaded("film.en.mkv"), b"the first half, and the second");
    assert_eq!(world.names(), ["film.en.mkv"]);
}

#[test]
fn what_is_called_like_something_temporary_is_sent_in_the_end() {
    let config = inxtfs::fs::Config { temporary_delay: Duration::from_secs(8), ..quick() };
    let world = World::with(config);
    let names = [".~lock.a.odt#", "b.part", "c~", ".d.txt.h4gTzQ", "e.db-journal", ".f.swp"];
    for name in names {
        fs::write(world.path(name), name).unwrap();
    }
    fs::write(world.path("plain"), "plain").unwrap();
    let mut resting = names.to_vec();
    resting.sort_unstable();
    world.rests(&resting);
    assert_eq!(world.names(), ["plain"]);
    world.rests(&[]);
    for name in names {
        assert_eq!(world.uploaded(name), name.as_bytes());
    }
}

#[test]
fn a_flush_sends_what_rests_for_its_name_too() {
    let world = World::new();
    fs::write(world.path("b.part"), "half").unwrap();
    world.drain();
    assert_eq!(world.uploaded("b.part"), b"half");
}

#[test]
fn an_open_for_writing_that_writes_nothing_asks_for_nothing() {
    let world = World::new();
    world.put("f.txt", b"content");
    let mark = world.mark();
    drop(OpenOptions::new().write(true).open(world.path("f.txt")).unwrap());
    drop(OpenOptions::new().read(true).append(true).open(world.path("f.txt")).unwrap());
    assert_eq!(world.status().totals.items, 0);
    world.drain();
    assert_eq!(world.sent(mark), Sent::NOTHING);
}

#[test]
fn a_log_that_rotates_is_a_move_and_a_create() {
    let world = World::new();
    let before = world.put("app.log", b"old lines");
    let mark = world.mark();
    fs::rename(world.path("app.log"), world.path("app.log.1")).unwrap();
    fs::write(world.path("app.log"), b"new lines").unwrap();
    world.rests(&[]);
    assert_eq!(world.sent(mark), Sent { moves: 1, ..Sent::ONE_CREATE });
    assert_eq!((world.row("app.log.1").id, world.uploaded("app.log")), (before.id, b"new lines".to_vec()));
}
