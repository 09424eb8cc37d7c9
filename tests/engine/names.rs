//! Names and places: what renames, moves and deletes become.

use inxtfs::fs::Error;
use inxtfs::remote::Method as M;
use inxtfs::types::{Kind, Status};

use super::harness::{Engine, READ, noise};

fn with(files: &[&str]) -> Engine {
    let e = Engine::new();
    for name in files {
        e.put(name, format!("content of {name}").as_bytes()).unwrap();
    }
    e.drain();
    e.cloud.clear_calls();
    e
}

fn trashed(e: &Engine) -> Vec<String> {
    let rows = e.cloud.rows().into_iter().filter(|r| r.status == Status::Trashed);
    rows.map(|r| r.name.display()).collect()
}

#[test]
fn create_rename_write_is_one_upload_under_the_last_name() {
    let e = with(&[]);
    e.put("a", b"1").unwrap();
    e.rename("a", "b.txt").unwrap();
    e.patch("b.txt", 1, b"2").unwrap();
    e.rename("b.txt", "c.txt").unwrap();
    e.converged();
    assert_eq!(e.sent(), [M::Put, M::Create]);
    assert_eq!(e.cloud.files()["c.txt"], "12");
}

#[test]
fn create_delete_sends_nothing() {
    let e = with(&[]);
    e.put("a", b"1").unwrap();
    e.mkdir("d").unwrap();
    e.put("d/x", b"1").unwrap();
    e.unlink("a").unwrap();
    e.remove_all("d").unwrap();
    e.converged();
    assert_eq!(e.sent(), []);
}

#[test]
fn a_rename_is_one_request_and_keeps_the_time() {
    let e = with(&["a.txt"]);
    e.mkdir("d").unwrap();
    e.drain();
    let before = e.row("a.txt");
    e.cloud.clear_calls();
    e.rename("a.txt", "d/b.md").unwrap();
    e.converged();
    assert_eq!(e.sent(), [M::Relocate]);
    let after = e.row("d/b.md");
    assert_eq!((after.id, after.modified), (before.id, before.modified));
}

#[test]
fn renaming_a_fresh_file_over_another_is_one_replace_of_the_other() {
    let e = with(&["doc.txt"]);
    let id = e.row("doc.txt").id;
    e.put("doc.tmp", b"saved").unwrap();
    e.rename("doc.tmp", "doc.txt").unwrap();
    e.converged();
    assert_eq!(e.sent(), [M::Put, M::Replace]);
    assert_eq!(e.row("doc.txt").id, id);
    assert_eq!(e.cloud.files()["doc.txt"], "saved");
}

#[test]
fn renaming_an_uploaded_file_over_another_gives_that_a_fresh_object() {
    let e = with(&["doc.txt", "doc.tmp"]);
    let (id, old) = (e.row("doc.txt").id, e.row("doc.tmp"));
    e.rename("doc.tmp", "doc.txt").unwrap();
    e.converged();
    assert_eq!(e.sent(), [M::Put, M::Replace, M::Trash]);
    let row = e.row("doc.txt");
    assert_eq!(row.id, id);
    assert_ne!(row.content, old.content);
    assert_eq!(e.cloud.files()["doc.txt"], "content of doc.tmp");
    assert_eq!(e.cloud.row(&old.id).unwrap().status, Status::Trashed);
}

#[test]
fn renaming_a_large_file_that_is_not_here_over_another_moves_it() {
    let e = with(&["small.bin"]);
    let big = e.foreign_file(&e.cloud_root(), "big.bin", &vec![7; (64 << 20) + 1]);
    e.polls(2);
    let small = e.row("small.bin");
    e.rename("big.bin", "small.bin").unwrap();
    e.drain();
    assert_eq!(e.sent(), [M::Trash, M::Relocate]);
    assert_eq!(e.row("small.bin").id, big.id);
    assert_eq!(e.cloud.row(&small.id).unwrap().status, Status::Trashed);
}

