//! `login --browser`: Internxt's page logs in and sends the browser back to a listener of ours with session and key.
//!
//! The listener takes connections of this machine only, at a port and path nobody can guess, and one answer. What
//! comes in is a secret: no part of it is logged. Since any page could send somebody else's session to a path it knows, the account
//! that came back is shown before it is kept.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::term;
use crate::api::Gateway;
use crate::crypto::Mnemonic;
use crate::remote::session::{self, Credentials};

/// Where the pages of the service itself are; another service has its own.
const WEB: &str = "https://drive.internxt.com";
/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a connection may take to say what it wants.
const HASTE: Duration = Duration::from_secs(10);
/// The longest request: keys are a few kilobytes.
const MAX_REQUEST: usize = 64 << 10;

/// Logs in.
pub fn login(gateway: &Gateway, open: bool, yes: bool, ctx: &Context) -> anyhow::Result<Credentials> {
    let credentials = block_on(answered(gateway, open, ctx))?;
    if yes {
        return Ok(credentials);
    }
    if !term::is_interactive() {
        return Err(
            Exit::Usage.because("no terminal to ask on whether the account is the right one; pass --yes")
        );
    }
    let question = format!("The browser logged in as {}. Is that you?", credentials.email);
    if term::confirm(&question)? { Ok(credentials) } else { Err(Exit::Other.because("nothing was stored")) }
}

async fn answered(gateway: &Gateway, open: bool, ctx: &Context) -> anyhow::Result<Credentials> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening on 127.0.0.1")?;
    let host = format!("127.0.0.1:{}", listener.local_addr()?.port());
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|_| Exit::Other.because("the system's random generator failed"))?;
    let path = format!("/{}", hex::encode(secret));
    let web = if gateway.as_str() == Gateway::DEFAULT { WEB } else { gateway.as_str() };
    let back = percent(&STANDARD.encode(format!("http://{host}{path}")));
    let page = format!("{web}/login?universalLink=true&redirectUri={back}");
    // For whoever asked for nothing but errors, too: without it there is no way on.
    eprintln!("Log in with your browser, on this machine, within five minutes:\n{page}");
    if open {
        start_browser(&page);
    }
    let came = tokio::select! {
        came = callback(&listener, &host, &path) => came?,
        () = tokio::time::sleep(PATIENCE) => {
            return Err(Exit::Other.because("nobody logged in within five minutes; nothing was stored"));
        }
        _ = tokio::signal::ctrl_c() => return Err(Exit::Interrupted.because("interrupted; nothing was stored")),
    };
    let taken = take(gateway, &came.query).await;
    let word = if taken.is_ok() { "ok" } else { "error" };
    came.send_to(&format!("{web}/auth-link-{word}")).await;
    if taken.is_ok() {
        ctx.say("The browser's history holds the address it was sent to, which has the key in it; clear it if others use it.");
    }
    taken
}

async fn take(gateway: &Gateway, query: &str) -> anyhow::Result<Credentials> {
    let no =
        |what: &str| Exit::Other.because(format!("the browser came back without a usable {what}; try again"));
    let token = value(query, "newToken").ok_or_else(|| no("session"))?;
    let words = value(query, "mnemonic").ok_or_else(|| no("key"))?;
    let mnemonic = Mnemonic::parse(&words).map_err(|_| no("key"))?;
    Ok(session::with_token(gateway, &token, &mnemonic).await?)
}

/// The right request, still to be answered.
struct Came {
    stream: TcpStream,
    query: Zeroizing<String>,
}

impl Came {
    async fn send_to(mut self, page: &str) {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {page}\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let _ = self.stream.write_all(head.as_bytes()).await;
        let _ = self.stream.shutdown().await;
    }
}

/// The first request for our path. Browsers open connections in advance and say nothing on them: nobody waits for one.
async fn callback(listener: &TcpListener, host: &str, path: &str) -> anyhow::Result<Came> {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => open.push(serve(accepted?.0, host, path)),
            Some(Some(came)) = open.next(), if !open.is_empty() => return Ok(came),
        }
    }
}

async fn serve(mut stream: TcpStream, host: &str, path: &str) -> Option<Came> {
    let head = tokio::time::timeout(HASTE, head(&mut stream)).await.ok()??;
    match query(&head, host, path) {
        Some(query) => Some(Came { stream, query }),
        None => {
            let no = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(no.as_bytes()).await;
            None
        }
    }
}

async fn head(stream: &mut TcpStream) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_REQUEST));
    loop {
        if stream.read_buf(&mut *bytes).await.ok()? == 0 || bytes.len() > MAX_REQUEST {
            return None;
        }
        if bytes.windows(4).any(|w| w == b"\r\n\r\n") {
            return String::from_utf8(bytes.to_vec()).ok().map(Zeroizing::new);
        }
    }
}

/// What a request for exactly our place carries.
fn query(head: &str, host: &str, path: &str) -> Option<Zeroizing<String>> {
    let mut lines = head.split("\r\n");
    let target = lines.next()?.strip_prefix("GET ")?.split(' ').next()?;
    let hosts = lines.filter_map(|l| l.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut hosts = hosts.map(|(_, value)| value.trim());
    if hosts.next() != Some(host) || hosts.next().is_some() {
        return None;
    }
    let (at, query) = target.split_once('?')?;
    (at == path).then(|| Zeroizing::new(query.to_owned()))
}

/// A value of the query, in base64, which the page may have left as it was: a plus may have become a blank.
fn value(query: &str, name: &str) -> Option<Zeroizing<String>> {
    let raw = query.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name))?.1;
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let mut rest = raw.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let coded = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = coded.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        rest = if byte.is_some() { &tail[2..] } else { tail };
        match byte.unwrap_or(*first) {
            b' ' => text.push('+'),
            b'=' => {}
            letter => text.push(char::from(letter)),
        }
    }
    let bytes = STANDARD_NO_PAD.decode(text.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|s| !s.is_empty()).map(Zeroizing::new)
}

/// For base64 in a query.
fn percent(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// Where there is a desktop; what it says about it is of no interest.
fn start_browser(page: &str) {
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        return;
    }
    let mut command = Command::new("xdg-open");
    command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(e) = command.spawn() {
        tracing::debug!(error = %e, "no browser could be started");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_for_our_own_place_is_taken() {
        let head = |target: &str, host: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n")
        };
        let of = |head: &str| query(head, "127.0.0.1:7", "/secret").map(|q| q.to_string());
        assert_eq!(of(&head("/secret?a=b", "127.0.0.1:7")).as_deref(), Some("a=b"));
        for wrong in [
            head("/secre?a=b", "127.0.0.1:7"),
            head("/secret", "127.0.0.1:7"),
            head("/secret?a=b", "localhost:7"),
            head("/secret?a=b", "127.0.0.1:7\r\nHost: evil"),
            head("/secret?a=b", "127.0.0.1:7").replace("GET", "POST"),
            "GET /secret?a=b HTTP/1.1\r\n\r\n".to_owned(),
        ] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_are_read_however_the_page_has_written_them() {
        let coded = STANDARD.encode("a>b?c~d");
        assert!(coded.contains('+') || coded.contains('/') || coded.contains('='), "{coded}");
        for text in [coded.clone(), percent(&coded), coded.replace('+', " "), coded.replace('=', "")] {
            assert_eq!(value(&format!("x=y&k={text}&z="), "k").unwrap().as_str(), "a>b?c~d", "{text}");
        }
        assert!(value("k=", "k").is_none() && value("k=!!", "k").is_none() && value("", "k").is_none());
    }
}
