//! When a token should be renewed. Its lifetime is read from it, never assumed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// A token's own account of its life, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Life {
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    pub(super) exp: Option<i64>,
}

/// Without a beginning: this long before the end.
const UNKNOWN_MARGIN: i64 = 6 * 3600;

impl Life {
    /// Reads a JWT. The signature is the service's business.
    pub(super) fn of(token: &str) -> Self {
        let claims =
            token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
        claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or(Life { iat: None, exp: None })
    }

    /// When to renew: half-way, a twentieth of the life earlier or later as `dice` (0…255) falls.
    pub(super) fn renew_at(self, dice: u8) -> Option<i64> {
        let exp = self.exp?;
        let Some(life) = self.iat.map(|iat| exp.saturating_sub(iat)).filter(|life| *life > 0) else {
            return Some(exp.saturating_sub(UNKNOWN_MARGIN));
        };
        let jitter = life / 10 * i64::from(dice) / 255 - life / 20;
        Some(exp - life / 2 + jitter)
    }
}

impl Life {
    /// How long to let a new token rest, whatever the clocks say.
    pub(super) fn rest(self) -> Duration {
        const MOST: Duration = Duration::from_secs(600);
        let life = self.iat.zip(self.exp).map(|(iat, exp)| exp.saturating_sub(iat));
        life.and_then(|secs| u64::try_from(secs).ok())
            .map_or(MOST, |secs| Duration::from_secs(secs / 20).min(MOST))
    }
}

/// The wait after the `n`th failed attempt to renew ahead of time: 1, 2, 4 … 30 minutes.
pub(super) fn backoff(n: u32) -> Duration {
    Duration::from_secs(60) * (1 << n.min(5)).min(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn tokens_are_renewed_half_way() {
        let life = Life::of(&token(r#"{"iat":1000,"exp":3000,"payload":{}}"#));
        assert_eq!(life.exp, Some(3000));
        assert_eq!((life.renew_at(0), life.renew_at(255)), (Some(1900), Some(2100)));
        assert_eq!(Life::of(&token(r#"{"exp":100000}"#)).renew_at(9), Some(100_000 - 21_600));
        for odd in ["", "a.b", "a.!!.c", &token("[]"), &token(r#"{"iat":5}"#)] {
            assert_eq!(Life::of(odd).renew_at(0), None, "{odd}");
        }
    }

    #[test]
    fn failed_renewals_are_tried_ever_less_often() {
        let minutes: Vec<u64> = (0..7).map(|n| backoff(n).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 30, 30]);
    }
}
