//! Behaviour that is described but not recorded. Requests go through the router, without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::emulator::knobs::{Knobs, Settings};
use crate::emulator::network::Network;
use crate::emulator::{AccountSpec, Hub, Shared, Tier, World, secret};

struct Rig {
    shared: Arc<Shared>,
    router: Router,
    token: String,
    root: String,
}

fn rig_of(spec: AccountSpec) -> Rig {
    let email = spec.email.clone();
    let stranger = AccountSpec::new("stranger@b.test", "pw", Tier::Ultimate);
    let world = World::new(vec![AccountSpec { welcome_folders: false, ..spec }, stranger]);
    let knobs = Arc::new(Knobs::new(Settings::default()));
    let network = Network::open(None, world.clone(), knobs.clone()).unwrap();
    let hub = Arc::new(Hub::new(world.clone()));
    let token = world.issue_token(&email, Duration::from_secs(86_400)).unwrap();
    let root = world.accounts()[0].root.clone();
    let shared = Arc::new(Shared { world, network, hub, knobs });
    Rig { router: super::router(shared.clone()), shared, token, root }
}

fn rig() -> Rig {
    rig_of(AccountSpec::new("a@b.test", "pw", Tier::Ultimate))
}

impl Rig {
    async fn send(&self, method: &str, path: &str, body: Value, token: &str) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(format!("/drive{path}"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(body)
            .unwrap();
        let response = self.router.clone().call(request).await.unwrap();
        assert!(response.headers().contains_key("x-request-id"));
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send(method, path, body, &self.token).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn file(&self, folder: &str, name: &str, kind: &str, size: u64) -> Value {
        let object = (size > 0)
            .then(|| format!("{:024x}", u64::from_le_bytes(secret::sha256(name)[..8].try_into().unwrap())));
        json!({ "bucket": "b", "fileId": object, "encryptVersion": "03-aes", "folderUuid": folder,
            "size": size, "plainName": name, "type": kind })
    }

    async fn create(&self, folder: &str, name: &str, kind: &str, size: u64) -> String {
        let (status, file) = self.ask("POST", "/files", self.file(folder, name, kind, size)).await;
        assert_eq!(status, 201, "{file}");
        file["uuid"].as_str().unwrap().to_owned()
    }

    async fn mkdir(&self, parent: &str, name: &str) -> String {
        let body = json!({ "plainName": name, "parentFolderUuid": parent });
        let (status, folder) = self.ask("POST", "/folders", body).await;
        assert_eq!(status, 201, "{folder}");
        folder["uuid"].as_str().unwrap().to_owned()
    }

    async fn status_of(&self, file: &str) -> Value {
        self.get(&format!("/files/{file}/meta")).await["status"].clone()
    }
}

#[tokio::test]
async fn concurrent_creates_without_a_type_make_doubles_and_with_one_do_not() {
    let rig = rig();
    rig.shared.knobs.set_replica_lag(Duration::from_secs(60));
    rig.get("/users/limit").await;
    let plain = rig.file(&rig.root, "same", "", 5);
    assert_eq!(rig.ask("POST", "/files", plain.clone()).await.0, 201);
    assert_eq!(rig.ask("POST", "/files", plain.clone()).await.0, 201);
    let typed = rig.file(&rig.root, "same", "txt", 5);
    assert_eq!(rig.ask("POST", "/files", typed.clone()).await.0, 201);
    let (status, answer) = rig.ask("POST", "/files", typed).await;
    assert_eq!(
        (status, &answer["message"]),
        (409, &json!("A file with this name already exists in this location"))
    );

    rig.shared.knobs.set_replica_lag(Duration::ZERO);
    let listing = rig.get(&format!("/folders/content/{}/files?limit=50&offset=0", rig.root)).await;
    assert_eq!(listing["files"].as_array().unwrap().len(), 3);
    let (status, answer) = rig.ask("POST", "/files", plain).await;
    assert_eq!((status, &answer["message"]), (409, &json!("File already exists")));
}

#[tokio::test]
async fn a_check_window_lets_parallel_requests_race() {
    let rig = rig();
    rig.shared.world.set_check_window(Duration::from_millis(50));
    let body = rig.file(&rig.root, "same", "", 5);
    let (one, two) = tokio::join!(rig.ask("POST", "/files", body.clone()), rig.ask("POST", "/files", body));
    assert_eq!((one.0, two.0), (201, 201));
}

#[tokio::test]
async fn a_raced_mkdir_breaks() {
    let rig = rig();
    rig.shared.world.set_check_window(Duration::from_millis(50));
    let body = json!({ "plainName": "d", "parentFolderUuid": rig.root });
    let (one, two) =
        tokio::join!(rig.ask("POST", "/folders", body.clone()), rig.ask("POST", "/folders", body));
    let mut both = [one.0, two.0];
    both.sort_unstable();
    assert_eq!(both, [201, 500]);
}

#[tokio::test]
async fn a_page_of_one_stamp_makes_the_cursor_stand_still() {
    let rig = rig();
    let mut items = Vec::new();
    for name in ["a", "b", "c"] {
        items.push(json!({ "uuid": rig.create(&rig.root, name, "x", 5).await, "type": "file" }));
    }
    // Off the millisecond, as nearly all stamps are.
    let ahead = (rig.shared.world.lock().now() / 1000 + 60_000) * 1000;
    rig.shared.world.lock().stamp_after(ahead + 500);
    rig.ask("POST", "/storage/trash/add", json!({ "items": items })).await;
    let (status, emptied) = rig.ask("DELETE", "/storage/trash/all", Value::Null).await;
    assert_eq!((status, &emptied["status"]), (200, &json!("completed")));
    let first = rig.get("/files/sync?status=DELETED&updatedAt=2020-01-01T00:00:00Z&limit=2").await;
    let cursor = first["nextCursor"].as_str().unwrap().to_owned();
    let escaped = cursor.replace('+', "%2B").replace('=', "%3D");
    let second = rig.get(&format!("/files/sync?status=DELETED&cursor={escaped}&limit=2")).await;
    let uuids = |page: &Value| {
        let files = page["files"].as_array().unwrap().clone();
        files.iter().map(|file| file["uuid"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(uuids(&first), uuids(&second));
    assert_eq!(second["nextCursor"], json!(cursor));
    let offset = rig.get("/files?status=DELETED&limit=2&offset=2&sort=updatedAt&order=ASC").await;
    assert_eq!(offset.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_deleted_tree_decays_level_by_level_when_told_to() {
    let rig = rig();
    rig.shared.world.set_cascade_delay(Duration::from_secs(1800));
    let top = rig.mkdir(&rig.root, "top").await;
    let below = rig.mkdir(&top, "below").await;
    let shallow = rig.create(&top, "shallow", "x", 5).await;
    let deep = rig.create(&below, "deep", "x", 5).await;
    assert_eq!(rig.ask("DELETE", &format!("/folders/{top}"), Value::Null).await.0, 204);
    assert_eq!(rig.status_of(&shallow).await, "EXISTS");
    rig.create(&below, "lost", "x", 5).await;
    let half_an_hour = || {
        rig.shared.world.advance(Duration::from_secs(1801));
        rig.shared.world.lock().decay()
    };
    half_an_hour();
    assert_eq!(
        (rig.status_of(&shallow).await, rig.status_of(&deep).await),
        (json!("DELETED"), json!("EXISTS"))
    );
    let purged = half_an_hour();
    assert_eq!(rig.status_of(&deep).await, "DELETED");
    assert_eq!(purged.len(), 2);
}

#[tokio::test]
async fn trash_and_versions_end_with_their_retention() {
    let rig = rig();
    let file = rig.create(&rig.root, "doc", "pdf", 10).await;
    rig.ask("PUT", &format!("/files/{file}"), json!({ "fileId": "1", "size": 1 })).await;
    let gone = rig.create(&rig.root, "gone", "x", 10).await;
    let items = json!({ "items": [{ "uuid": gone, "type": "file" }] });
    rig.ask("POST", "/storage/trash/add", items).await;
    let path = "/storage/trash/paginated?type=files&limit=50&offset=0";
    let world = rig.shared.world.clone();
    let token = || world.issue_token("a@b.test", Duration::from_secs(60)).unwrap();
    assert_eq!(rig.get(path).await["result"][0]["uuid"], json!(gone));
    rig.shared.world.advance(Duration::from_secs(31 * 86_400));
    assert_eq!(rig.shared.world.lock().decay().len(), 2);
    let (_, row) = rig.send("GET", &format!("/files/{gone}/meta"), Value::Null, &token()).await;
    assert_eq!(row["status"], "DELETED");
    let (_, kept) = rig.send("GET", &format!("/files/{file}/versions"), Value::Null, &token()).await;
    assert_eq!(kept, json!([]));
}

#[tokio::test]
async fn existence_without_a_type_matches_every_type() {
    let rig = rig();
    rig.create(&rig.root, "n", "", 5).await;
    rig.create(&rig.root, "n", "txt", 5).await;
    let path = format!("/folders/content/{}/files/existence", rig.root);
    let asked = |files: Value| rig.ask("POST", &path, json!({ "files": files }));
    let (status, answer) = asked(json!([{ "plainName": "n" }])).await;
    assert_eq!((status, answer["existentFiles"].as_array().unwrap().len()), (201, 2));
    let (_, answer) = asked(json!([{ "plainName": "n", "type": "txt" }])).await;
    assert_eq!(answer["existentFiles"].as_array().unwrap().len(), 1);
    let many: Vec<_> = (0..201).map(|number| json!({ "plainName": number.to_string() })).collect();
    let (status, answer) = asked(json!(many)).await;
    assert_eq!((status, &answer["message"]), (400, &json!(["files must contain no more than 200 elements"])));
}

#[tokio::test]
async fn versions_are_kept_pruned_and_restored() {
    let rig = rig();
    let file = rig.create(&rig.root, "doc", "pdf", 10).await;
    for number in 0..22 {
        let body = json!({ "fileId": format!("{number:024}"), "size": 10 + number });
        assert_eq!(rig.ask("PUT", &format!("/files/{file}"), body).await.0, 200);
    }
    let versions = rig.get(&format!("/files/{file}/versions")).await;
    assert_eq!(versions.as_array().unwrap().len(), 20);
    assert_eq!(versions[0]["networkFileId"], format!("{:024}", 20));
    let id = versions[3]["id"].as_str().unwrap();
    let (status, restored) =
        rig.ask("POST", &format!("/files/{file}/versions/{id}/restore"), json!({})).await;
    assert_eq!((status, &restored["fileId"]), (201, &versions[3]["networkFileId"]));
    let left = rig.get(&format!("/files/{file}/versions")).await;
    assert_eq!(left.as_array().unwrap().len(), 16);
    let id = left[0]["id"].as_str().unwrap();
    assert_eq!(rig.ask("DELETE", &format!("/files/{file}/versions/{id}"), Value::Null).await.0, 204);
    assert_eq!(rig.ask("DELETE", &format!("/files/{file}/versions/{id}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn plans_differ() {
    let rig = rig_of(AccountSpec::new("e@b.test", "pw", Tier::Essential));
    let limits = rig.get("/files/limits").await;
    assert_eq!(
        (&limits["versioning"]["enabled"], &limits["maxUploadFileSize"]),
        (&json!(false), &json!(10u64 << 30))
    );
    let (status, answer) = rig.ask("POST", "/files", rig.file(&rig.root, "big", "x", (10 << 30) + 1)).await;
    assert_eq!((status, &answer["error"]), (402, &json!("FILE_UPLOAD_SIZE_EXCEEDED")));
    assert!(answer.get("statusCode").is_none());
    let file = rig.create(&rig.root, "doc", "pdf", 10).await;
    rig.ask("PUT", &format!("/files/{file}"), json!({ "fileId": "1", "size": 1 })).await;
    assert_eq!(rig.get(&format!("/files/{file}/versions")).await, json!([]));

    let (status, answer) = rig.ask("GET", "/users/cli/refresh", Value::Null).await;
    assert_eq!((status, answer), (402, json!({ "message": "CLI access not allowed for this user tier" })));
    assert!(rig.get("/users/refresh").await["newToken"].is_string());
}

#[tokio::test]
async fn usage_is_remembered_until_a_file_is_created() {
    let rig = rig();
    let file = rig.create(&rig.root, "one", "x", 100).await;
    assert_eq!(rig.get("/users/usage").await["total"], 100);
    rig.ask("DELETE", &format!("/files/{file}"), Value::Null).await;
    assert_eq!(rig.get("/users/usage").await["total"], 100);
    rig.create(&rig.root, "two", "x", 7).await;
    assert_eq!(rig.get("/users/usage").await["total"], 7);
}

#[tokio::test]
async fn second_factors_are_good_for_two_steps_each_way() {
    let totp = "JBSWY3DPEHPK3PXP";
    let spec = AccountSpec::new("t@b.test", "pw", Tier::Ultimate);
    let rig = rig_of(AccountSpec { totp_secret: Some(totp.to_owned()), ..spec });
    let hash = rig.shared.world.lock().account(0).password_hash().to_owned();
    let password = secret::seal(&hash, secret::APP_SECRET, [1; 8]);
    let now = rig.shared.world.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 30;
    let login = |step: u64| {
        let code = secret::totp(totp, step).unwrap();
        rig.ask(
            "POST",
            "/auth/login/access",
            json!({ "email": "t@b.test", "password": password, "tfa": code }),
        )
    };
    assert_eq!(login(now - 1).await.0, 200);
    assert_eq!(login(now + 1).await.0, 200);
    let (status, answer) = login(now + 100).await;
    assert_eq!((status, &answer["message"]), (401, &json!("Wrong 2-factor auth code")));
    for _ in 0..9 {
        assert_eq!(login(now + 100).await.0, 401);
    }
    assert_eq!(login(now).await.0, 403);
}

#[tokio::test]
async fn bodies_over_the_limit_and_broken_trash_items_are_odd() {
    let rig = rig();
    let (status, answer) = rig.ask("POST", "/files", json!({ "pad": "x".repeat(101 * 1024) })).await;
    assert_eq!((status, answer), (500, json!({ "statusCode": 500, "message": "Internal Server Error" })));
    let items = json!({ "items": [{ "uuid": "zzz", "type": "file" }] });
    let (status, answer) = rig.ask("POST", "/storage/trash/add", items).await;
    assert_eq!((status, &answer["message"]["error"]), (500, &json!("Internal Server Error")));
    let many: Vec<_> = (0..51).map(|_| json!({ "uuid": rig.root, "type": "file" })).collect();
    assert_eq!(rig.ask("POST", "/storage/trash/add", json!({ "items": many })).await.0, 400);
}

#[tokio::test]
async fn a_folder_answer_is_not_sent_twice_but_a_file_answer_is() {
    let rig = rig();
    let ask = |path: String, tag: Option<String>| {
        let mut request = Request::builder().uri(format!("/drive{path}"));
        request = request.header("authorization", format!("Bearer {}", rig.token));
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        let mut router = rig.router.clone();
        async move {
            let response = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
            let tag = response.headers()["etag"].to_str().unwrap().to_owned();
            (response.status().as_u16(), tag)
        }
    };
    rig.create(&rig.root, "f", "x", 5).await;
    let folders = format!("/folders/{}/meta", rig.root);
    let (_, tag) = ask(folders.clone(), None).await;
    assert_eq!(ask(folders, Some(tag)).await.0, 304);
    let files = format!("/folders/content/{}/files?limit=5&offset=0", rig.root);
    let (_, tag) = ask(files.clone(), None).await;
    assert_eq!(ask(files, Some(tag)).await.0, 200);
}

#[tokio::test]
async fn a_large_drive_is_paged_completely() {
    let rig = rig();
    for number in 0..230 {
        rig.create(&rig.root, &format!("file{number}"), "x", 5).await;
    }
    for sort in ["id", "plainName", "uuid", "updatedAt", "size"] {
        let mut seen = std::collections::HashSet::new();
        for offset in (0..).step_by(50) {
            let query = format!("limit=50&offset={offset}&sort={sort}&order=DESC");
            let page = rig.get(&format!("/folders/content/{}/files?{query}", rig.root)).await;
            let files = page["files"].as_array().unwrap().clone();
            seen.extend(files.iter().map(|file| file["uuid"].to_string()));
            if files.len() < 50 {
                break;
            }
        }
        assert_eq!(seen.len(), 230, "{sort}");
    }
    let last = rig.get("/files?status=ALL&limit=1&offset=0&sort=updatedAt&order=DESC").await;
    assert_eq!(last[0]["plainName"], "file229");
}

#[tokio::test]
async fn a_filled_drive_is_listed_like_any_other() {
    let rig = rig();
    rig.shared.world.fill("a@b.test", 2, 1100);
    let mut seen = std::collections::HashSet::new();
    for offset in [0, 1000, 2000] {
        let query = format!("status=EXISTS&limit=1000&offset={offset}&sort=uuid&order=ASC");
        let page = rig.get(&format!("/files?{query}")).await;
        seen.extend(page.as_array().unwrap().iter().map(|file| file["uuid"].to_string()));
    }
    assert_eq!(seen.len(), 2200);
    assert_eq!(rig.get("/users/usage").await["drive"], 2200);
    let folder = rig.get("/folders/meta?path=%2Ffolder1").await["uuid"].as_str().unwrap().to_owned();
    assert_eq!(rig.get(&format!("/folders/{folder}/stats")).await["isFileCountExact"], false);
    assert_eq!(rig.get("/files/meta?path=%2Ffolder1%2Ffile1099.bin").await["folderUuid"], json!(folder));
}

#[tokio::test]
async fn a_picture_is_shown_by_listings_alone_and_a_new_one_takes_its_row() {
    let rig = rig();
    let file = rig.create(&rig.root, "photo", "jpg", 10).await;
    let body = |object: &str| {
        json!({ "fileUuid": file, "type": "png", "size": 5, "maxWidth": 300, "maxHeight": 300,
            "bucketId": "whatever", "bucketFile": object, "encryptVersion": "03-aes" })
    };
    let before = rig.get(&format!("/files/{file}/meta")).await;
    let (status, first) = rig.ask("POST", "/files/thumbnail", body("one")).await;
    assert_eq!((status, &first["bucketId"], &first["bucketFile"]), (201, &json!("b"), &json!("one")));
    assert_eq!(first.get("bucket_file"), None);
    rig.shared.world.advance(Duration::from_secs(1));
    let (status, second) = rig.ask("POST", "/files/thumbnail", body("two")).await;
    assert_eq!((status, &second["id"], &second["createdAt"]), (201, &first["id"], &first["createdAt"]));
    assert_ne!(second["updatedAt"], first["updatedAt"]);
    let listing = rig.get(&format!("/folders/content/{}/files?limit=50&offset=0", rig.root)).await;
    let shown = &listing["files"][0]["thumbnails"];
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["bucket_file"]), (1, &json!("two")));
    assert_eq!(shown[0]["bucketFile"], json!("two"));
    assert_eq!(listing["files"][0]["updatedAt"], before["updatedAt"]);
    let feed = rig.get("/files?status=ALL&limit=50&offset=0").await;
    assert_eq!(feed[0].get("thumbnails"), None);

    let mut odd = body("three");
    (odd["type"], odd["maxWidth"]) = (json!(""), json!("300"));
    let (status, answer) = rig.ask("POST", "/files/thumbnail", odd).await;
    let wanted =
        ["type should not be empty", "maxWidth must be a number conforming to the specified constraints"];
    assert_eq!((status, &answer["message"]), (400, &json!(wanted)));
    let mut unknown = body("three");
    unknown["fileUuid"] = json!(uuid::Uuid::new_v4());
    assert_eq!(rig.ask("POST", "/files/thumbnail", unknown).await.0, 404);
    let stranger = rig.shared.world.issue_token("stranger@b.test", Duration::from_secs(60)).unwrap();
    assert_eq!(rig.send("POST", "/files/thumbnail", body("three"), &stranger).await.0, 403);

    assert_eq!(rig.ask("DELETE", &format!("/files/{file}"), Value::Null).await.0, 200);
    let purged = rig.shared.world.lock().decay();
    assert!(purged.contains(&("b".to_owned(), "two".to_owned())), "{purged:?}");
}
