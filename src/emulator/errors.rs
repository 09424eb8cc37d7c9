//! Answers of the drive API, the refused ones in the service's own shapes.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An answer before it becomes bytes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Body,
    /// File rows in the body; each costs the service time.
    pub file_rows: usize,
}

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Body {
    /// Nothing, with or without `content-length: 0` as the status has it.
    Empty,
    Json(Value),
    /// An exception nobody expected: the body names the request.
    Crash,
}

/// Both sides are answers; `Err` is one that ends a handler early.
pub(crate) type Reply = Result<Answer, Answer>;

fn answer(status: StatusCode, body: Body) -> Answer {
    Answer { status, body, file_rows: 0 }
}

pub(crate) fn ok(body: Value) -> Reply {
    Ok(answer(StatusCode::OK, Body::Json(body)))
}

/// 200 with this many file rows in it.
pub(crate) fn ok_rows(body: Value, file_rows: usize) -> Reply {
    Ok(Answer { status: StatusCode::OK, body: Body::Json(body), file_rows })
}

pub(crate) fn created(body: Value) -> Reply {
    Ok(answer(StatusCode::CREATED, Body::Json(body)))
}

pub(crate) fn empty(status: StatusCode) -> Reply {
    Ok(answer(status, Body::Empty))
}

/// An exception with a message of its own: `message`, `error`, `statusCode`.
pub(crate) fn refuse(status: StatusCode, message: impl Into<Value>) -> Answer {
    let error = match status {
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Entity",
        other => other.canonical_reason().unwrap_or_default(),
    };
    let body = json!({ "message": message.into(), "error": error, "statusCode": status.as_u16() });
    answer(status, Body::Json(body))
}

/// An exception without a message: only the status text and the number.
pub(crate) fn bare(status: StatusCode) -> Answer {
    let message = status.canonical_reason().unwrap_or_default();
    answer(status, Body::Json(json!({ "message": message, "statusCode": status.as_u16() })))
}

/// A refusal with a body of its own shape.
pub(crate) fn odd(status: StatusCode, body: Value) -> Answer {
    answer(status, Body::Json(body))
}

pub(crate) fn bad_request(message: impl Into<Value>) -> Answer {
    refuse(StatusCode::BAD_REQUEST, message)
}

pub(crate) fn not_found(message: &str) -> Answer {
    refuse(StatusCode::NOT_FOUND, message)
}

pub(crate) fn forbidden(message: &str) -> Answer {
    refuse(StatusCode::FORBIDDEN, message)
}

pub(crate) fn conflict(message: &str) -> Answer {
    refuse(StatusCode::CONFLICT, message)
}

pub(crate) fn unprocessable(message: &str) -> Answer {
    refuse(StatusCode::UNPROCESSABLE_ENTITY, message)
}

pub(crate) fn unauthorized() -> Answer {
    bare(StatusCode::UNAUTHORIZED)
}

/// A plan that does not include something. There is no `statusCode` in it.
pub(crate) fn payment(message: &str) -> Answer {
    odd(StatusCode::PAYMENT_REQUIRED, json!({ "message": message }))
}

pub(crate) fn too_large_for_plan() -> Answer {
    odd(
        StatusCode::PAYMENT_REQUIRED,
        json!({
            "message": "File size exceeds the maximum allowed by your plan",
            "error": "FILE_UPLOAD_SIZE_EXCEEDED",
        }),
    )
}

/// An unexpected exception.
pub(crate) fn crash() -> Answer {
    answer(StatusCode::INTERNAL_SERVER_ERROR, Body::Crash)
}
