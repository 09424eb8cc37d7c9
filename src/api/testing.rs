//! A server for tests: one closure answers everything, and what was asked is kept.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use super::request::Authorize;
use super::{Gateway, Tuning};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `METHOD /path`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

pub(crate) type Reply = Response<Body>;

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let start = Response::builder().status(status).header("x-request-id", "req-7");
    headers.iter().fold(start, |r, (k, v)| r.header(*k, *v)).body(body.into()).unwrap()
}

pub(crate) fn json(status: u16, body: &Value) -> Reply {
    reply(status, &[("content-type", "application/json; charset=utf-8")], body.to_string())
}

/// The server. Stops when dropped.
pub(crate) struct Server {
    pub(crate) gateway: Gateway,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn new(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answer, kept) = (Arc::new(answer), seen.clone());
        let handler = move |request: Request| {
            let (answer, kept) = (answer.clone(), kept.clone());
            async move {
                let (parts, body) = request.into_parts();
                let seen = Seen {
                    method: parts.method,
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
                };
                kept.lock().push(seen.clone());
                answer(&seen)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = axum::Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Server { gateway, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.seen.lock().iter().filter(|s| s.line().starts_with(line)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What credentials look like on the wire.
pub(crate) fn authorization(credentials: &impl Authorize) -> String {
    credentials.header().unwrap().to_str().unwrap().to_owned()
}

/// Patience for tests: nothing waits long for what will not come.
pub(crate) fn hasty() -> Tuning {
    Tuning { backoff: Duration::from_millis(1), backoff_max: Duration::from_millis(5), ..Tuning::default() }
}
