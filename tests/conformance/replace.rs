//! New content for a row.

use bytes::Bytes;
use inxtfs::names::RemoteName;
use inxtfs::remote::{Error, Replacement, Row};
use inxtfs::types::{Kind, Timestamp, Urgency, Version};

use super::{Harness, MTIME, stranger};
use crate::common;

const LATER: Timestamp = Timestamp { secs: 1_700_000_000, nanos: 250_999_000 };

fn with(base: Option<&Version>, content: Option<Version>, size: u64) -> Replacement {
    Replacement::new(base.cloned(), content, size, LATER).expect("other content")
}

async fn replace(h: &Harness, row: &Row, base: Option<&Version>, bytes: &'static [u8]) -> Result<Row, Error> {
    let content = h.put(&Bytes::from_static(bytes)).await;
    h.remote.replace(&row.id, &with(base, content, bytes.len() as u64)).await
}

pub async fn content_changes_and_identity_stays(h: &Harness) {
    let dir = h.dir().await;
    let old = h.file(&dir, "a.txt", b"old").await;
    let content = h.put(&Bytes::from_static(b"newer")).await;
    h.tick().await;
    let answer =
        h.remote.replace(&old.id, &with(old.content.as_ref(), content.clone(), 5)).await.expect("replace");
    assert_eq!((&answer.id, &answer.content, answer.size), (&old.id, &content, 5));
    let new = h.stat(&old).await;
    assert_eq!((&new.content, new.size, new.modified), (&content, 5, LATER.to_millis_precision()));
    assert_eq!((&new.id, &new.parent, &new.name), (&old.id, &old.parent, &old.name));
    assert_eq!((new.created, &new.bucket, new.status), (old.created, &old.bucket, old.status));
    assert!(new.updated > old.updated);
    assert_eq!(h.bytes(&new).await.expect("read"), "newer");
    assert_eq!(h.names(&dir).await, ["a.txt"]);
}

pub async fn the_old_content_is_gone_at_once(h: &Harness) {
    let dir = h.dir().await;
    let old = h.file(&dir, "a.txt", b"old").await;
    replace(h, &old, old.content.as_ref(), b"new").await.expect("replace");
    assert!(matches!(h.bytes(&old).await, Err(Error::NotFound)));
}

pub async fn the_same_content_is_refused(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "a.txt", b"precious").await;
    let again = Replacement::new(row.content.clone(), row.content.clone(), row.size, LATER);
    assert!(matches!(again, Err(Error::Protocol(_))), "there is no such request");
    let now = h.stat(&row).await;
    assert_eq!((now.updated, now.modified), (row.updated, MTIME));
    assert_eq!(h.bytes(&now).await.expect("read"), "precious");
}

/// There is no precondition: a stale base is the caller's to notice.
pub async fn the_last_writer_wins(h: &Harness) {
    let dir = h.dir().await;
    let base = h.file(&dir, "a.txt", b"base").await;
    let theirs = h.second.put(None, common::body(&Bytes::from_static(b"theirs"))).await.expect("put");
    let with_theirs = with(base.content.as_ref(), Some(theirs.clone()), 6);
    h.second.replace(&base.id, &with_theirs).await.expect("replace");
    replace(h, &base, base.content.as_ref(), b"ours").await.expect("nobody asks for the base");
    assert_eq!(h.bytes(&h.stat(&base).await).await.expect("read"), "ours");
    let lost = h.remote.read(&theirs, 6, 0..6, Urgency::Now).await;
    assert!(matches!(lost, Err(Error::NotFound)), "what came between is destroyed");
}

pub async fn empty_and_back(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "a.txt", b"full").await;
    h.remote.replace(&row.id, &with(row.content.as_ref(), None, 0)).await.expect("to nothing");
    let empty = h.stat(&row).await;
    assert_eq!((empty.content.as_ref(), empty.size), (None, 0));
    assert_eq!(empty.modified, LATER.to_millis_precision());
    replace(h, &row, None, b"again").await.expect("and back");
    assert_eq!(h.bytes(&h.stat(&row).await).await.expect("read"), "again");
    let content = h.put(&Bytes::from_static(b"x")).await;
    let base = h.stat(&row).await.content;
    for (content, size) in [(content, 0), (None, 1)] {
        let odd = Replacement::new(base.clone(), content, size, LATER);
        assert!(matches!(odd, Err(Error::Protocol(_))));
    }
}

pub async fn only_living_files(h: &Harness) {
    let dir = h.dir().await;
    let trashed = h.file(&dir, "a.txt", b"a").await;
    h.trash(&trashed).await;
    assert!(matches!(replace(h, &trashed, trashed.content.as_ref(), b"x").await, Err(Error::NotFound)));
    let back =
        h.remote.relocate(Kind::File, &trashed.id, &dir, &RemoteName::split("a.txt")).await.expect("restore");
    assert_eq!(h.bytes(&h.stat(&back).await).await.expect("read"), "a");
    let deleted = h.file(&dir, "b.txt", b"b").await;
    h.remote.delete(Kind::File, &deleted.id).await.expect("delete");
    assert!(matches!(replace(h, &deleted, deleted.content.as_ref(), b"x").await, Err(Error::NotFound)));
    let unknown = Row { id: stranger(), ..deleted };
    assert!(matches!(replace(h, &unknown, None, b"x").await, Err(Error::NotFound)));
}

pub async fn former_contents_are_counted(h: &Harness) {
    let dir = h.dir().await;
    let kept = h.file(&dir, "a.pdf", b"old").await;
    assert_eq!(h.remote.versions(&kept.id).await.expect("versions"), 0);
    replace(h, &kept, kept.content.as_ref(), b"new").await.expect("replace");
    h.world.settle().await;
    assert_eq!(h.remote.versions(&kept.id).await.expect("versions"), 1);
    assert!(matches!(h.remote.versions(&stranger()).await, Err(Error::NotFound)));
}
