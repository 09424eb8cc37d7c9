//! The core against servers that misbehave.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::testing::{Server, hasty, json as reply_json, reply};
use super::*;

fn http(server: &Server, tuning: Tuning) -> Http {
    Http::new(server.gateway.clone(), ClientId("me".to_owned()), tuning).unwrap()
}

fn bearer() -> Bearer {
    Bearer::new("t0ken")
}

#[tokio::test]
async fn requests_say_who_they_are_and_carry_their_own_credentials_only() {
    let server = Server::new(|s| match s.path.as_str() {
        "/drive/users/limit" => reply_json(200, &json!({"maxSpaceBytes": 10_737_418_240_u64})),
        "/drive/auth/login" => reply_json(200, &json!({"sKey": "00", "tfa": true, "hasKeys": true})),
        _ => reply(204, &[], ""),
    })
    .await;
    let http = http(&server, hasty());
    let limit = http.send(&bearer(), &drive::space_limit()).await.unwrap();
    assert_eq!(limit.max_space_bytes, Some(10_737_418_240));
    http.send(&Basic::new("u", "i"), &network::delete("b", "f")).await.unwrap();
    assert!(http.send(&(), &drive::security_details("a@b")).await.unwrap().tfa);
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), "Bearer t0ken");
    assert_eq!(seen[0].header("internxt-client"), "inxtfs");
    assert_eq!(seen[0].header("internxt-version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(seen[0].header("internxt-client-id"), "me");
    assert!(seen[1].header("authorization").starts_with("Basic "));
    assert_eq!(seen[1].line(), "DELETE /network/buckets/b/files/f");
    assert_eq!(seen[2].header("authorization"), "");
}

#[tokio::test]
async fn one_refusal_for_its_rate_pauses_the_whole_client() {
    let server = Server::new(|_| reply(429, &[("retry-after", "600")], "")).await;
    let http = http(&server, hasty());
    let first = http.send(&bearer(), &drive::space_limit()).await.unwrap_err();
    assert!(matches!(first, Error::Busy { after } if after.as_secs() == 600));
    let second = http.clone().send(&bearer(), &drive::limits()).await.unwrap_err();
    assert!(matches!(second, Error::Busy { after } if after.as_secs() > 500));
    assert_eq!(server.seen().len(), 1, "the second request was sent in spite of the pause");
}

#[tokio::test]
async fn short_pauses_are_sat_out_even_by_changes() {
    let calls = AtomicUsize::new(0);
    let server = Server::new(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => reply(429, &[("retry-after", "0")], ""),
        _ => reply(200, &[], ""),
    })
    .await;
    http(&server, hasty()).send(&bearer(), &drive::trash([])).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn reads_are_repeated_and_changes_are_not() {
    let server =
        Server::new(|_| reply_json(500, &json!({"statusCode": 500, "message": "Internal Server Error"})))
            .await;
    let http = http(&server, Tuning { tries: 3, ..hasty() });
    let read = http.send(&bearer(), &drive::space_limit()).await.unwrap_err();
    assert_eq!((read.class(), server.seen().len()), (Class::Ambiguous, 3));
    assert!(read.to_string().contains("req-7"), "{read}");
    let change = http.send(&bearer(), &drive::delete_file("u")).await.unwrap_err();
    assert_eq!((change.class(), server.count("DELETE")), (Class::Ambiguous, 1));
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let http = Http::new(gateway, ClientId::random(), hasty()).unwrap();
    let error = http.send(&bearer(), &drive::delete_file("u")).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent, "{error}");
}

#[tokio::test]
async fn a_captive_portal_is_not_the_service() {
    let page = "<!DOCTYPE html><html>Welcome to our hotel</html>";
    let server = Server::new(move |_| reply(200, &[("content-type", "text/html")], page)).await;
    let http = http(&server, Tuning { tries: 1, ..hasty() });
    let read = http.send(&bearer(), &drive::space_limit()).await.unwrap_err();
    assert!(matches!(read, Error::Captive(_)), "{read}");
    let change = http.send(&bearer(), &drive::create_folder("p", "n", 0, 0)).await.unwrap_err();
    assert_eq!(change.class(), Class::Ambiguous);
}

