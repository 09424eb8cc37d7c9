//! The programs of every day: what they leave, what they tell, and what the service was asked for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use inxtfs::fs::Config;

use super::world::{Sent, World, quick};
use crate::dice::Dice;
use crate::programs::{sh, try_sh};

const FILES: usize = 12;

/// Nothing is sent but when a test says so.
fn patient() -> World {
    World::with(Config { writeback_delay: Duration::from_secs(3600), ..quick() })
}

fn make_tree(at: &Path) {
    let mut dice = Dice::new(3);
    for i in 0..FILES {
        let dir = at.join(["", "sub", "sub/deeper", "Ünï"][i % 4]);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("file {i}")), dice.bytes(1 + i * 9001)).unwrap();
    }
}

/// What a command sends, all of it at its end.
fn sends(world: &World, script: &str, other: &Path) -> Sent {
    let mark = world.mark();
    sh(script, &[world.root(), other]);
    world.drain();
    world.sent(mark)
}

#[test]
fn what_is_unpacked_copied_and_installed_is_one_upload_a_file() {
    let all = Sent { uploads: FILES, creates: FILES, folders: 4, ..Sent::NOTHING };
    for unpack in [
        "cd \"$2\" && zip -qr ../a.zip . && unzip -q ../a.zip -d \"$1/t\" && rm ../a.zip",
        "mkdir \"$1/t\" && tar -C \"$2\" -czf \"$1/a.tgz\" . && tar -C \"$1/t\" -xzf \"$1/a.tgz\" && rm \"$1/a.tgz\"",
        "cp -a \"$2\" \"$1/t\"",
        "cp -r --sparse=always \"$2\" \"$1/t\"",
        "cp -a \"$2\" \"$2.copy\" && mv \"$2.copy\" \"$1/t\"",
        "cd \"$2\" && find . -type f -exec install -D -m 755 {} \"$1/t/{}\" ';'",
    ] {
        let world = patient();
        let outer = tempfile::tempdir().unwrap();
        let source = outer.path().join("source");
        make_tree(&source);
        assert_eq!(sends(&world, unpack, &source), all, "{unpack}");
        sh("diff -r \"$1/t\" \"$2\"", &[world.root(), &source]);
    }
}

#[test]
fn a_move_of_a_folder_is_one_request_and_its_removal_one_delete_of_everything() {
    let world = patient();
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    sends(&world, "cp -a \"$2\" \"$1/t\" && mkdir \"$1/into\"", source.path());
    let moved = sends(&world, "mv \"$1/t\" \"$1/into/u\"", source.path());
    assert_eq!(moved, Sent { moves: 1, ..Sent::NOTHING });
    sh("diff -r \"$1/into/u\" \"$2\"", &[world.root(), source.path()]);
    let removed = sends(&world, "find \"$1/into\" -mindepth 1 -delete && rmdir \"$1/into\"", source.path());
    assert_eq!((removed.uploads, removed.creates, removed.moves), (0, 0, 0));
    assert!(removed.trashes > 0);
    assert_eq!(sh("find \"$1\" -name into", &[world.root()]), "");
}

#[test]
fn sizes_are_told_by_du_and_df_and_holes_count_as_bytes() {
    let world = World::new();
    fs::write(world.path("f"), [1; 10_000]).unwrap();
    sh(
        "truncate -s 1M \"$1/f\" && truncate -s +1 \"$1/f\" && truncate -r \"$1/f\" \"$1/g\"",
        &[world.root()],
    );
    assert_eq!(sh("stat -c %s \"$1/g\"", &[world.root()]), "1048577\n");
    assert_eq!(sh("du -b \"$1/f\" | cut -f1", &[world.root()]), "1048577\n");
    assert_eq!(sh("du -k \"$1/f\" | cut -f1", &[world.root()]), "1025\n");
    let free = sh("df --output=fstype,avail \"$1\" | tail -1", &[world.root()]);
    let (kind, avail) = free.trim().split_once(' ').unwrap();
    assert_eq!(kind, "fuse.inxtfs");
    assert!(avail.trim().parse::<u64>().unwrap() > 1 << 20, "{free}");
    sh("df -i \"$1\"", &[world.root()]);
    world.drain();
    let mut wanted = vec![1; 10_000];
    wanted.resize((1 << 20) + 1, 0);
    assert_eq!(world.uploaded("f"), wanted);
}

