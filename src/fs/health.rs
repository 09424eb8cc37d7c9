//! Whether the service can be used, as the last calls showed.

use std::sync::OnceLock;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::SessionState;
use crate::remote::session::SessionHealth;
use crate::remote::{self, Class};
use crate::types::Timestamp;

#[derive(Default)]
pub(super) struct Health {
    state: Mutex<Option<SessionState>>,
    session: OnceLock<watch::Receiver<SessionHealth>>,
}

impl Health {
    /// What the calls showed; before the first one: hope.
    pub fn state(&self) -> SessionState {
        if let Some(SessionHealth::Lost { why }) = self.session() {
            return SessionState::LoggedOut { why };
        }
        self.state
            .lock()
            .clone()
            .unwrap_or(SessionState::Offline { since: 0, why: "not tried yet".to_owned() })
    }

    /// The session's own word from now on.
    pub fn attach(&self, session: watch::Receiver<SessionHealth>) {
        // A second one would be the same session's.
        let _ = self.session.set(session);
    }

    fn session(&self) -> Option<SessionHealth> {
        self.session.get().map(|s| s.borrow().clone())
    }

    /// What will end the session, while it still works.
    pub fn warning(&self) -> Option<String> {
        let Some(SessionHealth::PlanLimited { why, until }) = self.session() else { return None };
        let end = until.and_then(|secs| u64::try_from(secs - Timestamp::now().secs).ok());
        let end = end.map_or_else(|| "soon".to_owned(), |secs| format!("in {}", hours(secs)));
        Some(format!(
            "the plan no longer includes this kind of access ({why}): the session ends {end}. Changes are kept \
             here after that; renew the plan, then run `inxtfs login`"
        ))
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

/// A span for people.
fn hours(secs: u64) -> String {
    if secs < 7200 { format!("{} min", secs / 60) } else { format!("{} h", secs / 3600) }
}

/// Offline since the first failure in a row.
fn offline(before: Option<&SessionState>, e: &remote::Error) -> SessionState {
    let since = match before {
        Some(SessionState::Offline { since, .. }) => *since,
        _ => super::now_ms() / 1000,
    };
    SessionState::Offline { since, why: e.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_itself_knows_first() {
        let health = Health::default();
        let (tell, session) = watch::channel(SessionHealth::Good);
        health.attach(session);
        let _ = health.note(remote::Result::Ok(()));
        assert_eq!((health.state(), health.warning()), (SessionState::Online, None));

        let until = Some(Timestamp::now().secs + 5 * 3600 + 60);
        tell.send_replace(SessionHealth::PlanLimited { why: "upgrade".to_owned(), until });
        let warning = health.warning().unwrap_or_default();
        assert!(warning.contains("upgrade") && warning.contains("in 5 h"), "{warning}");
        assert_eq!(health.state(), SessionState::Online, "it goes on until then");

        tell.send_replace(SessionHealth::Lost { why: "ended".to_owned() });
        assert_eq!(health.state(), SessionState::LoggedOut { why: "ended".to_owned() });
        tell.send_replace(SessionHealth::Good);
        assert_eq!(health.state(), SessionState::Online);
    }
}
