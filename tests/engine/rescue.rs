//! What is only here and lies below a folder that is gone there; and trees of any depth.

use inxtfs::fs::Error;
use inxtfs::names::RemoteName;
use inxtfs::remote::Method;
use inxtfs::remote::memory::Memory;
use inxtfs::types::{Ino, Kind, Row, Status};
use tokio::sync::oneshot::Sender;

use super::harness::{Engine, READ, TRUNCATE, WRITE, eventually, patient};

/// A drive with a chain of folders `d/d/d/…` and a file `f` at its end, known.
fn deep(levels: usize) -> (Engine, Row) {
    let cloud = Memory::new();
    let top = cloud.add_folder(&cloud.account().root, "d");
    let mut at = top.clone();
    for _ in 1..levels {
        at = cloud.add_folder(&at.id, "d");
    }
    cloud.add_file(&at.id, RemoteName::whole("f"), b"deep");
    (Engine::over(cloud, patient()), top)
}

/// The folders of a chain, from the root on.
fn chain(e: &Engine) -> Vec<Ino> {
    let mut inos = vec![Ino::ROOT];
    while let Ok(attr) = e.get(e.fs().lookup(inos[inos.len() - 1], b"d")) {
        inos.push(attr.ino);
    }
    inos
}

fn last(inos: &[Ino]) -> Ino {
    inos[inos.len() - 1]
}

fn file_in(e: &Engine, folder: Ino) -> Option<Ino> {
    e.get(e.fs().lookup(folder, b"f")).ok().map(|a| a.ino)
}

fn write(e: &Engine, ino: Ino, data: &[u8]) {
    let fh = e.get(e.fs().open(ino, WRITE)).unwrap().fh;
    e.write_fh(fh, 0, data).unwrap();
    e.close(fh).unwrap();
}

fn read(e: &Engine, ino: Ino) -> bytes::Bytes {
    let fh = e.get(e.fs().open(ino, READ)).unwrap().fh;
    let bytes = e.read_fh(fh, 0, 100).unwrap();
    e.fs().release(fh);
    bytes
}

#[test]
fn an_edit_below_ten_thousand_levels_is_told_and_rescued_when_they_delete_the_folder() {
    let (e, top) = deep(10_000);
    let inos = chain(&e);
    assert_eq!(inos.len(), 10_001);
    let file = file_in(&e, last(&inos)).unwrap();
    assert_eq!(read(&e, file), "deep");
    write(&e, file, b"DEEP");
    let path = e.fs().status().queue.remove(0).path;
    assert!(path.ends_with("/d/f") && path.len() < 4096, "{path}");
    let below = e.get(e.fs().rename(Ino::ROOT, b"d", last(&inos), b"e", false));
    assert!(matches!(below, Err(Error::Invalid(_))));
    e.foreign_trash(&top);
    eventually("the path is made again", || e.exists("d") && e.ino("d").unwrap() != inos[1]);
    e.fault.set_offline(true);
    let again = chain(&e);
    assert_eq!(again.len(), 10_001);
    assert!(again.iter().skip(1).all(|i| !inos.contains(i)));
    assert_eq!(file_in(&e, last(&again)), Some(file));
    assert_eq!(read(&e, file), "DEEP");
}

#[test]
fn a_tree_of_a_thousand_levels_goes_to_the_trash_as_one_item() {
    let (e, top) = deep(1000);
    let inos = chain(&e);
    e.get(e.fs().unlink(last(&inos), b"f")).unwrap();
    for pair in inos.windows(2).rev() {
        e.get(e.fs().rmdir(pair[0], b"d")).unwrap();
    }
    e.drain();
    assert_eq!(e.ls(""), [""; 0]);
    assert_eq!(e.cloud.row(&top.id).unwrap().status, Status::Trashed);
    let trashed = e.cloud.rows().into_iter().filter(|r| r.status == Status::Trashed);
    assert_eq!(trashed.count(), 1);
}