#[test]
fn renaming_an_emptied_or_empty_file_over_another_empties_that() {
    let e = with(&["doc.txt"]);
    let id = e.row("doc.txt").id;
    e.put("nothing", b"").unwrap();
    e.drain();
    e.rename("nothing", "doc.txt").unwrap();
    e.converged();
    let row = e.row("doc.txt");
    assert_eq!((row.id, row.size), (id, 0));
}

#[test]
fn a_file_that_was_emptied_and_deleted_stays_deleted() {
    let e = with(&["a", "doc.txt"]);
    e.truncate("a", 0).unwrap();
    e.unlink("a").unwrap();
    e.put("nothing", b"").unwrap();
    e.rename("nothing", "doc.txt").unwrap();
    e.unlink("doc.txt").unwrap();
    e.converged();
    assert!(e.cloud_tree().is_empty());
    assert!(!e.sent().contains(&M::Create), "{:?}", e.sent());
}

#[test]
fn the_save_of_vim_is_one_replace() {
    let e = with(&["doc.txt"]);
    let id = e.row("doc.txt").id;
    e.rename("doc.txt", "doc.txt~").unwrap();
    e.put("doc.txt", b"saved").unwrap();
    e.unlink("doc.txt~").unwrap();
    e.converged();
    assert_eq!(e.sent(), [M::Put, M::Replace]);
    assert_eq!(e.row("doc.txt").id, id);
    assert_eq!(trashed(&e), [""; 0]);
}

#[test]
fn a_backup_that_is_kept_leaves_the_row_to_the_file() {
    let e = with(&["doc.txt"]);
    let id = e.row("doc.txt").id;
    e.rename("doc.txt", "doc.txt~").unwrap();
    e.put("doc.txt", b"saved").unwrap();
    e.converged();
    let mut sent = e.sent();
    sent.sort();
    assert_eq!(sent, [M::Put, M::Put, M::Create, M::Replace]);
    assert_eq!(e.row("doc.txt").id, id);
    assert_eq!(e.cloud.files()["doc.txt"], "saved");
    assert_eq!(e.cloud.files()["doc.txt~"], "content of doc.txt");
    // The next session renames over the backup, which the server has by now.
    let backup = e.row("doc.txt~").id;
    e.cloud.clear_calls();
    e.rename("doc.txt", "doc.txt~").unwrap();
    e.put("doc.txt", b"again").unwrap();
    e.converged();
    let mut sent = e.sent();
    sent.sort();
    assert_eq!(sent, [M::Put, M::Put, M::Replace, M::Replace]);
    assert_eq!((e.row("doc.txt").id, e.row("doc.txt~").id), (id, backup));
    assert_eq!(e.cloud.files()["doc.txt"], "again");
    assert_eq!(e.cloud.files()["doc.txt~"], "saved");
    assert_eq!(trashed(&e), [""; 0]);
}

#[test]
fn a_backup_whose_bytes_are_not_here_is_fetched_before_they_are_replaced() {
    let e = with(&[]);
    let row = e.foreign_file(&e.cloud_root(), "doc.txt", &noise(300_000, 3));
    e.polls(2);
    e.rename("doc.txt", "doc.txt~").unwrap();
    e.put("doc.txt", b"saved").unwrap();
    e.converged();
    assert_eq!(e.row("doc.txt").id, row.id);
    assert_eq!(e.cloud.content(&e.row("doc.txt~").id).unwrap(), noise(300_000, 3));
}

#[test]
fn a_backup_that_is_renamed_back_is_the_file_again() {
    let e = with(&["doc.txt"]);
    e.rename("doc.txt", "doc.txt~").unwrap();
    e.put("doc.txt", b"spoilt").unwrap();
    e.unlink("doc.txt").unwrap();
    e.rename("doc.txt~", "doc.txt").unwrap();
    e.converged();
    assert_eq!(e.cloud.files()["doc.txt"], "content of doc.txt");
    assert_eq!(e.cloud_tree().len(), 1);
}

