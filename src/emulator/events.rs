//! Change events: socket.io (protocol 5, engine.io 4) over a websocket.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::wire::random_hex;
use super::world::World;

/// Events a slow listener may lag behind before it misses some, as it would on the real wire.
const BACKLOG: usize = 1024;
/// A listener has this long to say who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// Who listens to which account's events.
pub struct Hub {
    world: Arc<World>,
    listeners: Mutex<HashMap<u64, Listener>>,
    next: AtomicU64,
    ping_ms: AtomicU64,
    stop: CancellationToken,
}

struct Listener {
    account: String,
    send: mpsc::Sender<String>,
}

impl Hub {
    /// Nobody listens yet.
    #[must_use]
    pub fn new(world: Arc<World>) -> Self {
        Hub {
            world,
            listeners: Mutex::default(),
            next: AtomicU64::new(0),
            ping_ms: AtomicU64::new(25_000),
            stop: CancellationToken::new(),
        }
    }

    /// Tells everybody who listens to the account, the one who caused it included: `client_id` is
    /// for them to know themselves by. Those who do not keep up miss it.
    pub fn publish(&self, account_uuid: &str, client_id: Option<&str>, event: &str, payload: Value) {
        let listening: Vec<_> = {
            let listeners = self.listeners.lock();
            let of_account = listeners.values().filter(|listener| listener.account == account_uuid);
            of_account.map(|listener| listener.send.clone()).collect()
        };
        if listening.is_empty() {
            return;
        }
        let account = self.world.accounts().into_iter().find(|account| account.uuid == account_uuid);
        let email = account.map(|account| account.email);
        let data = json!({
            "event": event, "payload": payload, "email": email, "clientId": client_id, "userId": account_uuid,
        });
        let packet = format!("42{}", json!(["event", data]));
        for send in listening {
            let _ = send.try_send(packet.clone());
        }
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.listeners.lock().len()
    }

    /// How often listeners are asked whether they are still there, from the next connection on.
    pub fn set_ping_interval(&self, to: Duration) {
        self.ping_ms.store(u64::try_from(to.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Hangs up on all listeners, and on those who come later.
    pub(super) fn close(&self) {
        self.stop.cancel();
    }

    fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_ms.load(Ordering::Relaxed).max(1))
    }

    fn join(self: &Arc<Self>, account: String) -> (Joined, mpsc::Receiver<String>) {
        let (send, receive) = mpsc::channel(BACKLOG);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.listeners.lock().insert(id, Listener { account, send });
        (Joined { hub: self.clone(), id }, receive)
    }
}

/// A listener's place, left when dropped.
struct Joined {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.hub.listeners.lock().remove(&self.id);
    }
}

/// Answers a request below `/socket.io`: websockets only.
pub(super) fn serve(shared: &Arc<Shared>, mut request: Request<Body>) -> Response {
    let query = request.uri().query().unwrap_or("");
    let has = |pair: &str| query.split('&').any(|given| given == pair);
    if !has("EIO=4") {
        return refuse(5, "Unsupported protocol version");
    }
    if !has("transport=websocket") {
        return refuse(0, "Transport unknown");
    }
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(accept), Some(upgrade)) = (key.and_then(|key| HeaderValue::from_str(&key).ok()), upgrade)
    else {
        return refuse(3, "Bad request");
    };
    let hub = shared.hub.clone();
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let io = TokioIo::new(upgraded);
            let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            // A listener that went away is no matter.
            let _ = converse(&hub, &mut socket).await;
            let _ = socket.close(None).await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn refuse(code: u8, message: &str) -> Response {
    let mut response = Response::new(Body::from(json!({ "code": code, "message": message }).to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn converse(hub: &Arc<Hub>, socket: &mut Socket) -> Result<(), Error> {
    let interval = hub.ping_interval();
    let hello = json!({
        "sid": random_hex::<10>(), "upgrades": [], "pingInterval": interval.as_millis(),
        "pingTimeout": 20_000, "maxPayload": 1_000_000,
    });
    socket.send(Message::text(format!("0{hello}"))).await?;

    let mut joined: Option<(Joined, mpsc::Receiver<String>)> = None;
    let mut ping = tokio::time::interval(interval);
    ping.tick().await;
    let late = tokio::time::sleep(CONNECT_TIMEOUT);
    tokio::pin!(late);
    loop {
        let waiting = joined.is_none();
        tokio::select! {
            Some(packet) = next_event(&mut joined) => socket.send(Message::text(packet)).await?,
            _ = ping.tick() => socket.send(Message::text("2")).await?,
            () = hub.stop.cancelled() => return Ok(()),
            () = &mut late, if waiting => return Ok(()),
            message = socket.next() => match message.transpose()? {
                None | Some(Message::Close(_)) => return Ok(()),
                Some(Message::Text(text)) => match text.as_str() {
                    "41" | "1" => return Ok(()),
                    packet if packet.starts_with("40") => {
                        joined = authenticate(hub, socket, &packet[2..]).await?;
                    }
                    _ => {}
                },
                Some(_) => {}
            },
        }
    }
}

async fn next_event(joined: &mut Option<(Joined, mpsc::Receiver<String>)>) -> Option<String> {
    match joined {
        Some((_, events)) => events.recv().await,
        None => pending().await,
    }
}

async fn authenticate(
    hub: &Arc<Hub>,
    socket: &mut Socket,
    auth: &str,
) -> Result<Option<(Joined, mpsc::Receiver<String>)>, Error> {
    let auth: Value = serde_json::from_str(auth).unwrap_or_default();
    let account =
        auth.get("token").and_then(Value::as_str).and_then(|token| hub.world.account_of_token(token));
    match account {
        Some(account) => {
            let joined = hub.join(account);
            socket.send(Message::text(format!("40{}", json!({ "sid": random_hex::<10>() })))).await?;
            Ok(Some(joined))
        }
        None => {
            socket.send(Message::text(format!("44{}", json!({ "message": "Unauthorized" })))).await?;
            Ok(None)
        }
    }
}
