//! A request as data: sent, repeated with other credentials, or looked at by a test.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::lanes::Lane;

/// One of the services behind the gateway, and the credentials it takes.
pub trait Service: 'static {
    /// What its requests carry.
    type Credentials: Authorize + Sync + ?Sized;
    /// Its path below the gateway.
    const PATH: &'static str;
}

/// Credentials that become an `Authorization` header, or none.
pub trait Authorize {
    /// The header's value, marked sensitive; `None` for public requests.
    fn header(&self) -> Option<HeaderValue>;
}

/// The drive API: names, folders, account.
#[derive(Debug)]
pub struct Drive;
/// The drive API's public part: logging in.
#[derive(Debug)]
pub struct Public;
/// The network API: content objects.
#[derive(Debug)]
pub struct Network;

impl Service for Drive {
    type Credentials = Bearer;
    const PATH: &'static str = "drive";
}
impl Service for Public {
    type Credentials = ();
    const PATH: &'static str = "drive";
}
impl Service for Network {
    type Credentials = Basic;
    const PATH: &'static str = "network";
}

/// The drive API's token.
#[derive(Clone)]
pub struct Bearer(SecretString);

impl Bearer {
    /// Wraps a token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Bearer(SecretString::from(token))
    }

    pub(super) fn token(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The network API's user and password. They do not expire.
#[derive(Clone)]
pub struct Basic(SecretString);

impl Basic {
    /// From the account's `bridgeUser` and `userId`; the password is the hash of the latter's text.
    #[must_use]
    pub fn new(bridge_user: &str, user_id: &str) -> Self {
        let pair = Zeroizing::new(format!("{bridge_user}:{}", hex::encode(Sha256::digest(user_id))));
        Basic(SecretString::from(STANDARD.encode(pair.as_bytes())))
    }
}

fn sensitive(scheme: &str, value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&Zeroizing::new(format!("{scheme} {value}"))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

impl Authorize for Bearer {
    fn header(&self) -> Option<HeaderValue> {
        sensitive("Bearer", self.token())
    }
}
impl Authorize for Basic {
    fn header(&self) -> Option<HeaderValue> {
        sensitive("Basic", self.0.expose_secret())
    }
}
impl Authorize for () {
    fn header(&self) -> Option<HeaderValue> {
        None
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}
impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic(…)")
    }
}

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It may: nothing changes, or nothing that anyone sees.
    Repeatable,
    /// It must not.
    Once,
}

type Decode<T> = fn(&[u8]) -> Result<T, String>;

/// A typed request to the service `S`, answered by a `T`.
pub struct Request<S, T> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) effect: Effect,
    pub(super) lane: Lane,
    pub(super) decode: Decode<T>,
    service: PhantomData<fn() -> S>,
}

impl<S: Service, T: DeserializeOwned> Request<S, T> {
    /// Expects JSON.
    pub(super) fn json(method: Method, path: String) -> Self {
        Self::new(method, path, |body| {
            if body.iter().all(u8::is_ascii_whitespace) {
                return Err("the body is empty".to_owned());
            }
            serde_json::from_slice(body).map_err(|e| {
                // Serde quotes values; only the place is safe to show.
                format!("unexpected JSON at line {} column {}", e.line(), e.column())
            })
        })
    }
}

impl<S: Service> Request<S, ()> {
    /// Expects nothing of the body.
    pub(super) fn empty(method: Method, path: String) -> Self {
        Self::new(method, path, |_| Ok(()))
    }
}

impl<S: Service, T> Request<S, T> {
    fn new(method: Method, path: String, decode: Decode<T>) -> Self {
        let effect = if method == Method::GET { Effect::Repeatable } else { Effect::Once };
        let (query, body, lane) = (Vec::new(), None, Lane::Send);
        Request { method, path, query, body, effect, lane, decode, service: PhantomData }
    }

    pub(super) fn query(mut self, key: &'static str, value: impl ToString) -> Self {
        self.query.push((key, value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Declares a POST to be harmless when it is sent twice.
    pub(super) fn repeatable(mut self) -> Self {
        self.effect = Effect::Repeatable;
        self
    }

    /// Puts it into another lane than [`Lane::Send`], or than its kind's.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Whether it may be sent again when nobody knows what became of it.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

impl<S: Service, T> fmt::Debug for Request<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.method, S::PATH, self.path)
    }
}

/// A path segment that cannot leave its place.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_match_the_vector_and_show_nothing() {
        let basic = Basic::new("user@example.com", &format!("$2a$08${}", "A".repeat(53)));
        let header = basic.header().unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            "Basic dXNlckBleGFtcGxlLmNvbTo3ZjE3NjhiNDA5NjNhNGI5NmRiMzY0MzkyNDU2YTRiM2JkNjQ2MmVjZDI0\
             Yzg5YmMzYWFlOTU0NzFmZmE2MjMx"
        );
        assert!(header.is_sensitive());
        assert_eq!(format!("{basic:?} {:?}", Bearer::new("t0ken")), "Basic(…) Bearer(…)");
    }

    #[test]
    fn segments_stay_segments() {
        assert_eq!(segment("../x?y#z/é"), "%2E%2E%2Fx%3Fy%23z%2F%C3%A9");
        assert_eq!(segment("1797165f-0000"), "1797165f-0000");
    }
}