#[test]
fn a_log_that_rotates_is_moved_and_created_anew() {
    let e = with(&["log"]);
    let id = e.row("log").id;
    e.rename("log", "log.1").unwrap();
    e.put("log", b"fresh").unwrap();
    e.converged();
    let mut sent = e.sent();
    sent.sort();
    assert_eq!(sent, [M::Put, M::Create, M::Relocate]);
    assert_eq!(e.row("log.1").id, id);
    // Twice, a chain.
    e.rename("log.1", "log.2").unwrap();
    e.rename("log", "log.1").unwrap();
    e.put("log", b"third").unwrap();
    e.converged();
    assert_eq!(e.row("log.2").id, id);
    assert_eq!(e.cloud.files()["log.1"], "fresh");
}

#[test]
fn unlink_and_create_is_trash_and_create() {
    let e = with(&["a.txt"]);
    let id = e.row("a.txt").id;
    e.unlink("a.txt").unwrap();
    e.put("a.txt", b"another").unwrap();
    e.converged();
    let sent: Vec<_> = e.sent().into_iter().filter(|m| *m != M::Put).collect();
    assert_eq!(sent, [M::Trash, M::Create]);
    assert_ne!(e.row("a.txt").id, id);
    assert_eq!(e.cloud.row(&id).unwrap().status, Status::Trashed);
}

#[test]
fn names_are_swapped() {
    let e = with(&["a", "b"]);
    let (a, b) = (e.row("a").id, e.row("b").id);
    e.rename("a", "t").unwrap();
    e.rename("b", "a").unwrap();
    e.rename("t", "b").unwrap();
    e.converged();
    assert_eq!((e.row("a").id, e.row("b").id), (b, a));
    assert!(e.sent().iter().all(|m| *m == M::Relocate), "{:?}", e.sent());
}

#[test]
fn three_names_go_round() {
    let e = with(&["a.x", "b.x", "c.x"]);
    let ids = ["a.x", "b.x", "c.x"].map(|n| e.row(n).id);
    for (from, to) in [("a.x", "t"), ("c.x", "a.x"), ("b.x", "c.x"), ("t", "b.x")] {
        e.rename(from, to).unwrap();
    }
    e.converged();
    assert_eq!(["b.x", "c.x", "a.x"].map(|n| e.row(n).id), ids);
}

#[test]
fn a_chain_of_names_shifts_and_new_files_take_the_freed_ones() {
    let e = with(&["1", "2", "3"]);
    let ids = ["1", "2", "3"].map(|n| e.row(n).id);
    e.rename("3", "4").unwrap();
    e.rename("2", "3").unwrap();
    e.rename("1", "2").unwrap();
    e.put("1", b"new").unwrap();
    e.converged();
    assert_eq!(["2", "3", "4"].map(|n| e.row(n).id), ids);
    assert_eq!(e.cloud.files()["1"], "new");
}

#[test]
fn folders_swap_and_their_files_stay_with_them() {
    let e = with(&[]);
    for d in ["a", "b"] {
        e.mkdir(d).unwrap();
        e.put(&format!("{d}/f"), d.as_bytes()).unwrap();
    }
    e.drain();
    e.rename("a", "t").unwrap();
    e.rename("b", "a").unwrap();
    e.rename("t", "b").unwrap();
    e.put("a/g", b"new").unwrap();
    e.converged();
    assert_eq!(e.cloud.files()["a/f"], "b");
    assert_eq!(e.cloud.files()["b/f"], "a");
    assert_eq!(e.cloud.files()["a/g"], "new");
}

