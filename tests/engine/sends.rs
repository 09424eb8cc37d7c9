//! What is sent for what was done: one request for one save.

use std::time::Duration;

use bytes::Bytes;
use inxtfs::fs::{Config, ItemState, SetAttr};
use inxtfs::remote::Method as M;
use inxtfs::remote::fault::Side;
use inxtfs::remote::memory::Memory;
use inxtfs::types::Timestamp;

use super::harness::{APPEND, Engine, READ, TRUNCATE, WRITE, eager, eventually, noise, patient};

#[test]
fn a_new_file_is_one_upload_and_one_create() {
    let e = Engine::new();
    e.put("report.txt", b"hello").unwrap();
    let mtime = Timestamp { secs: 1_600_000_000, nanos: 123_456_789 };
    e.set_mtime("report.txt", mtime).unwrap();
    e.cloud.clear_calls();
    e.drain();
    assert_eq!(e.sent(), [M::Put, M::Create]);
    let row = e.row("report.txt");
    assert_eq!((row.name.stem.as_str(), row.name.ext.as_deref()), ("report", Some("txt")));
    assert_eq!(row.modified, mtime.to_millis_precision());
    assert_eq!(e.cloud.content(&row.id).unwrap(), "hello");
    // Here the time is kept to the nanosecond, echoes of the row notwithstanding.
    e.polls(2);
    assert_eq!(e.stat("report.txt").unwrap().mtime, mtime);
}

#[test]
fn a_change_is_sent_by_itself_after_the_quiet_time() {
    let e = Engine::eager();
    e.put("f", b"one").unwrap();
    eventually("it is sent", || e.cloud.files().get("f").is_some_and(|b| b == "one"));
    e.put("f", b"two").unwrap();
    eventually("the change is sent", || e.cloud.files().get("f").is_some_and(|b| b == "two"));
    e.cloud.check().unwrap();
}

#[test]
fn an_overwrite_is_one_replace_of_the_same_row() {
    let e = Engine::new();
    e.put("f.txt", b"old").unwrap();
    e.drain();
    let before = e.row("f.txt");
    e.cloud.clear_calls();
    e.put("f.txt", b"newer").unwrap();
    let mtime = e.stat("f.txt").unwrap().mtime;
    let reached = e.fault.crash_at(M::Put, 1, Side::Before);
    let fs = e.fs().clone();
    e.block_on(async {
        // While it is being sent, it can be read.
        let drain = tokio::spawn(async move { fs.drain().await });
        reached.await.unwrap();
        drain.abort();
    });
    assert_eq!(e.read("f.txt").unwrap(), "newer");
    let mut e = e;
    e.kill();
    e.start();
    e.drain();
    assert_eq!(e.sent(), [M::Put, M::Replace]);
    let after = e.row("f.txt");
    assert_eq!(after.id, before.id);
    assert_eq!(after.modified, mtime.to_millis_precision());
    assert_eq!(e.cloud.content(&after.id).unwrap(), "newer");
    assert_eq!(e.read("f.txt").unwrap(), "newer");
}

#[test]
fn an_empty_file_waits_then_is_created() {
    let e =
        Engine::over(Memory::new(), inxtfs::fs::Config { empty_delay: Duration::from_secs(3600), ..eager() });
    e.cloud.clear_calls();
    e.put("empty.txt", b"").unwrap();
    e.put("full.txt", b"x").unwrap();
    eventually("the full one is sent", || e.cloud.files().contains_key("full.txt"));
    assert!(!e.cloud.files().contains_key("empty.txt"), "an empty file waits");
    e.drain();
    assert_eq!(e.row("empty.txt").size, 0);
    assert_eq!(e.cloud.count(M::Put), 1);
}

#[test]
fn an_empty_file_that_the_plan_refuses_stays_here_until_it_has_bytes() {
    let e = Engine::new();
    e.cloud.set_plan(|p| p.empty_files = 0);
    e.put("empty.txt", b"").unwrap();
    let status = e.drained();
    assert_eq!((status.totals.items, status.totals.blocked), (1, 1));
    assert_eq!(status.queue[0].state, ItemState::Blocked);
    assert!(status.queue[0].error.as_deref().unwrap().contains("empty"), "{:?}", status.queue);
    assert_eq!(e.stat("empty.txt").unwrap().size, 0);
    e.put("empty.txt", b"bytes").unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["empty.txt"], "bytes");
    // The same for a file that the plan lets be, once it may.
    e.put("second", b"").unwrap();
    assert_eq!(e.drained().totals.blocked, 1);
    e.cloud.set_plan(|p| p.empty_files = 10);
    e.fs().retry_blocked().unwrap();
    e.drain();
    assert_eq!(e.row("second").size, 0);
}

