//! Connections, and the weather every request goes through.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use super::body::{Fate, Metered, Way, drain};
use super::faults::Action;
use super::log::{Live, RequestLog};
use super::probes::Moment;
use super::{Shared, browser, drive, events, network, objects};

/// What requests in the middle of their answer get when the server stops.
const GRACE: Duration = Duration::from_millis(500);
/// What a throttled request is told.
const TOO_MANY: &str = r#"{"statusCode":429,"message":"ThrottlerException: Too Many Requests"}"#;

/// Where a request came from, for handlers.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) scheme: &'static str,
}

/// The string a connection hangs on.
#[derive(Default)]
pub(super) struct Cut {
    fired: AtomicBool,
    notify: Notify,
}

impl Cut {
    /// Ends the connection with a reset.
    pub(super) fn fire(&self) {
        self.fired.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// Serves until told to stop, then gives running requests a moment.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Service,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, address)) => {
                connections.spawn(connection(tcp, address, tls.clone(), service.clone(), stop.clone()));
            }
            // Out of descriptors, most likely: others must be closed first.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    tcp: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Service,
    stop: CancellationToken,
) {
    let _ = tcp.set_nodelay(true);
    let cut = Arc::new(Cut::default());
    let line = Line { tcp, cut: cut.clone() };
    let peer = Peer { address, scheme: service.scheme };
    match tls {
        None => converse(line, peer, cut, service, stop).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(Duration::from_secs(10), tls.accept(line));
            if let Ok(Ok(stream)) = handshake.await {
                converse(stream, peer, cut, service, stop).await;
            }
        }
    }
}

async fn converse<S>(stream: S, peer: Peer, cut: Arc<Cut>, service: Service, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(512 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20);
    let answer = hyper::service::service_fn({
        let cut = cut.clone();
        move |request| {
            let (service, cut) = (service.clone(), cut.clone());
            async move { Ok::<_, Infallible>(service.serve(request, peer, cut).await) }
        }
    });
    let mut conversation = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), answer));
    tokio::select! {
        biased;
        () = cut.notify.notified() => {}
        _ = conversation.as_mut() => {}
        () = stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GRACE, conversation).await;
        }
    }
}

