//! Small pictures of files.

use bytes::Bytes;
use inxtfs::remote::{Error, Replacement, Row, Thumbnail};
use inxtfs::types::NodeId;

use super::{Harness, MTIME, stranger};
use crate::skip_without;

/// All pictures of a folder's files.
async fn all(h: &Harness, folder: &NodeId) -> Vec<(Row, Thumbnail)> {
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(skip) = from {
        let page = h.second.thumbnails(folder, skip).await.expect("thumbnails");
        found.extend(page.found);
        from = page.next;
    }
    found
}

async fn set(h: &Harness, row: &Row, png: &'static [u8]) {
    let bucket = row.bucket.as_deref();
    h.remote.set_thumbnail(&row.id, bucket, Bytes::from_static(png)).await.expect("set");
}

pub async fn another_client_sees_the_picture_and_the_row_stays_as_it_is(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "photo.jpg", b"photo").await;
    h.file(&dir, "plain.txt", b"text").await;
    let before = h.stat(&row).await;
    h.tick().await;
    set(h, &row, b"small").await;
    let found = all(h, &dir).await;
    assert_eq!(found.len(), 1);
    let (of, thumbnail) = &found[0];
    assert_eq!((&of.id, &of.content, of.updated), (&row.id, &row.content, before.updated));
    assert!(thumbnail.registered > before.updated);
    assert_eq!(thumbnail.version.bucket, row.bucket.clone().expect("bucket"));
    assert_eq!(h.second.thumbnail(&thumbnail.version).await.expect("thumbnail"), "small");
    assert_eq!(h.stat(&row).await, before);
}

pub async fn a_new_picture_takes_the_place_of_the_old_one(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "photo.jpg", b"photo").await;
    set(h, &row, b"small").await;
    let old = all(h, &dir).await.remove(0).1;
    h.tick().await;
    set(h, &row, b"another").await;
    let new = all(h, &dir).await.remove(0).1;
    assert!(new.registered > old.registered);
    assert_eq!(h.second.thumbnail(&new.version).await.expect("thumbnail"), "another");
    assert!(matches!(h.second.thumbnail(&old.version).await, Err(Error::NotFound)));
}

pub async fn a_picture_outlives_the_content_it_is_of(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "photo.jpg", b"photo").await;
    set(h, &row, b"small").await;
    h.tick().await;
    let content = h.put(&Bytes::from_static(b"another photo")).await;
    let with = Replacement::new(row.content.clone(), content, 13, MTIME).expect("a replacement");
    h.remote.replace(&row.id, &with).await.expect("replace");
    let (now, thumbnail) = all(h, &dir).await.remove(0);
    assert_ne!(now.content, row.content);
    assert!(thumbnail.registered < now.updated, "it is known to be too old");
}

pub async fn pages_reach_all_pictures(h: &Harness) {
    let dir = h.dir().await;
    let mut wanted = Vec::new();
    for n in 0..53 {
        let row = h.file(&dir, &format!("{n}.jpg"), b"photo").await;
        if n % 26 == 0 {
            set(h, &row, b"small").await;
            wanted.push(row.id);
        }
    }
    let mut found: Vec<_> = all(h, &dir).await.into_iter().map(|(row, _)| row.id).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(all(h, &stranger()).await, []);
}

pub async fn what_is_not_there_has_no_picture(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "photo.jpg", b"photo").await;
    let png = Bytes::from_static(b"small");
    let unknown = h.remote.set_thumbnail(&stranger(), None, png).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    set(h, &row, b"small").await;
    let thumbnail = all(h, &dir).await.remove(0).1;
    skip_without!(h.world.corrupt(&thumbnail.version).await, "damage an object");
    assert!(matches!(h.second.thumbnail(&thumbnail.version).await, Err(Error::Corrupt(_))));
    h.remote.delete(row.kind, &row.id).await.expect("delete");
    h.world.settle().await;
    assert!(matches!(h.second.thumbnail(&thumbnail.version).await, Err(Error::NotFound)));
}