#[test]
fn a_deep_chain_made_here_is_sent_in_order() {
    let e = Engine::new();
    let mut at = Ino::ROOT;
    for _ in 0..100 {
        at = e.get(e.fs().mkdir(at, b"d")).unwrap().ino;
    }
    e.drain();
    assert_eq!(e.cloud.tree().len(), 100);
}

/// A drive with `d/f`, `d/e/g` and `out`, sent.
fn small() -> Engine {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.mkdir("d/e").unwrap();
    for name in ["d/f", "d/e/g", "out"] {
        e.put(name, name.as_bytes()).unwrap();
    }
    e.converged();
    e
}

fn gone(e: &Engine, deleted: bool, folder: &Row) {
    if deleted {
        e.foreign_delete(folder)
    } else {
        e.foreign_trash(folder)
    }
    e.cloud.settle();
}

fn files(e: &Engine) -> Vec<(String, String)> {
    let text = |b: bytes::Bytes| String::from_utf8_lossy(&b).into_owned();
    e.cloud.files().into_iter().map(|(p, b)| (p, text(b))).collect()
}

fn is(e: &Engine, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> = wanted.iter().map(|(p, b)| ((*p).to_owned(), (*b).to_owned())).collect();
    assert_eq!(files(e), wanted);
}

#[test]
fn a_file_open_for_writing_below_a_folder_they_deleted_is_kept_with_what_is_written_later() {
    for deleted in [false, true] {
        let e = small();
        let d = e.row("d");
        let fh = e.open("d/e/g", WRITE).unwrap();
        e.write_fh(fh, 0, b"W").unwrap();
        gone(&e, deleted, &d);
        eventually("the rest is gone", || !e.exists("d/f"));
        e.write_fh(fh, 1, b"W").unwrap();
        e.close(fh).unwrap();
        e.converged();
        is(&e, &[("d/e/g", "WWe/g"), ("out", "out")]);
    }
}

#[test]
fn a_reader_below_a_folder_they_deleted_reads_on() {
    let e = small();
    let fh = e.open("d/f", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "d/f");
    gone(&e, true, &e.row("d"));
    eventually("it is gone", || !e.exists("d"));
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "d/f");
    e.fs().release(fh);
    e.converged();
    is(&e, &[("out", "out")]);
}

#[test]
fn what_is_written_below_a_folder_that_is_gone_already_is_brought_back() {
    // A program whose working directory is below it.
    for deleted in [false, true] {
        let e = small();
        let (folder, file) = (e.ino("d/e").unwrap(), e.ino("d/e/g").unwrap());
        let d = e.row("d");
        e.foreign_trash(&d);
        eventually("it is gone", || !e.exists("d"));
        write(&e, file, b"late");
        if deleted {
            e.foreign_delete(&d);
        }
        let created = e.get(e.fs().create(folder, b"new", TRUNCATE));
        assert!(matches!(created, Err(Error::NotFound)), "nothing new is made in it");
        assert!(matches!(e.get(e.fs().mkdir(folder, b"new")), Err(Error::NotFound)));
        let moved = e.get(e.fs().rename(Ino::ROOT, b"out", folder, b"out", false));
        assert!(matches!(moved, Err(Error::NotFound)));
        e.converged();
        is(&e, &[("d/e/g", "lateg"), ("out", "out")]);
    }
}

#[test]
fn what_was_only_renamed_below_a_folder_they_deleted_goes_with_it() {
    for deleted in [false, true] {
        let e = small();
        e.rename("d/f", "d/f2").unwrap();
        e.rename("d/e", "d/e2").unwrap();
        e.rename("d/f2", "d/e2/f2").unwrap();
        gone(&e, deleted, &e.row("d"));
        eventually("it is gone", || !e.exists("d"));
        e.converged();
        is(&e, &[("out", "out")]);
    }
}

#[test]
fn an_edit_in_a_folder_that_was_renamed_below_one_they_deleted_is_kept() {
    for deleted in [false, true] {
        let e = small();
        e.rename("d/e", "d/e2").unwrap();
        e.put("d/e2/g", b"edited").unwrap();
        gone(&e, deleted, &e.row("d"));
        eventually("the rest is gone", || !e.exists("d/f"));
        e.converged();
        is(&e, &[("d/e2/g", "edited"), ("out", "out")]);
    }
}

