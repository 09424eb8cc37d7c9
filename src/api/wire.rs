//! Lenient readers for what the service sends.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A size: a number, or its decimal digits in a string. Anything else is `None`, and the row stays.
pub(super) fn size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::Number(n) => n.as_u64().or_else(|| whole(n.as_f64()?)),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    })
}

/// A double that is a whole number of bytes and exact.
fn whole(f: f64) -> Option<u64> {
    if f.fract() != 0.0 || !(0.0..9_007_199_254_740_992.0).contains(&f) {
        return None;
    }
    format!("{f:.0}").parse().ok()
}

/// A string, or nothing: null and other kinds of value count as missing.
pub(super) fn text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::String(s) => Some(s),
        _ => None,
    })
}

/// Milliseconds since 1970 of an ISO 8601 instant; 1970 itself where there is none.
pub(super) fn millis<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    Ok(text(d)?.and_then(|s| parse_millis(&s)).unwrap_or(0))
}

/// An ISO 8601 instant, rounded down to the millisecond.
pub(super) fn parse_millis(text: &str) -> Option<i64> {
    let t: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(t.as_nanosecond().div_euclid(1_000_000)).ok()
}

/// Milliseconds since 1970 as the service wants them, within the years it takes (0001 to 9999).
pub(super) fn iso(millis: i64) -> String {
    const YEAR_1: i64 = -62_135_596_800_000;
    const YEAR_9999_END: i64 = 253_402_207_199_999;
    let t = jiff::Timestamp::from_millisecond(millis.clamp(YEAR_1, YEAR_9999_END)).unwrap_or_default();
    format!("{t:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_the_round_trip_and_are_clamped() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_309_777_819, "2026-11-22T01:09:37.819Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso(ms), text);
            assert_eq!(parse_millis(text), Some(ms));
        }
        assert!(iso(i64::MIN).starts_with("0001-01-01T"));
        assert!(iso(i64::MAX).starts_with("9999-12-30T"));
        assert_eq!(parse_millis("2026-11-22T01:09:37.8199Z"), Some(1_795_309_777_819));
        assert_eq!(parse_millis("1969-12-31T23:59:59.9999Z"), Some(-1));
        assert_eq!(parse_millis("yesterday"), None);
    }

    #[test]
    fn sizes_come_as_numbers_and_as_strings() {
        #[derive(Deserialize)]
        struct S {
            #[serde(default, deserialize_with = "size")]
            size: Option<u64>,
        }
        let of = |json: &str| serde_json::from_str::<S>(json).unwrap().size;
        assert_eq!(of(r#"{"size":5}"#), Some(5));
        assert_eq!(of(r#"{"size":"107374182400"}"#), Some(107_374_182_400));
        assert_eq!(of(r#"{"size":5.0}"#), Some(5));
        for odd in [r#"{"size":-1}"#, r#"{"size":"x"}"#, r#"{"size":1.5}"#, r#"{"size":null}"#, "{}"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
