//! Whether the service can be used, as the last calls showed.

use parking_lot::Mutex;

use super::SessionState;
use crate::remote::{self, Class};

#[derive(Default)]
pub(super) struct Health {
    state: Mutex<Option<SessionState>>,
}

impl Health {
    /// What the calls showed; before the first one: hope.
    pub fn state(&self) -> SessionState {
        self.state
            .lock()
            .clone()
            .unwrap_or(SessionState::Offline { since: 0, why: "not tried yet".to_owned() })
    }

    /// Takes note of a call's outcome and hands it on.
    pub fn note<T>(&self, outcome: remote::Result<T>) -> remote::Result<T> {
        let mut state = self.state.lock();
        let next = match &outcome {
            Ok(_) => SessionState::Online,
            Err(e) => match e.class() {
                Class::Session => SessionState::LoggedOut { why: e.to_string() },
                Class::Transient if matches!(e, remote::Error::Offline(_)) => offline(state.as_ref(), e),
                Class::Ambiguous if !matches!(state.as_ref(), Some(SessionState::Online)) => {
                    offline(state.as_ref(), e)
                }
                _ => return outcome,
            },
        };
        let changed = state.as_ref().map(std::mem::discriminant) != Some(std::mem::discriminant(&next));
        if changed {
            match &next {
                SessionState::Online => tracing::info!("online"),
                SessionState::Offline { why, .. } => tracing::warn!(%why, "offline; changes queue"),
                SessionState::LoggedOut { why } => tracing::error!(%why, "logged out; changes queue"),
            }
        }
        *state = Some(next);
        outcome
    }
}

/// Offline since the first failure in a row.
fn offline(before: Option<&SessionState>, e: &remote::Error) -> SessionState {
    let since = match before {
        Some(SessionState::Offline { since, .. }) => *since,
        _ => super::now_ms() / 1000,
    };
    SessionState::Offline { since, why: e.to_string() }
}
