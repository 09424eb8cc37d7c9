//! Presigned links, ranges, parts, TLS.

use std::time::Duration;

use inxtfs::emulator::{Action, Config, Fault, TlsConfig};
use reqwest::{Certificate, Version};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

async fn code(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    (status, code.unwrap_or("").to_owned())
}

#[tokio::test]
async fn ranges_are_cut_from_memory_and_from_files() {
    let rig = start();
    // Below and above what is held in memory, and what is read at once.
    for len in [1000, 300_000, 3_000_000] {
        let content = pattern(len);
        let link = rig.link(&rig.store(&content).await).await;
        let whole = rig.client.get(&link).send().await.unwrap();
        assert_eq!(whole.content_length(), Some(len as u64));
        assert!(whole.bytes().await.unwrap() == content);
        for (from, to) in [(0, 0), (1, len - 2), (len - 1, len - 1), (len / 3, len - 1)] {
            let ask = rig.client.get(&link).header("range", format!("bytes={from}-{to}"));
            let part = ask.send().await.unwrap();
            assert_eq!(part.status(), 206);
            assert_eq!(part.headers()["content-range"], format!("bytes {from}-{to}/{len}").as_str());
            assert!(part.bytes().await.unwrap() == content[from..=to], "{from}-{to} of {len}");
        }
        let beyond = rig.client.get(&link).header("range", format!("bytes={len}-")).send().await.unwrap();
        assert_eq!(beyond.headers()["content-range"], format!("bytes */{len}").as_str());
        assert_eq!(code(beyond).await, (416, "InvalidRange".into()));
    }
}

#[tokio::test]
async fn links_allow_what_was_signed_for_as_long_as_it_was() {
    let rig = start();
    let id = rig.store(b"hello").await;
    let link = rig.link(&id).await;
    let tampered = link.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999");
    assert_ne!(tampered, link);
    let get = async |url: &str| code(rig.client.get(url).send().await.unwrap()).await;
    assert_eq!(get(&tampered).await, (403, "SignatureDoesNotMatch".into()));
    assert_eq!(get(link.split('?').next().unwrap()).await, (403, "AccessDenied".into()));
    assert_eq!(code(rig.put(&link, "evil!").await).await, (403, "SignatureDoesNotMatch".into()));
    let two = rig.client.get(&link).header("authorization", "Basic eDp5").send().await.unwrap();
    assert_eq!(code(two).await, (400, "InvalidArgument".into()));

    let shared = rig.emulator.shared();
    shared.world.advance(Duration::from_secs(3599));
    assert_eq!(rig.client.get(&link).send().await.unwrap().status(), 200);
    shared.world.advance(Duration::from_secs(1));
    let expired = rig.client.get(&link).send().await.unwrap().text().await.unwrap();
    assert_eq!(
        expired,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code>\
         <Message>Request has expired</Message></Error>"
    );
    shared.knobs.set_url_life(Duration::from_secs(5));
    assert!(rig.link(&id).await.contains("X-Amz-Expires=5&"));
}

#[tokio::test]
async fn a_put_of_unknown_length_is_refused() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("hello")]);
    let put = rig.put(&upload.url, reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(code(put).await, (501, "NotImplemented".into()));
    assert_eq!(rig.finish(&index(), shard(&upload.uuid)).await.0, 404);
}

#[tokio::test]
async fn a_refused_put_is_read_to_its_end_so_that_the_answer_is_seen() {
    let rig = start();
    let upload = rig.start_upload(30_000_000, 1).await;
    rig.emulator.shared().world.advance(Duration::from_secs(4000));
    let content = bytes::Bytes::from(pattern(30_000_000));
    assert_eq!(code(rig.put(&upload.url, content.clone()).await).await, (403, "AccessDenied".into()));
    let busy = Action::Status { code: 503, body: None, retry_after: Some(1) };
    rig.emulator.shared().knobs.add_fault(Fault::on("PUT", "**", busy));
    assert_eq!(rig.put(&upload.url, content).await.status(), 503);
}

