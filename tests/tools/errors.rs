//! The errors that programs expect.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use inxtfs::fs::Config;

use super::world::{EMAIL, World, quick};
use crate::programs::{errno, eventually, sh, try_sh};

fn limited(quota: u64, max_file: u64) -> World {
    let mut world = World::down(quick());
    world.emulator.shared().world.set_limits(EMAIL, quota, max_file, 100);
    world.mount();
    eventually("the plan is known", || world.status().quota_total == Some(quota));
    world
}

#[test]
fn a_full_account_is_enospc_at_the_write_and_room_is_taken_again() {
    let world = limited(1_000_000, 1 << 30);
    let mut file = File::create(world.path("f")).unwrap();
    let refused = (0..64).find_map(|_| file.write_all(&[1; 64 << 10]).err()).expect("the account is small");
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(errno(file.set_len(1 << 30)), libc::ENOSPC);
    let output = try_sh("dd if=/dev/zero of=\"$1\" bs=64k count=64", &[&world.path("g")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left on device"));
    drop(file);
    for name in ["f", "g"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    // What was removed is let go of after the next sync.
    eventually("there is room again", || fs::write(world.path("h"), [2; 1000]).is_ok());
    world.drain();
    assert_eq!(world.uploaded("h"), [2; 1000]);
}

#[test]
fn a_file_over_the_plans_limit_is_efbig_at_the_write() {
    let world = limited(1 << 40, 100_000);
    eventually("the plan is known", || {
        let file = File::create(world.path("probe")).unwrap();
        file.set_len(100_001).is_err()
    });
    let mut file = File::create(world.path("f")).unwrap();
    file.write_all(&[1; 100_000]).unwrap();
    assert_eq!(errno(file.write_all(b"x")), libc::EFBIG);
    assert_eq!(errno(file.write_all_at(b"x", 1 << 40)), libc::EFBIG);
    assert_eq!(errno(file.set_len(100_001)), libc::EFBIG);
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(b"within").unwrap();
    drop(file);
    world.drain();
    assert_eq!(world.row("f").size, 100_000);
}

#[test]
fn a_name_that_is_too_long_is_enametoolong_everywhere() {
    let world = World::new();
    world.put("f", b"content");
    let long = world.path(&"é".repeat(128));
    assert_eq!(errno(File::create(&long)), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::create_dir(&long)), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::rename(world.path("f"), &long)), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::metadata(&long)), libc::ENAMETOOLONG);
    assert_eq!(errno(fs::remove_file(&long)), libc::ENAMETOOLONG);
    fs::rename(world.path("f"), world.path(&"x".repeat(255))).unwrap();
}

#[test]
fn a_read_only_mount_is_erofs_whoever_finds_out() {
    for kernel_knows in [true, false] {
        let mut world = World::new();
        world.put("f", b"content");
        world.config = Config { read_only: true, ..quick() };
        world.options.read_only = kernel_knows;
        world.remount();
        let path = world.path("f");
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(errno(File::create(world.path("g"))), libc::EROFS);
        assert_eq!(errno(OpenOptions::new().write(true).open(&path)), libc::EROFS);
        assert_eq!(errno(fs::create_dir(world.path("d"))), libc::EROFS);
        assert_eq!(errno(fs::remove_file(&path)), libc::EROFS);
        assert_eq!(errno(fs::rename(&path, world.path("g"))), libc::EROFS);
        assert_eq!(errno(File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH)), libc::EROFS);
    }
}

#[test]
fn nothing_within_a_mount_is_exdev() {
    let world = World::new();
    fs::create_dir_all(world.path("a/b")).unwrap();
    fs::create_dir(world.path("c")).unwrap();
    world.put("f", &[5; 200_000]);
    fs::rename(world.path("f"), world.path("a/b/f")).unwrap();
    fs::rename(world.path("a/b"), world.path("c/b")).unwrap();
    // The standard library copies with copy_file_range.
    assert_eq!(fs::copy(world.path("c/b/f"), world.path("c/g")).unwrap(), 200_000);
    assert_eq!(errno(fs::hard_link(world.path("c/g"), world.path("c/h"))), libc::EPERM);
    sh(
        "cp --reflink=auto --sparse=always \"$1/c/g\" \"$1/c/h\" && mv \"$1/c/h\" \"$1/a/\" && cmp \"$1/c/g\" \"$1/a/h\"",
        &[world.root()],
    );
    world.drain();
    assert_eq!(world.uploaded("f"), [5; 200_000]);
}

#[test]
fn what_vanished_elsewhere_is_enoent_and_never_estale() {
    let world = World::new();
    let row = world.put("f", b"content");
    assert_eq!(fs::metadata(world.path("f")).unwrap().len(), 7);
    let open = File::open(world.path("f")).unwrap();
    world.trash_elsewhere(&row);
    // Whatever the kernel still believes meanwhile.
    eventually("it is gone", || match File::open(world.path("f")) {
        Ok(_) => false,
        Err(e) => {
            assert_eq!(e.raw_os_error(), Some(libc::ENOENT));
            true
        }
    });
    let mut bytes = [0; 7];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"content");
    let file = File::create(world.path("f")).unwrap();
    file.write_all_at(b"another", 0).unwrap();
    drop(file);
    world.drain();
    assert_eq!(world.uploaded("f"), b"another");
}
