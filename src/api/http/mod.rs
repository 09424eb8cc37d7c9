//! The HTTP core: one client for the gateway, its budget, its pause, its retries.
//!
//! There is no total deadline: a request fails when it makes no progress for a while, however long
//! it takes altogether.

mod answer;
mod pause;
mod probe;
mod retry;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Response, redirect};
use tokio::time::timeout;

pub(super) use answer::{is_html, read_capped, refusal};
pub(super) use pause::Pause;
pub use probe::Probe;
pub use retry::{Retry, Verdict};

use super::error::{cause, transport};
use super::request::{Authorize, Effect, Request, Service};
use super::{Budget, ClientId, Error, Gate, Gateway, Result, Throttle};

/// Patience and budgets.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// For a connection to stand, TLS included.
    pub connect: Duration,
    /// Without a sign of an answer after the request went out.
    pub answer: Duration,
    /// Without a byte of a body, in either direction.
    pub stall: Duration,
    /// Sendings of one request, the first included.
    pub tries: u32,
    /// Before the second sending; doubles from there, up to `backoff_max`, with jitter.
    pub backoff: Duration,
    /// The longest wait between two sendings.
    pub backoff_max: Duration,
    /// The longest pause that a request sits out; asked to wait longer, it fails with `Busy`.
    pub patience: Duration,
    /// The largest JSON answer, in bytes.
    pub max_json: usize,
    /// Requests in flight to the gateway. Some are kept for what somebody waits for: see [`Gate`].
    pub in_flight: u16,
    /// Transfers in flight to the object store, likewise; 2 at least, as a transfer may wait for another one.
    pub transfers: u16,
    /// Bounds on the bytes a second of those. Clones share them.
    pub throttle: Throttle,
    /// Memory for what is on its way. Clones share it.
    pub memory: Budget,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            connect: Duration::from_secs(15),
            // The service takes 9 s for 3000 rows on an idle machine.
            answer: Duration::from_secs(90),
            stall: Duration::from_secs(45),
            tries: 4,
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(15),
            patience: Duration::from_secs(30),
            max_json: 32 << 20,
            in_flight: 6,
            transfers: 16,
            throttle: Throttle::default(),
            memory: Budget::default(),
        }
    }
}

/// The way to the gateway. Cheap to clone; clones share budget and pause.
#[derive(Clone, Debug)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    gateway: Gateway,
    tuning: Tuning,
    id: ClientId,
    gate: Gate,
    pause: Pause,
}

impl Http {
    /// Builds the client; no network.
    ///
    /// # Errors
    /// [`Error::NotSent`] if the system has no usable root certificates.
    pub fn new(gateway: Gateway, id: ClientId, tuning: Tuning) -> Result<Self> {
        let client = build(gateway.is_loopback(), || {
            base_client(&tuning)
                .default_headers(identity(&id))
                .redirect(same_host_redirects())
                .http2_keep_alive_interval(Duration::from_secs(20))
                .http2_keep_alive_timeout(Duration::from_secs(20))
        })?;
        let gate = Gate::new(tuning.in_flight.into());
        Ok(Http(Arc::new(Inner { client, gateway, tuning, id, gate, pause: Pause::default() })))
    }

    /// Where the requests go.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    /// The patience and budgets in force.
    #[must_use]
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// Who we say we are.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.0.id
    }

    /// Requests that wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.gate.waiting()
    }

    /// Sends a request when its lane's turn comes, again where its failure proves that nothing was done (or it may be repeated),
    /// within reason.
    ///
    /// # Errors
    /// The last failure.
    pub async fn send<S: Service, T>(
        &self,
        credentials: &S::Credentials,
        request: &Request<S, T>,
    ) -> Result<T> {
        let inner = &*self.0;
        let mut retry = Retry::new(&inner.tuning);
        loop {
            let outcome = {
                let _turn = inner.pause.admit(&inner.gate, request.lane, inner.tuning.patience).await?;
                inner.send_once(credentials, request).await
            };
            let error = match outcome {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if let Error::Busy { after } = error {
                inner.pause.extend(after);
            }
            match retry.after(&error, request.effect == Effect::Repeatable) {
                Verdict::GiveUp => return Err(error),
                Verdict::Wait(wait) => {
                    tracing::debug!(?request, %error, ?wait, "sending again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

impl Inner {
    async fn send_once<S: Service, T>(
        &self,
        credentials: &S::Credentials,
        request: &Request<S, T>,
    ) -> Result<T> {
        let url = format!("{}/{}/{}", self.gateway.as_str(), S::PATH, request.path);
        let url = reqwest::Url::parse_with_params(&url, &request.query)
            .map_err(|_| Error::NotSent("the request makes no URL".to_owned()))?;
        let mut out = self.client.request(request.method.clone(), url);
        if let Some(header) = credentials.header() {
            out = out.header(AUTHORIZATION, header);
        }
        if let Some(body) = &request.body {
            out = out.json(body);
        }
        let response = within(self.tuning.answer, out.send()).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(response, self.tuning.stall, request.effect).await);
        }
        let html = answer::is_html(response.headers());
        let request_id = answer::request_id(response.headers());
        let body = read_capped(response, self.tuning.max_json, self.tuning.stall).await?;
        let bad = |what: String| match &request_id {
            Some(id) => Error::Malformed(format!("{what}, request {id}")),
            None => Error::Malformed(what),
        };
        if html || answer::looks_like_html(&body) {
            return Err(match request.effect {
                Effect::Repeatable => Error::Captive("a web page".to_owned()),
                Effect::Once => bad("a web page".to_owned()),
            });
        }
        (request.decode)(&body).map_err(bad)
    }
}

/// Awaits an answer, but not for ever.
pub(super) async fn within(
    limit: Duration,
    send: impl Future<Output = reqwest::Result<Response>>,
) -> Result<Response> {
    match timeout(limit, send).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(e)) => Err(transport(e)),
        Err(_) => Err(Error::Lost(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// What both clients have in common.
pub(super) fn base_client(tuning: &Tuning) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("inxtfs/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(tuning.connect)
        .tcp_keepalive(Duration::from_secs(30))
        // Connections that outlive a suspended laptop look alive and are not.
        .pool_idle_timeout(Duration::from_secs(30))
        .referer(false)
}

/// Builds a client over ring and the system's root certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR`
/// replace them). A service on this machine may do without any.
pub(super) fn build(loopback: bool, builder: impl Fn() -> ClientBuilder) -> Result<Client> {
    install_provider();
    // What is for this machine goes through no proxy.
    let builder = || if loopback { builder().no_proxy() } else { builder() };
    let built = match builder().build() {
        Err(_) if loopback => builder().tls_certs_only([]).build(),
        built => built,
    };
    built.map_err(|e| Error::NotSent(format!("TLS cannot be set up: {}", cause(e))))
}

/// Makes ring the process's cryptography for TLS; whoever was first wins, which is as good.
pub(super) fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn identity(id: &ClientId) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static("internxt-client"), HeaderValue::from_static(ClientId::NAME));
    headers.insert(
        HeaderName::from_static("internxt-version"),
        HeaderValue::from_static(env!("CARGO_PKG_VERSION")),
    );
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(HeaderName::from_static("internxt-client-id"), value);
    }
    headers
}

/// Credentials never follow a redirect to another place.
fn same_host_redirects() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
        if same && attempt.previous().len() <= 3 { attempt.follow() } else { attempt.stop() }
    })
}
