//! Refusals as the service was seen to send them.

use reqwest::header::HeaderName;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().unwrap())).collect()
}

fn of(status: u16, pairs: &[(&'static str, &str)], body: &str, effect: Effect) -> Error {
    judge(status, &headers(pairs), body.as_bytes(), true, effect)
}

fn pause(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Option<u64> {
    match of(status, pairs, body, Effect::Once) {
        Error::Busy { after } => Some(after.as_secs()),
        _ => None,
    }
}

#[test]
fn the_recorded_shapes_are_read() {
    let cases = [
        (
            409,
            r#"{"message":"File already exists","error":"Conflict","statusCode":409}"#,
            "File already exists",
            "Conflict",
        ),
        (
            402,
            r#"{"message":"File size exceeds the maximum allowed by your plan","error":"FILE_UPLOAD_SIZE_EXCEEDED"}"#,
            "File size exceeds the maximum allowed by your plan",
            "FILE_UPLOAD_SIZE_EXCEEDED",
        ),
        (
            400,
            r#"{"message":["files must contain no more than 200 elements"],"error":"Bad Request","statusCode":400}"#,
            "files must contain no more than 200 elements",
            "Bad Request",
        ),
        (
            500,
            r#"{"statusCode":500,"message":{"error":"Internal Server Error"}}"#,
            "Internal Server Error",
            "",
        ),
        (420, r#"{"error":"Max space used"}"#, "Max space used", "Max space used"),
        (
            403,
            r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>SignatureDoesNotMatch</Code></Error>"#,
            "SignatureDoesNotMatch",
            "",
        ),
        (404, "", "", ""),
    ];
    for (status, body, message, code) in cases {
        let Error::Status(answer) = of(status, &[("x-request-id", "fodAPE8N2")], body, Effect::Once) else {
            panic!("{status} {body}")
        };
        assert_eq!((answer.status, answer.message.as_str(), answer.code.as_str()), (status, message, code));
        assert!(answer.to_string().contains("fodAPE8N2"));
    }
}

#[test]
fn every_way_to_ask_for_a_pause_is_understood() {
    assert_eq!(pause(429, &[("retry-after", "7")], ""), Some(7));
    assert_eq!(pause(503, &[("retry-after", "7")], ""), Some(7));
    assert_eq!(pause(503, &[], ""), None);
    assert_eq!(pause(429, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], ""), Some(0));
    assert_eq!(pause(429, &[("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT")], ""), Some(3600));
    assert_eq!(pause(429, &[("x-internxt-ratelimit-reset", "9")], ""), Some(9));
    assert_eq!(pause(429, &[("x-internxt-ratelimit-reset", "2500")], ""), Some(2));
    assert_eq!(pause(429, &[], r#"{"retry_after":30}"#), Some(30));
    assert_eq!(pause(429, &[], r#"{"retry_after":"4"}"#), Some(4));
    assert_eq!(pause(429, &[], ""), Some(5));
    let ban = "<!DOCTYPE html><title>Access denied</title>Error 1015 You are being rate limited";
    assert_eq!(pause(429, &[("content-type", "text/html")], ban), Some(120));
    assert_eq!(pause(403, &[], ban), Some(120));
}

#[test]
fn pages_in_place_of_the_service_are_captive_for_reads_and_ambiguous_for_changes() {
    let page = " <HTML><body>Please accept the terms";
    assert!(matches!(of(200, &[], page, Effect::Repeatable), Error::Captive(_)));
    assert!(matches!(of(511, &[], page, Effect::Once), Error::Captive(_)));
    // The service's own edge, while the service is down.
    assert!(matches!(of(502, &[], page, Effect::Repeatable), Error::Status(a) if a.status == 502));
    assert!(matches!(of(403, &[], page, Effect::Once), Error::Malformed(_)));
    assert!(matches!(of(302, &[], "", Effect::Once), Error::Captive(_)));
}
