//! Listing and looking up.

use std::collections::BTreeSet;

use bytes::Bytes;
use inxtfs::names::RemoteName;
use inxtfs::remote::Error;
use inxtfs::types::Kind;

use super::{Harness, stranger};

pub async fn an_unknown_folder_is_not_found(h: &Harness) {
    assert!(matches!(h.remote.list(&stranger()).await, Err(Error::NotFound)));
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    assert!(matches!(h.remote.list(&file.id).await, Err(Error::NotFound)), "a file is no folder");
}

pub async fn a_trashed_folder_is_not_found(h: &Harness) {
    let dir = h.dir().await;
    let sub = h.mkdir(&dir, "sub").await;
    let low = h.mkdir(&sub.id, "low").await;
    h.trash(&sub).await;
    assert!(matches!(h.remote.list(&sub.id).await, Err(Error::NotFound)));
    h.remote.list(&low.id).await.expect("what lies below it still lists");
    h.remote.delete(Kind::Folder, &sub.id).await.expect("delete");
    assert!(matches!(h.remote.list(&sub.id).await, Err(Error::NotFound)));
}

pub async fn long_lists_are_complete_and_without_doubles(h: &Harness) {
    let dir = h.dir().await;
    let each = (h.affordable_rows / 2).min(120);
    let mut made = BTreeSet::new();
    for n in 0..each {
        made.insert(h.mkdir(&dir, &format!("d{n}")).await.id);
        made.insert(h.file(&dir, &format!("f{n}.txt"), b"x").await.id);
    }
    let rows = h.remote.list(&dir).await.expect("list");
    assert_eq!(rows.len(), 2 * each);
    assert_eq!(rows.into_iter().map(|r| r.id).collect::<BTreeSet<_>>(), made);
}

pub async fn only_living_direct_children_are_listed(h: &Harness) {
    let dir = h.dir().await;
    let sub = h.mkdir(&dir, "sub").await;
    h.file(&sub.id, "deep.txt", b"x").await;
    let gone = h.file(&dir, "gone.txt", b"x").await;
    let trashed = h.file(&dir, "trashed.txt", b"x").await;
    h.file(&dir, "here.txt", b"x").await;
    h.trash(&trashed).await;
    h.remote.delete(Kind::File, &gone.id).await.expect("delete");
    assert_eq!(h.names(&dir).await, ["here.txt", "sub/"]);
}

pub async fn find_sees_every_split_and_both_kinds(h: &Harness) {
    let dir = h.dir().await;
    let one = Bytes::from_static(b"x");
    let name = |stem: &str, ext: Option<&str>| RemoteName::from_columns(stem, ext);
    let mut made = BTreeSet::new();
    for split in [name("a.b.c", None), name("a.b", Some("c")), name("a", Some("b.c"))] {
        made.insert(h.try_file(&dir, split, &one).await.expect("create").id);
    }
    made.insert(h.mkdir(&dir, "a.b.c").await.id);
    h.try_file(&dir, name("a", Some("b")), &one).await.expect("create");
    h.try_file(&dir, name("a", None), &one).await.expect("create");
    h.try_file(&dir, name("A.b", Some("c")), &one).await.expect("create");
    let trashed = h.mkdir(&h.dir().await, "a.b.c").await;
    h.trash(&trashed).await;
    let found = h.remote.find(&dir, "a.b.c").await.expect("find");
    assert_eq!(found.len(), made.len());
    assert_eq!(found.into_iter().map(|r| r.id).collect::<BTreeSet<_>>(), made);

    let hidden = h.try_file(&dir, name("", Some("bashrc")), &one).await.expect("create");
    let found = h.remote.find(&dir, ".bashrc").await.expect("find");
    assert_eq!(found.iter().map(|r| &r.id).collect::<Vec<_>>(), [&hidden.id]);
    assert!(h.remote.find(&dir, "nothing").await.expect("find").is_empty());

    // Many at a time, more than one request takes, are each found as if alone.
    let many: Vec<String> = (0..230).map(|i| format!("none {i}.txt")).collect();
    let asked = [many, vec!["a.b.c".to_owned(), ".bashrc".to_owned()]].concat();
    let found = h.remote.find_all(&dir, &asked).await.expect("find");
    assert_eq!(found.len(), made.len() + 1, "{found:?}");
}

pub async fn stat_tells_kinds_and_strangers_apart(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"x").await;
    for (kind, id) in
        [(Kind::Folder, &file.id), (Kind::File, &dir), (Kind::File, &stranger()), (Kind::Folder, &stranger())]
    {
        assert!(matches!(h.remote.stat(kind, id).await, Err(Error::NotFound)), "{kind:?} {id}");
    }
}