#[test]
fn a_new_folder_is_made_before_what_moves_into_it() {
    let e = with(&["a.txt"]);
    let id = e.row("a.txt").id;
    e.mkdir("new").unwrap();
    e.mkdir("new/deep").unwrap();
    e.rename("a.txt", "new/deep/a.txt").unwrap();
    e.put("new/deep/b.txt", b"b").unwrap();
    e.converged();
    assert_eq!(e.row("new/deep/a.txt").id, id);
    assert_eq!(e.sent().iter().filter(|m| **m == M::Mkdir).count(), 2);
}

#[test]
fn a_folder_goes_below_a_new_one_of_its_own_name() {
    let e = with(&[]);
    e.mkdir("x").unwrap();
    e.put("x/f", b"1").unwrap();
    e.drain();
    let id = e.row("x").id;
    e.mkdir("tmp").unwrap();
    e.rename("x", "tmp/x").unwrap();
    e.rename("tmp", "x").unwrap();
    e.converged();
    assert_eq!(e.row("x/x").id, id);
    assert_eq!(e.cloud.files()["x/x/f"], "1");
}

#[test]
fn a_folder_and_one_below_it_change_places() {
    let e = with(&[]);
    e.mkdir("a").unwrap();
    e.mkdir("a/b").unwrap();
    e.put("a/f", b"a").unwrap();
    e.put("a/b/f", b"b").unwrap();
    e.drain();
    e.rename("a/b", "t").unwrap();
    e.rename("a", "t/b").unwrap();
    e.rename("t", "a").unwrap();
    e.converged();
    assert_eq!(e.cloud.files()["a/f"], "b");
    assert_eq!(e.cloud.files()["a/b/f"], "a");
}

#[test]
fn a_folder_is_not_moved_below_itself() {
    let e = with(&[]);
    e.mkdir("a").unwrap();
    e.mkdir("a/b").unwrap();
    for to in ["a/c", "a/b/c"] {
        assert!(matches!(e.rename("a", to), Err(Error::Invalid(_))));
    }
    e.rename("a", "a").unwrap();
    e.converged();
}

#[test]
fn rename_over_follows_posix() {
    let e = with(&["f"]);
    e.mkdir("full").unwrap();
    e.put("full/x", b"1").unwrap();
    e.mkdir("empty").unwrap();
    e.mkdir("d").unwrap();
    e.drain();
    assert!(matches!(e.rename("f", "empty"), Err(Error::IsDir)));
    assert!(matches!(e.rename("d", "f"), Err(Error::NotDir)));
    assert!(matches!(e.rename("d", "full"), Err(Error::NotEmpty)));
    assert!(matches!(e.rename("gone", "f"), Err(Error::NotFound)));
    e.rename("full", "empty").unwrap();
    e.converged();
    assert_eq!(e.ls(""), ["d", "empty", "f"]);
    assert_eq!(e.cloud.files()["empty/x"], "1");
    assert_eq!(trashed(&e), ["empty"]);
}

#[test]
fn a_removed_tree_goes_to_the_trash_as_one_item() {
    let e = with(&[]);
    for d in ["t", "t/a", "t/a/b"] {
        e.mkdir(d).unwrap();
        for n in 0..5 {
            e.put(&format!("{d}/{n}"), b"x").unwrap();
        }
    }
    e.put("stays", b"x").unwrap();
    e.drain();
    e.cloud.clear_calls();
    e.remove_all("t").unwrap();
    e.converged();
    assert_eq!(e.sent(), [M::Trash]);
    assert_eq!(trashed(&e), ["t"]);
    assert_eq!(e.cloud.tree().len(), 1);
}

#[test]
fn what_moves_out_of_a_removed_folder_is_moved_first() {
    let e = with(&[]);
    e.mkdir("t").unwrap();
    e.put("t/keep", b"keep").unwrap();
    e.put("t/go", b"go").unwrap();
    e.drain();
    let id = e.row("t/keep").id;
    e.rename("t/keep", "kept").unwrap();
    e.remove_all("t").unwrap();
    e.converged();
    assert_eq!(e.row("kept").id, id);
    assert_eq!(e.ls(""), ["kept"]);
}