#[test]
fn truncating_and_writing_is_one_replace() {
    let e = Engine::over(Memory::new(), eager());
    e.put("f.txt", b"old").unwrap();
    eventually("sent", || e.cloud.files().contains_key("f.txt"));
    e.drain();
    e.cloud.clear_calls();
    let fh = e.create("f.txt", TRUNCATE).unwrap();
    e.flush(fh).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    e.write_fh(fh, 0, b"new").unwrap();
    e.close(fh).unwrap();
    e.drain();
    assert_eq!(e.sent(), [M::Put, M::Replace]);
    assert_eq!(e.cloud.files()["f.txt"], "new");
}

#[test]
fn a_truncation_to_nothing_that_stays_is_a_replace_by_nothing() {
    let e = Engine::new();
    e.put("f.txt", b"old").unwrap();
    e.drain();
    let id = e.row("f.txt").id;
    e.cloud.clear_calls();
    e.truncate("f.txt", 0).unwrap();
    assert_eq!(e.read("f.txt").unwrap(), "");
    e.drain();
    assert_eq!(e.sent(), [M::Replace]);
    let row = e.row("f.txt");
    assert_eq!((row.id.clone(), row.size, row.content), (id, 0, None));
    e.polls(2);
    e.put("f.txt", b"again").unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], "again");
    assert_eq!(e.row("f.txt").id, row.id);
}

#[test]
fn an_empty_versionable_file_gets_bytes_despite_the_internal_error() {
    let e = Engine::new();
    e.put("table.csv", b"").unwrap();
    e.drain();
    e.put("table.csv", b"a,b").unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["table.csv"], "a,b");
}

#[test]
fn writing_during_an_upload_makes_a_successor() {
    let e = Engine::new();
    e.put("f.txt", b"first").unwrap();
    let mut e = e;
    let reached = e.fault.crash_at(M::Create, 1, Side::After);
    let fs = e.fs().clone();
    e.block_on(async {
        tokio::spawn(async move { fs.drain().await });
        reached.await.unwrap();
    });
    assert_eq!(e.cloud.files()["f.txt"], "first");
    e.patch("f.txt", 5, b" second").unwrap();
    assert_eq!(e.read("f.txt").unwrap(), "first second");
    assert_eq!(e.cloud.files()["f.txt"], "first");
    e.kill();
    e.start();
    assert_eq!(e.read("f.txt").unwrap(), "first second");
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], "first second");
    assert_eq!(e.cloud.rows().iter().filter(|r| r.name.display() == "f.txt").count(), 1);
    assert_eq!(e.read("f.txt").unwrap(), "first second");
}

#[test]
fn what_is_written_after_a_kill_while_its_create_is_looked_for_is_sent_too() {
    let mut e = Engine::new();
    e.put("f.txt", b"first").unwrap();
    let reached = e.fault.crash_at(M::Create, 1, Side::After);
    let fs = e.fs().clone();
    e.block_on(async {
        tokio::spawn(async move { fs.drain().await });
        reached.await.unwrap();
    });
    e.kill();
    e.start();
    // The create is found to have been done between a write and its close.
    let (looking, go_on) = e.fault.hold_answer(M::Find, 1);
    e.begin_drain();
    e.block_on(looking).unwrap();
    let fh = e.open("f.txt", WRITE).unwrap();
    e.write_fh(fh, 5, b" second").unwrap();
    drop(go_on);
    let ino = e.ino("f.txt").unwrap();
    eventually("the create is found", || e.get(e.fs().getxattr(ino, b"user.inxtfs.uuid")).is_ok());
    e.close(fh).unwrap();
    assert_eq!(e.read("f.txt").unwrap(), "first second");
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], "first second");
    assert_eq!(e.cloud.rows().iter().filter(|r| r.name.display() == "f.txt").count(), 1);
    assert_eq!(e.read("f.txt").unwrap(), "first second");
}

