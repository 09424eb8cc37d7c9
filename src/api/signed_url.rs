//! Presigned links: whoever has one has the object.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use serde::Deserialize;

use super::gateway::{Gateway, is_loopback};

/// A link into the object store as the service gave it. Shown by nothing.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SignedUrl(String);

impl SignedUrl {
    /// Checks the link: https, unless gateway and link are both this machine.
    pub(super) fn open(&self, gateway_is_loopback: bool) -> Option<Url> {
        let url = Url::parse(&self.0).ok()?;
        match url.scheme() {
            "https" => Some(url),
            "http" if gateway_is_loopback && is_loopback(&url) => Some(url),
            _ => None,
        }
    }

    /// Whether the link may be followed at all, given where the service is.
    #[must_use]
    pub fn is_acceptable(&self, gateway: &Gateway) -> bool {
        self.open(gateway.is_loopback()).is_some()
    }

    /// How long the link may be used from `now`: to 80 % of what it says, or a minute if it says
    /// nothing.
    #[must_use]
    pub fn usable_for(&self, now: SystemTime) -> Duration {
        const UNKNOWN: Duration = Duration::from_secs(60);
        let Ok(url) = Url::parse(&self.0) else { return Duration::ZERO };
        let field = |name: &str| {
            url.query_pairs().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.into_owned())
        };
        let signed = field("X-Amz-Date").and_then(|d| parse_amz_date(&d));
        let lives = field("X-Amz-Expires").and_then(|s| s.parse::<u32>().ok());
        let (Some(signed), Some(lives)) = (signed, lives) else { return UNKNOWN };
        let end = signed + Duration::from_secs(u64::from(lives)) * 4 / 5;
        // A clock of ours that runs behind must not stretch the link's life.
        end.duration_since(now).unwrap_or(Duration::ZERO).min(Duration::from_secs(u64::from(lives)) * 4 / 5)
    }
}

fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let stamp = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let stamp = stamp.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(SystemTime::from(stamp.timestamp()))
}

impl From<String> for SignedUrl {
    fn from(url: String) -> Self {
        SignedUrl(url)
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_live_as_long_as_they_say_and_show_nothing() {
        let link = |q: &str| SignedUrl::from(format!("https://s3.example/b/o?{q}"));
        let full = link("X-Amz-Date=20261122T010939Z&X-Amz-Expires=3600&X-Amz-Signature=22eacb29");
        let signed = parse_amz_date("20261122T010939Z").unwrap();
        assert_eq!(signed.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 1_795_309_779);
        assert_eq!(full.usable_for(signed), Duration::from_secs(2880));
        assert_eq!(full.usable_for(signed + Duration::from_secs(2000)), Duration::from_secs(880));
        assert_eq!(full.usable_for(signed + Duration::from_secs(2881)), Duration::ZERO);
        assert_eq!(full.usable_for(SystemTime::UNIX_EPOCH), Duration::from_secs(2880));
        assert_eq!(link("x=1").usable_for(signed), Duration::from_secs(60));
        assert!(!format!("{full:?}").contains("22eacb29"));
    }

    #[test]
    fn plain_links_are_followed_on_this_machine_only() {
        let here = SignedUrl::from("http://127.0.0.1:9102/o".to_owned());
        let away = SignedUrl::from("http://s3.example/o".to_owned());
        assert!(here.open(true).is_some() && here.open(false).is_none());
        assert!(away.open(true).is_none());
    }
}
