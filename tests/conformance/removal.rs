//! Trash and deletion.

use inxtfs::names::RemoteName;
use inxtfs::remote::{Error, Status};
use inxtfs::types::Kind;

use super::{Harness, stranger};
use crate::skip_without;

pub async fn trashed_rows_are_hidden_and_their_children_live(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"bytes").await;
    let sub = h.mkdir(&dir, "sub").await;
    let child = h.file(&sub.id, "c.txt", b"x").await;
    h.tick().await;
    h.remote.trash(&[(Kind::File, file.id.clone()), (Kind::Folder, sub.id.clone())]).await.expect("trash");
    assert!(h.names(&dir).await.is_empty());
    assert!(h.remote.find(&dir, "a.txt").await.expect("find").is_empty());
    for row in [&file, &sub] {
        let now = h.stat(row).await;
        assert_eq!((now.status, &now.parent, &now.name), (Status::Trashed, &row.parent, &row.name));
        assert!(now.updated > row.updated);
    }
    assert_eq!(h.stat(&child).await, child, "what lies below does not change");
    assert_eq!(h.bytes(&file).await.expect("the content stays"), "bytes");
}

pub async fn the_trash_shows_what_was_put_into_it_and_not_what_lies_below(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"bytes").await;
    let sub = h.mkdir(&dir, "sub").await;
    let child = h.file(&sub.id, "c.txt", b"x").await;
    h.remote.trash(&[(Kind::File, file.id.clone()), (Kind::Folder, sub.id.clone())]).await.expect("trash");
    let shown = h.remote.trashed().await.expect("trashed");
    for row in [&file, &sub] {
        let found = shown.iter().find(|r| r.id == row.id).expect("it is shown");
        assert_eq!((found.status, found.kind, &found.name), (Status::Trashed, row.kind, &row.name));
        assert_eq!((&found.parent, &found.content, found.size), (&row.parent, &row.content, row.size));
    }
    assert!(shown.iter().all(|r| r.id != child.id));
    h.remote.delete(Kind::File, &file.id).await.expect("delete");
    let shown = h.remote.trashed().await.expect("trashed");
    assert!(shown.iter().all(|r| r.id != file.id));
}

/// Success proves nothing: what cannot be trashed is passed over.
pub async fn trash_takes_anything(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    let root = h.remote.account().root;
    let items = [
        (Kind::File, stranger()),
        (Kind::Folder, stranger()),
        (Kind::Folder, root.clone()),
        (Kind::File, file.id.clone()),
    ];
    h.remote.trash(&items).await.expect("trash");
    assert_eq!(h.stat(&file).await.status, Status::Trashed);
    assert_eq!(h.remote.stat(Kind::Folder, &root).await.expect("stat").status, Status::Exists);
    let before = h.stat(&file).await;
    h.remote.trash(&items).await.expect("again");
    assert_eq!(h.stat(&file).await, before);
    h.remote.trash(&[]).await.expect("nothing");
}

pub async fn trash_takes_more_than_a_request_holds(h: &Harness) {
    let dir = h.dir().await;
    let mut items = Vec::new();
    for n in 0..(h.affordable_rows.min(60)) {
        items.push((Kind::Folder, h.mkdir(&dir, &n.to_string()).await.id));
    }
    h.remote.trash(&items).await.expect("trash");
    assert!(h.names(&dir).await.is_empty());
}

pub async fn a_deleted_file_answers_and_a_folder_does_not(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    let sub = h.mkdir(&dir, "sub").await;
    let trashed = h.file(&dir, "b.txt", b"x").await;
    h.trash(&trashed).await;
    for row in [&file, &trashed] {
        h.remote.delete(Kind::File, &row.id).await.expect("delete");
        assert_eq!(h.stat(row).await.status, Status::Deleted);
    }
    h.remote.delete(Kind::Folder, &sub.id).await.expect("delete");
    assert!(matches!(h.remote.stat(Kind::Folder, &sub.id).await, Err(Error::NotFound)));
    h.trash(&file).await;
    assert_eq!(h.stat(&file).await.status, Status::Deleted, "the trash does not bring it back");
    assert!(h.names(&dir).await.is_empty());
}

pub async fn gone_already_is_success(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    let sub = h.mkdir(&dir, "sub").await;
    for row in [file, sub] {
        h.remote.delete(row.kind, &row.id).await.expect("once");
        h.remote.delete(row.kind, &row.id).await.expect("twice");
        h.remote.delete(row.kind, &stranger()).await.expect("never there");
    }
}

/// In the end. Until then rows below a deleted folder live on, out of sight.
pub async fn deletion_reaches_what_lies_below(h: &Harness) {
    let dir = h.dir().await;
    let top = h.mkdir(&dir, "top").await;
    let low = h.mkdir(&top.id, "low").await;
    let file = h.file(&low.id, "a.txt", b"x").await;
    h.remote.delete(Kind::Folder, &top.id).await.expect("delete");
    assert!(h.names(&dir).await.is_empty());
    skip_without!(h.world.settle().await, "let late jobs run");
    assert_eq!(h.stat(&file).await.status, Status::Deleted);
    assert!(matches!(h.remote.stat(Kind::Folder, &low.id).await, Err(Error::NotFound)));
    assert!(matches!(h.bytes(&file).await, Err(Error::NotFound)), "the object goes, too");
}

pub async fn the_root_stays(h: &Harness) {
    let dir = h.dir().await;
    let root = h.remote.account().root;
    assert!(h.remote.delete(Kind::Folder, &root).await.is_err());
    let name = RemoteName::whole("moved");
    assert!(h.remote.relocate(Kind::Folder, &root, &dir, &name).await.is_err());
    let now = h.remote.stat(Kind::Folder, &root).await.expect("stat");
    assert_eq!((now.status, now.parent), (Status::Exists, None));
    h.remote.list(&root).await.expect("list");
}