#[tokio::test]
async fn credentials_do_not_follow_redirects_to_other_hosts() {
    let other = Server::new(|_| reply(200, &[], "{}")).await;
    let target = format!("{}/drive/users/limit", other.gateway);
    let server = Server::new(move |_| reply(302, &[("location", &target)], "")).await;
    let error = http(&server, Tuning { tries: 1, ..hasty() })
        .send(&bearer(), &drive::space_limit())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Captive(_)), "{error}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn answers_without_end_and_without_beginning_are_refused() {
    let server = Server::new(|s| match s.path.as_str() {
        "/drive/users/limit" => reply(200, &[], "x".repeat(5000)),
        "/drive/users/usage" => {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 512])));
            reply(200, &[], axum::body::Body::from_stream(endless))
        }
        _ => reply(200, &[], ""),
    })
    .await;
    let http = http(&server, Tuning { tries: 1, max_json: 1024, ..hasty() });
    for error in [
        http.send(&bearer(), &drive::space_limit()).await.unwrap_err(),
        http.send(&bearer(), &drive::space_used()).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Malformed(why) if why.contains("1024")), "{error}");
    }
    let empty = http.send(&bearer(), &drive::file_meta("u")).await.unwrap_err();
    assert!(
        matches!(&empty, Error::Malformed(why) if why.contains("empty") && why.contains("req-7")),
        "{empty}"
    );
}

#[tokio::test]
async fn answers_that_stand_still_are_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            // Half an answer to the first request, none to the second.
            if held.is_empty() {
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
            }
            held.push(socket);
        }
    });
    let brief = Duration::from_millis(50);
    let tuning = Tuning { tries: 2, stall: brief, answer: brief, ..hasty() };
    let http = Http::new(gateway, ClientId::random(), tuning).unwrap();
    let error = http.send(&bearer(), &drive::space_limit()).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    server.abort();
}

