//! What cannot be sent: it stays readable here, says why and what would help, and waits for a person or for news.

use std::path::PathBuf;

use inxtfs::fs::{Discarded, Error, FailedItem, ItemState};
use inxtfs::names::RemoteName;
use inxtfs::remote::fault::Action;
use inxtfs::remote::memory::{Memory, Plan};
use inxtfs::remote::{Method as M, Refusal};
use inxtfs::types::Ino;

use super::harness::{Engine, READ, TRUNCATE, WRITE, eventually, noise, patient};

/// An account with another plan, which has been asked for: nothing is news about it.
fn with_plan(edit: impl FnOnce(&mut Plan)) -> Engine {
    let cloud = Memory::new();
    cloud.set_plan(edit);
    let e = Engine::over(cloud, patient());
    eventually("the plan is known", || e.fs().status().quota_total.is_some());
    e
}

/// Sends what can be sent, until exactly one item waits for a decision. News of the account may free it in between.
fn the_one(e: &Engine, reason: &str) -> FailedItem {
    let mut found = Vec::new();
    eventually(reason, || {
        e.drained();
        found = e.failed();
        found.len() == 1 && found[0].reason == reason
    });
    found.remove(0)
}

/// Gives an item up, as soon as nothing is under way for it.
fn discard(e: &Engine, id: u64) -> Discarded {
    let mut discarded = None;
    eventually("it is given up", || match e.fs().discard(Ino(id)) {
        Err(Error::Busy) => false,
        other => {
            discarded = Some(other.unwrap());
            true
        }
    });
    discarded.unwrap()
}

/// Why an item cannot be given up, apart from what passes.
fn refused(e: &Engine, ino: Ino) -> Error {
    let mut refused = None;
    eventually("it is refused", || match e.fs().discard(ino) {
        Err(Error::Busy) => false,
        other => {
            refused = other.err();
            true
        }
    });
    refused.unwrap()
}

/// A remote file of which nothing is here, nor can be had for now.
fn with_far_file(data: &[u8]) -> Engine {
    let cloud = Memory::new();
    cloud.add_file(&cloud.account().root, RemoteName::split("f.bin"), data);
    let e = Engine::over(cloud, patient());
    e.fault.always(M::Read, Action::Offline);
    e
}

/// The one file of staged blocks (of contents above 64 KiB).
fn staged_file(e: &Engine) -> PathBuf {
    let dirs = std::fs::read_dir(e.state_dir().join("blocks")).unwrap().map(|d| d.unwrap().path());
    let files = dirs.filter(|d| d.is_dir()).flat_map(|d| std::fs::read_dir(d).unwrap());
    let mut staged: Vec<_> =
        files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "s")).collect();
    assert_eq!(staged.len(), 1, "{staged:?}");
    staged.remove(0)
}

