//! Small things both services put on the wire: times, ids, and answers as their framework makes them.

use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue};
use serde_json::Value;
use sha1::{Digest, Sha1};

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// Such as `2026-11-22T01:09:39.520Z`.
pub(super) fn iso(millis: i64) -> String {
    formatted(millis, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// `millis` in UTC by a `strftime` pattern.
pub(super) fn formatted(millis: i64, pattern: &str) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().strftime(pattern).to_string()
}

/// Random bytes in hex. The kernel's generator is there or nothing is.
pub(super) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    if getrandom::fill(&mut bytes).is_err() {
        let seed = uuid::Uuid::new_v4().into_bytes();
        bytes.iter_mut().zip(seed.iter().cycle()).for_each(|(b, s)| *b = *s);
    }
    hex::encode(bytes)
}

/// An id as the service's database makes them: the time, then chance.
pub(super) fn object_id(now: SystemTime) -> String {
    let seconds = u32::try_from(millis(now) / 1000).unwrap_or(0);
    format!("{seconds:08x}{}", random_hex::<8>())
}

/// Whether this is an id as the service's database makes them.
pub(super) fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A JSON answer with the weak entity tag Express gives to every body.
pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    let body = value.to_string();
    let tag = format!("W/\"{:x}-{}\"", body.len(), STANDARD_NO_PAD.encode(Sha1::digest(&body)));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_times_are_those_of_the_service() {
        let answer = json(StatusCode::NOT_FOUND, &serde_json::json!({"error": "Invalid email or password"}));
        assert_eq!(answer.headers()[ETAG], "W/\"25-3YG4LRpklFolV4uVOnUIRm2hZA0\"");
        assert_eq!(iso(1_795_309_779_520), "2026-11-22T01:09:39.520Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(formatted(1_795_309_779_520, "%Y%m%dT%H%M%SZ"), "20261122T010939Z");
        assert_eq!(
            formatted(1_795_309_779_520, "%a, %d %b %Y %H:%M:%S GMT"),
            "Sun, 22 Nov 2026 01:09:39 GMT"
        );
    }

    #[test]
    fn ids_carry_their_time() {
        let id = object_id(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(0x6b02_40d3));
        assert!(is_object_id(&id) && id.starts_with("6b0240d3"), "{id}");
        assert!(!is_object_id("undefined") && !is_object_id(""));
    }
}
