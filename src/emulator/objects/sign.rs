//! Presigned links: AWS signature version 4 in the query, with the host signed.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::emulator::wire::formatted;

const KEY_ID: &str = "INXTLOCAL";
const SCOPE: &str = "eu-central-1/s3/aws4_request";

/// Why a link is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not signed at all.
    Unsigned,
    /// Its time is over.
    Expired,
    /// Anything else than what was signed.
    Tampered,
}

/// What a link allows.
pub(super) struct Grant<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// Parameters beside those of the signature.
    pub(super) query: &'a [(&'a str, String)],
}

/// Path and query of a link that allows `grant` from `now` on.
pub(super) fn sign(secret: &str, grant: &Grant<'_>, now_ms: i64, life: Duration) -> String {
    let date = formatted(now_ms, "%Y%m%dT%H%M%SZ");
    let day = &date[..8];
    let mut query = vec![
        ("X-Amz-Algorithm".to_owned(), "AWS4-HMAC-SHA256".to_owned()),
        ("X-Amz-Content-Sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()),
        ("X-Amz-Credential".to_owned(), format!("{KEY_ID}/{day}/{SCOPE}")),
        ("X-Amz-Date".to_owned(), date.clone()),
        ("X-Amz-Expires".to_owned(), life.as_secs().to_string()),
        ("X-Amz-SignedHeaders".to_owned(), "host".to_owned()),
    ];
    query.extend(grant.query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let signature = signature(secret, grant.method, grant.host, grant.path, &query, &date);
    query.push(("X-Amz-Signature".to_owned(), signature));
    query.sort();
    format!("{}?{}", grant.path, joined(&query))
}

/// Whether this request is one that was signed, and in time.
pub(super) fn verify(
    secret: &str,
    method: &str,
    host: &str,
    path: &str,
    query: &[(String, String)],
    now_ms: i64,
) -> Result<(), Refusal> {
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let given = get("X-Amz-Signature").ok_or(Refusal::Unsigned)?;
    let (Some(date), Some(life)) = (get("X-Amz-Date"), get("X-Amz-Expires")) else {
        return Err(Refusal::Unsigned);
    };
    let start = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date)
        .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|_| Refusal::Tampered)?
        .timestamp()
        .as_millisecond();
    let life: i64 = life.parse().map_err(|_| Refusal::Tampered)?;
    // Only whole seconds are signed: a link of one second lives for one to the millisecond at least.
    if now_ms >= start.saturating_add(life.saturating_mul(1000)) {
        return Err(Refusal::Expired);
    }
    let signed: Vec<_> = query.iter().filter(|(name, _)| name != "X-Amz-Signature").cloned().collect();
    let expected = signature(secret, method, host, path, &signed, date);
    if expected == given { Ok(()) } else { Err(Refusal::Tampered) }
}

fn signature(
    secret: &str,
    method: &str,
    host: &str,
    path: &str,
    query: &[(String, String)],
    date: &str,
) -> String {
    let day = date.get(..8).unwrap_or("");
    let mut sorted = query.to_vec();
    sorted.sort();
    let request = format!("{method}\n{path}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", joined(&sorted));
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{day}/{SCOPE}\n{}",
        hex::encode(Sha256::digest(request.as_bytes()))
    );
    let mut key = keyed(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    for step in SCOPE.split('/') {
        key = keyed(&key, step.as_bytes());
    }
    hex::encode(keyed(&key, text.as_bytes()))
}

fn keyed(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn joined(query: &[(String, String)]) -> String {
    let pairs: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Names and values of a query, decoded.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let split = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => (decode(name), decode(value)),
        None => (decode(pair), String::new()),
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).and_then(|pair| hex::decode(pair).ok());
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                out.extend(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_309_779_520;

    fn link(life: u64) -> Vec<(String, String)> {
        let query = [("x-id", "GetObject".to_owned())];
        let grant = Grant { method: "GET", host: "127.0.0.1:9", path: "/shards/u", query: &query };
        let signed = sign("secret", &grant, NOW, Duration::from_secs(life));
        pairs(signed.split_once('?').unwrap().1)
    }

    fn check(
        method: &str,
        host: &str,
        path: &str,
        query: &[(String, String)],
        now: i64,
    ) -> Result<(), Refusal> {
        verify("secret", method, host, path, query, now)
    }

    #[test]
    fn only_what_was_signed_passes() {
        let query = link(60);
        assert_eq!(check("GET", "127.0.0.1:9", "/shards/u", &query, NOW), Ok(()));
        for (method, host, path) in [
            ("PUT", "127.0.0.1:9", "/shards/u"),
            ("GET", "localhost:9", "/shards/u"),
            ("GET", "127.0.0.1:9", "/shards/v"),
        ] {
            assert_eq!(
                check(method, host, path, &query, NOW),
                Err(Refusal::Tampered),
                "{method} {host} {path}"
            );
        }
        let mut longer = link(60);
        longer.iter_mut().filter(|(n, _)| n == "X-Amz-Expires").for_each(|(_, v)| *v = "9999".into());
        assert_eq!(check("GET", "127.0.0.1:9", "/shards/u", &longer, NOW), Err(Refusal::Tampered));
        assert_eq!(check("GET", "127.0.0.1:9", "/shards/u", &[], NOW), Err(Refusal::Unsigned));
    }

    #[test]
    fn a_link_ends() {
        let query = link(60);
        assert_eq!(check("GET", "127.0.0.1:9", "/shards/u", &query, NOW + 59_000), Ok(()));
        assert_eq!(check("GET", "127.0.0.1:9", "/shards/u", &query, NOW + 60_000), Err(Refusal::Expired));
    }

    #[test]
    fn queries_survive_coding() {
        assert_eq!(
            pairs("a=b%2Fc&d&=%zz"),
            [
                ("a".to_owned(), "b/c".to_owned()),
                ("d".to_owned(), String::new()),
                (String::new(), "%zz".to_owned())
            ]
        );
        assert_eq!(encode("a/b c~é"), "a%2Fb%20c~%C3%A9");
    }
}