#[test]
fn what_we_moved_out_of_a_folder_that_they_put_into_the_trash_lives() {
    let e = small();
    e.rename("d/f", "f").unwrap();
    e.rename("d/e", "e").unwrap();
    gone(&e, false, &e.row("d"));
    eventually("the rest is gone", || !e.exists("d"));
    e.converged();
    is(&e, &[("e/g", "d/e/g"), ("f", "d/f"), ("out", "out")]);
}

#[test]
fn a_file_that_they_put_into_the_trash_goes_however_we_moved_it() {
    for deleted in [false, true] {
        let e = small();
        let out = e.row("out");
        e.rename("out", "d/moved").unwrap();
        gone(&e, deleted, &out);
        eventually("it goes", || !e.exists("d/moved"));
        e.converged();
        is(&e, &[("d/e/g", "d/e/g"), ("d/f", "d/f")]);
    }
}

#[test]
fn a_file_that_we_moved_and_edited_outlives_their_delete() {
    for deleted in [false, true] {
        let e = small();
        let out = e.row("out");
        e.rename("out", "d/moved").unwrap();
        e.put("d/moved", b"edited").unwrap();
        gone(&e, deleted, &out);
        e.converged();
        is(&e, &[("d/e/g", "d/e/g"), ("d/f", "d/f"), ("d/moved", "edited")]);
    }
}

#[test]
fn a_folder_they_deleted_below_which_we_deleted_is_gone() {
    for deleted in [false, true] {
        let e = small();
        let d = e.row("d");
        e.unlink("d/f").unwrap();
        gone(&e, deleted, &d);
        eventually("it is gone", || !e.exists("d"));
        e.converged();
        is(&e, &[("out", "out")]);
    }
}

#[test]
fn a_folder_they_deleted_and_we_moved_goes_but_for_what_we_edited() {
    for deleted in [false, true] {
        let e = small();
        let d = e.row("d");
        e.rename("d", "d2").unwrap();
        e.put("d2/f", b"edited").unwrap();
        gone(&e, deleted, &d);
        eventually("the rest is gone", || !e.exists("d2/e"));
        e.converged();
        is(&e, &[("d2/f", "edited"), ("out", "out")]);
        assert_eq!(e.cloud.tree().iter().filter(|(_, r)| r.kind == Kind::Folder).count(), 1);
    }
}

#[test]
fn an_unsent_edit_of_a_file_that_was_removed_with_its_folder_stays_removed() {
    // Found by a kill: a request that was under way kept the edit beside the tombstone, and the edit came back.
    let e = small();
    e.put("d/f", b"edited").unwrap();
    e.rename("d/f", "d/f2").unwrap();
    let (reached, go) = e.fault.hold_at(Method::Relocate, 1);
    e.begin_drain();
    e.block_on(reached).unwrap();
    for file in ["d/f2", "d/e/g"] {
        e.unlink(file).unwrap();
    }
    e.rmdir("d/e").unwrap();
    e.rmdir("d").unwrap();
    go.send(()).unwrap();
    e.converged();
    is(&e, &[("out", "out")]);
    assert_eq!(e.ls(""), ["out"]);
}

