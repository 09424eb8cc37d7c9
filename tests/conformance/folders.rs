//! Making folders.

use futures_util::future::join_all;
use inxtfs::remote::{Error, Status};
use inxtfs::types::Kind;

use super::{BIRTH, Harness, MTIME, stranger};

pub async fn the_row_is_as_asked(h: &Harness) {
    let dir = h.dir().await;
    let answer = h.mkdir(&dir, "sub").await;
    for row in [answer.clone(), h.stat(&answer).await, h.remote.list(&dir).await.expect("list").remove(0)] {
        assert_eq!(row.id, answer.id);
        assert_eq!((row.parent.as_ref(), row.kind, row.status), (Some(&dir), Kind::Folder, Status::Exists));
        assert_eq!((row.name.stem.as_str(), row.name.ext.as_ref()), ("sub", None));
        assert_eq!((row.content, row.size), (None, 0));
        assert_eq!((row.modified, row.created), (MTIME, BIRTH));
    }
    let dotted = h.mkdir(&dir, "a.b").await;
    assert_eq!((dotted.name.stem.as_str(), dotted.name.ext.as_ref()), ("a.b", None));
}

pub async fn a_taken_name_is_refused(h: &Harness) {
    let dir = h.dir().await;
    let first = h.mkdir(&dir, "sub").await;
    assert!(matches!(h.remote.mkdir(&dir, "sub", MTIME, BIRTH).await, Err(Error::Exists)));
    h.trash(&first).await;
    let second = h.mkdir(&dir, "sub").await;
    h.remote.delete(Kind::Folder, &second.id).await.expect("delete");
    h.mkdir(&dir, "sub").await;
    assert_eq!(h.names(&dir).await, ["sub/"]);
}

/// The service makes it, and nobody will ever see it there.
pub async fn a_trashed_or_deleted_parent_is_accepted(h: &Harness) {
    let dir = h.dir().await;
    let sub = h.mkdir(&dir, "sub").await;
    h.trash(&sub).await;
    let low = h.mkdir(&sub.id, "low").await;
    assert_eq!((h.stat(&low).await.status, low.parent.as_ref()), (Status::Exists, Some(&sub.id)));
    assert_eq!(h.stat(&sub).await.status, Status::Trashed);
    h.remote.delete(Kind::Folder, &sub.id).await.expect("delete");
    h.mkdir(&sub.id, "lower").await;
    assert!(h.names(&dir).await.is_empty());
}

pub async fn an_unknown_parent_is_not_found(h: &Harness) {
    assert!(matches!(h.remote.mkdir(&stranger(), "sub", MTIME, BIRTH).await, Err(Error::NotFound)));
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    assert!(matches!(h.remote.mkdir(&file.id, "sub", MTIME, BIRTH).await, Err(Error::NotFound)));
}

/// A loser may hear an internal error instead of a conflict.
pub async fn of_racing_creates_one_wins(h: &Harness) {
    let dir = h.dir().await;
    let results = join_all((0..6).map(|_| h.remote.mkdir(&dir, "sub", MTIME, BIRTH))).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
    assert!(
        results.iter().all(|r| matches!(r, Ok(_) | Err(Error::Exists | Error::Ambiguous(_)))),
        "{results:?}"
    );
    assert_eq!(h.names(&dir).await, ["sub/"]);
}
