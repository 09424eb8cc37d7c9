//! The checks the service makes before a handler runs, with its messages in its order.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::errors::{Answer, bad_request};
use super::world::clock;

/// Collects what is wrong with a request; several faults make one 400.
#[derive(Default)]
pub(crate) struct Checks {
    messages: Vec<String>,
}

impl Checks {
    pub(crate) fn complain(&mut self, message: impl Into<String>) {
        self.messages.push(message.into());
    }

    pub(crate) fn finish(self) -> Result<(), Answer> {
        if self.messages.is_empty() { Ok(()) } else { Err(bad_request(self.messages)) }
    }

    /// A number of a query, in a range. A missing or malformed one breaks every rule at once.
    pub(crate) fn number(&mut self, query: &Query, name: &str, min: i64, max: Option<i64>) -> usize {
        let value = query.get(name).map(str::trim).and_then(|text| text.parse::<f64>().ok());
        let value = value.filter(|number| number.is_finite());
        if let Some(max) = max
            && value.is_none_or(|number| number > to_float(max))
        {
            self.complain(format!("{name} must not be greater than {max}"));
        }
        if value.is_none_or(|number| number < to_float(min)) {
            self.complain(format!("{name} must not be less than {min}"));
        }
        if value.is_none() {
            self.complain(format!("{name} must be a number conforming to the specified constraints"));
        }
        value.map_or(0, to_count)
    }

    /// A size in a body: a JSON number, at least zero.
    pub(crate) fn size(&mut self, body: &Value) -> Option<f64> {
        let size = body.get("size").and_then(Value::as_f64);
        if size.is_none() {
            self.complain("size must be a number conforming to the specified constraints");
        }
        if size.is_none_or(|size| size < 0.0) {
            self.complain("size must not be less than 0");
        }
        size
    }

    pub(crate) fn uuid(&mut self, body: &Value, name: &str) -> Uuid {
        let uuid = body.get(name).and_then(Value::as_str).and_then(parse_uuid);
        if uuid.is_none() {
            self.complain(format!("{name} must be a UUID"));
        }
        uuid.unwrap_or_default()
    }

    /// A string that must be there, blank or not.
    pub(crate) fn text(&mut self, body: &Value, name: &str) -> String {
        let value = body.get(name);
        if value.is_none_or(Value::is_null) {
            self.complain(format!("{name} should not be empty"));
        }
        match value.and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => {
                self.complain(format!("{name} must be a string"));
                String::new()
            }
        }
    }

    /// A string that must not be empty.
    pub(crate) fn filled(&mut self, body: &Value, name: &str) -> String {
        if body.get(name).and_then(Value::as_str) == Some("") {
            self.complain(format!("{name} should not be empty"));
        }
        self.text(body, name)
    }

    /// A JSON number that must be there.
    pub(crate) fn any_number(&mut self, body: &Value, name: &str) {
        let value = body.get(name);
        if value.is_none_or(Value::is_null) {
            self.complain(format!("{name} should not be empty"));
        }
        if !value.is_some_and(Value::is_number) {
            self.complain(format!("{name} must be a number conforming to the specified constraints"));
        }
    }

    /// A date of a body. Missing and null are the same; anything but an ISO 8601 string is wrong.
    pub(crate) fn date(&mut self, body: &Value, name: &str) -> Option<i64> {
        let value = body.get(name).filter(|value| !value.is_null())?;
        let date = value.as_str().and_then(clock::parse_iso).map(clock::to_millis);
        if date.is_none() {
            self.complain(format!("{name} must be a valid ISO 8601 date string"));
        }
        date
    }
}

/// Small integers are exact in a float.
#[allow(clippy::cast_precision_loss)]
fn to_float(number: i64) -> f64 {
    number as f64
}

/// Validated before: finite, and negative ones are refused.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_count(number: f64) -> usize {
    number as usize
}

/// A size as the database stores it: `None` for a fraction, which it refuses.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn whole(size: f64) -> Option<u64> {
    (size.fract() == 0.0 && (0.0..9.2e18).contains(&size)).then_some(size as u64)
}

/// Only the hyphenated form counts as a uuid.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A uuid in a path; the message is a string here, not an array.
pub(crate) fn path_uuid(text: &str) -> Result<Uuid, Answer> {
    parse_uuid(text).ok_or_else(|| bad_request("Value of 'uuid' is not a valid UUID."))
}

/// A decoded query string. Of a repeated name the first value counts.
#[derive(Default, Debug)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let mut values = HashMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(decode(name)).or_insert_with(|| decode(value));
        }
        Self(values)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("path=%2Fa%20b%2Fc+d&limit=5&limit=6&odd=%zz");
        assert_eq!(query.get("path"), Some("/a b/c d"));
        assert_eq!(query.get("limit"), Some("5"));
        assert_eq!(query.get("odd"), Some("%zz"));
        assert_eq!(query.get("none"), None);
    }

    #[test]
    fn a_missing_number_breaks_all_rules_in_the_recorded_order() {
        let mut checks = Checks::default();
        checks.number(&Query::default(), "limit", 1, Some(50));
        assert_eq!(
            checks.messages,
            [
                "limit must not be greater than 50",
                "limit must not be less than 1",
                "limit must be a number conforming to the specified constraints",
            ]
        );
    }
}