#[test]
fn a_folder_that_is_removed_while_a_create_into_it_is_under_way_stays_removed() {
    // The row was taken for a stranger's, or the folder went first and the row was rescued from it.
    for (method, name) in [(Method::Create, "d/new"), (Method::Mkdir, "d/new"), (Method::Relocate, "d/out")] {
        let e = small();
        e.mkdir("z").unwrap();
        e.converged();
        match method {
            Method::Create => e.put(name, b"new").unwrap(),
            Method::Mkdir => e.mkdir(name).unwrap(),
            _ => e.rename("out", name).unwrap(),
        }
        let (reached, answer) = e.fault.hold_answer(method, 1);
        e.begin_drain();
        e.block_on(reached).unwrap();
        let (folder, marker) = (e.row("d"), e.row("z"));
        e.remove_all("d").unwrap();
        e.rmdir("z").unwrap();
        eventually("deletes are sent", || e.cloud.row(&marker.id).unwrap().status == Status::Trashed);
        e.polls(2);
        assert!(!e.exists("d"), "{method:?}");
        assert_eq!(e.cloud.row(&folder.id).unwrap().status, Status::Exists, "nobody knows yet what it holds");
        answer.send(()).unwrap();
        e.converged();
        let left: &[_] = if method == Method::Relocate { &[] } else { &[("out", "out")] };
        is(&e, left);
        assert_eq!(e.cloud.tree().iter().filter(|(_, r)| r.kind == Kind::Folder).count(), 0, "{method:?}");
    }
}

#[test]
fn what_lies_in_a_removed_folder_whose_move_is_under_way_stays_removed() {
    // The delete of the folder that it left settled it, so that the folder's own delete took it for a stranger's.
    let e = small();
    e.rename("d/e", "e2").unwrap();
    let (reached, go) = e.fault.hold_at(Method::Relocate, 1);
    e.begin_drain();
    e.block_on(reached).unwrap();
    let folder = e.row("d");
    e.remove_all("e2").unwrap();
    e.remove_all("d").unwrap();
    eventually("the folder went", || e.cloud.row(&folder.id).unwrap().status == Status::Trashed);
    e.polls(2);
    go.send(()).unwrap();
    e.converged();
    is(&e, &[("out", "out")]);
    assert_eq!(e.ls(""), ["out"]);
}

#[test]
fn what_we_sent_below_a_folder_that_they_had_put_into_the_trash_lives() {
    // The service takes it, and shows it to nobody.
    for (name, later) in [("d/e/g", 0), ("d/e/g", 20), ("d/e/new", 0), ("d/e/new", 20)] {
        let e = small();
        e.put(name, b"edited").unwrap();
        let (reached, look) = e.fault.hold_at(Method::Newest, 1);
        e.block_on(reached).unwrap();
        e.foreign_trash(&e.row("d"));
        e.drain();
        // So late that a replace is no longer watched.
        std::thread::sleep(e.config.pace * later);
        look.send(()).unwrap();
        eventually("the rest is gone", || !e.exists("d/f"));
        e.converged();
        is(&e, &[(name, "edited"), ("out", "out")]);
    }
}

#[test]
fn what_we_moved_below_a_folder_that_they_had_put_into_the_trash_lives() {
    let e = small();
    e.mkdir("m").unwrap();
    e.put("m/x", b"x").unwrap();
    e.converged();
    let (out, m) = (e.row("out"), e.row("m"));
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    e.foreign_trash(&e.row("d"));
    e.rename("out", "d/e/out").unwrap();
    e.rename("m", "d/e/m").unwrap();
    e.drain();
    look.send(()).unwrap();
    eventually("the rest is gone", || !e.exists("d/f"));
    e.converged();
    is(&e, &[("d/e/m/x", "x"), ("d/e/out", "out")]);
    assert_eq!((e.row("d/e/out").id, e.row("d/e/m").id), (out.id, m.id), "they were moved, not made anew");
}

#[test]
fn what_we_sent_into_a_folder_that_they_had_moved_into_one_we_know_to_be_gone_lives() {
    // That one had been asked for by itself, so it was known to be gone before any feed told of the move.
    let e = small();
    e.mkdir("p").unwrap();
    e.converged();
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    let p = e.row("p");
    e.foreign_move(&e.row("d/e"), &p.id, "e");
    e.foreign_trash(&p);
    e.put("p/x", b"x").unwrap();
    e.put("d/e/new", b"new").unwrap();
    e.drain();
    assert_ne!(e.row("p").id, p.id, "it is made again");
    assert!(e.exists("d/e/new"), "nobody has told of the move");
    look.send(()).unwrap();
    eventually("it is told", || !e.exists("d/e"));
    e.converged();
    is(&e, &[("d/f", "d/f"), ("out", "out"), ("p/e/new", "new"), ("p/x", "x")]);
}