#[test]
fn dd_with_odd_block_sizes_is_one_upload_of_every_byte() {
    let world = patient();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let bytes = Dice::new(9).bytes(700_001);
    fs::write(&source, &bytes).unwrap();
    for size in ["333", "4097", "77777", "1048577"] {
        let script = format!("dd if=\"$2\" of=\"$1/dd {size}\" bs={size} status=none conv=fsync");
        assert_eq!(sends(&world, &script, &source), Sent::ONE_CREATE);
        assert!(world.uploaded(&format!("dd {size}")) == bytes);
    }
    // In the middle, and with a hole before.
    let patch = "dd if=\"$2\" of=\"$1/dd 333\" bs=997 count=3 seek=11 conv=notrunc status=none && \
                 dd if=\"$2\" of=\"$1/hole\" bs=1 count=1 seek=99999 status=none";
    assert_eq!(sends(&world, patch, &source), Sent { uploads: 2, creates: 1, replaces: 1, ..Sent::NOTHING });
    let mut patched = bytes.clone();
    patched.copy_within(0..3 * 997, 11 * 997);
    assert!(world.uploaded("dd 333") == patched);
    let mut hole = vec![0; 99_999];
    hole.push(bytes[0]);
    assert!(world.uploaded("hole") == hole);
}

#[test]
fn preallocation_is_refused_by_the_kernel_and_done_by_the_library() {
    let world = World::new();
    let refused = try_sh("fallocate -l 100000 \"$1/f\"", &[world.root()]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not supported"), "{refused:?}");
    for flag in ["--punch-hole", "--zero-range", "--collapse-range", "--insert-range"] {
        let refused = try_sh(&format!("fallocate {flag} -o 0 -l 4096 \"$1/f\""), &[world.root()]);
        assert!(!refused.status.success(), "{flag}");
    }
    fs::write(world.path("f"), b"kept").unwrap();
    sh("fallocate --posix -l 100000 \"$1/f\"", &[world.root()]);
    world.drain();
    let mut wanted = b"kept".to_vec();
    wanted.resize(100_000, 0);
    assert_eq!(world.uploaded("f"), wanted);
}

#[test]
fn a_script_runs_by_its_interpreter_and_is_no_program_by_itself() {
    let world = World::new();
    fs::write(world.path("run me.sh"), "#!/bin/sh\nprintf %s \"$0\" >\"$(dirname \"$0\")/out\"\n").unwrap();
    sh("chmod +x \"$1/run me.sh\" && sh \"$1/run me.sh\"", &[world.root()]);
    assert_eq!(fs::read_to_string(world.path("out")).unwrap(), world.path("run me.sh").to_str().unwrap());
    let refused = try_sh("exec \"$1/run me.sh\"", &[world.root()]);
    assert_eq!(refused.status.code(), Some(126), "{refused:?}");
}

#[test]
fn names_of_255_bytes_and_of_any_alphabet_go_there_and_back() {
    let mut world = World::new();
    let long = "é".repeat(127) + "x";
    let names = [
        long.as_str(),
        "日本語 ファイル.txt",
        "emoji 🎵",
        " leading and trailing ",
        "a\nb",
        "quote\"'`$",
        "...",
    ];
    fs::create_dir(world.path("names")).unwrap();
    for name in names {
        fs::write(world.path("names").join(name), name).unwrap();
    }
    world.drain();
    world.forget();
    for name in names {
        assert_eq!(fs::read_to_string(world.path("names").join(name)).unwrap(), name);
    }
    assert_eq!(fs::read_dir(world.path("names")).unwrap().count(), names.len());
}
