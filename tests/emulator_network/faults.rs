//! Each kind of trouble, as a client meets it.

use std::time::Duration;

use inxtfs::emulator::{Action, Config, Fault, Mark, Settings};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

fn with(fault: Fault) -> Rig {
    let knobs = Settings { faults: vec![fault], ..Settings::default() };
    start_with(Config { knobs, ..Config::default() })
}

#[tokio::test]
async fn a_status_answers_in_the_services_stead() {
    let action = Action::Status { code: 503, body: Some("{\"a\":1}".into()), retry_after: Some(7) };
    let rig = with(Fault::on("GET", "/network/buckets", action).skip(1).times(1));
    let ask = || rig.ask(Method::GET, "/buckets").send();
    assert_eq!(ask().await.unwrap().status(), 200);
    let met = ask().await.unwrap();
    assert_eq!((met.status().as_u16(), &met.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    assert!(met.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
    assert_eq!(met.text().await.unwrap(), "{\"a\":1}");
    assert_eq!(ask().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_reset_closes_a_kept_connection_without_an_answer() {
    let rig = with(Fault::on("GET", "/network/buckets", Action::Reset));
    let mut tcp = TcpStream::connect(rig.emulator.address()).await.unwrap();
    let ask = async |tcp: &mut TcpStream, path: &str| {
        tcp.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        tcp.read(&mut buffer).await.map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
    };
    let first = ask(&mut tcp, "/network/limit").await.unwrap();
    assert!(first.starts_with("HTTP/1.1 401"), "{first}");
    let error = ask(&mut tcp, "/network/buckets").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(rig.emulator.request_log().since(Mark::START).last().unwrap().status, None);
}

#[tokio::test]
async fn a_lost_answer_is_of_a_request_that_was_done() {
    let rig = start();
    let upload = rig.start_upload(5, 1).await;
    rig.put(&upload.url, "hello").await;
    rig.emulator.shared().knobs.add_fault(Fault::on("POST", "/network/**/finish", Action::Lost).times(1));
    let body = serde_json::json!({"index": index(), "shards": shard(&upload.uuid)});
    let ask = rig.ask(Method::POST, &format!("/v2{}", rig.in_bucket("finish"))).json(&body);
    assert!(ask.send().await.is_err());
    assert_eq!(rig.used(), 5);
    let again = rig.finish(&index(), shard(&upload.uuid)).await;
    assert_eq!(again, (409, error("Missing uploads to complete the upload")));
}

#[tokio::test]
async fn a_truncated_answer_ends_where_it_was_told_to() {
    let rig = start();
    let content = pattern(2_000_000);
    let link = rig.link(&rig.store(&content).await).await;
    rig.emulator.shared().knobs.set_faults(vec![Fault::on(
        "GET",
        "/shards/*",
        Action::Truncate { after: 300_000 },
    )]);
    let mut response = rig.client.get(&link).send().await.unwrap();
    assert_eq!(response.content_length(), Some(2_000_000));
    let mut got = Vec::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            end => break end,
        }
    };
    assert!(end.is_err(), "the end of a cut body is an error");
    assert!(got == content[..300_000], "{} bytes", got.len());

    // However late the cut, the last byte does not come.
    let late = Action::Truncate { after: u64::MAX };
    rig.emulator.shared().knobs.set_faults(vec![Fault::on("GET", "/network/buckets", late)]);
    let answer = rig.ask(Method::GET, "/buckets").send().await.unwrap();
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn an_upload_cut_half_way_is_not_handled() {
    let rig = start();
    let upload = rig.start_upload(1_000_000, 1).await;
    let cut = Action::CutUpload { after: 100_000 };
    rig.emulator.shared().knobs.add_fault(Fault::on("PUT", "/shards/*", cut).times(1));
    let mark = rig.emulator.request_log().mark();
    let content = pattern(1_000_000);
    assert!(rig.client.put(&upload.url).body(content.clone()).send().await.is_err());
    assert_eq!(rig.emulator.request_log().since(mark)[0].request_bytes, 100_000);
    assert_eq!(rig.finish(&index(), shard(&upload.uuid)).await.0, 404);
    assert_eq!(rig.put(&upload.url, content).await.status(), 200);
}

#[tokio::test]
async fn a_stalled_answer_stops_in_the_middle_and_may_go_on() {
    let rig = start();
    let content = pattern(400_000);
    let link = rig.link(&rig.store(&content).await).await;
    let knobs = &rig.emulator.shared().knobs;
    knobs.set_faults(vec![Fault::on("GET", "/shards/*", Action::Stall { after: 1000, duration: None })]);
    let mut response = rig.client.get(&link).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 1000);
    let more = tokio::time::timeout(Duration::from_millis(200), response.chunk()).await;
    assert!(more.is_err(), "nothing more comes");

    let brief = Action::Stall { after: 1000, duration: Some(Duration::from_millis(20)) };
    knobs.set_faults(vec![Fault::on("GET", "/shards/*", brief)]);
    assert!(rig.client.get(&link).send().await.unwrap().bytes().await.unwrap() == content);
}

#[tokio::test]
async fn a_captive_portal_is_a_page_with_200() {
    let rig = with(Fault::on("GET", "**", Action::Html));
    let page = rig.ask(Method::GET, "/buckets").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().await.unwrap().contains("<html>"));
}

#[tokio::test]
async fn another_captive_portal_is_a_redirect_to_elsewhere() {
    let rig = with(Fault::on("GET", "**", Action::Redirect));
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = rig.ask(Method::GET, "/buckets").build().unwrap().url().clone();
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    assert!(answer.headers()["location"].to_str().unwrap().starts_with("http://login.invalid/"));
}

#[tokio::test]
async fn faults_that_shape_bodies_end_with_the_server() {
    let rig = with(Fault::on("GET", "**", Action::Stall { after: 0, duration: None }));
    let response = rig.ask(Method::GET, "/buckets").send().await.unwrap();
    tokio::time::timeout(PATIENCE, rig.emulator.shutdown()).await.unwrap().unwrap();
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn latency_and_bandwidth_hold_requests_up() {
    let rig = start();
    let link = rig.link(&rig.store(&pattern(200_000)).await).await;
    let knobs = &rig.emulator.shared().knobs;
    let timed = async || {
        let started = std::time::Instant::now();
        rig.client.get(&link).send().await.unwrap().bytes().await.unwrap();
        started.elapsed()
    };
    // Only lower bounds: a busy machine is slow, never fast.
    knobs.set_latency(Duration::from_millis(80));
    assert!(timed().await >= Duration::from_millis(80));
    knobs.set_latency(Duration::ZERO);
    knobs.set_bandwidth(Some(1_000_000));
    assert!(timed().await >= Duration::from_millis(190));
}

#[tokio::test]
async fn the_log_tells_what_was_asked() {
    let rig = start();
    let mark = rig.emulator.request_log().mark();
    let id = rig.store(b"hello").await;
    rig.client.get(rig.link(&id).await).send().await.unwrap().bytes().await.unwrap();
    let log = rig.emulator.request_log();
    assert_eq!(log.count_since(mark, "PUT", "/shards/*"), 1);
    assert_eq!(log.count_since(mark, "GET", "/network/buckets/*/files/*/info"), 1);
    let entries = log.since(mark);
    let put = entries.iter().find(|entry| entry.method == "PUT").unwrap();
    assert_eq!((put.status, put.request_bytes, put.response_bytes), (Some(200), 5, 0));
    let get = entries.last().unwrap();
    assert_eq!((get.status, get.request_bytes, get.response_bytes), (Some(200), 0, 5));
    assert!(get.path.contains("X-Amz-Signature="));
    assert_eq!(entries[0].client.as_deref(), Some("a-test"));
    assert_eq!(log.counters()[&("PUT".to_owned(), "/shards/*".to_owned())], 1);
}