#[test]
fn a_folder_we_made_below_one_that_they_had_put_into_the_trash_lives() {
    let e = small();
    e.mkdir("d/e/new").unwrap();
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    e.foreign_trash(&e.row("d"));
    e.drain();
    look.send(()).unwrap();
    eventually("the rest is gone", || !e.exists("d/f"));
    e.converged();
    assert_eq!(e.cloud_tree().keys().collect::<Vec<_>>(), ["d", "d/e", "d/e/new", "out"]);
}

#[test]
fn a_folder_we_made_below_one_that_they_had_deleted_for_good_is_made_anew() {
    // The service takes it, and refuses to move it ever after.
    let e = small();
    e.mkdir("d/e/new").unwrap();
    e.mkdir("d/e/new/below").unwrap();
    e.put("d/e/new/f", b"new").unwrap();
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    gone(&e, true, &e.row("d/e"));
    e.drain();
    look.send(()).unwrap();
    eventually("the rest is gone", || !e.exists("d/e/g"));
    e.converged();
    is(&e, &[("d/e/new/f", "new"), ("d/f", "d/f"), ("out", "out")]);
    assert!(e.exists("d/e/new/below"));
}

#[test]
fn a_move_is_not_sent_of_a_folder_that_they_trashed_while_it_was_prepared() {
    // It would come back from the trash, beside the one that was made again for what was edited in it.
    let e = small();
    e.put("d/e/g", b"edited").unwrap();
    e.rename("d", "x").unwrap();
    let d = e.cloud.tree().into_iter().find(|(p, _)| p == "d").unwrap().1;
    let (reached, go) = e.fault.hold_at(Method::Find, 1);
    e.begin_drain();
    e.block_on(reached).unwrap();
    e.foreign_trash(&d);
    eventually("the rest is gone", || !e.exists("x/f"));
    go.send(()).unwrap();
    e.converged();
    is(&e, &[("out", "out"), ("x/e/g", "edited")]);
    assert_eq!(e.cloud.row(&d.id).unwrap().status, Status::Trashed);
}

#[test]
fn what_they_renamed_before_its_answer_came_is_known_as_ours() {
    for name in ["new", "new/"] {
        let e = small();
        let (name, method) = match name.strip_suffix('/') {
            Some(folder) => (folder, Method::Mkdir),
            None => (name, Method::Create),
        };
        match method {
            Method::Mkdir => e.mkdir(name).unwrap(),
            _ => e.put(name, b"new").unwrap(),
        }
        let (reached, answer) = e.fault.hold_answer(method, 1);
        e.begin_drain();
        e.block_on(reached).unwrap();
        let row = e.cloud.tree().into_iter().find(|(p, _)| p == name).unwrap().1;
        e.foreign_move(&row, &e.cloud_root(), "renamed");
        eventually("it is seen", || e.exists("renamed"));
        answer.send(()).unwrap();
        e.converged();
        assert_eq!(e.cloud.tree().iter().filter(|(_, r)| r.id == row.id).count(), 1);
        assert_eq!(
            e.cloud.files().values().filter(|b| *b == "new").count(),
            usize::from(method == Method::Create)
        );
    }
}

/// All of `d` is removed, and the delete has been looked into and waits to be sent.
fn delete_d_up_to_its_request(e: &Engine) -> Sender<()> {
    let (reached, go) = e.fault.hold_at(Method::Trash, 1);
    e.remove_all("d").unwrap();
    e.begin_drain();
    e.block_on(reached).unwrap();
    go
}

