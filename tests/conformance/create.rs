//! Registering files.

use bytes::Bytes;
use futures_util::future::join_all;
use inxtfs::names::RemoteName;
use inxtfs::remote::{Error, NewFile, Refusal, Status};
use inxtfs::types::{Kind, Timestamp};

use super::{BIRTH, Harness, MTIME, stranger};
use crate::skip_without;

pub async fn the_row_is_as_registered(h: &Harness) {
    let dir = h.dir().await;
    let bytes = Bytes::from_static(b"hello");
    let content = h.put(&bytes).await;
    let file = NewFile {
        parent: dir.clone(),
        name: RemoteName::split("doc.txt"),
        content: content.clone(),
        size: 5,
        modified: MTIME,
        created: BIRTH,
    };
    let answer = h.remote.create(&file).await.expect("create");
    for row in [answer.clone(), h.stat(&answer).await, h.remote.list(&dir).await.expect("list").remove(0)] {
        assert_eq!(row.id, answer.id);
        assert_eq!((row.parent.as_ref(), row.kind, row.status), (Some(&dir), Kind::File, Status::Exists));
        assert_eq!((&row.name, row.size, row.readable), (&file.name, 5, true));
        assert_eq!((&row.content, row.bucket), (&content, Some(h.remote.account().bucket)));
        assert_eq!((row.modified, row.created), (MTIME, BIRTH));
    }
    assert_eq!(h.bytes(&answer).await.expect("read"), bytes);
}

pub async fn times_are_kept_to_the_millisecond(h: &Harness) {
    let dir = h.dir().await;
    let content = h.put(&Bytes::from_static(b"x")).await;
    let odd = Timestamp { secs: -86_400 * 365, nanos: 123_999_999 };
    let file = NewFile {
        parent: dir,
        name: RemoteName::whole("old"),
        content,
        size: 1,
        modified: odd,
        created: odd,
    };
    let row = h.stat(&h.remote.create(&file).await.expect("create")).await;
    assert_eq!((row.modified, row.created), (odd.to_millis_precision(), odd.to_millis_precision()));
    assert_eq!(row.modified.nanos, 123_000_000);
}

pub async fn a_taken_name_is_refused(h: &Harness) {
    let dir = h.dir().await;
    let one = Bytes::from_static(b"x");
    for name in ["a.txt", "noext"] {
        let first = h.file(&dir, name, b"first").await;
        let again = h.try_file(&dir, RemoteName::split(name), &one).await;
        assert!(matches!(again, Err(Error::Exists)), "{name}: {again:?}");
        assert_eq!(h.bytes(&h.stat(&first).await).await.expect("read"), "first");
    }
    assert_eq!(h.names(&dir).await, ["a.txt", "noext"]);
}

pub async fn a_trashed_row_holds_no_name(h: &Harness) {
    let dir = h.dir().await;
    for name in ["a.txt", "b"] {
        let first = h.file(&dir, name, b"first").await;
        h.trash(&first).await;
        let second = h.file(&dir, name, b"second").await;
        h.remote.delete(Kind::File, &second.id).await.expect("delete");
        h.file(&dir, name, b"third").await;
    }
    assert_eq!(h.names(&dir).await, ["a.txt", "b"]);
}

pub async fn a_parent_must_live_itself(h: &Harness) {
    let dir = h.dir().await;
    let one = Bytes::from_static(b"x");
    let sub = h.mkdir(&dir, "sub").await;
    let low = h.mkdir(&sub.id, "low").await;
    h.trash(&sub).await;
    for parent in [&sub.id, &stranger()] {
        let made = h.try_file(parent, RemoteName::split("a.txt"), &one).await;
        assert!(matches!(made, Err(Error::NotFound)), "{made:?}");
    }
    let row = h.try_file(&low.id, RemoteName::split("a.txt"), &one).await;
    let row = row.expect("a trashed folder further up is not noticed");
    assert_eq!(h.stat(&row).await.status, Status::Exists);
    h.remote.delete(Kind::Folder, &low.id).await.expect("delete");
    let made = h.try_file(&low.id, RemoteName::split("b.txt"), &one).await;
    assert!(matches!(made, Err(Error::NotFound)), "{made:?}");
}

pub async fn content_and_size_must_agree(h: &Harness) {
    let dir = h.dir().await;
    let content = h.put(&Bytes::from_static(b"x")).await;
    for (content, size) in [(content, 0), (None, 1)] {
        let name = RemoteName::whole("a");
        let file = NewFile { parent: dir.clone(), name, content, size, modified: MTIME, created: BIRTH };
        assert!(matches!(h.remote.create(&file).await, Err(Error::Protocol(_))));
    }
    assert!(h.names(&dir).await.is_empty());
}

pub async fn empty_files_have_no_content(h: &Harness) {
    let dir = h.dir().await;
    let made = h.try_file(&dir, RemoteName::split("empty.txt"), &Bytes::new()).await;
    let row = match made {
        Err(Error::Refused(Refusal::EmptyFile)) => {
            eprintln!("skipped: the plan of this world has no empty files");
            return;
        }
        other => h.stat(&other.expect("create")).await,
    };
    assert_eq!((row.size, row.content.as_ref(), row.status), (0, None, Status::Exists));
    assert_eq!(row.modified, MTIME);
}

pub async fn the_plan_rations_empty_files(h: &Harness) {
    let dir = h.dir().await;
    skip_without!(h.world.set_plan(1 << 30, 1 << 20, 0).await, "change the plan");
    let made = h.try_file(&dir, RemoteName::split("empty.txt"), &Bytes::new()).await;
    assert!(matches!(made, Err(Error::Refused(Refusal::EmptyFile))), "{made:?}");
    assert!(h.names(&dir).await.is_empty());
    h.file(&dir, "full.txt", b"x").await;
}

pub async fn the_plan_limits_the_size(h: &Harness) {
    let dir = h.dir().await;
    skip_without!(h.world.set_plan(1 << 30, 1000, 10).await, "change the plan");
    h.file(&dir, "fits", &[1; 1000]).await;
    let content = h.put(&Bytes::from_static(&[1; 1001])).await;
    let name = RemoteName::whole("over");
    let file = NewFile { parent: dir.clone(), name, content, size: 1001, modified: MTIME, created: BIRTH };
    let made = h.remote.create(&file).await;
    assert!(matches!(made, Err(Error::Refused(Refusal::TooLarge))), "{made:?}");
    assert_eq!(h.names(&dir).await, ["fits"]);
}

/// Where the name has an extension. Without one the service may let several through.
pub async fn of_racing_creates_one_wins(h: &Harness) {
    let dir = h.dir().await;
    let one = Bytes::from_static(b"x");
    let race = (0..6).map(|_| h.try_file(&dir, RemoteName::split("a.txt"), &one));
    let results = join_all(race).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().all(|r| matches!(r, Ok(_) | Err(Error::Exists))), "{results:?}");
    assert_eq!(h.names(&dir).await, ["a.txt"]);
}