#[test]
fn writing_after_an_upload_is_a_replace_on_top() {
    let e = Engine::new();
    let data = noise(200_000, 3);
    e.put("f.bin", &data).unwrap();
    e.drain();
    let reads = e.cloud.count(M::Read);
    e.patch("f.bin", 100_000, b"changed").unwrap();
    e.drain();
    let mut wanted = data;
    wanted[100_000..100_007].copy_from_slice(b"changed");
    assert_eq!(e.cloud.files()["f.bin"], wanted);
    assert_eq!(e.read("f.bin").unwrap(), wanted);
    assert!(e.cloud.count(M::Read) <= reads + 1, "what was uploaded is in the cache");
}

#[test]
fn a_file_that_is_open_for_writing_is_not_sent_and_drain_ends() {
    let e = Engine::new();
    let fh = e.create("f.txt", TRUNCATE).unwrap();
    e.write_fh(fh, 0, b"half").unwrap();
    e.put("other", b"x").unwrap();
    let status = e.drained();
    assert_eq!(status.totals.items, 1, "{:?}", status.queue);
    assert_eq!(e.cloud.files().keys().collect::<Vec<_>>(), ["other"]);
    e.write_fh(fh, 4, b" and half").unwrap();
    e.close(fh).unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], "half and half");
}

#[test]
fn what_was_due_while_it_was_open_is_sent_when_its_writer_ends() {
    let e = Engine::new();
    let fh = e.create("f.txt", TRUNCATE).unwrap();
    e.write_fh(fh, 0, b"whole").unwrap();
    e.flush(fh).unwrap();
    // Due by this, and put off for as long as a change rests: an hour.
    assert_eq!(e.drained().totals.items, 1);
    e.close(fh).unwrap();
    eventually("the file is sent", || e.cloud.files().get("f.txt").is_some_and(|f| f == "whole"));

    let fh = e.open("f.txt", APPEND).unwrap();
    e.write_fh(fh, 0, b" and").unwrap();
    e.flush(fh).unwrap();
    assert_eq!(e.drained().totals.items, 1);
    // What is written since has not rested.
    e.write_fh(fh, 0, b" more").unwrap();
    e.close(fh).unwrap();
    e.put("other", b"x").unwrap();
    assert_eq!(e.cloud.files()["f.txt"], "whole");
    e.drain();
    assert_eq!(e.cloud.files()["f.txt"], "whole and more");
}

#[test]
fn what_waits_for_something_blocked_does_not_keep_drain_from_ending() {
    let e = Engine::new();
    e.mkdir("d").unwrap();
    e.put("doc.txt", b"old").unwrap();
    e.put("d/doc.tmp", &noise(100, 1)).unwrap();
    e.drain();
    e.cloud.set_plan(|p| p.max_file = Some(50));
    let open = e.create("open", TRUNCATE).unwrap();
    e.write_fh(open, 0, b"0").unwrap();
    // The replace is refused; the source's row and the folder it is in wait for it.
    e.rename("d/doc.tmp", "doc.txt").unwrap();
    e.rmdir("d").unwrap();
    let status = e.drained();
    assert_eq!((status.totals.items, status.totals.blocked), (4, 1), "{:?}", status.queue);
    assert_eq!(e.read("doc.txt").unwrap(), noise(100, 1));
    e.close(open).unwrap();
    e.cloud.set_plan(|p| p.max_file = None);
    e.fs().retry_blocked().unwrap();
    e.converged();
}

#[test]
fn setting_a_time_on_a_clean_file_sends_nothing_and_stays() {
    let mut e = Engine::new();
    e.put("f.txt", b"x").unwrap();
    e.drain();
    let row = e.row("f.txt");
    e.cloud.clear_calls();
    let mtime = Timestamp { secs: 1_234_567_890, nanos: 987_654_321 };
    e.set_mtime("f.txt", mtime).unwrap();
    e.drain();
    assert_eq!(e.sent(), []);
    // Not a foreign change of the row without a change of content, nor a restart ends it.
    e.cloud.edit_row(&row.id, |_| {});
    e.polls(2);
    assert_eq!(e.stat("f.txt").unwrap().mtime, mtime);
    e.restart();
    assert_eq!(e.stat("f.txt").unwrap().mtime, mtime);
    // Another version has its own time.
    let row = e.foreign_write(&row.id, b"theirs");
    eventually("their content shows", || e.read("f.txt").unwrap() == "theirs");
    assert_eq!(e.stat("f.txt").unwrap().mtime, row.modified);
}