#[tokio::test]
async fn the_object_store_sees_no_credentials_and_exact_lengths() {
    let server = Server::new(|s| match s.header("range") {
        "bytes=2-4" => reply(206, &[("content-range", "bytes 2-4/10")], "cde"),
        "bytes=3-4" => reply(200, &[], "abcdefghij"),
        "bytes=5-6" => reply(206, &[("content-range", "bytes 0-1/10")], "ab"),
        "bytes=6-9" => reply(206, &[("content-range", "bytes 6-8/10")], "ghi"),
        "bytes=7-8" => reply(200, &[("content-type", "text/html")], "<html>Please log in.</html>"),
        "" => reply(200, &[("etag", "\"tag\"")], ""),
        _ => reply(403, &[], "<Error><Code>AccessDenied</Code></Error>"),
    })
    .await;
    let storage = Storage::new(&server.gateway, hasty()).unwrap();
    let url = SignedUrl::from(format!("{}/shards/o?X-Amz-Signature=s3cret", server.gateway));
    let mut part = storage.get(&url, 2..5, 10, Lane::Read).await.unwrap();
    assert_eq!(part.chunk().await.unwrap().unwrap(), "cde");
    assert!(part.chunk().await.unwrap().is_none());
    let mut skipped = storage.get(&url, 3..5, 10, Lane::Read).await.unwrap();
    assert_eq!(skipped.chunk().await.unwrap().unwrap(), "de");
    assert!(skipped.chunk().await.unwrap().is_none());
    assert_eq!(storage.get(&url, 5..7, 10, Lane::Read).await.unwrap_err().class(), Class::Ambiguous);
    let mut short = storage.get(&url, 6..10, 10, Lane::Read).await.unwrap();
    assert_eq!(short.chunk().await.unwrap().unwrap(), "ghi");
    assert!(matches!(short.chunk().await, Err(Error::Lost(_))));
    let portal = storage.get(&url, 7..9, 10, Lane::Read).await.unwrap_err();
    assert!(matches!(portal, Error::Captive(_)), "{portal}");
    let denied = storage.get(&url, 90..91, 10, Lane::Read).await.unwrap_err();
    assert_eq!((denied.status(), denied.message()), (Some(403), "AccessDenied"));

    let body = stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"def"))]);
    assert_eq!(storage.put(&url, 6, body, 6, Lane::Send).await.unwrap().as_deref(), Some("\"tag\""));
    let put = server.seen().pop().unwrap();
    assert_eq!((put.header("content-length"), put.header("transfer-encoding")), ("6", ""));
    assert_eq!(put.body, "abcdef");
    for seen in server.seen() {
        assert!(!seen.headers.contains_key("authorization"));
        assert!(seen.headers.keys().all(|k| !k.as_str().starts_with("internxt")));
    }
    let away = SignedUrl::from("http://s3.example.com/o?X-Amz-Signature=s3cret".to_owned());
    for error in [storage.get(&away, 0..1, 10, Lane::Read).await.unwrap_err(), denied] {
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn lost_storage_connections_do_not_tell_the_link() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let storage = Storage::new(&gateway, hasty()).unwrap();
    let url = SignedUrl::from(format!("{gateway}/o?X-Amz-Signature=s3cret"));
    let error = storage.get(&url, 0..1, 10, Lane::Read).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn announcements_arrive_and_the_end_is_told() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut ws = tokio_tungstenite::accept_async(socket).await.unwrap();
        ws.send(Message::text(r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#))
            .await
            .unwrap();
        let auth = ws.next().await.unwrap().unwrap();
        assert_eq!(auth.to_text().unwrap(), r#"40{"token":"t0ken"}"#);
        ws.send(Message::text(r#"40{"sid":"y"}"#)).await.unwrap();
        ws.send(Message::text("2")).await.unwrap();
        assert_eq!(ws.next().await.unwrap().unwrap().to_text().unwrap(), "3");
        for client in ["me", "other"] {
            let event =
                format!(r#"42["event",{{"event":"FILE_CREATED","payload":{{}},"clientId":"{client}"}}]"#);
            ws.send(Message::text(event)).await.unwrap();
        }
    });
    let mut events = events::Events::connect(&gateway, &bearer(), &ClientId("me".to_owned())).await.unwrap();
    assert_eq!(events.next().await.unwrap(), events::Announcement::Changed);
    server.await.unwrap();
    assert!(matches!(events.next().await, Err(Error::Lost(_))));
}

/// A gateway that tells what arrives and answers it when it may.
async fn held_gateway() -> (Gateway, tokio::sync::mpsc::UnboundedReceiver<String>, Arc<Semaphore>) {
    let (tell, arrived) = tokio::sync::mpsc::unbounded_channel();
    let may = Arc::new(Semaphore::new(0));
    let allowed = may.clone();
    let handler = move |request: axum::extract::Request| {
        let (tell, allowed) = (tell.clone(), allowed.clone());
        async move {
            tell.send(request.uri().path().to_owned()).unwrap();
            allowed.acquire_owned().await.unwrap().forget();
            "[]"
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = axum::Router::new().fallback(handler);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (gateway, arrived, may)
}

#[tokio::test]
async fn a_listing_goes_before_all_that_is_sent_and_read_in_the_background() {
    let (gateway, mut arrived, may) = held_gateway().await;
    let http = Http::new(gateway, ClientId("me".to_owned()), Tuning { in_flight: 2, ..hasty() }).unwrap();
    let queued = async |n| {
        while http.waiting() < n {
            tokio::task::yield_now().await;
        }
    };
    let feed = drive::FeedQuery { live_only: false, after: None, offset: 0, limit: 1, descending: true };
    let spawn = |what: &'static str| {
        let http = http.clone();
        tokio::spawn(async move {
            match what {
                "trash" => http.send(&bearer(), &drive::trash([])).await.map(|_| ()),
                "feed" => http.send(&bearer(), &drive::file_feed(feed)).await.map(|_| ()),
                // The answer is no page, which does not matter here.
                _ => {
                    let _ = http.send(&bearer(), &drive::files_in(what, 0)).await;
                    Ok(())
                }
            }
        })
    };
    let mut all: Vec<_> = ["trash", "trash", "feed"].map(spawn).into();
    queued(2).await;
    assert!(arrived.recv().await.unwrap().ends_with("trash/add"));
    // The budget is as full as such may make it; a listing has room at once.
    all.push(spawn("first"));
    assert!(arrived.recv().await.unwrap().contains("/first/"));
    // No room at all: whoever is the most urgent goes next, though it came last.
    all.push(spawn("second"));
    queued(3).await;
    may.add_permits(1);
    assert!(arrived.recv().await.unwrap().contains("/second/"));
    may.add_permits(1);
    assert!(arrived.recv().await.unwrap().ends_with("trash/add"));
    may.add_permits(100);
    assert!(arrived.recv().await.unwrap().ends_with("/files"));
    for one in all {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_download_keeps_the_pace() {
    let server =
        Server::new(|_| reply(206, &[("content-range", "bytes 0-99999/100000")], vec![7; 100_000])).await;
    let throttle = Throttle::new(Bandwidth { up: None, down: NonZeroU64::new(100_000) });
    let storage = Storage::new(&server.gateway, Tuning { throttle, ..hasty() }).unwrap();
    let url = SignedUrl::from(format!("{}/shards/o", server.gateway));
    let start = std::time::Instant::now();
    // The second one pays for what the first one's chunks took in advance.
    for _ in 0..2 {
        let mut body = storage.get(&url, 0..100_000, 100_000, Lane::Read).await.unwrap();
        let mut got = 0;
        while let Some(chunk) = body.chunk().await.unwrap() {
            got += chunk.len();
        }
        assert_eq!(got, 100_000);
    }
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}
