//! The drive API: one dispatcher, because the service is forgiving about trailing slashes and
//! answers unknown routes in a shape of its own.

mod account;
mod feeds;
mod files;
mod folders;
mod listing;
mod lookup;
mod paths;
mod replace;
mod shape;
#[cfg(test)]
mod tests;
mod thumbnails;
mod trash;
mod versions;

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use parking_lot::MutexGuard;
use serde_json::{Value, json};

use super::errors::{Answer, Body, Reply, bad_request, odd, refuse};
use super::validation::Query;
use super::world::Inner;
use super::{Shared, auth, secret};

/// Bodies above this are a 500 of the web framework, without a request id.
const MAX_BODY: usize = 100 * 1024;

/// A request after authentication.
pub(crate) struct Ctx {
    pub shared: Arc<Shared>,
    /// The account; meaningless on public routes.
    pub me: u32,
    pub me_uuid: String,
    pub query: Query,
    pub body: Value,
    pub headers: HeaderMap,
    /// The verified claims of the token.
    pub claims: Value,
}

impl Ctx {
    pub(crate) fn world(&self) -> MutexGuard<'_, Inner> {
        self.shared.world.lock()
    }

    pub(crate) fn lag(&self) -> Duration {
        self.shared.knobs.replica_lag()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Tells the account's other clients. The sender is named so that it can ignore its echo.
    pub(crate) fn publish(&self, event: &str, payload: Value) {
        let client = self.header("internxt-client-id").or_else(|| self.header("internxt-client"));
        self.shared.hub.publish(&self.me_uuid, client, event, payload);
    }
}

/// The routes below `/drive`.
pub fn router(state: Arc<Shared>) -> Router {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::spawn(maintain(Arc::downgrade(&state)));
    }
    Router::new().fallback(serve).with_state(state)
}

/// Does what the service's background jobs do, and saves, until the server is gone.
async fn maintain(state: Weak<Shared>) {
    let mut pause = Inner::decay_step();
    loop {
        tokio::time::sleep(pause).await;
        let Some(state) = state.upgrade() else { return };
        let purged = state.world.lock().decay();
        for (bucket, object) in purged {
            state.network.delete_object(&bucket, &object);
        }
        if !state.world.is_kept() {
            continue;
        }
        let world = state.world.clone();
        drop(state);
        let began = std::time::Instant::now();
        let saved = tokio::task::spawn_blocking(move || world.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::error!("cannot save the emulated drive: {error}; it goes on in memory");
        }
        // A large world must not be written all the time.
        pause = Inner::decay_step().max(began.elapsed() * 10);
    }
}

async fn serve(State(state): State<Arc<Shared>>, request: Request) -> Response {
    let id = request_id();
    let (parts, body) = request.into_parts();
    let tag = parts.headers.get(header::IF_NONE_MATCH).cloned();
    let method = parts.method.clone();
    let answer = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => respond(&state, &parts.method, &parts.uri, parts.headers, &body).await,
        Err(_) => Err(odd(
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "statusCode": 500, "message": "Internal Server Error" }),
        )),
    };
    let answer = answer.unwrap_or_else(|refused| refused);
    if let Ok(rows) = u32::try_from(answer.file_rows)
        && rows > 0
    {
        let cost = state.knobs.row_cost() * rows;
        if !cost.is_zero() {
            tokio::time::sleep(cost).await;
        }
    }
    let mut response = render(answer, &id, (method == Method::GET).then_some(tag).flatten());
    // The clock that everything else in this world goes by.
    if let Ok(date) = HeaderValue::from_str(&http_date(state.world.now())) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// `Fri, 27 Nov 2026 03:10:33 GMT`.
