//! Uploads, entries, quota: the answers the service was seen to give.

use std::time::Duration;

use inxtfs::emulator::{AccountSpec, Config, Tier, V1Shard};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

const HASH: &str = "b6a9c8c230722b7c748331a8b450f05566dc7d0f";

#[tokio::test]
async fn an_upload_comes_back_as_it_went() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    let put = rig.put(&upload.url, "hello").await;
    assert_eq!(
        (put.status().as_u16(), &put.headers()["etag"]),
        (200, &"\"5d41402abc4b2a76b9719d911017c592\"".parse().unwrap())
    );
    let index = index();
    let (status, entry) = rig.finish(&index, shard(&upload.uuid)).await;
    assert_eq!(status, 200);
    assert_eq!((&entry["size"], &entry["version"]), (&json!(5), &json!(2)));
    assert_eq!(entry["bucket"], rig.account.bucket);
    assert!(entry.get("hmac").is_none());

    let id = entry["id"].as_str().unwrap();
    let (status, info) = rig.get(&rig.in_bucket(&format!("{id}/info"))).await;
    assert_eq!(status, 200);
    assert_eq!(info["index"], index);
    assert_eq!(info["shards"][0]["hash"], HASH);
    let got = rig.client.get(info["shards"][0]["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(got.text().await.unwrap(), "hello");

    let (_, mirrors) = rig.get(&format!("/v2{}", rig.in_bucket(&format!("{id}/mirrors")))).await;
    assert_eq!(mirrors["hmac"], json!({}));
    assert!(mirrors["shards"][0].get("index").is_none() && mirrors.get("size").is_none(), "{mirrors}");
    let (_, bulk) = rig.get(&format!("/buckets/{}/bulk-files?fileIds={id}", rig.account.bucket)).await;
    assert_eq!((&bulk[0]["fileId"], &bulk[0]["index"]), (&json!(id), &json!(index)));
}

#[tokio::test]
async fn answers_carry_the_services_headers() {
    let rig = start();
    let left = |response: &reqwest::Response| {
        response.headers()["x-ratelimit-remaining"].to_str().unwrap().to_owned()
    };
    let first = rig.ask(Method::GET, "/limit").send().await.unwrap();
    let second = rig.ask(Method::GET, "/limit").send().await.unwrap();
    assert_eq!((left(&first).as_str(), left(&second).as_str()), ("999", "998"));
    assert_ne!(first.headers()["x-request-id"], second.headers()["x-request-id"]);
    assert!(first.headers()["etag"].to_str().unwrap().starts_with("W/\""));
    assert_eq!(first.json::<Value>().await.unwrap(), json!({"maxSpaceBytes": rig.account.max_space}));

    let unknown = rig.ask(Method::GET, "/usage").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert!(unknown.headers().get("x-ratelimit-limit").is_none());
    assert!(unknown.text().await.unwrap().contains("<pre>Cannot GET /usage</pre>"));
    let (status, buckets) = rig.get("/buckets").await;
    assert_eq!((status, &buckets[0]["id"]), (200, &json!(rig.account.bucket)));
}

#[tokio::test]
async fn credentials_are_looked_at_as_the_service_does() {
    let rig = start();
    let url = format!("{}/network/buckets", rig.emulator.gateway());
    let with = async |auth: &str| {
        json_of(rig.client.get(&url).header("authorization", auth).send().await.unwrap()).await
    };
    let none = error("No authentication strategy detected");
    assert_eq!(json_of(rig.client.get(&url).send().await.unwrap()).await, (401, none.clone()));
    assert_eq!(with("Bearer x.y.z").await, (401, none));
    let wrong = error("Invalid email or password");
    assert_eq!(with(&basic("nobody@nowhere", "x")).await, (404, wrong.clone()));
    assert_eq!(with(&basic(&rig.account.bridge_user, "x")).await, (401, wrong));
}

#[tokio::test]
async fn start_refuses_what_the_service_refuses() {
    let rig = start();
    let one = |size: i64| json!({"uploads": [{"index": 0, "size": size}]});
    let cases = [
        ("?multiparts=1", one(-5), 400, "Invalid size"),
        ("?multiparts=1", json!({}), 400, "Missing \"uploads\" field"),
        ("?multiparts=2", one(5_000_000), 400, "Multipart is not allowed for files smaller than 100MB"),
        ("?multiparts=10001", one(500_000_000), 400, "Invalid multiparts value"),
        ("?multiparts=0", one(5), 400, "Invalid multiparts value"),
        (
            "",
            json!({"uploads": [{"index": 0, "size": 5}, {"index": 0, "size": 6}]}),
            409,
            "Invalid upload indexes",
        ),
    ];
    for (query, body, status, message) in cases {
        assert_eq!(rig.start_raw(query, body).await, (status, error(message)));
    }
    assert_eq!(rig.start_raw("", one(5)).await.0, 200, "multiparts may be left out");
    assert_eq!(rig.start_raw("?multiparts=1", one(0)).await.0, 200);
    for (bucket, status, message) in
        [("000000000000000000000000", 404, "Bucket  not found"), ("zzz", 400, "Bucket id is malformed")]
    {
        let ask = rig.ask(Method::POST, &format!("/v2/buckets/{bucket}/files/start?multiparts=1"));
        assert_eq!(json_of(ask.json(&one(5)).send().await.unwrap()).await, (status, error(message)));
    }
}

#[tokio::test]
async fn finish_refuses_what_the_service_refuses() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    let uuid = &upload.uuid;
    assert_eq!(rig.finish("abc", shard(uuid)).await, (400, error("Invalid index")));
    assert_eq!(rig.finish(&index(), shard("x")).await, (400, error("Invalid UUID")));
    assert_eq!(rig.finish(&index(), json!([{"uuid": uuid}])).await, (400, error("Missing hash")));
    assert_eq!(rig.finish(&index(), Value::Null).await, (400, error("Missing parameters")));
    let lonely = json!([{"uuid": uuid, "hash": HASH, "UploadId": "u"}]);
    assert_eq!(rig.finish(&index(), lonely).await.0, 400);
}

