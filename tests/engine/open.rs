//! Files that are open for writing here while another client changes or deletes them.

use crate::harness::{Engine, WRITE, eventually};

fn with(files: &[&str]) -> Engine {
    let e = Engine::new();
    for file in files {
        if let Some((folder, _)) = file.rsplit_once('/') {
            e.mkdir(folder).unwrap();
        }
        e.put(file, file.as_bytes()).unwrap();
    }
    e.converged();
    e
}

/// The names in the root that are conflict copies.
fn copies(e: &Engine) -> Vec<String> {
    e.ls("").into_iter().filter(|n| n.contains("conflict")).collect()
}

#[test]
fn a_file_that_is_only_open_for_writing_is_no_conflict() {
    let e = with(&["f.txt", "g.txt", "d/h.txt"]);
    let open = ["f.txt", "g.txt", "d/h.txt"].map(|path| e.open(path, WRITE).unwrap());
    e.foreign_write(&e.row("f.txt").id, b"theirs");
    e.foreign_delete(&e.row("g.txt"));
    e.foreign_delete(&e.row("d"));
    eventually("their changes show", || {
        e.read("f.txt").unwrap() == "theirs" && !e.exists("g.txt") && !e.exists("d")
    });
    for fh in open {
        e.close(fh).unwrap();
    }
    e.converged();
    assert_eq!(e.ls(""), ["f.txt"]);
}

#[test]
fn what_is_written_to_a_file_they_replaced_while_it_was_open_is_beside_theirs() {
    let mut e = with(&["f.txt"]);
    let fh = e.open("f.txt", WRITE).unwrap();
    e.foreign_write(&e.row("f.txt").id, b"theirs");
    eventually("theirs has the name", || e.read("f.txt").unwrap() == "theirs");
    assert_eq!(copies(&e), [""; 0]);
    e.write_fh(fh, 0, b"ours, and more").unwrap();
    e.flush(fh).unwrap();
    // Acknowledged: it survives this instant.
    e.kill();
    e.start();
    let copy = copies(&e).pop().expect("a conflict copy");
    assert_eq!(e.read(&copy).unwrap(), "ours, and more");
    e.converged();
    assert_eq!(e.cloud.files()[&copy], "ours, and more");
    assert_eq!(e.cloud.files()["f.txt"], "theirs");
}

#[test]
fn what_is_written_to_a_file_they_deleted_while_it_was_open_lives_under_its_name() {
    let e = with(&["f.txt"]);
    let fh = e.open("f.txt", WRITE).unwrap();
    e.foreign_delete(&e.row("f.txt"));
    eventually("their delete shows", || !e.exists("f.txt"));
    e.write_fh(fh, 0, b"ours, and more").unwrap();
    e.close(fh).unwrap();
    assert_eq!(e.read("f.txt").unwrap(), "ours, and more");
    e.converged();
    assert_eq!(e.cloud.files()["f.txt"], "ours, and more");
}

#[test]
fn what_is_written_below_a_folder_they_deleted_while_it_was_open_is_in_the_root() {
    let e = with(&["d/f.txt"]);
    let fh = e.open("d/f.txt", WRITE).unwrap();
    e.foreign_delete(&e.row("d"));
    eventually("their delete shows", || !e.exists("d"));
    e.write_fh(fh, 0, b"ours, and more").unwrap();
    e.close(fh).unwrap();
    e.converged();
    assert_eq!(e.ls(""), ["f.txt"]);
    assert_eq!(e.cloud.files()["f.txt"], "ours, and more");
}

#[test]
fn what_was_written_and_never_flushed_when_they_replaced_the_file_leaves_no_empty_copy() {
    let mut e = with(&["f.txt"]);
    let fh = e.open("f.txt", WRITE).unwrap();
    e.write_fh(fh, 0, b"ours, and more").unwrap();
    e.foreign_write(&e.row("f.txt").id, b"theirs");
    // By its size: a reader's close journals what the writer has written.
    eventually("theirs has the name", || e.stat("f.txt").unwrap().size == 6);
    e.kill();
    e.start();
    e.converged();
    assert_eq!(e.ls(""), ["f.txt"]);
}

#[test]
fn a_read_while_the_upload_of_a_partial_write_is_confirmed_serves_no_zeros() {
    let e = with(&[]);
    for round in 0..40_u8 {
        let mut expected = vec![round; 9000];
        e.put("f.bin", &expected).unwrap();
        e.drain();
        e.patch("f.bin", 2545, &[0xff; 100]).unwrap();
        expected[2545..2645].fill(0xff);
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| e.drain());
            while !sent.is_finished() {
                assert!(e.read("f.bin").unwrap() == expected, "round {round}");
            }
        });
    }
}
