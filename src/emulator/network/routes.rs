//! Who asks, and for what.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::reply::{Answer, Fail, no_route, ok};
use super::{entries, finish, start};
use crate::emulator::objects::Base;
use crate::emulator::server::{Peer, host_of};
use crate::emulator::wire::{is_object_id, iso, millis};
use crate::emulator::world::NetAccount;
use crate::emulator::{Network, Shared};

/// Bodies above this are refused, as the service's framework does.
const MAX_BODY: usize = 4 << 20;

/// A request on its way through the routes.
pub(super) struct Call<'a> {
    pub(super) network: &'a Network,
    pub(super) head: &'a Parts,
    pub(super) base: Base,
    pub(super) now_ms: i64,
}

/// Answers a request below `/network`.
pub(in crate::emulator) async fn serve(shared: &Arc<Shared>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let network = &*shared.network;
    let peer = head.extensions.get::<Peer>().copied();
    let base = Base { scheme: peer.map_or("http", |peer| peer.scheme), host: host_of(&head) };
    let call = Call { network, head: &head, base, now_ms: millis(shared.world.now()) };
    let path = head.uri.path().strip_prefix("/network").unwrap_or("");
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (route, answer) = call.route(&segments, body).await;
    if head.method != Method::GET {
        network.touch();
    }
    let mut response = match route {
        None => no_route(head.method.as_str(), if path.is_empty() { "/" } else { path }),
        Some(route) => {
            let mut response = answer.unwrap_or_else(Fail::into_response);
            let from = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address.ip());
            network.limiter.stamp(&mut response, from, route, call.now_ms);
            response
        }
    };
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

impl Call<'_> {
    /// The route's name, and its answer; no name where none is mounted.
    async fn route(&self, segments: &[&str], body: Body) -> (Option<&'static str>, Answer) {
        match (self.head.method.as_str(), segments) {
            ("GET", ["buckets"]) => (Some("buckets"), self.buckets()),
            ("GET", ["limit"]) => (Some("limit"), self.limit()),
            ("POST", ["v2", "buckets", bucket, "files", "start"]) => {
                (Some("start"), start::start(self, bucket, self.json(body).await))
            }
            ("POST", ["v2", "buckets", bucket, "files", "finish"]) => {
                (Some("finish"), finish::finish(self, bucket, self.json(body).await))
            }
            ("GET", ["buckets", bucket, "files", id, "info"]) => {
                (Some("info"), entries::info(self, bucket, id))
            }
            ("GET", ["v2", "buckets", bucket, "files", id, "mirrors"]) => {
                (Some("mirrors"), entries::mirrors(self, bucket, id))
            }
            ("GET", ["buckets", bucket, "files", id, "mirrors"]) => {
                (Some("v1 mirrors"), entries::v1_mirrors(self, bucket, id))
            }
            ("GET", ["buckets", bucket, "bulk-files"]) => (Some("bulk-files"), entries::bulk(self, bucket)),
            ("GET", ["buckets", bucket, "files", id]) => {
                (Some("v1 listing"), entries::v1_page(self, bucket, id))
            }
            ("DELETE", ["buckets", bucket, "files", id]) => {
                (Some("delete"), entries::delete(self, bucket, id))
            }
            _ => (None, Err(Fail::new(404, ""))),
        }
    }

    /// A body that does not say it is JSON is no body to the service.
    async fn json(&self, body: Body) -> Result<Value, Fail> {
        let kind = self.header(CONTENT_TYPE.as_str()).unwrap_or("");
        let bytes = axum::body::to_bytes(body, MAX_BODY).await;
        let bytes = bytes.map_err(|_| Fail::new(400, "request entity too large"))?;
        if !kind.starts_with("application/json") || bytes.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&bytes).map_err(|error| Fail::new(400, error.to_string()))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.head.uri.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The account whose credentials came along.
    pub(super) fn account(&self) -> Result<NetAccount, Fail> {
        let none = || Fail::new(401, "No authentication strategy detected");
        let given =
            self.header(AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Basic ")).ok_or_else(none)?;
        let decoded = STANDARD.decode(given.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(none)?;
        let (user, password) = decoded.split_once(':').ok_or_else(none)?;
        // An unknown user is told from a wrong password by the status alone.
        let account = self.network.world.account_by_bridge_user(user);
        let account = account.ok_or_else(|| Fail::new(404, "Invalid email or password"))?;
        let expected = hex::encode(Sha256::digest(account.user_id.as_bytes()));
        match bool::from(expected.as_bytes().ct_eq(password.as_bytes())) {
            true => Ok(account),
            false => Err(Fail::new(401, "Invalid email or password")),
        }
    }

    /// A bucket of one's own, and oneself.
    pub(super) fn owner_of(&self, bucket: &str) -> Result<NetAccount, Fail> {
        self.well_formed(bucket, "Bucket id is malformed")?;
        let account = self.account()?;
        match self.network.world.bucket_owner(bucket) {
            None => Err(Fail::new(404, "Bucket  not found")),
            Some(owner) if owner != account.uuid => Err(Fail::new(403, "Unauthorized")),
            Some(_) => Ok(account),
        }
    }

    /// The form of ids is looked at before who asks.
    pub(super) fn well_formed(&self, id: &str, complaint: &str) -> Result<(), Fail> {
        if is_object_id(id) { Ok(()) } else { Err(Fail::new(400, complaint)) }
    }

    pub(super) fn over_quota(&self, account: &NetAccount, more: u64) -> Result<(), Fail> {
        let used = self.network.usage_of(&account.uuid);
        if used.saturating_add(more) > account.max_space {
            Err(Fail::new(420, "Max space used"))
        } else {
            Ok(())
        }
    }

    fn limit(&self) -> Answer {
        Ok(ok(&json!({ "maxSpaceBytes": self.account()?.max_space })))
    }

    fn buckets(&self) -> Answer {
        let account = self.account()?;
        let seconds = account.bucket.get(..8).and_then(|hex| i64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        Ok(ok(&json!([{
            "storage": 0, "transfer": 0, "status": "Active", "pubkeys": [],
            "user": account.uuid, "userId": account.uuid,
            "name": format!("Bucket-{}", account.bucket.get(18..).unwrap_or("")),
            "maxFrameSize": -1, "publicPermissions": [], "encryptionKey": "",
            "created": iso(seconds * 1000), "id": account.bucket,
        }])))
    }
}