#[test]
fn a_time_set_before_the_upload_travels_with_it() {
    let e = Engine::new();
    let fh = e.create("f.txt", WRITE).unwrap();
    e.write_fh(fh, 0, b"x").unwrap();
    let mtime = Timestamp { secs: 5, nanos: 1_999_999 };
    let set = SetAttr { fh: Some(fh), mtime: Some(mtime), ..SetAttr::default() };
    e.get(e.fs().setattr(e.ino("f.txt").unwrap(), set)).unwrap();
    e.close(fh).unwrap();
    assert_eq!(e.stat("f.txt").unwrap().mtime, mtime);
    e.drain();
    assert_eq!(e.row("f.txt").modified, Timestamp::from_millis(5_001));
    assert_eq!(e.stat("f.txt").unwrap().mtime, mtime);
}

#[test]
fn a_read_only_mount_sends_nothing() {
    let cloud = Memory::new();
    let root = cloud.account().root;
    cloud.add_file(&root, inxtfs::names::RemoteName::split("f.txt"), b"theirs");
    let config = inxtfs::fs::Config { read_only: true, ..eager() };
    let e = Engine::over(cloud, config);
    let refused = |r: inxtfs::fs::Result<()>| assert!(matches!(r, Err(inxtfs::fs::Error::ReadOnly)), "{r:?}");
    refused(e.put("new", b"x"));
    refused(e.put("f.txt", b"x"));
    refused(e.mkdir("d"));
    refused(e.unlink("f.txt"));
    refused(e.rename("f.txt", "g.txt"));
    refused(e.truncate("f.txt", 0));
    refused(e.set_mtime("f.txt", Timestamp::default()));
    refused(e.open("f.txt", WRITE).map(|_| ()));
    assert_eq!(e.read("f.txt").unwrap(), "theirs");
    e.polls(2);
    assert_eq!(e.sent(), []);
}

#[test]
fn a_refused_file_is_blocked_readable_and_sent_on_request() {
    let e = Engine::over(Memory::new(), patient());
    e.cloud.set_plan(|p| p.quota = 10);
    e.put("big.bin", &noise(100, 1)).unwrap();
    let status = e.drained();
    assert_eq!(status.totals.blocked, 1);
    assert!(e.blocked()[0].1.contains("full"), "{:?}", e.blocked());
    assert_eq!(e.read("big.bin").unwrap(), noise(100, 1));
    e.cloud.set_plan(|p| (p.quota, p.max_file) = (1000, Some(50)));
    e.fs().retry_blocked().unwrap();
    assert_eq!(e.drained().totals.blocked, 1);
    assert!(e.blocked()[0].1.contains("larger"), "{:?}", e.blocked());
    let fh = e.open("big.bin", READ).unwrap();
    assert_eq!(e.read_fh(fh, 0, 100).unwrap(), Bytes::from(noise(100, 1)));
    e.fs().release(fh);
    e.cloud.set_plan(|p| p.max_file = None);
    e.fs().retry_blocked().unwrap();
    e.drain();
    assert_eq!(e.cloud.files()["big.bin"], noise(100, 1));
}

#[test]
fn what_has_a_temporary_name_rests_for_longer_and_no_longer_than_it_has_it() {
    let rest = Duration::from_secs(3600);
    let e = Engine::over(Memory::new(), Config { temporary_delay: rest, ..eager() });
    e.mkdir("new").unwrap();
    e.put("new/film.part", b"half").unwrap();
    e.put("new/plain", b"whole").unwrap();
    eventually("the plain one is sent", || e.cloud.files().contains_key("new/plain"));
    // The folder became known to the server meanwhile, which makes due what waited for it and nothing else.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(e.cloud.files().len(), 1);
    e.rename("new/film.part", "new/film").unwrap();
    eventually("it is sent", || e.cloud.files().contains_key("new/film"));
    // A new file that wants the name of one that rests is not held up by it.
    e.rename("new/plain", "new/plain.part").unwrap();
    e.put("new/plain", b"another").unwrap();
    eventually("both are sent", || e.cloud.files().get("new/plain").is_some_and(|f| f == "another"));
    assert_eq!(e.cloud.files()["new/plain.part"], "whole");
}