/// All routes behind the weather.
#[derive(Clone)]
pub(super) struct Service {
    shared: Arc<Shared>,
    log: Arc<RequestLog>,
    pub(super) drive: Router,
    scheme: &'static str,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, log: Arc<RequestLog>, scheme: &'static str) -> Self {
        let drive = drive::router(shared.clone());
        Service { shared, log, drive, scheme }
    }

    /// Answers one request; never returns where the connection was cut instead.
    async fn serve(&self, request: Request<Incoming>, peer: Peer, cut: Arc<Cut>) -> Response {
        let live = self.begin(&request);
        let at_gateway = matches!(request.uri().path().split('/').nth(1), Some("drive" | "network"));
        let _crowded = at_gateway.then(|| self.log.enter());
        let latency = self.shared.knobs.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if at_gateway && self.shared.knobs.is_beyond_rate(Instant::now()) {
            drain(self.metered(request, &live, Fate::Pass).into_body()).await;
            return self.send(status(429, Some(TOO_MANY.to_owned()), Some(1)), &live, Fate::Pass);
        }
        let mut upward = Fate::Pass;
        let mut handled = None;
        match self.shared.knobs.probe_for(request.method().as_str(), request.uri().path()) {
            Some((Moment::Arrived, call)) => call(),
            Some((Moment::Halfway(bytes), call)) => upward = Fate::Tell(bytes, call),
            Some((Moment::Handled, call)) => handled = Some(call),
            None => {}
        }
        let action = self.shared.knobs.fault_for(request.method().as_str(), request.uri().path());
        match &action {
            Some(Action::Status { code, body, retry_after }) => {
                let answer = status(*code, body.clone(), *retry_after);
                drain(self.metered(request, &live, Fate::Pass).into_body()).await;
                return self.send(answer, &live, Fate::Pass);
            }
            Some(Action::Html) => {
                drain(self.metered(request, &live, Fate::Pass).into_body()).await;
                return self.send(captive_portal(), &live, Fate::Pass);
            }
            Some(Action::Redirect) => {
                drain(self.metered(request, &live, Fate::Pass).into_body()).await;
                return self.send(elsewhere(), &live, Fate::Pass);
            }
            Some(Action::Reset) => return sever(&cut).await,
            Some(Action::CutUpload { after }) => upward = Fate::Cut(*after, cut.clone()),
            _ => {}
        }
        let response = self.handle(request, peer, &live, upward).await;
        let _ = live.handled.set(SystemTime::now());
        if let Some(call) = handled {
            call();
        }
        let empty = response.body().is_end_stream();
        match action {
            Some(Action::Lost) => sever(&cut).await,
            Some(Action::CutUpload { .. }) => sever(&cut).await,
            Some(Action::Truncate { .. }) if empty => sever(&cut).await,
            Some(Action::Truncate { after }) => {
                let last = response.body().size_hint().upper().map_or(u64::MAX, |all| all.saturating_sub(1));
                self.send(response, &live, Fate::Cut(after.min(last), cut))
            }
            Some(Action::Stall { duration, .. }) if empty => {
                match duration {
                    Some(duration) => tokio::time::sleep(duration).await,
                    None => std::future::pending().await,
                }
                self.send(response, &live, Fate::Pass)
            }
            Some(Action::Stall { after, duration }) => {
                self.send(response, &live, Fate::Stall(after, duration))
            }
            _ => self.send(response, &live, Fate::Pass),
        }
    }

    fn begin(&self, request: &Request<Incoming>) -> Arc<Live> {
        let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let path = request.uri().path_and_query().map_or("", |p| p.as_str());
        let client = header("internxt-client-id").or_else(|| header("internxt-client"));
        self.log.begin(request.method().as_str(), path, client)
    }

    fn metered(&self, request: Request<Incoming>, live: &Live, fate: Fate) -> Request<Body> {
        request.map(|incoming| {
            let (body, knobs) = (Body::new(incoming), self.shared.knobs.clone());
            Body::new(Metered::new(body, knobs, Way::Up, live.request_bytes.clone(), fate))
        })
    }

    async fn handle(&self, request: Request<Incoming>, peer: Peer, live: &Live, fate: Fate) -> Response {
        let mut request = self.metered(request, live, fate);
        request.extensions_mut().insert(peer);
        let path = request.uri().path();
        match path.split('/').nth(1) {
            Some("drive") => self.drive.clone().call(request).await.unwrap_or_else(|never| match never {}),
            Some("network") => network::serve(&self.shared, request).await,
            Some("shards") => objects::serve(&self.shared, request).await,
            Some("login") => browser::login(&self.shared, request.uri()),
            Some(end @ ("auth-link-ok" | "auth-link-error")) => browser::end(end.ends_with("ok")),
            Some("socket.io") => events::serve(&self.shared, request),
            _ => status(404, Some(format!("Cannot {} {path}\n", request.method())), None),
        }
    }

    fn send(&self, response: Response, live: &Live, fate: Fate) -> Response {
        live.status.store(response.status().as_u16(), Ordering::Release);
        let knobs = self.shared.knobs.clone();
        response
            .map(|body| Body::new(Metered::new(body, knobs, Way::Down, live.response_bytes.clone(), fate)))
    }
}

async fn sever(cut: &Cut) -> Response {
    cut.fire();
    std::future::pending().await
}

fn status(code: u16, body: Option<String>, retry_after: Option<u64>) -> Response {
    let body = body.unwrap_or_default();
    let kind = match body.trim_start().as_bytes() {
        [b'{' | b'[', ..] => "application/json; charset=utf-8",
        [b'<', b'?', ..] => "application/xml",
        [b'<', ..] => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, kind.parse().unwrap_or(hyper::header::HeaderValue::from_static("")));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn captive_portal() -> Response {
    let page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head>\
        <body><h1>Sign in to use this network</h1></body></html>\n";
    status(200, Some(page.to_owned()), None)
}

fn elsewhere() -> Response {
    let mut response = status(302, None, None);
    let page = hyper::header::HeaderValue::from_static("http://login.invalid/welcome");
    response.headers_mut().insert(hyper::header::LOCATION, page);
    response
}

/// The host a request was sent to, as the client wrote it.
pub(super) fn host_of(head: &hyper::http::request::Parts) -> String {
    let authority = head.uri.authority().map(|a| a.as_str());
    let header = || head.headers.get(hyper::header::HOST).and_then(|value| value.to_str().ok());
    authority.or_else(header).unwrap_or("localhost").to_owned()
}

/// A connection's socket, which ends in a reset when the connection was cut.
struct Line {
    tcp: TcpStream,
    cut: Arc<Cut>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.cut.fired.load(Ordering::Acquire) {
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