fn http_date(now: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(now).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// 21 characters, as the service's identifiers are.
fn request_id() -> String {
    let random = uuid::Uuid::new_v4();
    let mut id = secret::noise(u64::from_le_bytes(first_eight(random.as_bytes())), 18);
    id.truncate(21);
    id.replace('+', "-").replace('/', "_")
}

fn first_eight(bytes: &[u8; 16]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    eight
}

fn render(answer: Answer, id: &str, tag: Option<HeaderValue>) -> Response {
    let mut response = Response::new(HttpBody::empty());
    let body = match answer.body {
        Body::Empty => None,
        Body::Json(value) => Some(value.to_string()),
        Body::Crash => Some(
            json!({ "statusCode": 500, "message": "Internal Server Error", "requestId": id }).to_string(),
        ),
    };
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    let Some(body) = body else {
        if answer.status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        return response;
    };
    let etag = HeaderValue::from_str(&secret::etag(body.as_bytes())).ok();
    if let Some(etag) = &etag {
        headers.insert(header::ETAG, etag.clone());
    }
    if etag.is_some() && etag == tag && answer.status == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    *response.body_mut() = HttpBody::from(body);
    response
}

/// The path below `/drive`, whether or not the caller nested the router there.
fn below_drive(path: &str) -> &str {
    path.strip_prefix("/drive").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
}

fn parse_body(headers: &HeaderMap, body: &Bytes) -> Result<Value, Answer> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if body.is_empty() || !kind.starts_with("application/json") {
        return Ok(json!({}));
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_object() || value.is_array() => Ok(value),
        Ok(_) => Err(bad_request("Unexpected token in JSON at position 0")),
        Err(error) => Err(bad_request(format!("Unexpected token in JSON at position {}", error.column()))),
    }
}

async fn respond(state: &Arc<Shared>, method: &Method, uri: &Uri, headers: HeaderMap, body: &Bytes) -> Reply {
    let path = below_drive(uri.path());
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut ctx = Ctx {
        shared: state.clone(),
        me: 0,
        me_uuid: String::new(),
        query: Query::parse(uri.query().unwrap_or_default()),
        body: parse_body(&headers, body)?,
        headers,
        claims: Value::Null,
    };
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["auth", "login"]) => return auth::login(&ctx),
        ("POST", ["auth", "login", "access"]) => return auth::access(&ctx, false),
        ("POST", ["auth", "cli", "login", "access"]) => return auth::access(&ctx, true),
        _ => {}
    }
    let known = known(method, &segments);
    if !known {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Err(refuse(StatusCode::NOT_FOUND, format!("Cannot {method} /api{path}{query}")));
    }
    auth::authenticate(&mut ctx)?;
    route(&ctx, method, &segments).await
}

/// Whether a route exists: guards and pipes run only on those that do.
fn known(method: &Method, segments: &[&str]) -> bool {
    matches!(
        (method.as_str(), segments),
        ("GET", ["auth", "logout" | "are-credentials-correct"])
            | ("GET", ["users", "refresh" | "usage" | "limit"])
            | ("GET", ["users", "cli", "refresh"] | ["users", "c", _] | ["users", "me", "upload-status"])
            | ("GET", ["files"] | ["folders"] | ["files", "sync" | "meta" | "limits" | "count" | "recents"])
            | ("GET", ["folders", "meta" | "count"] | ["folders", "content", _])
            | ("GET", ["folders", "content", _, "files" | "folders"])
            | ("GET", ["files", _, "meta" | "versions"])
            | ("GET", ["folders", _, "meta" | "tree" | "ancestors" | "stats" | "size"])
            | ("GET", ["storage", "trash", "paginated"])
            | ("POST", ["files"] | ["folders"] | ["files", "thumbnail"])
            | ("POST", ["folders", "content", _, "files" | "folders", "existence"])
            | ("POST", ["files", _, "versions", _, "restore"])
            | ("POST", ["storage", "trash", "add"])
            | ("PUT", ["files", _] | ["files" | "folders", _, "meta"])
            | ("PATCH", ["files" | "folders", _])
            | ("DELETE", ["files" | "folders", _] | ["files", _, _] | ["files", _, "versions", _])
            | ("DELETE", ["storage", "trash"] | ["storage", "trash", "all"])
    )
}

