//! Compares a recorded answer with a live one.

use std::collections::HashMap;

use serde_json::Value;

/// How strictly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Keys, types, and all values that do not depend on time or chance.
    Values,
    /// Keys and types.
    Shape,
}

/// Recorded ids and the live ones they stand for.
#[derive(Default)]
pub struct Names(HashMap<String, String>);

impl Names {
    pub fn learn(&mut self, recorded: &str, live: &str) {
        if recorded.is_empty() {
            return;
        }
        self.0.entry(recorded.to_owned()).or_insert_with(|| live.to_owned());
    }

    pub fn live(&self, recorded: &str) -> Option<&str> {
        self.0.get(recorded).map(String::as_str)
    }

    /// Replaces every known id in a text.
    pub fn translate(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut word = String::new();
        for char in text.chars().chain(['\n']) {
            if char.is_ascii_hexdigit() || char == '-' {
                word.push(char);
                continue;
            }
            out.push_str(self.live(&word).unwrap_or(&word));
            word.clear();
            out.push(char);
        }
        out.pop();
        out
    }

    pub fn translate_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.translate(text)),
            Value::Array(list) => list.iter().map(|value| self.translate_value(value)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, value)| (key.clone(), self.translate_value(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// Learns ids from two answers that say the same.
    pub fn capture(&mut self, recorded: &Value, live: &Value) {
        match (recorded, live) {
            (Value::String(recorded), Value::String(live)) if is_id(recorded) && is_id(live) => {
                self.learn(recorded, live);
            }
            (Value::Array(recorded), Value::Array(live)) => {
                recorded.iter().zip(live).for_each(|(recorded, live)| self.capture(recorded, live));
            }
            (Value::Object(recorded), Value::Object(live)) => {
                for (key, recorded) in recorded {
                    if let Some(live) = live.get(key) {
                        self.capture(recorded, live);
                    }
                }
            }
            _ => {}
        }
    }
}

pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

pub fn is_id(text: &str) -> bool {
    is_uuid(text) || (text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_date(text: &str) -> bool {
    text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

/// Values made by chance, by the clock, or from the account's secrets.
const OPAQUE: [&str; 21] = [
    "name",
    "sKey",
    "userId",
    "mnemonic",
    "token",
    "newToken",
    "oldToken",
    "privateKey",
    "publicKey",
    "requestId",
    "nextCursor",
    "id",
    "folderId",
    "parentId",
    "parent_id",
    "user_id",
    "root_folder_id",
    "tierId",
    "url",
    "urls",
    "filename",
];

/// Held even where values are not.
const FIXED: [&str; 5] = ["message", "error", "statusCode", "encryptVersion", "sharings"];

/// `…(21 items)` at the end of a list that was cut.
pub fn cut_length(list: &[Value]) -> Option<usize> {
    let text = list.last()?.as_str()?.strip_prefix("…(")?;
    text.strip_suffix(" items)")?.parse().ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What differs, as `path: how`.
pub fn differences(recorded: &Value, live: &Value, mode: Mode, names: &Names) -> Vec<String> {
    let mut found = Vec::new();
    compare("", "", recorded, live, mode, names, &mut found);
    found
}

fn compare(
    path: &str,
    key: &str,
    recorded: &Value,
    live: &Value,
    mode: Mode,
    names: &Names,
    found: &mut Vec<String>,
) {
    let nullable = mode == Mode::Shape && (recorded.is_null() || live.is_null());
    if kind(recorded) != kind(live) {
        if !nullable {
            found.push(format!("{path}: {recorded} was recorded, {live} came"));
        }
        return;
    }
    match (recorded, live) {
        (Value::Object(recorded), Value::Object(live)) => {
            for key in recorded.keys().filter(|key| !live.contains_key(*key)) {
                found.push(format!("{path}/{key} is missing"));
            }
            for key in live.keys().filter(|key| !recorded.contains_key(*key)) {
                found.push(format!("{path}/{key} should not be there"));
            }
            for (key, recorded) in recorded {
                if let Some(live) = live.get(key) {
                    compare(&format!("{path}/{key}"), key, recorded, live, mode, names, found);
                }
            }
        }
        (Value::Array(recorded), Value::Array(live)) => {
            let cut = cut_length(recorded);
            let length = cut.unwrap_or(recorded.len());
            if mode == Mode::Values && length != live.len() {
                found.push(format!("{path}: {length} items were recorded, {} came", live.len()));
            }
            if mode == Mode::Shape && recorded.is_empty() != live.is_empty() && path.is_empty() {
                found.push(format!("{path}: emptiness differs"));
            }
            let shown = recorded.len() - usize::from(cut.is_some());
            for (at, (recorded, live)) in recorded[..shown].iter().zip(live).enumerate() {
                compare(&format!("{path}/{at}"), key, recorded, live, mode, names, found);
            }
        }
        _ if OPAQUE.contains(&key) || (mode == Mode::Shape && !FIXED.contains(&key)) => {}
        (Value::String(recorded), Value::String(live)) => {
            if let Some(complaint) = differing_text(recorded, live, names) {
                found.push(format!("{path}: {complaint}"));
            }
        }
        _ if recorded != live => found.push(format!("{path}: {recorded} was recorded, {live} came")),
        _ => {}
    }
}

fn differing_text(recorded: &str, live: &str, names: &Names) -> Option<String> {
    let translated = names.translate(recorded);
    let fits = if recorded.starts_with("2026") || recorded.starts_with("2027") {
        is_date(live)
    } else if let Some((head, _)) = recorded.split_once('…') {
        live.starts_with(head)
    } else {
        translated == live || (is_id(recorded) && names.live(recorded).is_none() && is_id(live))
    };
    (!fits).then(|| format!("{translated:?} was recorded, {live:?} came"))
}
