//! Moving, renaming, restoring.

use inxtfs::names::RemoteName;
use inxtfs::remote::{Error, Row, Status};
use inxtfs::types::{Kind, NodeId};

use super::{Harness, MTIME, stranger};

async fn relocate(h: &Harness, row: &Row, parent: &NodeId, display: &str) -> Result<Row, Error> {
    let name = match row.kind {
        Kind::File => RemoteName::split(display),
        Kind::Folder => RemoteName::whole(display),
    };
    h.remote.relocate(row.kind, &row.id, parent, &name).await
}

pub async fn moves_and_renames_in_one_step(h: &Harness) {
    let dir = h.dir().await;
    let to = h.mkdir(&dir, "to").await;
    let sub = h.mkdir(&dir, "sub").await;
    h.file(&sub.id, "inside.txt", b"x").await;
    let file = h.file(&dir, "a.txt", b"bytes").await;
    h.tick().await;
    for (row, display) in [(&file, "b.md"), (&sub, "other")] {
        let answer = relocate(h, row, &to.id, display).await.expect("relocate");
        assert_eq!((&answer.id, &answer.parent), (&row.id, &Some(to.id.clone())));
        assert_eq!(answer.name.display(), display);
        let now = h.stat(row).await;
        assert_eq!((&now.parent, now.name.display()), (&Some(to.id.clone()), display.to_owned()));
        assert_eq!((now.modified, &now.content, now.size), (MTIME, &row.content, row.size));
        assert!(now.updated > row.updated);
    }
    assert_eq!(h.names(&dir).await, ["to/"]);
    assert_eq!(h.names(&to.id).await, ["b.md", "other/"]);
    assert_eq!(h.names(&sub.id).await, ["inside.txt"]);
    assert_eq!(h.bytes(&h.stat(&file).await).await.expect("read"), "bytes");
}

pub async fn being_there_is_success(h: &Harness) {
    let dir = h.dir().await;
    for row in [h.file(&dir, "a.txt", b"x").await, h.mkdir(&dir, "sub").await] {
        let before = h.stat(&row).await;
        h.tick().await;
        let answer = relocate(h, &row, &dir, &row.name.display()).await.expect("onto itself");
        assert_eq!(answer.id, row.id);
        assert_eq!(h.stat(&row).await, before, "nothing changes");
    }
}

pub async fn a_taken_name_is_refused(h: &Harness) {
    let dir = h.dir().await;
    let to = h.mkdir(&dir, "to").await;
    for (parent, tag) in [(&dir, "rename"), (&to.id, "move")] {
        let file = h.file(&dir, &format!("{tag}.txt"), b"x").await;
        let noext = h.file(&dir, tag, b"x").await;
        let folder = h.mkdir(&dir, tag).await;
        h.file(parent, &format!("{tag}-taken.txt"), b"holder").await;
        h.file(parent, &format!("{tag}-taken"), b"holder").await;
        h.mkdir(parent, &format!("{tag}-taken")).await;
        for (row, ext) in [(&file, ".txt"), (&noext, ""), (&folder, "")] {
            let moved = relocate(h, row, parent, &format!("{tag}-taken{ext}")).await;
            assert!(matches!(moved, Err(Error::Exists)), "{tag} {:?}: {moved:?}", row.name);
            let now = h.stat(row).await;
            assert_eq!((&now.parent, &now.name), (&row.parent, &row.name), "nothing changed");
        }
    }
    let trashed = h.file(&dir, "free.txt", b"x").await;
    h.trash(&trashed).await;
    let file = h.file(&dir, "mover.txt", b"x").await;
    relocate(h, &file, &dir, "free.txt").await.expect("a trashed row holds no name");
}

