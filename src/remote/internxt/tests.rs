//! The drive against a service that answers as recorded, and against one that fails.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::api::testing::{Reply, Seen, Server, hasty, json as reply};
use crate::remote::session::{Credentials, SecretsError};
use crate::remote::{Class, Refusal, Status};

pub(super) const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
pub(super) const BUCKET: &str = "6b023f4716b232cd334cadf7";
const ROOT: &str = "d5102fa9-aff9-43b0-88ca-5902bfd703da";

struct Stored(Credentials);

impl Secrets for Stored {
    fn load(&self) -> std::result::Result<Option<Credentials>, SecretsError> {
        Ok(Some(self.0.clone()))
    }
    fn save(&self, _: &Credentials) -> std::result::Result<(), SecretsError> {
        Ok(())
    }
    fn forget(&self) -> std::result::Result<(), SecretsError> {
        Ok(())
    }
}

pub(super) async fn drive_of(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Server, Internxt) {
    let server = Server::new(answer).await;
    let credentials = Credentials {
        email: "user@example.com".to_owned(),
        account: "93f3fbeb-a816-4a37-a886-63e481be4d03".to_owned(),
        token: "t0ken".to_owned(),
        mnemonic: WORDS.to_owned(),
        bridge_user: "user@example.com".to_owned(),
        user_id: "$2a$08$x".to_owned(),
        bucket: BUCKET.to_owned(),
        root: ROOT.to_owned(),
        gateway: server.gateway.to_string(),
        again: None,
    };
    let options = Options { tuning: hasty(), ..Options::default() };
    let drive = Internxt::connect(Arc::new(Stored(credentials)), options).unwrap();
    (server, drive)
}

fn file(n: usize, name: &str, ext: &str) -> Value {
    json!({
        "id": n, "uuid": format!("f{n}"), "fileId": "6b0240d316b232cd334cae08", "folderUuid": ROOT, "name": "x",
        "plainName": name, "type": ext, "size": "5", "bucket": BUCKET, "encryptVersion": "03-aes",
        "creationTime": "2026-11-22T01:09:37.819Z", "modificationTime": "2026-11-22T01:09:37.819Z",
        "updatedAt": "2026-11-22T01:09:39.676Z", "status": "EXISTS",
    })
}

fn folder(uuid: &str, status: &str) -> Value {
    json!({"type": "folder", "uuid": uuid, "parentUuid": ROOT, "plainName": uuid, "size": 0, "status": status,
           "updatedAt": "2026-11-22T01:09:39.676Z"})
}

fn number(seen: &Seen, key: &str) -> usize {
    let pairs = reqwest::Url::parse(&format!("http://h/?{}", seen.query)).unwrap();
    let found = pairs.query_pairs().find(|(k, _)| k == key).map(|(_, v)| v.parse().unwrap());
    found.unwrap()
}

fn refusal(status: u16, message: &str) -> Reply {
    reply(status, &json!({"message": message, "statusCode": status}))
}

fn version(object: &str) -> Version {
    Version { bucket: BUCKET.to_owned(), object: object.to_owned() }
}

#[tokio::test]
async fn long_folders_are_listed_whole_and_without_doubles() {
    let all: Vec<Value> = (0..230).map(|n| file(n, &format!("n{n}"), "txt")).collect();
    let (server, drive) = drive_of(move |seen| match seen.path.rsplit('/').next().unwrap() {
        "meta" => reply(200, &folder("home", "EXISTS")),
        "folders" => reply(200, &json!({"folders": [folder("sub", "EXISTS"), folder("sub", "EXISTS")]})),
        _ => {
            assert!(seen.query.contains("sort=id&order=ASC"), "{}", seen.query);
            let (offset, limit) = (number(seen, "offset"), number(seen, "limit"));
            assert!((1..=50).contains(&limit));
            let page: Vec<_> = all.iter().skip(offset).take(limit).collect();
            reply(200, &json!({"files": page}))
        }
    })
    .await;
    let rows = drive.list(&"home".into()).await.unwrap();
    assert_eq!(rows.len(), 231);
    assert_eq!(rows.iter().filter(|r| r.kind == Kind::Folder).count(), 1);
    assert_eq!(server.count("GET /drive/folders/home/meta"), 1);
}

#[tokio::test]
async fn folders_that_do_not_live_are_not_empty_but_missing() {
    for (status, meta) in
        [(404, json!({"message": "Not Found", "statusCode": 404})), (200, folder("gone", "TRASHED"))]
    {
        let (_server, drive) = drive_of(move |seen| match seen.path.rsplit('/').next().unwrap() {
            "meta" => reply(status, &meta),
            kind => reply(200, &json!({ kind: [] })),
        })
        .await;
        assert!(matches!(drive.list(&"gone".into()).await, Err(Error::NotFound)));
    }
}