#[tokio::test]
async fn a_put_that_breaks_off_stores_nothing() {
    let rig = start();
    let upload = rig.start_upload(1_000_000, 1).await;
    let path = upload.url.strip_prefix(&rig.emulator.gateway()).unwrap();
    let mut tcp = tokio::net::TcpStream::connect(rig.emulator.address()).await.unwrap();
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000000\r\n\r\n", rig.emulator.address());
    tcp.write_all(head.as_bytes()).await.unwrap();
    tcp.write_all(&pattern(500_000)).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = tcp.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(rig.finish(&index(), shard(&upload.uuid)).await.0, 404);
}

#[tokio::test]
async fn parts_become_one_object() {
    let rig = start();
    const SIZE: usize = 100 << 20;
    let upload = rig.start_upload(SIZE as u64, 2).await;
    assert_eq!(upload.urls.len(), 2);
    let content = bytes::Bytes::from(pattern(SIZE));
    let cut = 60 << 20;
    let mut parts = Vec::new();
    // Out of order, and one of them twice: the last counts.
    for (n, body) in [(2, content.slice(cut..)), (1, content.slice(..6 << 20)), (1, content.slice(..cut))] {
        let put = rig.put(&upload.urls[n - 1], body).await;
        assert_eq!(put.status(), 200);
        let etag = put.headers()["etag"].to_str().unwrap().to_owned();
        parts.retain(|(number, _)| *number != n);
        parts.push((n, etag));
    }
    parts.sort();
    let list = |parts: &[(usize, String)]| {
        let list: Vec<_> = parts.iter().map(|(n, tag)| json!({"PartNumber": n, "ETag": tag})).collect();
        json!([{"hash": "00", "uuid": upload.uuid, "UploadId": upload.id, "parts": list}])
    };
    let reversed: Vec<_> = parts.iter().rev().cloned().collect();
    let (status, answer) = rig.finish(&index(), list(&reversed)).await;
    assert_eq!(status, 500);
    assert!(answer["error"].as_str().unwrap().contains("ascending order"), "{answer}");
    let (status, entry) = rig.finish(&index(), list(&parts)).await;
    assert_eq!((status, &entry["size"]), (200, &json!(SIZE)));

    let link = rig.link(entry["id"].as_str().unwrap()).await;
    let whole = rig.client.get(&link).send().await.unwrap();
    assert!(whole.headers()["etag"].to_str().unwrap().ends_with("-2\""));
    assert!(whole.bytes().await.unwrap() == content);
    let (from, to) = (cut - 10, cut + 500_000);
    let across = rig.client.get(&link).header("range", format!("bytes={from}-{to}")).send().await.unwrap();
    assert!(across.bytes().await.unwrap() == content[from..=to], "a range over the seam");
}

#[tokio::test]
async fn tls_is_spoken_under_an_authority_of_its_own() {
    let tls = Some(TlsConfig::default());
    let mut rig = start_with(Config { tls, ..Config::default() });
    assert!(rig.emulator.gateway().starts_with("https://127.0.0.1:"));
    let pem = std::fs::read(rig.emulator.ca_file().unwrap()).unwrap();
    let ca = Certificate::from_pem(&pem).unwrap();
    assert!(rig.client.get(rig.emulator.gateway()).send().await.is_err(), "nobody else vouches for it");
    for (only_http1, version) in [(true, Version::HTTP_11), (false, Version::HTTP_2)] {
        let mut builder = client_builder().tls_certs_only([ca.clone()]);
        // The name the service has, answered here.
        builder = builder.resolve("gateway.internxt.com", rig.emulator.address());
        builder = if only_http1 { builder.http1_only() } else { builder };
        rig.client = builder.build().unwrap();
        let url = format!("https://gateway.internxt.com:{}/network/limit", rig.emulator.address().port());
        let got = rig.client.get(url).send().await.unwrap();
        assert_eq!((got.status().as_u16(), got.version()), (401, version));
        let id = rig.store(b"over tls").await;
        let link = rig.link(&id).await;
        assert!(link.starts_with(&rig.emulator.gateway()));
        assert_eq!(rig.client.get(link).send().await.unwrap().text().await.unwrap(), "over tls");
    }
}
