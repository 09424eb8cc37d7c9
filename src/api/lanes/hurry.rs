//! Calls that become more urgent while they wait, since somebody has come who waits for them.
//!
//! A call passes several gates, deep below whoever knows what it is for. So how urgent it is goes along with the task.

use tokio::sync::watch;

use super::Lane;
use crate::types::Urgency;

tokio::task_local! {
    static CALL: watch::Receiver<Lane>;
}

/// How urgent a call is now.
#[derive(Debug)]
pub struct Hurry(watch::Sender<Lane>);

impl Hurry {
    /// Of a call that is made for somebody.
    #[must_use]
    pub fn new(urgency: Urgency) -> Self {
        Hurry(watch::Sender::new(urgency.into()))
    }

    /// Somebody else needs it, too: it is as urgent as the most urgent of them.
    pub fn raise(&self, urgency: Urgency) {
        let lane = Lane::from(urgency);
        self.0.send_if_modified(|now| {
            let more = lane < *now;
            *now = lane.min(*now);
            more
        });
    }

    /// Makes the call: wherever it waits for a turn, it does so in this lane or a more urgent one.
    pub async fn call<F: Future>(&self, call: F) -> F::Output {
        CALL.scope(self.0.subscribe(), call).await
    }
}

/// How urgent the call is that is being made, if it is one of those.
pub(super) fn of_this_call() -> Option<watch::Receiver<Lane>> {
    CALL.try_with(Clone::clone).ok()
}
