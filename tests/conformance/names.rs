//! Names: two columns, compared byte for byte, a kind at a time.

use bytes::Bytes;
use inxtfs::names::RemoteName;
use inxtfs::remote::{Error, Refusal};

use super::{BIRTH, Harness, MTIME};

pub async fn case_and_normal_forms_differ(h: &Harness) {
    let dir = h.dir().await;
    let names = ["a", "A", "\u{e9}", "e\u{301}", " a", "a ", "a."];
    for name in names {
        h.mkdir(&dir, name).await;
        h.try_file(&dir, RemoteName::whole(name), &Bytes::from_static(b"x")).await.expect(name);
    }
    assert_eq!(h.names(&dir).await.len(), 2 * names.len());
    for name in names {
        let found = h.remote.find(&dir, name).await.expect("find");
        assert_eq!(found.len(), 2, "{name:?}: {found:?}");
        assert!(found.iter().all(|r| r.name.stem == name));
    }
}

pub async fn odd_names_come_back_as_given(h: &Harness) {
    let dir = h.dir().await;
    let long = "x".repeat(255);
    let wide = "\u{6587}".repeat(85);
    let both = [
        ".hidden",
        "..twice",
        "foo.",
        "Mr. X",
        " leading",
        "trailing ",
        "tab\there",
        "line\nbreak",
        "\u{1f980}",
        "100%",
        "a\"b",
        "a:b*c?<>|",
        "'",
        "#",
        "\u{202e}abc",
        &long,
        &wide,
    ];
    for name in both {
        let file = h.try_file(&dir, RemoteName::split(name), &Bytes::from_static(b"x")).await.expect(name);
        assert_eq!(h.stat(&file).await.name, RemoteName::split(name), "a file");
        let folder = h.mkdir(&dir, name).await;
        assert_eq!(h.stat(&folder).await.name, RemoteName::whole(name), "a folder");
    }
    let back =
        h.try_file(&dir, RemoteName::split("back\\slash"), &Bytes::from_static(b"x")).await.expect("create");
    assert_eq!(h.stat(&back).await.name.display(), "back\\slash");
    let all = h.remote.list(&dir).await.expect("list");
    assert!(both.iter().all(|name| all.iter().filter(|r| r.name.display() == **name).count() == 2));
}

pub async fn a_split_is_part_of_the_name(h: &Harness) {
    let dir = h.dir().await;
    let one = Bytes::from_static(b"x");
    h.try_file(&dir, RemoteName::whole("a.b"), &one).await.expect("create");
    h.try_file(&dir, RemoteName::from_columns("a", Some("b")), &one)
        .await
        .expect("another split, another name");
    assert_eq!(h.names(&dir).await, ["a.b", "a.b"]);
    let blank = RemoteName { stem: "a.b".into(), ext: Some(String::new()) };
    let again = h.try_file(&dir, blank, &one).await;
    assert!(matches!(again, Err(Error::Exists)), "an empty extension is none: {again:?}");
}

pub async fn a_file_and_a_folder_share_a_name(h: &Harness) {
    let dir = h.dir().await;
    h.mkdir(&dir, "b").await;
    let file = h.file(&dir, "b", b"x").await;
    let other = h.file(&dir, "c", b"x").await;
    h.mkdir(&dir, "c").await;
    assert_eq!(h.names(&dir).await, ["b", "b/", "c", "c/"]);
    let third = h.mkdir(&dir, "d").await;
    let kind = inxtfs::types::Kind::File;
    h.remote.relocate(kind, &other.id, &dir, &RemoteName::whole("d")).await.expect("onto a folder's name");
    assert_eq!(h.stat(&third).await.name, h.stat(&other).await.name);
    assert_eq!(h.stat(&file).await.name, RemoteName::whole("b"));
}

pub async fn bad_folder_names_are_refused(h: &Harness) {
    let dir = h.dir().await;
    for name in ["a/b", "a\\b", " ", "\t", ""] {
        let made = h.remote.mkdir(&dir, name, MTIME, BIRTH).await;
        assert!(matches!(made, Err(Error::Refused(Refusal::Name))), "{name:?}: {made:?}");
    }
    assert!(h.names(&dir).await.is_empty());
}

/// The service answers with an internal error; what matters is that nothing is stored.
pub async fn overlong_names_are_not_stored(h: &Harness) {
    let dir = h.dir().await;
    let folder = h.remote.mkdir(&dir, &"x".repeat(400), MTIME, BIRTH).await;
    assert!(matches!(folder, Err(Error::Ambiguous(_) | Error::Refused(Refusal::Name))), "{folder:?}");
    let file = h.try_file(&dir, RemoteName::whole(&"y".repeat(700)), &Bytes::from_static(b"x")).await;
    assert!(matches!(file, Err(Error::Ambiguous(_) | Error::Refused(Refusal::Name))), "{file:?}");
    assert!(h.names(&dir).await.is_empty());
}