/// Flips a bit of the second staged block behind the program's back; what memory holds of it is gone with a restart.
fn flip_a_bit(e: &mut Engine) {
    e.stop();
    let path = staged_file(e);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[80_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    e.start();
}

#[test]
fn a_full_account_is_told_with_its_remedy_survives_a_restart_and_heals_by_itself() {
    let mut e = with_plan(|p| p.quota = 10);
    e.mkdir("d").unwrap();
    let data = noise(100_000, 1);
    e.put("d/big.bin", &data).unwrap();
    let item = the_one(&e, "quota");
    assert_eq!((item.path.as_str(), item.what.as_str(), item.size), ("/d/big.bin", "create", 100_000));
    assert!(item.why.contains("full") && item.remedy.contains("free space"), "{item:?}");
    let shown = e.fs().status().queue.remove(0);
    assert_eq!((shown.ino, shown.state), (item.id, ItemState::Blocked));
    assert_eq!(shown.reason.as_deref(), Some("quota"));
    assert_eq!(shown.remedy, Some(item.remedy.clone()));

    // Nobody is asked meanwhile, so nothing can change.
    e.fault.set_offline(true);
    e.restart();
    assert_eq!(e.failed(), std::slice::from_ref(&item));
    assert_eq!(e.read("d/big.bin").unwrap(), data);
    assert_eq!(e.export(item.id), (data.clone(), vec![]));
    e.fault.clear();
    the_one(&e, "quota");

    // The plan's event is enough.
    e.cloud.set_plan(|p| p.quota = 1 << 30);
    eventually("it is sent", || e.cloud.files().get("d/big.bin").is_some_and(|b| *b == data));
    e.converged();
    assert_eq!(e.failed(), []);
}

#[test]
fn a_file_above_the_plans_limit_waits_and_a_discard_makes_it_disappear() {
    let e = Engine::new();
    e.put("large.bin", &noise(1000, 2)).unwrap();
    e.put("small.bin", b"small").unwrap();
    e.cloud.set_plan(|p| p.max_file = Some(50));
    let item = the_one(&e, "too-large");
    assert_eq!((item.path.as_str(), item.size), ("/large.bin", 1000));
    assert_eq!(e.cloud.files().len(), 1, "the others go");
    assert_eq!(e.read("large.bin").unwrap(), noise(1000, 2));
    assert_eq!(e.export(item.id).0, noise(1000, 2));
    let discarded = discard(&e, item.id);
    assert_eq!((discarded.path.as_str(), discarded.what.as_str()), ("/large.bin", "create"));
    assert!(!e.exists("large.bin"));
    e.converged();
    assert_eq!(e.failed(), []);
    assert!(matches!(refused(&e, Ino(item.id)), Error::NotFound));
}

#[test]
fn an_empty_file_that_is_refused_can_be_exported_retried_and_discarded() {
    let e = with_plan(|p| p.empty_files = 0);
    e.put("empty", b"").unwrap();
    let item = the_one(&e, "empty-file");
    assert!(item.remedy.contains("write something"), "{item:?}");
    assert_eq!(e.export(item.id), (vec![], vec![]));
    assert_eq!(e.fs().retry(Some(Ino(item.id))).unwrap(), 1);
    assert_eq!(the_one(&e, "empty-file"), item);
    assert!(matches!(e.fs().retry(Some(Ino(item.id + 1))), Err(Error::NotFound)));
    discard(&e, item.id);
    assert_eq!(e.ls(""), [""; 0]);
    e.converged();
}

#[test]
fn a_refused_name_waits_for_another_one() {
    let e = Engine::new();
    e.fault.always(M::Create, Action::Refuse(Refusal::Name));
    e.put("odd.txt", b"bytes").unwrap();
    let item = the_one(&e, "name");
    assert!(item.remedy.contains("another name"), "{item:?}");
    // A word of the plan is no reason to try the same name again.
    let tries = e.fault.calls(M::Create);
    for _ in 0..2 {
        // The second look begins after the first one's news was told.
        let asked = e.fault.calls(M::Limits);
        e.cloud.set_plan(|p| p.quota += 1);
        eventually("the plan is asked", || e.fault.calls(M::Limits) > asked);
    }
    assert_eq!((e.failed(), e.fault.calls(M::Create)), (vec![item], tries));
    e.fault.clear();
    e.rename("odd.txt", "even.txt").unwrap();
    e.converged();
    assert_eq!(e.cloud.files()["even.txt"], "bytes");
}

#[test]
fn damaged_staged_bytes_are_an_error_and_wait_and_all_others_can_be_exported() {
    let mut e = Engine::new();
    let data = noise(200_000, 3);
    e.put("f.bin", &data).unwrap();
    flip_a_bit(&mut e);
    // Whoever reads it hears of it; what is not damaged reads on.
    let fh = e.open("f.bin", READ).unwrap();
    let damaged = (0..4).map(|b| b << 16).filter(|at| match e.read_fh(fh, *at, 1000) {
        Ok(bytes) => {
            let at = usize::try_from(*at).unwrap();
            assert_eq!(bytes, data[at..at + 1000]);
            false
        }
        Err(error) => {
            assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
            true
        }
    });
    let damaged: Vec<u64> = damaged.collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    e.fs().release(fh);
    let item = e.failed().remove(0);
    assert_eq!((item.reason.as_str(), item.path.as_str()), ("damaged", "/f.bin"));
    assert!(item.why.contains("damaged") && item.remedy.contains("export"), "{item:?}");
    // An upload meets the same, and says no more than that.
    assert_eq!(e.fs().retry(None).unwrap(), 1);
    the_one(&e, "damaged");
    assert_eq!(e.cloud_tree().len(), 0);
    // Everything else is there.
    let (bytes, missing) = e.export(item.id);
    let lost = damaged[0]..(damaged[0] + (1 << 16)).min(200_000);
    assert_eq!(
        missing.iter().map(|(range, _)| range.clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&lost)
    );
    let lost = usize::try_from(lost.start).unwrap()..usize::try_from(lost.end).unwrap();
    let mut known = data.clone();
    known[lost].fill(0);
    assert!(bytes == known);
    // Written anew as a whole, it is an ordinary file.
    e.put("f.bin", &data).unwrap();
    e.converged();
}

#[test]
fn a_staged_file_that_was_cut_on_disk_is_found_by_the_upload_and_a_discard_shows_the_servers_version() {
    let mut e = Engine::new();
    e.put("f.bin", b"theirs").unwrap();
    e.drain();
    e.put("f.bin", &noise(200_000, 4)).unwrap();
    e.stop();
    let path = staged_file(&e);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len / 2).unwrap();
    e.start();
    let item = the_one(&e, "damaged");
    assert_eq!(item.what, "upload");
    assert_eq!(e.cloud.files()["f.bin"], "theirs");
    assert!(matches!(e.read("f.bin"), Err(Error::Damaged { .. })));
    discard(&e, item.id);
    assert_eq!(e.read("f.bin").unwrap(), "theirs");
    assert_eq!(e.stat("f.bin").unwrap().size, 6);
    e.converged();
}

