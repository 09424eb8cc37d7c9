//! GET, HEAD and PUT of objects, with the store's errors in its XML.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED, RANGE,
    TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};

use super::sign::{self, Refusal};
use super::store::{Incomplete, Object};
use super::{Objects, read, write};
use crate::emulator::Shared;
use crate::emulator::body::drain;
use crate::emulator::wire::{formatted, millis};

/// The most a single request may store.
const MAX_PUT: u64 = 5 << 30;

/// An error's status, code and words.
struct Fail(StatusCode, &'static str, &'static str);

const DENIED: Fail = Fail(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied");
const EXPIRED: Fail = Fail(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired");
const TAMPERED: Fail = Fail(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", "");
const MISSING: Fail = Fail(StatusCode::NOT_FOUND, "NoSuchKey", "");
const TWO_AUTHS: Fail = Fail(
    StatusCode::BAD_REQUEST,
    "InvalidArgument",
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
     parameter or the Authorization header should be specified",
);
const CHUNKED: Fail = Fail(
    StatusCode::NOT_IMPLEMENTED,
    "NotImplemented",
    "A header you provided implies functionality that is not implemented",
);
const NO_LENGTH: Fail = Fail(
    StatusCode::LENGTH_REQUIRED,
    "MissingContentLength",
    "You must provide the Content-Length HTTP header.",
);
const TOO_LARGE: Fail =
    Fail(StatusCode::BAD_REQUEST, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
const NOT_ALLOWED: Fail = Fail(
    StatusCode::METHOD_NOT_ALLOWED,
    "MethodNotAllowed",
    "The specified method is not allowed against this resource.",
);
const CUT_SHORT: Fail = Fail(
    StatusCode::BAD_REQUEST,
    "IncompleteBody",
    "You did not provide the number of bytes specified by the Content-Length HTTP header.",
);
const NO_UPLOAD: Fail = Fail(StatusCode::NOT_FOUND, "NoSuchUpload", "");
const BROKEN: Fail = Fail(
    StatusCode::INTERNAL_SERVER_ERROR,
    "InternalError",
    "We encountered an internal error. Please try again.",
);

/// Answers a request below `/shards`.
pub(in crate::emulator) async fn serve(shared: &Arc<Shared>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let objects = shared.network.objects();
    let answer = match (check(objects, &head, millis(shared.world.now())), &head.method) {
        (Ok(_), &Method::GET | &Method::HEAD) => get(objects, &head).await,
        (Ok(query), &Method::PUT) => match announced(&head) {
            Ok(len) => put(shared, objects, &head, &query, body, len).await,
            Err(fail) => refuse(fail, body).await,
        },
        (Ok(_), _) => Err(NOT_ALLOWED),
        (Err(fail), _) => refuse(fail, body).await,
    };
    answer.unwrap_or_else(|Fail(status, code, message)| xml(status, code, message))
}

/// Refuses once the body is through: a client still sending would meet a closed connection, and
/// might never see the answer.
async fn refuse(fail: Fail, body: Body) -> Result<Response, Fail> {
    drain(body).await;
    Err(fail)
}

/// The length the client announced, which must be there and not too large.
fn announced(head: &Parts) -> Result<u64, Fail> {
    if head.headers.contains_key(TRANSFER_ENCODING) {
        return Err(CHUNKED);
    }
    let text = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match text.and_then(|text| text.parse().ok()) {
        None => Err(NO_LENGTH),
        Some(len) if len > MAX_PUT => Err(TOO_LARGE),
        Some(len) => Ok(len),
    }
}

fn key(head: &Parts) -> &str {
    head.uri.path().strip_prefix("/shards/").unwrap_or("")
}

type Query = Vec<(String, String)>;

fn check(objects: &Objects, head: &Parts, now_ms: i64) -> Result<Query, Fail> {
    if head.headers.contains_key(AUTHORIZATION) {
        return Err(TWO_AUTHS);
    }
    let query = sign::pairs(head.uri.query().unwrap_or(""));
    let host = crate::emulator::server::host_of(head);
    let verdict = sign::verify(&objects.secret, head.method.as_str(), &host, head.uri.path(), &query, now_ms);
    match verdict {
        Ok(()) => Ok(query),
        Err(Refusal::Unsigned) => Err(DENIED),
        Err(Refusal::Expired) => Err(EXPIRED),
        Err(Refusal::Tampered) => Err(TAMPERED),
    }
}

async fn get(objects: &Objects, head: &Parts) -> Result<Response, Fail> {
    let object = objects.store.get(key(head)).ok_or(MISSING)?;
    let range = head.headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (status, start, end) = match range.and_then(|text| parse_range(text, object.size)) {
        None => (StatusCode::OK, 0, object.size),
        Some(Some((start, end))) => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(None) => {
            let mut response = xml(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "");
            set(&mut response, CONTENT_RANGE, &format!("bytes */{}", object.size));
            return Ok(response);
        }
    };
    let body = match head.method {
        Method::HEAD => Body::empty(),
        _ => read::body(&objects.store, &object, start, end).await.map_err(|_| BROKEN)?,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    describe(&mut response, &object, start, end);
    Ok(response)
}

fn describe(response: &mut Response, object: &Object, start: u64, end: u64) {
    set(response, CONTENT_LENGTH, &(end - start).to_string());
    set(response, CONTENT_TYPE, &object.content_type);
    set(response, ETAG, &object.etag);
    set(response, LAST_MODIFIED, &formatted(object.modified, "%a, %d %b %Y %H:%M:%S GMT"));
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {start}-{}/{}", end.saturating_sub(1), object.size);
        set(response, CONTENT_RANGE, &range);
    }
}

async fn put(
    shared: &Shared,
    objects: &Objects,
    head: &Parts,
    query: &Query,
    body: Body,
    len: u64,
) -> Result<Response, Fail> {
    let segment = write::segment(&objects.store, body, len).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => CUT_SHORT,
        _ => BROKEN,
    })?;
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let etag = match (get("uploadId"), get("partNumber").and_then(|n| n.parse().ok())) {
        (Some(upload), Some(number)) => {
            let kept = objects.store.put_part(key(head), upload, number, segment);
            kept.map_err(|_: Incomplete| NO_UPLOAD)?
        }
        _ => {
            let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let kind = kind.unwrap_or("application/octet-stream").to_owned();
            objects.store.put(key(head), segment, kind, millis(shared.world.now()))
        }
    };
    shared.network.touch();
    let mut response = Response::new(Body::empty());
    set(&mut response, ETAG, &etag);
    set(&mut response, CONTENT_LENGTH, "0");
    Ok(response)
}

/// The bytes a `Range` asks for: `None` where it is to be ignored, `Some(None)` where it cannot be met.
fn parse_range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", last) => {
            let tail = number(last)?;
            Some((tail > 0 && size > 0).then(|| (size.saturating_sub(tail), size)))
        }
        (first, "") => number(first).map(|first| (first < size).then_some((first, size))),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| (first < size).then(|| (first, last.saturating_add(1).min(size))))
        }
    }
}

fn xml(status: StatusCode, code: &str, message: &str) -> Response {
    let message = if message.is_empty() { String::new() } else { format!("<Message>{message}</Message>") };
    let text =
        format!(r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>{message}</Error>"#);
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "application/xml");
    response
}

fn set(response: &mut Response, name: hyper::header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("bytes=0-1", 5), Some(Some((0, 2))));
        assert_eq!(parse_range("bytes=3-", 5), Some(Some((3, 5))));
        assert_eq!(parse_range("bytes=-2", 5), Some(Some((3, 5))));
        assert_eq!(parse_range("bytes=-9", 5), Some(Some((0, 5))));
        assert_eq!(parse_range("bytes=2-900", 5), Some(Some((2, 5))));
        assert_eq!(parse_range("bytes=5-9", 5), Some(None));
        assert_eq!(parse_range("bytes=-0", 5), Some(None));
        for ignored in ["bytes=3-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes="] {
            assert_eq!(parse_range(ignored, 5), None, "{ignored}");
        }
    }
}
