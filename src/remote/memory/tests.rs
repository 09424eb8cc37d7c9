use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::remote::{Body, Cursor, Error, NewFile, Remote, Replacement, Result, Scope, Urgency};

const T: Timestamp = Timestamp { secs: 1, nanos: 0 };

async fn put(r: &MemoryRemote, bytes: &'static [u8]) -> Version {
    r.put(None, Body::from_bytes(Bytes::from_static(bytes))).await.expect("put")
}

fn new_file(parent: &NodeId, name: &str, content: Option<Version>, size: u64) -> NewFile {
    NewFile { parent: parent.clone(), name: RemoteName::split(name), content, size, modified: T, created: T }
}

async fn file(r: &MemoryRemote, name: &str, bytes: &'static [u8]) -> Row {
    let content = put(r, bytes).await;
    let root = r.account().root;
    r.create(&new_file(&root, name, Some(content), bytes.len() as u64)).await.expect("create")
}

async fn replace(r: &MemoryRemote, row: &Row, base: Option<Version>, bytes: &'static [u8]) -> Result<Row> {
    let content = if bytes.is_empty() { None } else { Some(put(r, bytes).await) };
    r.replace(&row.id, &Replacement::new(base, content, bytes.len() as u64, T)?).await
}

#[tokio::test]
async fn reads_lag_by_mutations_and_writes_do_not() {
    let cloud = Memory::new();
    let (r, root) = (cloud.client("a"), cloud.account().root);
    let before = r.mkdir(&root, "before", T, T).await.expect("mkdir");
    cloud.set_lag(2);
    for name in ["one", "two", "three"] {
        r.mkdir(&root, name, T, T).await.expect("mkdir");
    }
    let names = async || {
        let mut rows = r.list(&root).await.expect("list");
        rows.sort_by_key(|row| row.updated);
        rows.into_iter().map(|row| row.name.stem).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["before", "one"]);
    assert_eq!(
        r.newest(Kind::Folder).await.expect("newest"),
        Some((names_id(&cloud, "one"), at(&cloud, "one")))
    );
    assert!(matches!(r.stat(Kind::Folder, &names_id(&cloud, "three")).await, Err(Error::NotFound)));
    let again = r.mkdir(&root, "three", T, T).await;
    assert!(matches!(again, Err(Error::Exists)), "names are the master's: {again:?}");
    r.mkdir(&names_id(&cloud, "three"), "below", T, T).await.expect("so are parents");
    cloud.set_stale_checks(true);
    assert!(matches!(r.mkdir(&names_id(&cloud, "below"), "x", T, T).await, Err(Error::NotFound)));
    cloud.catch_up();
    assert_eq!(names().await, ["before", "one", "two", "three"]);
    r.mkdir(&names_id(&cloud, "below"), "x", T, T).await.expect("the parent is seen now");
    assert_eq!(r.stat(Kind::Folder, &before.id).await.expect("stat"), before);
}

fn names_id(cloud: &Memory, name: &str) -> NodeId {
    cloud.rows().into_iter().find(|r| r.name.stem == name).expect("a row of this name").id
}

fn at(cloud: &Memory, name: &str) -> Timestamp {
    cloud.row(&names_id(cloud, name)).expect("a row").updated
}

#[tokio::test]
async fn a_stale_check_leaves_the_middle_object_of_two_replaces_orphaned() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    let row = file(&r, "a.txt", b"one").await;
    cloud.set_lag(5);
    cloud.set_stale_checks(true);
    let middle = replace(&r, &row, row.content.clone(), b"two").await.expect("replace").content;
    replace(&r, &row, middle.clone(), b"three").await.expect("replace");
    assert_eq!(cloud.orphans(), [middle.expect("content")]);
    assert_eq!(cloud.content(&row.id).expect("content"), "three");
    cloud.check().expect("nothing is lost");
}

#[tokio::test]
async fn the_clock_moves_with_mutations_and_by_hand_only() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    let root = cloud.account().root;
    let one = r.mkdir(&root, "one", T, T).await.expect("mkdir");
    r.list(&root).await.expect("list");
    assert_eq!(cloud.now(), one.updated);
    cloud.advance(Duration::from_secs(60));
    let two = r.mkdir(&root, "two", T, T).await.expect("mkdir");
    assert_eq!(two.updated.as_millis() - one.updated.as_millis(), 60_001);
}