async fn route(ctx: &Ctx, method: &Method, segments: &[&str]) -> Reply {
    match (method.as_str(), segments) {
        ("GET", segments) => route_get(ctx, segments),
        ("POST", ["files"]) => files::create(ctx).await,
        ("POST", ["folders"]) => folders::create(ctx).await,
        ("POST", ["files", "thumbnail"]) => thumbnails::register(ctx),
        ("POST", ["folders", "content", id, "files", "existence"]) => lookup::existing_files(ctx, id),
        ("POST", ["folders", "content", id, "folders", "existence"]) => lookup::existing_folders(ctx, id),
        ("POST", ["files", id, "versions", version, "restore"]) => versions::restore(ctx, id, version),
        ("POST", ["storage", "trash", "add"]) => trash::add(ctx),
        ("PUT", ["files", id]) => replace::replace(ctx, id),
        ("PUT", ["files", id, "meta"]) => files::rename(ctx, id),
        ("PUT", ["folders", id, "meta"]) => folders::rename(ctx, id),
        ("PATCH", ["files", id]) => files::relocate(ctx, id),
        ("PATCH", ["folders", id]) => folders::relocate(ctx, id),
        ("DELETE", ["files", id]) => files::delete(ctx, id),
        ("DELETE", ["folders", id]) => folders::delete(ctx, id),
        ("DELETE", ["files", id, "versions", version]) => versions::delete(ctx, id, version),
        ("DELETE", ["files", bucket, object]) => files::delete_by_object(ctx, bucket, object),
        ("DELETE", ["storage", "trash"]) => trash::delete(ctx),
        ("DELETE", ["storage", "trash", "all"]) => trash::delete_all(ctx),
        _ => Err(super::errors::bare(StatusCode::NOT_FOUND)),
    }
}

fn route_get(ctx: &Ctx, segments: &[&str]) -> Reply {
    match segments {
        ["auth", "logout"] => auth::logout(ctx),
        ["auth", _] => auth::credentials_correct(ctx),
        ["users", "refresh"] => auth::refresh(ctx),
        ["users", "cli", "refresh"] => auth::refresh_cli(ctx),
        ["users", "c", uuid] => auth::refresh_own(ctx, uuid),
        ["users", "usage"] => account::usage(ctx),
        ["users", "limit"] => account::limit(ctx),
        ["users", "me", _] => account::upload_status(ctx),
        ["files"] => feeds::files(ctx),
        ["folders"] => feeds::folders(ctx),
        ["files", "sync"] => feeds::sync(ctx),
        ["files", "limits"] => account::limits(ctx),
        ["files", "count"] => feeds::count_files(ctx),
        ["folders", "count"] => feeds::count_folders(ctx),
        ["files", "recents"] => feeds::recents(ctx),
        ["files", "meta"] => paths::file(ctx),
        ["folders", "meta"] => paths::folder(ctx),
        ["folders", "content", id] => listing::content(ctx, id),
        ["folders", "content", id, "files"] => listing::files(ctx, id),
        ["folders", "content", id, "folders"] => listing::folders(ctx, id),
        ["files", id, "meta"] => lookup::file(ctx, id),
        ["files", id, "versions"] => versions::list(ctx, id),
        ["folders", id, "meta"] => lookup::folder(ctx, id),
        ["folders", id, "tree"] => lookup::tree(ctx, id),
        ["folders", id, "ancestors"] => lookup::ancestors(ctx, id),
        ["folders", id, "stats"] => lookup::stats(ctx, id),
        ["folders", id, "size"] => lookup::size(ctx, id),
        ["storage", "trash", "paginated"] => trash::list(ctx),
        _ => Err(super::errors::bare(StatusCode::NOT_FOUND)),
    }
}
