//! Answers and refusals in the bridge's form.

use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::emulator::wire;

/// A refusal: `{"error":"…"}`.
pub(super) struct Fail(StatusCode, String);

impl Fail {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Fail(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message.into())
    }

    pub(super) fn into_response(self) -> Response {
        wire::json(self.0, &json!({ "error": self.1 }))
    }
}

/// What a route answers.
pub(super) type Answer = Result<Response, Fail>;

pub(super) fn ok(value: &Value) -> Response {
    wire::json(StatusCode::OK, value)
}

pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What Express says where nothing is mounted.
pub(super) fn no_route(method: &str, path: &str) -> Response {
    let escaped = path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n\
         <body>\n<pre>Cannot {method} {escaped}</pre>\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
