//! Trouble on demand: rules that meet requests by method and path.

use std::time::Duration;

use serde::Deserialize;

use crate::units;

/// What happens to a request that a rule meets.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answered in the service's stead, unhandled.
    Status {
        /// The status.
        code: u16,
        /// The body; JSON and XML are labelled as such.
        #[serde(default)]
        body: Option<String>,
        /// Seconds for a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The connection is cut before anything is handled.
    Reset,
    /// The connection is cut once this much of the request's body was read; nothing is handled.
    CutUpload {
        /// Bytes of the body let through.
        after: u64,
    },
    /// Handled; then the answer's bytes stop coming.
    Stall {
        /// Bytes of the answer's body sent before.
        #[serde(default)]
        after: u64,
        /// How long; for ever when absent.
        #[serde(default, rename = "for", deserialize_with = "optional_duration")]
        duration: Option<Duration>,
    },
    /// Handled; the connection is cut inside the answer's body, at the latest before its last byte.
    Truncate {
        /// Bytes of the answer's body sent before.
        after: u64,
    },
    /// Handled, then the connection is cut instead of an answer.
    Lost,
    /// A captive portal's page, with 200.
    Html,
    /// A captive portal's redirect to a login page elsewhere.
    Redirect,
}

/// A rule. Rules are tried in order; the first that fires decides.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// A glob over the path without its query: `*` is a run within a segment, `**` any run.
    pub path: String,
    /// How often it fires; without end when absent.
    #[serde(default)]
    pub times: Option<u64>,
    /// How many matching requests pass first.
    #[serde(default)]
    pub skip: u64,
    /// Chance to fire, of 1; certain when absent.
    #[serde(default)]
    pub probability: Option<f64>,
    /// Makes the chances repeatable.
    #[serde(default)]
    pub seed: u64,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// Meets every request of this method and path.
    #[must_use]
    pub fn on(method: &str, path: &str, action: Action) -> Self {
        let method = Some(method.to_owned());
        Fault { method, path: path.to_owned(), times: None, skip: 0, probability: None, seed: 0, action }
    }

    /// Fires this often, then never again.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Fault { times: Some(times), ..self }
    }

    /// Lets the first `skip` matching requests pass.
    #[must_use]
    pub fn skip(self, skip: u64) -> Self {
        Fault { skip, ..self }
    }

    /// Fires by chance, the same way for the same seed.
    #[must_use]
    pub fn chance(self, probability: f64, seed: u64) -> Self {
        Fault { probability: Some(probability), seed, ..self }
    }
}

fn optional_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    units::deserialize_duration(from).map(Some)
}

/// The rules with what they have counted.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    fault: Fault,
    seen: u64,
    fired: u64,
    random: u64,
}

impl Rules {
    pub(super) fn add(&mut self, fault: Fault) {
        let random = fault.seed;
        self.0.push(Rule { fault, seen: 0, fired: 0, random });
    }

    /// The action that meets this request, counted as fired.
    pub(super) fn meet(&mut self, method: &str, path: &str) -> Option<Action> {
        self.0.iter_mut().find_map(|rule| rule.meet(method, path))
    }
}

impl Rule {
    fn meet(&mut self, method: &str, path: &str) -> Option<Action> {
        let fault = &self.fault;
        if fault.method.as_ref().is_some_and(|m| !m.eq_ignore_ascii_case(method)) || !glob(&fault.path, path)
        {
            return None;
        }
        self.seen += 1;
        if self.seen <= fault.skip || fault.times.is_some_and(|times| self.fired >= times) {
            return None;
        }
        if fault.probability.is_some_and(|p| next_unit(&mut self.random) >= p) {
            return None;
        }
        self.fired += 1;
        Some(fault.action.clone())
    }
}

/// SplitMix64, as a number in 0..1.
fn next_unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Whether `path` is one of `pattern`: `*` stands for a run without `/`, `**` for any run.
pub(super) fn glob(pattern: &str, path: &str) -> bool {
    fn step(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=path.len()).any(|n| step(rest, &path[n..])),
            [b'*', rest @ ..] => {
                let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
                (0..=end).any(|n| step(rest, &path[n..]))
            }
            [byte, rest @ ..] => path.split_first().is_some_and(|(b, left)| b == byte && step(rest, left)),
        }
    }
    step(pattern.as_bytes(), path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_segment_and_two_do_not() {
        assert!(glob("/shards/*", "/shards/abc"));
        assert!(!glob("/shards/*", "/shards/abc/def"));
        assert!(glob("/network/**/finish", "/network/v2/buckets/b/files/finish"));
        assert!(glob("**", "/anything/at/all"));
        assert!(!glob("/drive/files", "/drive/files/1"));
    }

    #[test]
    fn skip_and_times_count_only_matching_requests() {
        let mut rules = Rules::default();
        rules.add(Fault::on("PUT", "/shards/*", Action::Reset).skip(1).times(2));
        assert_eq!(rules.meet("GET", "/shards/a"), None);
        let met: Vec<_> = (0..5).map(|_| rules.meet("PUT", "/shards/a").is_some()).collect();
        assert_eq!(met, [false, true, true, false, false]);
    }

    #[test]
    fn chances_repeat_with_their_seed_and_are_near_their_odds() {
        let run = |seed| {
            let mut rules = Rules::default();
            rules.add(Fault::on("GET", "**", Action::Lost).chance(0.25, seed));
            (0..1000).map(|_| rules.meet("GET", "/").is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let fired = run(7).into_iter().filter(|f| *f).count();
        assert!((200..300).contains(&fired), "{fired}");
    }

    #[test]
    fn rules_are_read_from_json() {
        let text = r#"[{"method":"GET","path":"/drive/**","times":2,"action":{"kind":"status","code":503,"retry_after":3}},
            {"path":"**","probability":0.5,"seed":9,"action":{"kind":"stall","after":10,"for":"2s"}}]"#;
        let faults: Vec<Fault> = serde_json::from_str(text).unwrap();
        assert_eq!(faults[0].action, Action::Status { code: 503, body: None, retry_after: Some(3) });
        assert_eq!(faults[1].action, Action::Stall { after: 10, duration: Some(Duration::from_secs(2)) });
        assert!(
            serde_json::from_str::<Vec<Fault>>(r#"[{"path":"**","action":{"kind":"explode"}}]"#).is_err()
        );
    }
}