#[tokio::test]
async fn only_a_race_makes_doubles_and_only_without_extension() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    let root = cloud.account().root;
    for (name, doubles) in [("noext", true), ("a.txt", false)] {
        file(&r, name, b"first").await;
        cloud.race_next_create();
        let content = put(&r, b"second").await;
        let made = r.create(&new_file(&root, name, Some(content), 6)).await;
        assert_eq!(made.is_ok(), doubles, "{name}: {made:?}");
    }
    assert_eq!(r.find(&root, "noext").await.expect("find").len(), 2);
}

#[tokio::test]
async fn answers_to_replace_and_relocate_are_stale() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    let row = file(&r, "a.txt", b"old").await;
    let content = put(&r, b"newer").await;
    let later = Timestamp { secs: 9, nanos: 0 };
    let with = Replacement::new(row.content.clone(), Some(content), 5, later).expect("other content");
    let answer = r.replace(&row.id, &with).await.expect("replace");
    assert_eq!((answer.modified, answer.updated, answer.size), (row.modified, row.updated, 5));
    assert_eq!(cloud.row(&row.id).expect("row").modified, later);
    let root = cloud.account().root;
    let answer = r.relocate(Kind::File, &row.id, &root, &RemoteName::split("b.txt")).await.expect("relocate");
    assert!(answer.updated < cloud.row(&row.id).expect("row").updated);
}

#[tokio::test]
async fn versionable_files_keep_former_contents_until_pruned() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    cloud.set_plan(|p| p.versions = Some(Versions { max_file: 100, count: 2 }));
    let mut row = file(&r, "a.pdf", b"1").await;
    let first = row.content.clone().expect("content");
    for bytes in [&b"2"[..], b"3", b"4"] {
        row = replace(&r, &row, row.content.clone(), bytes).await.expect("replace");
    }
    let kept = cloud.kept_versions(&row.id);
    assert_eq!(kept.len(), 2);
    assert!(!kept.contains(&first));
    assert!(matches!(r.read(&first, 1, 0..1, Urgency::Now).await, Err(Error::NotFound)));
    assert!(r.read(&kept[0], 1, 0..1, Urgency::Now).await.is_ok());
    cloud.check().expect("sound");

    replace(&r, &row, row.content.clone(), b"").await.expect("to nothing");
    let refilled = replace(&r, &row, None, b"again").await;
    assert!(matches!(refilled, Err(Error::Ambiguous(_))), "{refilled:?}");
    assert_eq!(cloud.content(&row.id).expect("content"), "again", "done all the same");

    let upper = file(&r, "b.PDF", b"1").await;
    replace(&r, &upper, upper.content.clone(), b"2").await.expect("replace");
    assert!(cloud.kept_versions(&upper.id).is_empty(), "lower case only");
}

#[tokio::test]
async fn check_finds_what_kills_data() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    let row = file(&r, "a.txt", b"precious").await;
    cloud.check().expect("sound");
    // A blind retry whose base was never read: the service deletes the object it was just given.
    let same = Replacement::new(None, row.content.clone(), 8, T).expect("nothing to compare with");
    r.replace(&row.id, &same).await.expect("the service takes it");
    assert_eq!(cloud.content(&row.id), None);
    assert!(cloud.check().expect_err("a missing object").contains("missing object"));

    let cloud = Memory::new();
    let (r, root) = (cloud.client("a"), cloud.account().root);
    let row = file(&r, "a.txt", b"shared").await;
    let twin =
        r.create(&new_file(&root, "b.txt", row.content.clone(), 6)).await.expect("the service takes it");
    assert!(cloud.check().expect_err("two rows").contains("share"));
    r.delete(Kind::File, &twin.id).await.expect("delete");
    assert!(cloud.check().is_err(), "the other row is doomed even before the object goes");

    let cloud = Memory::new();
    let (r, root) = (cloud.client("a"), cloud.account().root);
    let content = put(&r, b"x").await;
    r.create(&new_file(&root, "a.txt", Some(content), 7)).await.expect("the size is not checked");
    assert!(cloud.check().expect_err("a lie").contains("says 7 bytes"));
}

#[tokio::test]
async fn quota_counts_objects_until_the_late_jobs_ran() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    cloud.set_plan(|p| p.quota = 10);
    let row = file(&r, "a.txt", b"12345678").await;
    r.delete(Kind::File, &row.id).await.expect("delete");
    let ten = || Body::from_bytes(Bytes::from_static(b"0123456789"));
    assert!(r.put(None, ten()).await.is_err());
    cloud.settle();
    r.put(None, ten()).await.expect("there is room");
    assert_eq!(cloud.orphans().len(), 1);
}

