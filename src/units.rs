//! Amounts as people write them: `30ms`, `10GiB`, `100Mbit`. Pure.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{text}” is not {what}: write it like {example}")]
pub struct Error {
    text: String,
    what: &'static str,
    example: &'static str,
}

const DURATION: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86400.0),
];

/// A span of time: `30ms`, `5s`, `2m`, `1.5h`, `3d`; a bare `0` needs no unit.
pub fn duration(text: &str) -> Result<Duration, Error> {
    let fail = || Error { text: text.to_owned(), what: "a span of time", example: "30ms, 5s or 2m" };
    let (number, unit) = split(text).ok_or_else(fail)?;
    if unit.is_empty() && number == 0.0 {
        return Ok(Duration::ZERO);
    }
    let scale = DURATION.iter().find(|(name, _)| *name == unit).ok_or_else(fail)?.1;
    Duration::try_from_secs_f64(number * scale).map_err(|_| fail())
}

/// A number of bytes: `4096`, `500M`, `10GB` count in thousands, `64KiB`, `10GiB` in 1024s.
pub fn size(text: &str) -> Result<u64, Error> {
    let fail = || Error { text: text.to_owned(), what: "a size", example: "500M or 10GiB" };
    let (number, unit) = split(text).ok_or_else(fail)?;
    let lower = unit.to_ascii_lowercase();
    let (prefix, base) = match lower.strip_suffix("ib") {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024_f64),
        _ => (lower.strip_suffix('b').unwrap_or(&lower), 1000_f64),
    };
    whole(number * base.powi(power(prefix).ok_or_else(fail)?)).ok_or_else(fail)
}

/// A rate, as bytes a second: `100Mbit`, `1Gbit/s` are bits, `10MB`, `10MiB/s` bytes. Never zero.
pub fn bandwidth(text: &str) -> Result<u64, Error> {
    let fail = || Error { text: text.to_owned(), what: "a bandwidth", example: "100Mbit or 10MB/s" };
    let rate = text.trim().trim_end_matches("/s");
    let bytes = match rate.to_ascii_lowercase().strip_suffix("bit") {
        Some(bits) => {
            let (number, prefix) = split(bits).ok_or_else(fail)?;
            whole(number * 1000_f64.powi(power(prefix).ok_or_else(fail)?) / 8.0)
        }
        None => size(rate).ok(),
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(fail)
}

/// For `#[serde(deserialize_with)]`: a [`duration`] in a configuration file.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map_err(serde::de::Error::custom)
}

/// Number and unit; `None` where the number is missing, negative or not finite.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    number.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| (n, unit.trim()))
}

fn power(prefix: &str) -> Option<i32> {
    match prefix {
        "" => Some(0),
        "k" => Some(1),
        "m" => Some(2),
        "g" => Some(3),
        "t" => Some(4),
        "p" => Some(5),
        _ => None,
    }
}

// Above 2^53 a float has gaps, and no drive is that large.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(amount: f64) -> Option<u64> {
    (0.0..9_007_199_254_740_992.0).contains(&amount).then(|| amount.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("30ms").unwrap(), Duration::from_millis(30));
        assert_eq!(duration(" 1.5 h ").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("0").unwrap(), Duration::ZERO);
        assert_eq!(duration("3d").unwrap(), Duration::from_secs(259_200));
        for bad in ["", "5", "ms", "-1s", "1 fortnight", "1e400s", "1..5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_count_in_thousands_unless_the_unit_is_binary() {
        assert_eq!(size("4096").unwrap(), 4096);
        assert_eq!(size("500M").unwrap(), 500_000_000);
        assert_eq!(size("10GB").unwrap(), 10_000_000_000);
        assert_eq!(size("10GiB").unwrap(), 10 << 30);
        assert_eq!(size("64kib").unwrap(), 65536);
        assert_eq!(size("0").unwrap(), 0);
        for bad in ["", "-5", "10X", "GiB", "10 ib", "9999999P"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bandwidths_know_bits_from_bytes() {
        assert_eq!(bandwidth("100Mbit").unwrap(), 12_500_000);
        assert_eq!(bandwidth("1Gbit/s").unwrap(), 125_000_000);
        assert_eq!(bandwidth("10MB/s").unwrap(), 10_000_000);
        assert_eq!(bandwidth("8KiB").unwrap(), 8192);
        for bad in ["0", "0Mbit", "fast", "Mbit", "1bit/h"] {
            assert!(bandwidth(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_names_the_text_and_the_cure() {
        let text = duration("soon").unwrap_err().to_string();
        assert!(text.contains("soon") && text.contains("30ms"), "{text}");
    }
}
