//! Bytes: offsets, truncation, appending, mapping, handles that outlive names.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::harness::{Drive, noise};
use crate::programs::{errno, sh};

#[test]
fn truncation_extends_with_zeros_and_forgets_what_it_cut() {
    let drive = Drive::new();
    let path = drive.path("f");
    let data = noise(200_000, 1);
    fs::write(&path, &data).unwrap();
    drive.drain();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.set_len(70_001).unwrap();
    file.set_len(150_000).unwrap();
    let mut wanted = data[..70_001].to_vec();
    wanted.resize(150_000, 0);
    assert_eq!(fs::read(&path).unwrap(), wanted);
    sh("truncate -s 10 \"$1\"", &[&path]);
    assert_eq!(fs::read(&path).unwrap(), data[..10]);
    drop(file);
    drive.drain();
    assert_eq!(drive.uploaded("f"), data[..10]);
    assert_eq!(fs::metadata(&path).unwrap().blocks(), 1);
    File::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn writes_at_any_offset_meet_what_was_uploaded() {
    let drive = Drive::new();
    let path = drive.path("f.bin");
    let mut wanted = noise(300_000, 2);
    fs::write(&path, &wanted).unwrap();
    drive.drain();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for (at, len) in [(0, 1), (65_535, 2), (131_072, 65_536), (299_999, 50), (400_000, 3)] {
        let patch = noise(len, at as u64 + 7);
        file.write_all_at(&patch, at as u64).unwrap();
        if wanted.len() < at + len {
            wanted.resize(at + len, 0);
        }
        wanted[at..at + len].copy_from_slice(&patch);
    }
    assert_eq!(fs::read(&path).unwrap(), wanted);
    file.sync_all().unwrap();
    drop(file);
    drive.drain();
    assert_eq!(drive.uploaded("f.bin"), wanted);
}

#[test]
fn an_unlinked_file_lives_until_it_is_closed() {
    let drive = Drive::new();
    let path = drive.path("gone");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all(b"before ").unwrap();
    fs::remove_file(&path).unwrap();
    file.write_all(b"after").unwrap();
    assert_eq!(errno(fs::metadata(&path)), libc::ENOENT);
    fs::write(&path, b"another").unwrap();
    let mut read = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut read).unwrap();
    assert_eq!(read, "before after");
    drop(file);
    drive.drain();
    assert_eq!(drive.uploaded("gone"), b"another".as_slice());
}

#[test]
fn two_processes_append_without_losing_a_line() {
    let drive = Drive::new();
    let script = "for who in A B; do
            (i=0; while [ $i -lt 100 ]; do echo \"$who line $i\" >> \"$1\"; i=$((i+1)); done) &
        done; wait";
    sh(script, &[&drive.path("log")]);
    let text = fs::read_to_string(drive.path("log")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut wanted: Vec<String> =
        (0..100).flat_map(|i| [format!("A line {i}"), format!("B line {i}")]).collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    drive.drain();
    assert_eq!(drive.uploaded("log"), text.as_bytes());
}

#[test]
fn a_mapped_file_reads_its_content_and_keeps_what_is_written_to_the_map() {
    let drive = Drive::new();
    let path = drive.path("mapped");
    let mut wanted = noise(3 * 65_536 + 100, 3);
    fs::write(&path, &wanted).unwrap();
    drive.drain();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    with_map(&file, wanted.len(), |map| {
        assert_eq!(map, &wanted[..]);
        map[70_000..70_005].copy_from_slice(b"mmap!");
    });
    wanted[70_000..70_005].copy_from_slice(b"mmap!");
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), wanted);
    drive.drain();
    assert_eq!(drive.uploaded("mapped"), wanted);
}

// The standard library has no mapping; this is the one place that needs it.
#[allow(unsafe_code)]
fn with_map(file: &File, len: usize, f: impl FnOnce(&mut [u8])) {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a fresh shared mapping of a file of at least `len` bytes that nobody truncates; it is
    // used only within this function and unmapped at its end.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), len, prot, flags, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        f(std::slice::from_raw_parts_mut(at.cast::<u8>(), len));
        assert_eq!(libc::msync(at, len, libc::MS_SYNC), 0);
        assert_eq!(libc::munmap(at, len), 0);
    }
}