#[tokio::test]
async fn usage_is_stale_for_minutes_but_for_creates() {
    let cloud = Memory::new();
    let r = cloud.client("a");
    let row = file(&r, "a.txt", b"12345").await;
    assert_eq!(r.usage().await.expect("usage").used, 5);
    replace(&r, &row, row.content.clone(), b"1").await.expect("replace");
    assert_eq!(r.usage().await.expect("usage").used, 5);
    cloud.advance(Duration::from_secs(600));
    assert_eq!(r.usage().await.expect("usage").used, 1);
    file(&r, "b.txt", b"12").await;
    assert_eq!(r.usage().await.expect("usage").used, 3);
}

#[tokio::test]
async fn events_tell_the_others_and_end_with_the_service() {
    let cloud = Memory::new();
    let (a, b) = (cloud.client("a"), cloud.client("b"));
    let mut heard = a.events().await.expect("events");
    assert_eq!(heard.next().await, Some(Event::Connected));
    a.mkdir(&cloud.account().root, "own", T, T).await.expect("mkdir");
    assert!(b.delete(Kind::Folder, &cloud.account().root).await.is_err(), "a refusal is no change");
    assert_eq!(heard.next().now_or_never(), None);
    b.mkdir(&cloud.account().root, "other", T, T).await.expect("mkdir");
    assert_eq!(heard.next().await, Some(Event::Changed));
    cloud.set_plan(|p| p.quota = 1);
    assert_eq!(heard.next().await, Some(Event::Plan));
    cloud.set_events(false);
    assert_eq!(heard.next().await, None);
    assert!(a.events().await.is_err());
}

#[tokio::test]
async fn raw_rows_may_be_anything() {
    let cloud = Memory::new();
    let (r, root) = (cloud.client("a"), cloud.account().root);
    cloud.add_file(&root, RemoteName::whole("a/b"), b"x");
    cloud.add_file(&root, RemoteName::whole(""), b"");
    cloud.add_folder(&root, "..");
    let orphan = cloud.add_file(&NodeId::from("nowhere"), RemoteName::whole("orphan"), b"y");
    let sealed = cloud.add_file(&root, RemoteName::whole("sealed"), b"z");
    let sealed = Row { readable: false, ..sealed };
    cloud.insert_row(sealed.clone(), Some(Bytes::from_static(b"z")));
    assert_eq!(r.list(&root).await.expect("list").len(), 4);
    assert_eq!(r.stat(Kind::File, &orphan.id).await.expect("stat"), orphan);
    let of = sealed.content.expect("content");
    assert!(matches!(r.read(&of, 1, 0..1, Urgency::Now).await, Err(Error::Unreadable(_))));
    cloud.check().expect("odd, but sound");
    assert_eq!(
        cloud.tree().iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["", "..", "a/b", "sealed"]
    );
}

#[tokio::test]
async fn small_pages_still_reach_everything_once_a_stamp_is_shared() {
    let cloud = Memory::new();
    let (r, root) = (cloud.client("a"), cloud.account().root);
    let rows: Vec<Row> = (0..10).map(|n| cloud.add_folder(&root, &n.to_string())).collect();
    cloud.bulk_stamp(rows[2..9].iter().map(|r| &r.id));
    for page in 1..=12 {
        cloud.set_page(page);
        let mut seen = std::collections::BTreeSet::new();
        let mut next = Some(Cursor::default());
        let mut pages = 0;
        while let Some(cursor) = next {
            let page = r.changes(Kind::Folder, Scope::All, cursor).await.expect("changes");
            seen.extend(page.rows.into_iter().map(|r| r.id));
            next = page.next;
            pages += 1;
            assert!(pages < 40, "the loop ends");
        }
        assert_eq!(seen.len(), 10, "pages of {page}");
    }
}

#[tokio::test]
async fn calls_are_logged_by_client_row_and_object() {
    let cloud = Memory::new();
    let r = cloud.client("laptop");
    let row = file(&r, "a.txt", b"one").await;
    replace(&r, &row, row.content.clone(), b"two").await.expect("replace");
    assert_eq!((cloud.count(Method::Put), cloud.count_on(Method::Replace, &row.id)), (2, 1));
    let calls = cloud.calls();
    let last = calls.last().expect("a call");
    assert_eq!(
        (last.client.as_str(), last.method, last.id.as_ref()),
        ("laptop", Method::Replace, Some(&row.id))
    );
    assert_eq!(last.object, cloud.row(&row.id).and_then(|r| r.content).map(|v| v.object));
    cloud.clear_calls();
    assert!(cloud.calls().is_empty());
}
