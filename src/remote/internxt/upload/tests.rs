//! Content there and back, through a store that breaks in every way it may.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::tests::{BUCKET, WORDS, drive_of};
use super::super::{Internxt, Version};
use super::*;
use crate::api::testing::{Reply, Seen, Server, json as reply, reply as raw};
use crate::crypto::{BucketKey, Cipher, Mnemonic};
use crate::remote::{Refusal, Remote, Urgency};

/// What the service holds, and what it will do wrong next.
#[derive(Default)]
struct World {
    shards: HashMap<String, Bytes>,
    entries: HashMap<String, Value>,
    indexes: Vec<String>,
    started: u32,
    infos: u32,
    /// Statuses of the next answers to finish; 0 lets it pass.
    finish: Vec<u16>,
    /// Of the next PUTs; 1 answers a captive portal's page.
    put: Vec<u16>,
    /// Of the next GETs; 1 cuts the body short, 2 ignores the range.
    get: Vec<u16>,
}

type Shared = Arc<Mutex<World>>;

fn next(faults: &mut Vec<u16>) -> u16 {
    if faults.is_empty() { 0 } else { faults.remove(0) }
}

fn answer(world: &mut World, base: &str, seen: &Seen) -> Reply {
    let url = |name: String| format!("{base}/shards/{name}?X-Amz-Signature=s3cret");
    let last = seen.path.rsplit('/').next().unwrap_or_default().to_owned();
    match (seen.method.as_str(), last.as_str()) {
        ("POST", "start") => {
            world.started += 1;
            let uuid = format!("u{}", world.started);
            let size = seen.json()["uploads"][0]["size"].as_u64().unwrap();
            if size == 13 {
                return reply(420, &json!({"error": "Max space used"}));
            }
            let slot = match seen.query.as_str() {
                "multiparts=1" => json!({"index": 0, "uuid": uuid, "url": url(uuid.clone()), "urls": null}),
                many => {
                    let n: u32 = many.trim_start_matches("multiparts=").parse().unwrap();
                    let urls: Vec<_> = (0..n).map(|i| url(format!("{uuid}.{i}"))).collect();
                    json!({"index": 0, "uuid": uuid, "url": null, "urls": urls, "UploadId": "up"})
                }
            };
            reply(200, &json!({"uploads": [slot]}))
        }
        ("POST", "finish") => {
            let body = seen.json();
            world.indexes.push(body["index"].as_str().unwrap().to_owned());
            let fault = next(&mut world.finish);
            if fault != 0 {
                return reply(fault, &json!({"error": "no"}));
            }
            let id = format!("{:024x}", world.entries.len() + 1);
            world.entries.insert(id.clone(), body);
            reply(200, &json!({"id": id}))
        }
        ("GET", "info") => {
            world.infos += 1;
            let id = seen.path.rsplit('/').nth(1).unwrap();
            let Some(entry) = world.entries.get(id) else {
                return reply(404, &json!({"error": "File not found"}));
            };
            let shard = &entry["shards"][0];
            let name = shard["uuid"].as_str().unwrap().to_owned();
            let size = world.shards.get(&name).map_or(0, Bytes::len);
            let shards = json!([{"index": 0, "size": size, "hash": shard["hash"], "url": url(name)}]);
            reply(
                200,
                &json!({"index": entry["index"], "size": size, "version": 2, "hmac": entry["hmac"], "shards": shards}),
            )
        }
        ("PUT", name) => match next(&mut world.put) {
            0 => {
                assert_eq!(seen.header("content-length"), seen.body.len().to_string());
                world.shards.insert(name.to_owned(), seen.body.clone());
                raw(200, &[("etag", &format!("\"tag-{name}\""))], "")
            }
            1 => raw(200, &[("content-type", "text/html")], "<html>Sign in to use this network</html>"),
            fault => raw(fault, &[], "<Error><Code>AccessDenied</Code></Error>"),
        },
        ("GET", name) => serve(world, name, seen),
        _ => reply(404, &json!({"error": "no such route"})),
    }
}

fn serve(world: &mut World, name: &str, seen: &Seen) -> Reply {
    let fault = next(&mut world.get);
    if fault > 2 {
        return raw(fault, &[], "<Error><Code>AccessDenied</Code></Error>");
    }
    let whole = world.shards[name].clone();
    let (start, end) = seen.header("range").trim_start_matches("bytes=").split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse::<usize>().unwrap() + 1);
    if fault == 2 {
        return raw(200, &[], whole);
    }
    // A store may answer less than asked, and say so.
    let end = if fault == 1 { start + (end - start).div_ceil(2) } else { end };
    let range = format!("bytes {start}-{}/{}", end - 1, whole.len());
    raw(206, &[("content-range", &range)], whole.slice(start..end))
}

async fn world() -> (Server, Internxt, Shared) {
    let shared: Shared = Arc::default();
    let base = Arc::new(Mutex::new(String::new()));
    let (state, at) = (shared.clone(), base.clone());
    let (server, drive) = drive_of(move |seen| answer(&mut state.lock(), &at.lock().clone(), seen)).await;
    *base.lock() = server.gateway.to_string();
    (server, drive, shared)
}