#[tokio::test]
async fn a_feed_of_one_instant_ends() {
    let instant = "2026-11-22T01:09:39.676Z";
    let rows: Vec<Value> = (0..2500).map(|n| file(n, "x", "")).collect();
    let (_server, drive) = drive_of(move |seen| {
        assert!(seen.query.contains("sort=updatedAt&order=ASC") && seen.query.contains("status=ALL"));
        // Strictly later than the millisecond before the instant: all of them.
        assert!(!seen.query.contains("01%3A09%3A39.676"), "skipped the instant {instant}");
        let (offset, limit) = (number(seen, "offset"), number(seen, "limit"));
        reply(200, &json!(rows.iter().skip(offset).take(limit).collect::<Vec<_>>()))
    })
    .await;
    let mut cursor = Some(Cursor::default());
    let mut ids = std::collections::HashSet::new();
    let mut pages = 0;
    while let Some(from) = cursor {
        let page = drive.changes(Kind::File, Scope::All, from).await.unwrap();
        ids.extend(page.rows.into_iter().map(|r| r.id));
        cursor = page.next;
        pages += 1;
        assert!(pages < 10, "the feed never ends");
    }
    assert_eq!(ids.len(), 2500);
}

#[tokio::test]
async fn rows_are_read_with_their_status() {
    let (_server, drive) = drive_of(|seen| {
        let mut row = file(1, "a", "txt");
        match seen.path.as_str() {
            "/drive/files/f1/meta" => {
                row["status"] = "DELETED".into();
                reply(200, &row)
            }
            "/drive/files/empty/meta" => crate::api::testing::reply(200, &[], ""),
            "/drive/files/zzz/meta" => refusal(400, "Validation failed (uuid is expected)"),
            _ => refusal(404, "Not Found"),
        }
    })
    .await;
    assert_eq!(drive.stat(Kind::File, &"f1".into()).await.unwrap().status, Status::Deleted);
    assert!(matches!(drive.stat(Kind::File, &"empty".into()).await, Err(Error::Protocol(_))));
    assert!(matches!(drive.stat(Kind::File, &"zzz".into()).await, Err(Error::NotFound)));
    assert!(matches!(drive.stat(Kind::Folder, &"f9".into()).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn names_are_found_however_they_are_split() {
    let (server, drive) = drive_of(|seen| {
        let body = seen.json();
        if seen.path.ends_with("/folders/existence") {
            assert_eq!(body["plainNames"], json!(["a.b.c"]));
            let mut found = folder("dir", "EXISTS");
            found["plainName"] = "a.b.c".into();
            return reply(201, &json!({"existentFolders": [found]}));
        }
        // The service matches every extension where none is asked for.
        let rows = [file(1, "a.b", "c"), file(2, "a", "b.c"), file(3, "a.b.c", "txt")];
        reply(201, &json!({ "existentFiles": rows }))
    })
    .await;
    let found = drive.find(&"home".into(), "a.b.c").await.unwrap();
    let mut ids: Vec<_> = found.iter().map(|r| r.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["dir", "f1", "f2"]);
    let asked = server.seen().into_iter().find(|s| s.path.ends_with("/files/existence")).unwrap().json();
    assert_eq!(
        asked["files"],
        json!([{"plainName": "a.b.c", "type": ""}, {"plainName": "a", "type": "b.c"}, {"plainName": "a.b", "type": "c"}])
    );
}

fn new_file(object: Option<&str>) -> NewFile {
    NewFile {
        parent: ROOT.into(),
        name: RemoteName::split("report.pdf"),
        content: object.map(version),
        size: if object.is_some() { 5 } else { 0 },
        modified: Timestamp::from_millis(0),
        created: Timestamp::from_millis(1),
    }
}

#[tokio::test]
async fn refusals_of_files_are_told_apart() {
    type Check = fn(&Error) -> bool;
    let cases: [(u16, Value, bool, Check); 8] = [
        (409, json!({"message": "File already exists"}), true, |e| matches!(e, Error::Exists)),
        (404, json!({"message": "Folder not found"}), true, |e| matches!(e, Error::NotFound)),
        (403, json!({"message": "Folder is not yours"}), true, |e| {
            matches!(e, Error::Refused(Refusal::Forbidden))
        }),
        (402, json!({"message": "m", "error": "FILE_UPLOAD_SIZE_EXCEEDED"}), true, |e| {
            matches!(e, Error::Refused(Refusal::TooLarge))
        }),
        (402, json!({"message": "You can not have empty files"}), false, |e| {
            matches!(e, Error::Refused(Refusal::EmptyFile))
        }),
        (400, json!({"message": "You can not have more empty files"}), false, |e| {
            matches!(e, Error::Refused(Refusal::EmptyFile))
        }),
        (500, json!({"message": "Internal Server Error"}), true, |e| e.class() == Class::Ambiguous),
        (408, json!({"message": "Request timed out"}), true, |e| e.class() == Class::Ambiguous),
    ];
    for (status, body, content, check) in cases {
        let (server, drive) = drive_of(move |_| reply(status, &body)).await;
        let object = content.then_some("aaaaaaaaaaaaaaaaaaaaaaaa");
        let error = drive.create(&new_file(object)).await.unwrap_err();
        assert!(check(&error), "{status}: {error:?}");
        assert_eq!(server.seen().len(), 1);
        let sent = server.seen()[0].json();
        assert!(sent["size"].is_number());
        assert_eq!(sent.get("fileId").is_some(), content);
        assert_eq!(sent["creationTime"], "1970-01-01T00:00:00.001Z");
    }
}

#[tokio::test]
async fn an_object_is_never_put_where_it_may_already_be() {
    let (server, drive) = drive_of(|_| refusal(500, "Internal Server Error")).await;
    let new = |base: Option<&str>, content: Option<&str>| {
        let size = if content.is_some() { 5 } else { 0 };
        Replacement::new(base.map(version), content.map(version), size, Timestamp::from_millis(0))
    };
    let with = |base: Option<&str>, content: Option<&str>| new(base, content).unwrap();
    assert!(matches!(new(Some("aa"), Some("aa")), Err(Error::Protocol(_))));
    // The fate of this one is unclear: it may be in the row now, whatever a stale read says.
    let lost = drive.replace(&"f1".into(), &with(Some("aa"), Some("bb"))).await;
    assert!(matches!(lost, Err(Error::Ambiguous(_))));
    let again = drive.replace(&"f1".into(), &with(Some("aa"), Some("bb"))).await;
    assert!(matches!(again, Err(Error::Protocol(_))));
    assert!(matches!(drive.discard(&version("bb")).await, Err(Error::Protocol(_))));
    assert_eq!(server.seen().len(), 1);
    // Emptying sends an explicit null.
    assert!(drive.replace(&"f1".into(), &with(Some("aa"), None)).await.is_err());
    let sent = server.seen().pop().unwrap().json();
    assert_eq!((sent.get("fileId"), &sent["size"]), (Some(&Value::Null), &json!(0)));
}

#[tokio::test]
async fn moving_to_where_it_is_is_success() {
    let moved = Arc::new(Mutex::new(false));
    let state = moved.clone();
    let (server, drive) = drive_of(move |seen| match seen.method.as_str() {
        "PATCH" if *state.lock() => {
            refusal(409, "A file with the same name already exists in destination folder")
        }
        "PATCH" => refusal(409, "File f1 was already moved to that location"),
        _ => reply(200, &file(1, "a", "")),
    })
    .await;
    let name = RemoteName::whole("a");
    let row = drive.relocate(Kind::File, &"f1".into(), &ROOT.into(), &name).await.unwrap();
    assert_eq!(row.id.as_str(), "f1");
    assert_eq!(server.seen()[0].json(), json!({"destinationFolder": ROOT, "name": "a", "type": ""}));
    *moved.lock() = true;
    let taken = drive.relocate(Kind::File, &"f1".into(), &ROOT.into(), &name).await;
    assert!(matches!(taken, Err(Error::Exists)));
}

#[tokio::test]
async fn trash_goes_in_batches_and_what_is_gone_is_gone() {
    let (server, drive) = drive_of(|seen| match seen.method.as_str() {
        "POST" => crate::api::testing::reply(200, &[], ""),
        _ => refusal(404, "Not Found"),
    })
    .await;
    let items: Vec<_> = (0..120).map(|n| (Kind::File, NodeId(format!("f{n}")))).collect();
    drive.trash(&items).await.unwrap();
    let sizes: Vec<_> = server.seen().iter().map(|s| s.json()["items"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [50, 50, 20]);
    drive.delete(Kind::Folder, &"d".into()).await.unwrap();
    drive.discard(&version("cc")).await.unwrap();
}

#[tokio::test]
async fn space_and_limits_are_read_in_any_form() {
    let (_server, drive) = drive_of(|seen| match seen.path.as_str() {
        "/drive/users/usage" => reply(200, &json!({"drive": 1, "backup": 2, "mail": 0, "total": "3"})),
        "/drive/users/limit" => reply(200, &json!({"maxSpaceBytes": 10})),
        _ => reply(200, &json!({"versioning": {"enabled": true}, "maxUploadFileSize": null})),
    })
    .await;
    assert_eq!(drive.usage().await.unwrap(), Usage { used: 3, total: 10 });
    assert_eq!(drive.limits().await.unwrap(), Limits { max_file: None });
    assert_eq!(drive.account().root.as_str(), ROOT);
    assert_eq!(drive.account_seed(), drive.mnemonic().unwrap().seed());
}