#[test]
fn a_part_written_over_what_the_server_lost_is_exportable_and_its_rest_is_never_made_up() {
    let data = noise(300_000, 5);
    let e = with_far_file(&data);
    e.patch("f.bin", 100_000, b"mine").unwrap();
    assert!(e.cloud.remove_object(e.row("f.bin").content.as_ref().unwrap()));
    e.fault.clear();
    let item = the_one(&e, "base-lost");
    assert!(item.why.contains("cannot be read") && item.remedy.contains("export"), "{item:?}");
    assert_eq!(e.sent(), []);
    let fh = e.open("f.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 100_000, 4).unwrap(), "mine");
    assert!(e.read_fh(fh, 0, 10).is_err());
    e.fs().release(fh);
    let (bytes, missing) = e.export(item.id);
    assert_eq!(&bytes[100_000..100_004], b"mine");
    let lost: u64 = missing.iter().map(|(range, _)| range.end - range.start).sum();
    assert_eq!(lost, 300_000 - 4, "{missing:?}");
    assert!(
        missing.iter().all(|(range, why)| !range.contains(&100_000) && why.contains("gone")),
        "{missing:?}"
    );
    // The plan has no say in it.
    e.cloud.set_plan(|p| p.quota += 1);
    e.fs().retry_blocked().unwrap();
    assert_eq!(e.failed(), std::slice::from_ref(&item));
    e.put("f.bin", b"whole").unwrap();
    e.converged();
}

#[test]
fn a_part_written_over_what_they_replaced_is_never_merged_with_theirs() {
    let e = with_far_file(&noise(300_000, 6));
    let row = e.row("f.bin");
    e.patch("f.bin", 5, b"mine").unwrap();
    e.foreign_write(&row.id, b"theirs, and short");
    e.fault.clear();
    let item = the_one(&e, "base-lost");
    assert!(item.path.contains("conflict here"), "{item:?}");
    assert_eq!(e.read("f.bin").unwrap(), "theirs, and short");
    assert_eq!(e.cloud.files().len(), 1);
    let (bytes, missing) = e.export(item.id);
    assert_eq!(&bytes[5..9], b"mine");
    assert!(bytes[..5].iter().chain(&bytes[9..]).all(|b| *b == 0), "holes, nobody's bytes");
    assert!(!missing.is_empty());
    discard(&e, item.id);
    e.converged();
    assert_eq!(e.ls(""), ["f.bin"]);
}

/// It became a conflict copy of which no byte was anywhere, and stayed for a person to decide on.
#[test]
fn what_was_only_open_for_writing_when_its_version_went_leaves_nothing_that_nobody_can_read() {
    for replaced in [true, false] {
        let e = with_far_file(&noise(300_000, 8));
        let row = e.row("f.bin");
        let fh = e.open("f.bin", WRITE).unwrap();
        match replaced {
            true => drop(e.foreign_write(&row.id, b"theirs")),
            false => {
                e.foreign_delete(&row);
                e.cloud.remove_object(row.content.as_ref().unwrap());
            }
        }
        e.polls(2);
        e.fault.clear();
        assert!(e.read_fh(fh, 0, 10).is_err());
        e.close(fh).unwrap();
        e.converged();
        assert_eq!(e.failed(), []);
        assert_eq!(e.ls("").len(), usize::from(replaced));
    }
}

#[test]
fn a_copy_that_was_written_into_or_cut_waits_for_a_person_when_its_rest_is_lost() {
    for cut in [true, false] {
        let e = with_far_file(&noise(300_000, 10));
        let row = e.row("f.bin");
        let fh = e.open("f.bin", WRITE).unwrap();
        e.foreign_write(&row.id, b"theirs");
        e.polls(2);
        if cut {
            let copy = e.ls("").into_iter().find(|n| n.contains("conflict")).unwrap();
            e.truncate(&copy, 5).unwrap();
        } else {
            e.write_fh(fh, 7, b"mine").unwrap();
        }
        e.close(fh).unwrap();
        e.fault.clear();
        assert!(the_one(&e, "base-lost").path.contains("conflict here"));
    }
}

#[test]
fn a_small_file_that_is_opened_for_writing_is_fetched_before_they_replace_it() {
    let mut data = noise(300_000, 11);
    let cloud = Memory::new();
    let row = cloud.add_file(&cloud.account().root, RemoteName::split("f.bin"), &data);
    let e = Engine::over(cloud, patient());
    let fh = e.open("f.bin", WRITE).unwrap();
    eventually("it is here", || e.fs().status().cache_used >= 300_000);
    e.foreign_write(&row.id, b"theirs");
    e.polls(2);
    e.write_fh(fh, 100_000, b"mine").unwrap();
    e.close(fh).unwrap();
    e.converged();
    data[100_000..100_004].copy_from_slice(b"mine");
    assert!(e.cloud.files().values().any(|f| *f == data), "with the rest of what was there");
    assert_eq!(e.failed(), []);
}

#[test]
fn offline_an_export_gives_what_is_here_and_says_what_is_not() {
    let e = with_far_file(&noise(300_000, 7));
    e.patch("f.bin", 0, b"mine").unwrap();
    let id = e.ino("f.bin").unwrap().0;
    let (bytes, missing) = e.export(id);
    assert_eq!(&bytes[..4], b"mine");
    assert!(missing.iter().all(|(_, why)| why.contains("offline")), "{missing:?}");
    // With a network the rest is fetched on the way.
    e.fault.clear();
    let (bytes, missing) = e.export(id);
    assert_eq!(missing, []);
    assert!(bytes[4..] == noise(300_000, 7)[4..]);
    e.converged();
}

#[test]
fn a_discarded_move_goes_back_and_a_discarded_delete_comes_back_with_all_below() {
    let e = Engine::new();
    for dir in ["a", "b", "gone", "gone/deep"] {
        e.mkdir(dir).unwrap();
    }
    e.put("a/f.txt", b"f").unwrap();
    e.put("gone/deep/g.txt", b"g").unwrap();
    e.drain();
    let before = e.tree();

    e.fault.always(M::Relocate, Action::Refuse(Refusal::Forbidden));
    e.rename("a/f.txt", "b/g.txt").unwrap();
    let item = the_one(&e, "forbidden");
    assert_eq!((item.path.as_str(), item.what.as_str()), ("/b/g.txt", "move"));
    assert!(e.fs().export(Ino(item.id)).is_err(), "its bytes are the server's");
    discard(&e, item.id);
    assert_eq!(e.tree(), before);

    e.fault.always(M::Trash, Action::Refuse(Refusal::Forbidden));
    let folder = e.ino("gone").unwrap();
    e.remove_all("gone").unwrap();
    eventually("the delete is refused", || {
        e.drained();
        e.failed().iter().any(|i| i.id == folder.0 && i.what == "delete")
    });
    // Not while the deletes below it are on their way.
    discard(&e, folder.0);
    e.fault.clear();
    e.converged();
    assert_eq!(e.tree(), before);
    assert_eq!(e.failed(), []);
}

#[test]
fn a_discarded_save_by_rename_brings_back_what_was_renamed() {
    let e = Engine::new();
    e.put("a.txt", b"a").unwrap();
    e.put("b.txt", b"b").unwrap();
    e.drain();
    let before = e.tree();
    e.fault.always(M::Put, Action::Refuse(Refusal::Quota));
    e.rename("a.txt", "b.txt").unwrap();
    let item = the_one(&e, "quota");
    discard(&e, item.id);
    assert_eq!(e.tree(), before);
    e.fault.clear();
    e.converged();
    assert_eq!(e.tree(), before);
}

#[test]
fn what_is_open_or_holds_something_is_not_discarded() {
    let e = Engine::new();
    e.fault.always(M::Mkdir, Action::Refuse(Refusal::Name));
    e.mkdir("d").unwrap();
    e.put("d/f", b"kept").unwrap();
    let item = the_one(&e, "name");
    assert!(matches!(refused(&e, Ino(item.id)), Error::NotEmpty));
    // What waits for it has not failed itself.
    assert!(matches!(refused(&e, e.ino("d/f").unwrap()), Error::NotFound));
    e.fault.clear();
    e.rename("d", "e").unwrap();
    e.drain();

    e.fault.always(M::Put, Action::Refuse(Refusal::Quota));
    let fh = e.create("open", TRUNCATE).unwrap();
    e.write_fh(fh, 0, b"kept").unwrap();
    e.close(fh).unwrap();
    let reader = e.open("open", READ).unwrap();
    let item = the_one(&e, "quota");
    assert!(matches!(e.fs().discard(Ino(item.id)), Err(Error::Busy)));
    assert_eq!(e.read_fh(reader, 0, 4).unwrap(), "kept");
    e.fs().release(reader);
    e.fault.clear();
    e.fs().retry(None).unwrap();
    e.converged();
}

#[test]
fn a_refusal_of_former_content_does_not_block_what_was_written_since() {
    let e = with_plan(|p| p.quota = 1000);
    e.put("f.txt", &noise(2000, 8)).unwrap();
    let (reached, release) = e.fault.hold_at(M::Put, 1);
    let fs = e.fs().clone();
    e.block_on(async {
        let drain = tokio::spawn(async move { fs.drain().await });
        reached.await.unwrap();
        drain.abort();
    });
    e.truncate("f.txt", 10).unwrap();
    release.send(()).unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], noise(2000, 8)[..10]);
}

#[test]
fn a_service_that_asks_to_wait_does_not_block_a_partial_write() {
    let data = noise(300_000, 9);
    let e = with_far_file(&data);
    e.fault.always(M::Read, Action::Busy(std::time::Duration::from_millis(1)));
    e.patch("f.bin", 0, b"mine").unwrap();
    let fs = e.fs().clone();
    let asked = e.fault.calls(M::Read);
    e.block_on(async {
        let drain = tokio::spawn(async move { fs.drain().await });
        while e.fault.calls(M::Read) < asked + 5 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(!drain.is_finished(), "it goes on trying");
        drain.abort();
    });
    assert_eq!(e.failed(), []);
    e.fault.clear();
    e.converged();
    assert!(e.cloud.files()["f.bin"][4..] == data[4..]);
}