fn text(len: usize) -> Bytes {
    (0..len).map(|k| u8::try_from((31 * k + 7) & 0xff).unwrap()).collect::<Vec<u8>>().into()
}

async fn get(drive: &Internxt, of: &Version, size: u64, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
    let stream = drive.read(of, size, range, Urgency::Now).await?;
    stream
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn content_comes_back_as_it_went_in_any_range() {
    let (_server, drive, world) = world().await;
    let plain = text(2_500_000);
    let size = plain.len() as u64;
    let told = Arc::new(AtomicU64::new(0));
    let count = told.clone();
    let mut body = Body::from_bytes(plain.clone());
    body.progress = Arc::new(move |n| {
        count.fetch_add(n, Ordering::Relaxed);
    });
    world.lock().put = vec![503, 500];
    let version = drive.put(None, body).await.unwrap();
    assert_eq!(version.bucket, BUCKET);
    assert_eq!(told.load(Ordering::Relaxed), size, "progress counts bytes once");
    assert_ne!(world.lock().shards["u1"], plain, "stored in clear");
    for range in [0..size, 0..1, 17..18, 999_999..1_500_001, size - 1..size + 50] {
        let expected =
            &plain[usize::try_from(range.start).unwrap()..usize::try_from(range.end.min(size)).unwrap()];
        assert_eq!(get(&drive, &version, size, range.clone()).await.unwrap(), expected, "{range:?}");
    }
    for nothing in [5..5, size..size + 9, std::ops::Range { start: 9, end: 3 }] {
        assert!(get(&drive, &version, size, nothing).await.unwrap().is_empty());
    }
    assert_eq!(world.lock().infos, 1, "links are kept");
    drive.verify(&version, Body::from_bytes(plain.clone())).await.unwrap();
    let other = Body::from_bytes([&plain[1..], b"x"].concat().into());
    assert!(matches!(drive.verify(&version, other).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn broken_bodies_are_resumed_and_dead_links_renewed() {
    let (_server, drive, world) = world().await;
    let plain = text(300_000);
    let size = plain.len() as u64;
    let version = drive.put(None, Body::from_bytes(plain.clone())).await.unwrap();
    for faults in [vec![1, 1, 1, 500, 1], vec![403], vec![2], vec![503, 1, 403, 2]] {
        world.lock().get.clone_from(&faults);
        assert_eq!(get(&drive, &version, size, 0..size).await.unwrap(), plain, "{faults:?}");
        world.lock().get = faults;
        assert_eq!(get(&drive, &version, size, 7..size - 3).await.unwrap(), &plain[7..plain.len() - 3]);
    }
    world.lock().get = vec![403, 403];
    assert!(matches!(get(&drive, &version, size, 0..size).await, Err(Error::Offline(_))));
    world.lock().get = vec![404];
    assert!(matches!(get(&drive, &version, size, 0..size).await, Err(Error::NotFound)));
    let missing = Version { bucket: BUCKET.to_owned(), object: "f".repeat(24) };
    assert!(matches!(get(&drive, &missing, size, 0..size).await, Err(Error::NotFound)));
    assert!(matches!(get(&drive, &version, size + 1, 0..1).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn changed_objects_and_forged_hashes_are_found_out() {
    let (_server, drive, world) = world().await;
    let plain = text(5_000);
    let version = drive.put(None, Body::from_bytes(plain.clone())).await.unwrap();
    {
        let mut world = world.lock();
        let mut bytes = world.shards["u1"].to_vec();
        bytes[4_000] ^= 1;
        world.shards.insert("u1".to_owned(), bytes.into());
    }
    assert!(matches!(get(&drive, &version, 5_000, 0..5_000).await, Err(Error::Corrupt(_))));
    // A server that changes the hash as well is betrayed by the code it cannot make.
    let forged = {
        let mut world = world.lock();
        let mut hasher = crate::crypto::ContentHasher::default();
        hasher.update(&world.shards["u1"]);
        let hash = hex::encode(hasher.finish());
        let mut entry = world.entries[&version.object].clone();
        entry["shards"][0]["hash"] = hash.into();
        world.entries.insert("e".repeat(24), entry);
        Version { bucket: BUCKET.to_owned(), object: "e".repeat(24) }
    };
    assert!(matches!(get(&drive, &forged, 5_000, 0..5_000).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn old_layouts_are_unreadable_and_say_so() {
    let (_server, drive) =
        drive_of(|_| reply(200, &json!({"index": "00", "size": 5, "frame": "x", "version": 1}))).await;
    let version = Version { bucket: BUCKET.to_owned(), object: "a".repeat(24) };
    assert!(matches!(get(&drive, &version, 5, 0..5).await, Err(Error::Unreadable(_))));
}

#[tokio::test]
async fn an_unclear_finish_is_followed_by_one_new_upload_with_a_new_index() {
    for status in [409, 500, 404] {
        let (server, drive, world) = world().await;
        world.lock().finish = vec![status];
        let version = drive.put(None, Body::from_bytes(text(1000))).await.unwrap();
        assert_eq!(get(&drive, &version, 1000, 0..1000).await.unwrap(), text(1000));
        assert_eq!(server.count("PUT"), 2);
        let indexes = world.lock().indexes.clone();
        assert_eq!(indexes.len(), 2);
        assert_ne!(indexes[0], indexes[1], "an index was used twice");

        world.lock().finish = vec![status, status, 0];
        let error = drive.put(None, Body::from_bytes(text(1000))).await.unwrap_err();
        assert!(matches!(error, Error::Ambiguous(_)), "{error:?}");
        assert_eq!(world.lock().indexes.len(), 4);
    }
}

#[tokio::test]
async fn a_page_that_answers_in_place_of_the_store_stored_nothing() {
    let (_server, drive, world) = world().await;
    world.lock().put = vec![1; 16];
    let error = drive.put(None, Body::from_bytes(text(1000))).await.unwrap_err();
    assert!(matches!(&error, Error::Offline(why) if why.contains("login page of this network")), "{error:?}");
    assert!(world.lock().indexes.is_empty(), "an upload that never was is not finished");
}

#[tokio::test]
async fn quota_dead_links_and_local_failures_end_an_upload() {
    let (server, drive, world) = world().await;
    let full = drive.put(None, Body::from_bytes(text(13))).await.unwrap_err();
    assert!(matches!(full, Error::Refused(Refusal::Quota)));
    world.lock().finish = vec![420];
    let full = drive.put(None, Body::from_bytes(text(14))).await.unwrap_err();
    assert!(matches!(full, Error::Refused(Refusal::Quota)));
    assert_eq!(world.lock().indexes.len(), 1);

    world.lock().put = vec![403, 403];
    drive.put(None, Body::from_bytes(text(15))).await.unwrap();
    world.lock().put = vec![403; 3];
    let before = server.count("PUT");
    let error = drive.put(None, Body::from_bytes(text(15))).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    assert_eq!(server.count("PUT") - before, 3);

    let mut broken = Body::from_bytes(text(2_000_000));
    let good = broken.read.clone();
    broken.read = Arc::new(move |range| {
        if range.start == 0 {
            return good(range);
        }
        Box::pin(std::future::ready(Err(std::io::Error::other("the disk is gone"))))
    });
    let error = drive.put(None, broken).await.unwrap_err();
    assert!(matches!(&error, Error::Local(e) if e.to_string() == "the disk is gone"), "{error:?}");
    assert!(drive.put(None, Body::from_bytes(Bytes::new())).await.is_err());
}

#[test]
fn parts_are_large_enough_and_few_enough() {
    assert_eq!(parts_of(MULTIPART_FROM - 1), None);
    assert_eq!(parts_of(MULTIPART_FROM), Some(PART));
    for size in [MULTIPART_FROM, 5 << 30, 300 << 30, 5 << 40] {
        let part = parts_of(size).unwrap();
        assert!(part >= PART && part.is_multiple_of(1 << 20));
        assert!((2..=PARTS).contains(&size.div_ceil(part)), "{size}");
    }
}

#[tokio::test]
async fn large_content_goes_in_parts_that_join_to_one_ciphertext() {
    let (_server, drive, world) = world().await;
    let size = MULTIPART_FROM + 12_345;
    let mut body = Body::from_bytes(Bytes::from_static(b"x"));
    body.size = size;
    body.read = Arc::new(|range| {
        let len = usize::try_from(range.end - range.start).unwrap();
        assert!(len <= 1 << 20, "a piece of {len} bytes");
        Box::pin(std::future::ready(Ok(vec![u8::try_from(range.start % 251).unwrap(); len].into())))
    });
    world.lock().put = vec![0, 500];
    let version = drive.put(None, body.clone()).await.unwrap();
    let world = world.lock();
    let entry = &world.entries[&version.object];
    let shard = &entry["shards"][0];
    assert_eq!(shard["UploadId"], "up");
    let tags: Vec<_> =
        (0..4).map(|i| json!({"PartNumber": i + 1, "ETag": format!("\"tag-u1.{i}\"")})).collect();
    assert_eq!(shard["parts"], json!(tags));

    let index = crate::crypto::Index::from_hex(entry["index"].as_str().unwrap()).unwrap();
    let seed = Mnemonic::parse(WORDS).unwrap().seed();
    let key = BucketKey::derive(&seed, BUCKET).unwrap().file_key(&index);
    let mut hasher = crate::crypto::ContentHasher::default();
    let mut at = 0;
    for i in 0..4 {
        let part = &world.shards[&format!("u1.{i}")];
        hasher.update(part);
        let mut start = part[..64].to_vec();
        Cipher::at(&key, at).apply(&mut start);
        assert_eq!(start, vec![u8::try_from(at % 251).unwrap(); 64], "part {i}");
        at += part.len() as u64;
    }
    assert_eq!(at, size);
    assert_eq!(shard["hash"], hex::encode(hasher.finish()));
}