pub async fn an_extension_can_go(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    relocate(h, &file, &dir, "a").await.expect("drop it");
    assert_eq!(h.stat(&file).await.name, RemoteName::whole("a"));
    relocate(h, &file, &dir, "a.tar.gz").await.expect("give another");
    assert_eq!(h.stat(&file).await.name, RemoteName::from_columns("a.tar", Some("gz")));
    h.remote
        .relocate(Kind::File, &file.id, &dir, &RemoteName::from_columns(" a", Some("tar.gz")))
        .await
        .expect("blank");
    assert_eq!(h.stat(&file).await.name, RemoteName::from_columns(" a", Some("tar.gz")), "no trimming");
}

pub async fn a_destination_must_live(h: &Harness) {
    let dir = h.dir().await;
    let trashed = h.mkdir(&dir, "trashed").await;
    let deleted = h.mkdir(&dir, "deleted").await;
    h.trash(&trashed).await;
    h.remote.delete(Kind::Folder, &deleted.id).await.expect("delete");
    for row in [h.file(&dir, "a.txt", b"x").await, h.mkdir(&dir, "sub").await] {
        for to in [&trashed.id, &deleted.id, &stranger()] {
            let moved = relocate(h, &row, to, &row.name.display()).await;
            assert!(matches!(moved, Err(Error::NotFound)), "{moved:?}");
        }
        assert_eq!(h.stat(&row).await.parent, row.parent);
    }
}

pub async fn a_source_must_be_there(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    let folder = h.mkdir(&dir, "sub").await;
    for row in [file, folder] {
        h.remote.delete(row.kind, &row.id).await.expect("delete");
        assert!(matches!(relocate(h, &row, &dir, "z").await, Err(Error::NotFound)));
        let unknown = Row { id: stranger(), ..row };
        assert!(matches!(relocate(h, &unknown, &dir, "z").await, Err(Error::NotFound)));
    }
    assert!(h.names(&dir).await.is_empty());
}

pub async fn a_trashed_file_is_restored(h: &Harness) {
    let dir = h.dir().await;
    let to = h.mkdir(&dir, "to").await;
    let file = h.file(&dir, "a.txt", b"bytes").await;
    h.trash(&file).await;
    let rival = h.file(&dir, "a.txt", b"rival").await;
    assert!(matches!(relocate(h, &file, &dir, "a.txt").await, Err(Error::Exists)));
    assert_eq!(h.stat(&file).await.status, Status::Trashed);
    relocate(h, &file, &to.id, "a.txt").await.expect("elsewhere");
    h.remote.delete(Kind::File, &rival.id).await.expect("delete");
    h.trash(&file).await;
    relocate(h, &file, &to.id, "a.txt").await.expect("in its own place");
    let now = h.stat(&file).await;
    assert_eq!((now.status, now.modified), (Status::Exists, MTIME));
    assert_eq!(h.bytes(&now).await.expect("read"), "bytes");
}

pub async fn a_trashed_folder_comes_back_with_its_children(h: &Harness) {
    let dir = h.dir().await;
    let sub = h.mkdir(&dir, "sub").await;
    let file = h.file(&sub.id, "a.txt", b"x").await;
    h.trash(&sub).await;
    let before = h.stat(&file).await;
    relocate(h, &sub, &dir, "sub").await.expect("restore");
    assert_eq!(h.names(&sub.id).await, ["a.txt"]);
    assert_eq!(h.stat(&file).await, before, "the child's row never changed");
}

pub async fn a_cycle_is_accepted_and_can_be_undone(h: &Harness) {
    let dir = h.dir().await;
    let top = h.mkdir(&dir, "top").await;
    let low = h.mkdir(&top.id, "low").await;
    relocate(h, &top, &low.id, "top").await.expect("nobody checks");
    assert!(h.names(&dir).await.is_empty(), "cut off");
    assert_eq!(h.stat(&top).await.parent, Some(low.id.clone()));
    assert_eq!(h.stat(&low).await.parent, Some(top.id.clone()));
    relocate(h, &top, &dir, "top").await.expect("undo");
    assert_eq!(h.names(&dir).await, ["top/"]);
    assert_eq!(h.names(&top.id).await, ["low/"]);
}
