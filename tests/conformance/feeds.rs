//! The change feeds.

use std::collections::BTreeSet;

use inxtfs::remote::{Cursor, Row, Scope, Status};
use inxtfs::types::{Kind, NodeId, Timestamp};

use super::Harness;
use crate::skip_without;

/// All pages from a place on; panics if the loop does not end or a page goes back in time.
async fn follow(h: &Harness, kind: Kind, scope: Scope, from: Cursor) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cursor = from;
    for _ in 0..1000 {
        let page = h.remote.changes(kind, scope, cursor).await.expect("changes");
        assert!(page.rows.is_sorted_by_key(|r| r.updated), "a page is in order");
        // The service counts microseconds and tells milliseconds: rows of the cursor's own may come.
        assert!(page.rows.iter().all(|r| r.kind == kind && cursor.after.is_none_or(|a| r.updated >= a)));
        rows.extend(page.rows);
        match page.next {
            None => return rows,
            Some(next) => {
                assert!((next.after, next.skip) > (cursor.after, cursor.skip), "{cursor:?} to {next:?}");
                cursor = next;
            }
        }
    }
    panic!("the feed does not end");
}

fn ids(rows: &[Row]) -> BTreeSet<NodeId> {
    rows.iter().map(|r| r.id.clone()).collect()
}

/// Just before the row was changed.
fn before(row: &Row) -> Cursor {
    Cursor::since(Timestamp::from_millis(row.updated.as_millis() - 1))
}

pub async fn pages_reach_every_row_in_order(h: &Harness) {
    let dir = h.dir().await;
    let mut made = BTreeSet::new();
    let first = h.mkdir(&dir, "first").await;
    for n in 1..h.affordable_rows {
        made.insert(h.mkdir(&dir, &n.to_string()).await.id);
    }
    for (scope, from) in
        [(Scope::All, Cursor::default()), (Scope::Live, Cursor::default()), (Scope::All, before(&first))]
    {
        let seen = follow(h, Kind::Folder, scope, from).await;
        assert!(ids(&seen).is_superset(&made), "{scope:?} {from:?}");
    }
    let after_all = Cursor::since(Timestamp::from_millis(i64::from(u32::MAX) * 1000));
    assert!(follow(h, Kind::Folder, Scope::All, after_all).await.is_empty());
}

pub async fn equal_instants_longer_than_a_page_are_crossed(h: &Harness) {
    let dir = h.dir().await;
    let mut made = Vec::new();
    for n in 0..h.affordable_rows {
        made.push(h.mkdir(&dir, &n.to_string()).await.id);
    }
    skip_without!(h.world.bulk_stamp(&made).await, "stamp rows with one instant");
    h.tick().await;
    let last = h.mkdir(&dir, "last").await;
    let stamped = h.remote.stat(Kind::Folder, &made[0]).await.expect("stat");
    for from in [before(&stamped), Cursor::default()] {
        let seen = ids(&follow(h, Kind::Folder, Scope::All, from).await);
        assert!(made.iter().all(|id| seen.contains(id)), "{from:?}");
        assert!(seen.contains(&last.id), "{from:?}");
    }
    let since = ids(&follow(h, Kind::Folder, Scope::All, Cursor::since(stamped.updated)).await);
    assert!(since.contains(&last.id));
    let behind = Timestamp::from_millis(stamped.updated.as_millis() + 1);
    let since = ids(&follow(h, Kind::Folder, Scope::All, Cursor::since(behind)).await);
    assert!(made.iter().all(|id| !since.contains(id)), "what lies before the cursor does not come");
}

pub async fn scopes_differ_by_status(h: &Harness) {
    let dir = h.dir().await;
    let lives = h.file(&dir, "lives.txt", b"x").await;
    let trashed = h.file(&dir, "trashed.txt", b"x").await;
    let deleted = h.file(&dir, "deleted.txt", b"x").await;
    let folder = h.mkdir(&dir, "trashed").await;
    let gone = h.mkdir(&dir, "gone").await;
    h.remote
        .trash(&[(Kind::File, trashed.id.clone()), (Kind::Folder, folder.id.clone())])
        .await
        .expect("trash");
    h.remote.delete(Kind::File, &deleted.id).await.expect("delete");
    h.remote.delete(Kind::Folder, &gone.id).await.expect("delete");
    let from = before(&lives);
    let status = |rows: &[Row], id: &NodeId| rows.iter().rev().find(|r| r.id == *id).map(|r| r.status);
    let all = follow(h, Kind::File, Scope::All, from).await;
    assert_eq!(status(&all, &lives.id), Some(Status::Exists));
    assert_eq!(status(&all, &trashed.id), Some(Status::Trashed));
    assert_eq!(status(&all, &deleted.id), Some(Status::Deleted));
    let all = follow(h, Kind::Folder, Scope::All, from).await;
    assert_eq!(status(&all, &folder.id), Some(Status::Trashed));
    assert_eq!(status(&all, &gone.id), Some(Status::Deleted));
    let live = follow(h, Kind::File, Scope::Live, from).await;
    assert_eq!(status(&live, &lives.id), Some(Status::Exists));
    assert_eq!((status(&live, &trashed.id), status(&live, &deleted.id)), (None, None));
    let live = follow(h, Kind::Folder, Scope::Live, from).await;
    assert_eq!((status(&live, &folder.id), status(&live, &gone.id)), (None, None));
}

pub async fn a_moved_folder_is_one_row(h: &Harness) {
    let dir = h.dir().await;
    let to = h.mkdir(&dir, "to").await;
    let sub = h.mkdir(&dir, "sub").await;
    let low = h.mkdir(&sub.id, "low").await;
    h.remote.relocate(Kind::Folder, &sub.id, &to.id, &sub.name).await.expect("relocate");
    let moved = h.stat(&sub).await;
    let seen = follow(h, Kind::Folder, Scope::All, before(&moved)).await;
    let row = seen.iter().find(|r| r.id == sub.id).expect("the moved folder");
    assert_eq!(row, &moved);
    assert_eq!(h.stat(&low).await.updated, low.updated, "what lies below does not change");
    assert_eq!(h.stat(&to).await.updated, to.updated, "nor does the new parent");
}

pub async fn newest_is_the_last_of_the_feed(h: &Harness) {
    let dir = h.dir().await;
    let one = h.file(&dir, "one.txt", b"x").await;
    let two = h.file(&dir, "two.txt", b"x").await;
    h.tick().await;
    h.trash(&one).await;
    let (id, at) = h.remote.newest(Kind::File).await.expect("newest").expect("a row");
    assert_eq!((id, at), (one.id.clone(), h.stat(&one).await.updated), "whatever its status");
    h.tick().await;
    h.remote.delete(Kind::File, &two.id).await.expect("delete");
    let newest = h.remote.newest(Kind::File).await.expect("newest").expect("a row");
    assert_eq!(newest, (two.id.clone(), h.stat(&two).await.updated));
    h.tick().await;
    let folder = h.mkdir(&dir, "sub").await;
    let newest = h.remote.newest(Kind::Folder).await.expect("newest").expect("a row");
    assert_eq!(newest, (folder.id.clone(), folder.updated));
}

pub async fn the_root_never_appears(h: &Harness) {
    h.dir().await;
    let root = h.remote.account().root;
    let seen = follow(h, Kind::Folder, Scope::All, Cursor::default()).await;
    assert!(!seen.is_empty() && seen.iter().all(|r| r.id != root && r.parent.is_some()));
    let newest = h.remote.newest(Kind::Folder).await.expect("newest");
    assert!(newest.is_some_and(|(id, _)| id != root));
}