#[test]
fn what_they_put_into_a_folder_just_before_our_delete_of_it_lives() {
    // Found by two mounts: the look before the delete had not shown it.
    for folder in ["d", "d/e"] {
        let e = small();
        let into = e.row(folder).id;
        let go = delete_d_up_to_its_request(&e);
        e.foreign_file(&into, "theirs", b"theirs");
        let made = e.cloud.add_folder(&into, "made");
        e.foreign_file(&made.id, "below", b"below");
        go.send(()).unwrap();
        let theirs = |name: &str| format!("{folder}/{name}");
        eventually("it is there", || e.exists(&theirs("theirs")) && e.exists(&theirs("made/below")));
        e.converged();
        is(&e, &[(&theirs("made/below"), "below"), (&theirs("theirs"), "theirs"), ("out", "out")]);
    }
}

#[test]
fn what_they_put_into_a_folder_just_before_our_delete_lives_though_it_is_told_only_after_that_is_confirmed() {
    for folder in ["d", "d/e"] {
        let e = small();
        let into = e.row(folder).id;
        let go = delete_d_up_to_its_request(&e);
        let mut late = e.cloud.blank_row(&into, Kind::File, RemoteName::whole("theirs"));
        (late.content, late.size) = (e.row("out").content, 6);
        late.content.as_mut().unwrap().object = "0123456789abcdef01234567".to_owned();
        go.send(()).unwrap();
        e.converged();
        is(&e, &[("out", "out")]);
        e.cloud.insert_row(late, Some("theirs".into()));
        e.foreign_file(&e.cloud_root(), "news", b"news");
        let theirs = format!("{folder}/theirs");
        eventually("it is there", || e.exists(&theirs));
        e.converged();
        is(&e, &[(&theirs, "theirs"), ("news", "news"), ("out", "out")]);
    }
}

#[test]
fn what_they_renamed_and_we_edited_before_its_answer_came_loses_neither() {
    let e = small();
    e.put("new", b"new").unwrap();
    let (reached, answer) = e.fault.hold_answer(Method::Create, 1);
    e.begin_drain();
    e.block_on(reached).unwrap();
    let row = e.cloud.tree().into_iter().find(|(p, _)| p == "new").unwrap().1;
    e.foreign_move(&row, &e.cloud_root(), "renamed");
    eventually("it is seen", || e.exists("renamed"));
    e.put("renamed", b"edited").unwrap();
    answer.send(()).unwrap();
    e.converged();
    assert_eq!(e.cloud.row(&row.id).map(|r| e.cloud.content(&r.id)).unwrap().unwrap(), "edited");
    is(&e, &[("d/e/g", "d/e/g"), ("d/f", "d/f"), ("new", "new"), ("out", "out"), ("renamed", "edited")]);
}

#[test]
fn what_we_edit_and_they_moved_into_a_folder_nobody_told_us_of_lives_when_that_goes() {
    for deleted in [false, true] {
        let e = small();
        let (reached, look) = e.fault.hold_at(Method::Newest, 1);
        e.block_on(reached).unwrap();
        e.put("out", b"edited").unwrap();
        let n = e.cloud.add_folder(&e.cloud_root(), "n");
        e.foreign_move(&e.row("out"), &n.id, "moved");
        if deleted {
            e.foreign_delete(&n);
        } else {
            e.foreign_trash(&n);
        }
        look.send(()).unwrap();
        eventually("it is told", || !e.exists("out"));
        e.converged();
        let path = if deleted { "recovered/moved" } else { "n/moved" };
        is(&e, &[("d/e/g", "d/e/g"), ("d/f", "d/f"), (path, "edited")]);
    }
}

#[test]
fn a_file_removed_with_its_folder_and_still_written_to_stays_removed() {
    // The folder is told to be gone twice: not found, and then by its row.
    let e = small();
    let fh = e.open("d/f", WRITE).unwrap();
    let d = e.row("d");
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    e.remove_all("d").unwrap();
    e.write_fh(fh, 0, b"written").unwrap();
    e.foreign_delete(&d);
    e.begin_drain();
    eventually("the delete is known to have arrived", || e.fs().status().totals.items == 0);
    look.send(()).unwrap();
    e.polls(2);
    e.write_fh(fh, 7, b" on").unwrap();
    assert_eq!(e.read_fh(fh, 0, 20).unwrap(), "written on");
    e.close(fh).unwrap();
    e.converged();
    is(&e, &[("out", "out")]);
}

