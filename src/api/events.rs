//! Announcements of changes: socket.io (version 4) over a WebSocket. Strictly a hint: whoever has
//! none must find every change by asking.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::http::install_provider;
use super::{Bearer, ClientId, Error, Gateway, Result};

/// Where Internxt's own service announces changes.
const NOTIFICATIONS: &str = "https://notifications.internxt.com";
/// Announcements carry a row at most; more is not for us.
const MAX_MESSAGE: usize = 1 << 20;
/// For the connection and for each step of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// What is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announcement {
    /// Another client changed something.
    Changed,
    /// The plan changed.
    Plan,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A standing connection.
pub struct Events {
    socket: WebSocketStream<Box<dyn Duplex>>,
    own_id: String,
    silence: Duration,
}

/// The first message: how often the service pings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    ping_interval: u32,
    ping_timeout: u32,
}

impl Events {
    /// Connects and presents the token.
    ///
    /// # Errors
    /// Whatever stands in the way; [`super::Class::Session`] is not told apart.
    pub async fn connect(gateway: &Gateway, token: &Bearer, id: &ClientId) -> Result<Self> {
        timeout(HANDSHAKE, Self::handshake(gateway, token, id))
            .await
            .map_err(|_| Error::Lost(format!("no announcements within {} s", HANDSHAKE.as_secs())))?
    }

    async fn handshake(gateway: &Gateway, token: &Bearer, id: &ClientId) -> Result<Self> {
        // A token goes to the service it is of: only Internxt's own has its announcer elsewhere.
        let base = if gateway.as_str() == Gateway::DEFAULT { NOTIFICATIONS } else { gateway.as_str() };
        let url = Url::parse(base).map_err(|_| Error::NotSent("no such place".to_owned()))?;
        let stream = dial(&url).await?;
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        let target = format!("{scheme}://{host}{port}/socket.io/?EIO=4&transport=websocket");
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let (socket, _) = tokio_tungstenite::client_async_with_config(target, stream, Some(config))
            .await
            .map_err(|e| Error::Lost(short(&e)))?;
        let mut events = Events { socket, own_id: id.0.clone(), silence: HANDSHAKE };
        let open = events.text().await?;
        let open: Open = open
            .strip_prefix('0')
            .and_then(|json| serde_json::from_str(json).ok())
            .ok_or_else(|| Error::Malformed("no engine.io handshake".to_owned()))?;
        events.silence = Duration::from_millis(u64::from(open.ping_interval) + u64::from(open.ping_timeout))
            .clamp(Duration::from_secs(5), Duration::from_secs(300));
        events.say(format!("40{}", serde_json::json!({"token": token.token()}))).await?;
        loop {
            let text = events.text().await?;
            if text.starts_with("40") {
                return Ok(events);
            }
            if text.starts_with("44") {
                return Err(Error::NotSent("the announcer refuses the token".to_owned()));
            }
            events.keep_alive(&text).await?;
        }
    }

    /// The next announcement by another client; our own echoes are passed over.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection ends: announcements made meanwhile are gone.
    pub async fn next(&mut self) -> Result<Announcement> {
        loop {
            let text = self.text().await?;
            if self.keep_alive(&text).await? {
                continue;
            }
            if text.starts_with("41") || text == "1" {
                return Err(Error::Lost("the announcer closed".to_owned()));
            }
            if let Some(found) = parse(&text, &self.own_id) {
                return Ok(found);
            }
        }
    }

    async fn keep_alive(&mut self, text: &str) -> Result<bool> {
        if text == "2" {
            self.say("3".to_owned()).await?;
        }
        Ok(text == "2")
    }

    async fn say(&mut self, text: String) -> Result<()> {
        match timeout(HANDSHAKE, self.socket.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(|e| Error::Lost(short(&e))),
            Err(_) => Err(Error::Lost("the announcer does not read".to_owned())),
        }
    }

    async fn text(&mut self) -> Result<String> {
        loop {
            match timeout(self.silence, self.socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => return Ok(text.as_str().to_owned()),
                Ok(Some(Ok(Message::Close(_))) | None) => {
                    return Err(Error::Lost("the announcer closed".to_owned()));
                }
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(e))) => return Err(Error::Lost(short(&e))),
                Err(_) => return Err(Error::Lost("the announcer fell silent".to_owned())),
            }
        }
    }
}

/// An event of another client, if `text` is one: `42["event",{…}]`.
fn parse(text: &str, own_id: &str) -> Option<Announcement> {
    let json = text.strip_prefix("42")?.trim_start_matches(|c: char| c.is_ascii_digit());
    let event: (String, Value) = serde_json::from_str(json).ok()?;
    let data = event.1;
    if event.0 != "event" || data["clientId"].as_str() == Some(own_id) {
        return None;
    }
    match data["event"].as_str()? {
        "PLAN_UPDATED" => Some(Announcement::Plan),
        name if name.starts_with("FILE_") || name.starts_with("FOLDER_") || name == "ITEMS_TO_TRASH" => {
            Some(Announcement::Changed)
        }
        _ => None,
    }
}

async fn dial(url: &Url) -> Result<Box<dyn Duplex>> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let not_sent = |e: std::io::Error| Error::NotSent(e.to_string());
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(not_sent)?;
    if url.scheme() != "https" {
        return Ok(Box::new(tcp));
    }
    install_provider();
    let config = ClientConfig::with_platform_verifier().map_err(|e| Error::NotSent(e.to_string()))?;
    let name = rustls::pki_types::ServerName::try_from(host).map_err(|e| Error::NotSent(e.to_string()))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, tcp).await.map_err(not_sent)?))
}

fn short(e: &tokio_tungstenite::tungstenite::Error) -> String {
    let mut text = e.to_string();
    text.truncate(text.floor_char_boundary(200));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_others_are_hints_and_our_own_are_not() {
        let event = |name: &str, client: &str| {
            format!(
                r#"42["event",{{"event":"{name}","payload":[{{"uuid":"u"}}],"email":"e","clientId":"{client}"}}]"#
            )
        };
        assert_eq!(parse(&event("FILE_CREATED", "other"), "me"), Some(Announcement::Changed));
        assert_eq!(parse(&event("ITEMS_TO_TRASH", "other"), "me"), Some(Announcement::Changed));
        assert_eq!(parse(&event("PLAN_UPDATED", "other"), "me"), Some(Announcement::Plan));
        assert_eq!(parse(&event("FILE_CREATED", "me"), "me"), None);
        assert_eq!(parse(&event("WORKSPACE_JOINED", "other"), "me"), None);
        for noise in ["", "2", "40", "42", "42[]", "42{}", "42[\"x\",{}]", "4217[\"event\",{}]"] {
            assert_eq!(parse(noise, "me"), None, "{noise}");
        }
    }
}
