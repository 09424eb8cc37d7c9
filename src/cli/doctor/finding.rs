//! One finding.

use serde::Serialize;

/// How grave it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Works, but not for long or not for everything.
    Warn,
    /// Keeps mounts from working.
    Fail,
}

/// What a look at one thing brought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at, in one word.
    pub check: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What was found.
    pub says: String,
    /// What would mend it; there for all that is not as it should be.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Finding { check, level: Level::Ok, says: says.into(), remedy: None }
    }

    /// Something is not, or is worth knowing.
    pub fn new(
        check: &'static str,
        level: Level,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Finding { check, level, says: says.into(), remedy: Some(remedy.into()) }
    }
}