#[test]
fn a_file_removed_with_its_folder_while_its_request_is_under_way_is_settled_by_itself() {
    for method in [Method::Put, Method::Replace] {
        let e = small();
        e.put("d/e/g", b"edited").unwrap();
        let (reached, go) = e.fault.hold_at(method, 1);
        e.begin_drain();
        e.block_on(reached).unwrap();
        e.remove_all("d").unwrap();
        let folder = e.row("d");
        eventually("the folder went", || e.cloud.row(&folder.id).unwrap().status == Status::Trashed);
        e.polls(2);
        go.send(()).unwrap();
        e.converged();
        is(&e, &[("out", "out")]);
        e.foreign_move(&folder, &e.cloud_root(), "d");
        eventually("they restored it", || e.exists("d/f"));
        e.converged();
    }
}

#[test]
fn a_reader_of_what_they_trashed_restored_and_edited_keeps_what_it_opened() {
    let e = small();
    let fh = e.open("d/f", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "d/f");
    let (row, ino) = (e.row("d/f"), e.ino("d/f").unwrap());
    e.foreign_trash(&row);
    eventually("it is gone", || !e.exists("d/f"));
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    e.foreign_move(&row, &row.parent.clone().unwrap(), "f");
    e.foreign_write(&row.id, b"theirs, and longer");
    look.send(()).unwrap();
    eventually("it is back", || e.exists("d/f"));
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "d/f");
    assert_ne!(e.ino("d/f").unwrap(), ino);
    assert_eq!(e.read("d/f").unwrap(), "theirs, and longer");
    e.fs().release(fh);
    e.converged();
    is(&e, &[("d/e/g", "d/e/g"), ("d/f", "theirs, and longer"), ("out", "out")]);
}

#[test]
fn what_they_wrote_to_a_file_we_removed_is_not_overwritten_by_whoever_still_has_it_open() {
    for trashed in [false, true] {
        let e = small();
        let fh = e.open("d/f", WRITE).unwrap();
        e.write_fh(fh, 0, b"ours").unwrap();
        let (reached, look) = e.fault.hold_at(Method::Newest, 1);
        e.block_on(reached).unwrap();
        let row = e.row("d/f");
        e.unlink("d/f").unwrap();
        if trashed {
            // It went before we heard of what they wrote.
            let (reached, seen) = e.fault.hold_at(Method::Trash, 1);
            look.send(()).unwrap();
            e.begin_drain();
            e.block_on(reached).unwrap();
            e.foreign_write(&row.id, b"theirs");
            seen.send(()).unwrap();
        } else {
            e.foreign_write(&row.id, b"theirs");
            look.send(()).unwrap();
            e.begin_drain();
        }
        eventually("theirs is back", || e.exists("d/f"));
        assert_eq!(e.read("d/f").unwrap(), "theirs");
        e.write_fh(fh, 4, b" too").unwrap();
        assert_eq!(e.read_fh(fh, 0, 100).unwrap(), "ours too");
        e.truncate("d/f", 5).unwrap();
        e.close(fh).unwrap();
        e.converged();
        is(&e, &[("d/e/g", "d/e/g"), ("d/f", "their"), ("out", "out")]);
    }
}

#[test]
fn a_folder_we_removed_into_which_they_moved_what_we_edit_stays() {
    let e = small();
    e.mkdir("p").unwrap();
    e.converged();
    let (reached, look) = e.fault.hold_at(Method::Newest, 1);
    e.block_on(reached).unwrap();
    e.foreign_move(&e.row("out"), &e.row("p").id, "c.txt");
    e.put("out", b"edited").unwrap();
    e.rmdir("p").unwrap();
    look.send(()).unwrap();
    e.polls(2);
    e.converged();
    is(&e, &[("d/e/g", "d/e/g"), ("d/f", "d/f"), ("p/c.txt", "edited")]);
}