#[tokio::test]
async fn a_failed_finish_burns_its_index_but_not_the_upload() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    let burnt = index();
    assert_eq!(rig.finish(&burnt, shard(&upload.uuid)).await, (404, error("Upload not found in storage")));
    rig.put(&upload.url, "hello").await;
    let (status, answer) = rig.finish(&burnt, shard(&upload.uuid)).await;
    assert_eq!(status, 500);
    let message = answer["error"].as_str().unwrap();
    assert!(message.starts_with("E11000 duplicate key error") && message.contains(&burnt), "{message}");
    assert_eq!(rig.used(), 0, "an orphan is not counted");

    assert_eq!(rig.finish(&index(), shard(&upload.uuid)).await.0, 200);
    assert_eq!(rig.used(), 5);
    let again = rig.finish(&index(), shard(&upload.uuid)).await;
    assert_eq!(again, (409, error("Missing uploads to complete the upload")));
}

#[tokio::test]
async fn the_announced_size_is_the_stored_size() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    rig.put(&upload.url, "toolongbody").await;
    let answer = rig.finish(&index(), shard(&upload.uuid)).await;
    assert_eq!(answer, (409, error("Size does not match. Expected: 5, Got: 11")));
}

#[tokio::test]
async fn only_old_official_clients_may_finish_before_the_object_is_there() {
    let rig = start();
    let finish = async |client: &str, version: &str| {
        let upload = rig.start_upload(5, 1).await;
        let ask = rig.ask(Method::POST, &format!("/v2{}", rig.in_bucket("finish")));
        let mut request =
            ask.json(&json!({"index": index(), "shards": shard(&upload.uuid)})).build().unwrap();
        request.headers_mut().insert("internxt-client", client.parse().unwrap());
        request.headers_mut().insert("internxt-version", version.parse().unwrap());
        rig.client.execute(request).await.unwrap().status().as_u16()
    };
    assert_eq!(finish("internxt-cli", "1.6.3").await, 200);
    assert_eq!(finish("internxt-cli", "1.6.4").await, 404);
    assert_eq!(finish("my-fuse", "0.0.1").await, 404);
}

#[tokio::test]
async fn the_hmac_is_kept_and_given_back() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    rig.put(&upload.url, "hello").await;
    let hmac = json!({"type": "sha512", "value": "abcd"});
    let body = json!({"index": index(), "shards": shard(&upload.uuid), "hmac": hmac});
    let ask = rig.ask(Method::POST, &format!("/v2{}", rig.in_bucket("finish"))).json(&body);
    let (_, entry) = json_of(ask.send().await.unwrap()).await;
    let (_, info) = rig.get(&rig.in_bucket(&format!("{}/info", entry["id"].as_str().unwrap()))).await;
    assert_eq!(info["hmac"], hmac);
}

#[tokio::test]
async fn reading_and_deleting_what_is_not_there_or_not_mine() {
    let accounts = ["a@x.test", "b@x.test"].map(spec).to_vec();
    let rig = start_with(Config { accounts, ..Config::default() });
    let id = rig.store(b"hello").await;
    let zeros = "0".repeat(24);
    let get = async |path: &str| rig.get(&rig.in_bucket(path)).await;
    assert_eq!(get(&format!("{zeros}/info")).await, (404, error(&format!("Bucket entry {zeros} not found"))));
    assert_eq!(get("zzz/info").await, (400, error("File id is malformed")));
    let path = rig.in_bucket(&id);
    let anonymous = format!("{}/network{path}/info", rig.emulator.gateway());
    assert_eq!(json_of(rig.client.get(&anonymous).send().await.unwrap()).await.0, 401);

    let other = Rig { account: account(&rig.emulator, 1), ..rig };
    assert_eq!(other.get(&format!("{path}/info")).await, (500, error("Bucket not found")));
    let delete = async |rig: &Rig| json_of(rig.ask(Method::DELETE, &path).send().await.unwrap()).await;
    assert_eq!(delete(&other).await, (403, error("Unauthorized")));

    let rig = Rig { account: account(&other.emulator, 0), ..other };
    let link = rig.link(&id).await;
    assert_eq!(delete(&rig).await.0, 204);
    assert_eq!(delete(&rig).await, (404, error("Bucket entry  not found")));
    assert_eq!(rig.used(), 0);
    let gone = rig.client.get(link).send().await.unwrap();
    assert_eq!(gone.status(), 404);
    assert!(gone.text().await.unwrap().contains("<Code>NoSuchKey</Code>"));
}