#[test]
fn a_removed_folder_with_a_strangers_file_stays_with_that_file() {
    let e = with(&[]);
    e.mkdir("t").unwrap();
    e.mkdir("t/deep").unwrap();
    e.put("t/mine", b"mine").unwrap();
    e.put("t/deep/mine", b"mine").unwrap();
    e.drain();
    let deep = e.row("t/deep").id;
    // Nothing of it has been heard here when the folder is removed.
    e.cloud.set_lag(1000);
    e.remove_all("t").unwrap();
    e.foreign_file(&deep, "theirs", b"theirs");
    e.cloud.set_lag(0);
    e.converged();
    assert_eq!(e.cloud.files().keys().collect::<Vec<_>>(), ["t/deep/theirs"]);
    assert_eq!(e.read("t/deep/theirs").unwrap(), "theirs");
}

#[test]
fn many_deletes_go_in_batches() {
    let e = with(&[]);
    for n in 0..120 {
        e.put(&format!("f{n}"), b"x").unwrap();
    }
    e.drain();
    let before = e.fault.calls(M::Trash);
    for n in 0..120 {
        e.unlink(&format!("f{n}")).unwrap();
    }
    e.converged();
    assert_eq!(e.fault.calls(M::Trash) - before, 3);
}

#[test]
fn rename_keeps_the_inode_and_what_is_open() {
    let e = with(&["a", "b"]);
    let (a, b) = (e.ino("a").unwrap(), e.ino("b").unwrap());
    let (fa, fb) = (e.open("a", READ).unwrap(), e.open("b", READ).unwrap());
    e.rename("a", "b").unwrap();
    assert_eq!(e.ino("b").unwrap(), a);
    e.converged();
    assert_eq!(e.ino("b").unwrap(), a);
    assert_ne!(a, b);
    assert_eq!(e.read_fh(fa, 0, 100).unwrap(), "content of a");
    assert_eq!(e.read_fh(fb, 0, 100).unwrap(), "content of b");
}

#[test]
fn names_that_linux_or_the_service_refuse_are_refused_at_once() {
    let e = with(&["f"]);
    assert!(matches!(e.put(&"x".repeat(256), b"1"), Err(Error::NameTooLong)));
    assert!(matches!(e.put("  ", b"1"), Err(Error::Invalid(_))));
    assert!(matches!(e.mkdir("a\\b"), Err(Error::Invalid(_))));
    assert!(matches!(e.rename("f", " "), Err(Error::Invalid(_))));
    e.put(&"é".repeat(127), &noise(10, 1)).unwrap();
    e.mkdir(&"d".repeat(255)).unwrap();
    for odd in ["a.b.c", ".hidden", "dot.", "Mr. X", "a\\b", "tab\there", " lead", "trail "] {
        e.put(odd, odd.as_bytes()).unwrap();
    }
    e.converged();
    assert_eq!(e.cloud.rows().iter().filter(|r| r.kind == Kind::File).count(), 10);
}

#[test]
fn a_file_renamed_over_another_and_back_again_settles() {
    let e = Engine::new();
    e.put("a", b"first").unwrap();
    e.put("b", b"second").unwrap();
    e.put("c", b"third").unwrap();
    e.drain();
    e.rename("a", "b").unwrap();
    e.rename("b", "a").unwrap();
    e.converged();
    assert_eq!(e.tree().len(), 2);
    assert_eq!((&e.cloud.files()["a"][..], &e.cloud.files()["c"][..]), (&b"first"[..], &b"third"[..]));
    // The same with a third one between.
    e.put("b", b"second").unwrap();
    e.drain();
    e.rename("a", "b").unwrap();
    e.rename("c", "a").unwrap();
    e.rename("b", "c").unwrap();
    e.converged();
    assert_eq!(e.tree().len(), 2);
    assert_eq!((&e.cloud.files()["a"][..], &e.cloud.files()["c"][..]), (&b"third"[..], &b"first"[..]));
}
