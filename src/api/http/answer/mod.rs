//! Reading answers that nobody vouches for.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::Value;
use tokio::time::timeout;

use super::super::error::cause;
use super::super::request::Effect;
use super::super::{Answer, Error, Result};

/// Text of an answer that is shown, at most.
const SHOWN: usize = 300;
/// Bytes of a refusal that are read, at most.
const REFUSAL: usize = 64 << 10;
/// The pause when a request was refused for its rate without a word on how long.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);
/// The pause after the edge's ban (error 1015).
const BAN_PAUSE: Duration = Duration::from_secs(120);
/// No pause is longer, whatever the service says.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A body of at most `cap` bytes that never stands still for longer than `stall`.
pub(in crate::api) async fn read_capped(
    mut response: Response,
    cap: usize,
    stall: Duration,
) -> Result<BytesMut> {
    let too_long = || Error::Malformed(format!("the answer is longer than {cap} bytes"));
    if response.content_length().is_some_and(|n| n > cap as u64) {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    loop {
        match timeout(stall, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > cap => return Err(too_long()),
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(body),
            Ok(Err(e)) => return Err(Error::Lost(cause(e))),
            Err(_) => return Err(Error::Lost(format!("the answer stood still for {} s", stall.as_secs()))),
        }
    }
}

/// Makes an error of an answer that is not success.
pub(in crate::api) async fn refusal(response: Response, stall: Duration, effect: Effect) -> Error {
    let status = response.status();
    let headers = response.headers().clone();
    let (body, whole) = match read_capped(response, REFUSAL, stall).await {
        Ok(body) => (body, true),
        Err(_) => (BytesMut::new(), false),
    };
    judge(status.as_u16(), &headers, &body, whole, effect)
}

fn judge(status: u16, headers: &HeaderMap, body: &[u8], whole: bool, effect: Effect) -> Error {
    let html = is_html(headers) || looks_like_html(body);
    let text = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let asked = asked_pause(headers, &json);
    if html && text.contains("1015") && matches!(status, 403 | 429 | 503) {
        return Error::Busy { after: asked.unwrap_or(BAN_PAUSE).min(MAX_PAUSE) };
    }
    if status == 429 || (status == 503 && asked.is_some()) {
        return Error::Busy { after: asked.unwrap_or(DEFAULT_PAUSE).min(MAX_PAUSE) };
    }
    if (300..400).contains(&status) {
        return Error::Captive(format!("HTTP {status}, a redirect to another place"));
    }
    if status == 511 {
        return Error::Captive("HTTP 511, this network wants a login".to_owned());
    }
    if html {
        return match effect {
            Effect::Repeatable if status < 500 => Error::Captive(format!("HTTP {status}, a web page")),
            _ => Error::Malformed(format!("HTTP {status}, a web page")),
        };
    }
    let (message, code) = if whole { words(&json, &text) } else { Default::default() };
    Error::Status(Answer { status, message, code, request_id: request_id(headers) })
}

/// The service's words in any of its shapes: drive, network, or an object store's XML.
fn words(json: &Value, text: &str) -> (String, String) {
    let field = |name: &str| match &json[name] {
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
        Value::Object(inner) => inner.get("error").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let code = field("error");
    let mut message = field("message");
    if message.is_empty() {
        message = if code.is_empty() { xml_code(text).unwrap_or_default().to_owned() } else { code.clone() };
    }
    message.retain(|c| !c.is_control());
    message.truncate(message.floor_char_boundary(SHOWN));
    (message, code)
}

fn xml_code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    code.chars().all(|c| c.is_ascii_alphanumeric()).then_some(code)
}

/// How long the service wants to be left alone, in any of the four ways it says so.
fn asked_pause(headers: &HeaderMap, json: &Value) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    if let Some(text) = header(RETRY_AFTER.as_str()) {
        if let Ok(secs) = text.parse::<u32>() {
            return Some(Duration::from_secs(u64::from(secs)));
        }
        if let Ok(date) = jiff::fmt::rfc2822::parse(text) {
            let wait = date.timestamp().as_second() - jiff::Timestamp::now().as_second();
            return Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)));
        }
    }
    // Small numbers are seconds, large ones milliseconds.
    if let Some(n) = header("x-internxt-ratelimit-reset").and_then(|t| t.parse::<u32>().ok()) {
        return Some(if n <= 120 {
            Duration::from_secs(u64::from(n))
        } else {
            Duration::from_millis(u64::from(n))
        });
    }
    let secs = json["retry_after"].as_f64().or_else(|| json["retry_after"].as_str()?.parse().ok())?;
    Duration::try_from_secs_f64(secs).ok()
}

pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (id.len() <= 64 && id.chars().all(|c| c.is_ascii_graphic())).then(|| id.to_owned())
}

pub(in crate::api) fn is_html(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|t| t.starts_with("text/html"))
}

pub(super) fn looks_like_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let head = &start[..start.len().min(14)];
    head.to_ascii_lowercase().starts_with(b"<!doctype html")
        || head.to_ascii_lowercase().starts_with(b"<html")
}

#[cfg(test)]
mod tests;