#[tokio::test]
async fn quota_is_looked_at_twice_and_not_reserved() {
    let accounts = vec![AccountSpec { max_space: Some(8), ..spec("small@x.test") }];
    let rig = start_with(Config { accounts, ..Config::default() });
    let body = |size: u64| json!({"uploads": [{"index": 0, "size": size}]});
    assert_eq!(rig.start_raw("", body(9)).await, (420, error("Max space used")));
    let (first, second) = (rig.start_upload(5, 1).await, rig.start_upload(5, 1).await);
    rig.put(&first.url, "hello").await;
    rig.put(&second.url, "hello").await;
    let (_, entry) = rig.finish(&index(), shard(&first.uuid)).await;
    let late = index();
    assert_eq!(rig.finish(&late, shard(&second.uuid)).await, (420, error("Max space used")));

    let shared = rig.emulator.shared();
    shared.knobs.set_free_delay(Duration::from_secs(60));
    shared.network.delete_object(&rig.account.bucket, entry["id"].as_str().unwrap());
    assert_eq!(rig.used(), 5, "the drive's deletions free space later");
    shared.world.advance(Duration::from_secs(61));
    assert_eq!(rig.used(), 0);
    assert_eq!(
        rig.finish(&late, shard(&second.uuid)).await.0,
        200,
        "quota is looked at before an entry is made"
    );
}

#[tokio::test]
async fn a_replica_shows_new_entries_late() {
    let rig = start();
    rig.emulator.shared().knobs.set_replica_lag(Duration::from_secs(60));
    let id = rig.store(b"hello").await;
    let info = rig.in_bucket(&format!("{id}/info"));
    assert_eq!(rig.get(&info).await.0, 404);
    rig.emulator.shared().world.advance(Duration::from_secs(61));
    assert_eq!(rig.get(&info).await.0, 200);
}

#[tokio::test]
async fn old_layout_files_are_listed_shard_by_shard() {
    let rig = start();
    let piece = |text: &str, parity, missing_url| V1Shard { bytes: text.into(), parity, missing_url };
    let shards =
        [piece("one", false, 0), piece("two!", false, 1), piece("xx", true, 0), piece("three", false, 0)];
    let network = rig.emulator.shared().network.clone();
    let id = network.add_v1_object(&rig.account.bucket, &index(), &shards).unwrap();
    let (_, info) = rig.get(&rig.in_bucket(&format!("{id}/info"))).await;
    assert!(info.get("version").is_none() && info.get("shards").is_none(), "{info}");
    assert!(info["frame"].is_string());
    assert_eq!(info["size"], 12);

    let page = async |query: &str| rig.get(&rig.in_bucket(&format!("{id}?{query}"))).await.1;
    let first = page("limit=3&skip=0").await;
    assert_eq!(first.as_array().unwrap().len(), 3);
    assert!(first[1].get("url").is_none() && first[2]["parity"] == true);
    assert!(page("limit=1&skip=1").await[0]["url"].is_string(), "asked again, the link is there");
    assert_eq!(page("limit=3&skip=3").await.as_array().unwrap().len(), 1);
    assert_eq!(page("limit=3&skip=4").await, json!([]));
    let got = rig.client.get(first[0]["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(got.text().await.unwrap(), "one");
}

#[tokio::test]
async fn a_killed_emulator_has_saved_a_moment_ago() {
    let dir = tempfile::tempdir().unwrap();
    let rig = start_with(Config { data: Some(dir.path().to_owned()), ..Config::default() });
    let id = rig.store(b"hello").await;
    let saved = || std::fs::read_to_string(dir.path().join("network.json")).unwrap_or_default();
    let soon = async {
        while !saved().contains(&id) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, soon).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config { data: Some(dir.path().to_owned()), ..Config::default() };
    let rig = start_with(config());
    let content = pattern(700_000);
    let id = rig.store(&content).await;
    let orphan = dir.path().join("blobs/orphan");
    std::fs::write(&orphan, "left by a crash").unwrap();
    rig.emulator.shutdown().await.unwrap();

    let rig = start_with(config());
    assert_eq!(rig.used(), 700_000);
    assert!(!orphan.exists());
    let got = rig.client.get(rig.link(&id).await).send().await.unwrap();
    assert!(got.bytes().await.unwrap() == content);
}

fn spec(email: &str) -> AccountSpec {
    AccountSpec::new(email, "password", Tier::Ultimate)
}
