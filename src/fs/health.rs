//! Whether the service can be used, as the last calls showed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::{Error, Fs, Result, SessionState};
use crate::remote::session::SessionHealth;
use crate::remote::{self, Class};
use crate::store::nodes;
use crate::types::Timestamp;

/// While the service is away, who waits for it here waits this long at most.
const MOMENT: Duration = Duration::from_secs(2);
/// While it is away, somebody looks whether it is back at least this often.
const LOOK: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct Health {
    /// What the calls showed; `None` before the first one.
    state: watch::Sender<Option<SessionState>>,
    session: OnceLock<watch::Receiver<SessionHealth>>,
}

impl Health {
    /// What the calls showed; before the first one: hope.
    pub fn state(&self) -> SessionState {
        if let Some(SessionHealth::Lost { why }) = self.session() {
            return SessionState::LoggedOut { why };
        }
        self.state
            .borrow()
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
        if outcome.is_ok() && *self.state.borrow() == Some(SessionState::Online) {
            return outcome;
        }
        self.state.send_if_modified(|state| {
            let next = match &outcome {
                Ok(_) => SessionState::Online,
                Err(e) => match e.class() {
                    Class::Session => SessionState::LoggedOut { why: e.to_string() },
                    Class::Transient if matches!(e, remote::Error::Offline(_)) => offline(state.as_ref(), e),
                    Class::Ambiguous if !matches!(state.as_ref(), Some(SessionState::Online)) => {
                        offline(state.as_ref(), e)
                    }
                    _ => return false,
                },
            };
            let turned = state.as_ref().map(std::mem::discriminant) != Some(std::mem::discriminant(&next));
            if turned {
                match &next {
                    SessionState::Online => tracing::info!("online"),
                    SessionState::Offline { why, .. } => tracing::warn!(%why, "offline; changes queue"),
                    SessionState::LoggedOut { why } => tracing::error!(%why, "logged out; changes queue"),
                }
            }
            *state = Some(next);
            turned
        });
        outcome
    }

    /// Awaits a call that somebody waits for. While the service is known to be away it is tried, but not waited for up
    /// to the deadline.
    pub async fn while_online<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            outcome = call => outcome,
            () = self.stays_away(MOMENT) => Err(Error::Offline),
        }
    }

    /// Ends once the service has been known to be away for this long from now on.
    pub async fn stays_away(&self, patience: Duration) {
        let mut state = self.state.subscribe();
        loop {
            if state.wait_for(is_away).await.is_err() {
                return;
            }
            if tokio::time::timeout(patience, state.wait_for(|s| !is_away(s))).await.is_err() {
                return;
            }
        }
    }

    /// When to look for changes again: sooner than usual while the service is away.
    pub fn look_again(&self, usual: Duration) -> Duration {
        if is_away(&self.state.borrow()) { usual.min(LOOK) } else { usual }
    }
}

fn is_away(state: &Option<SessionState>) -> bool {
    matches!(state, Some(SessionState::Offline { .. }))
}

/// What failed for want of the network or a session goes on as soon as that is back, and does not sit its wait out.
pub(super) async fn heal(fs: Arc<Fs>) {
    let mut state = fs.health.state.subscribe();
    while state.changed().await.is_ok() {
        if *state.borrow_and_update() != Some(SessionState::Online) {
            continue;
        }
        if let Err(e) = fs.db().write(|tx| nodes::wake_failed(tx)) {
            tracing::warn!(error = %e, "what failed before waits for its next try");
        }
        fs.push.wake();
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
