//! Who goes first where calls compete: for requests in flight, transfers, bandwidth, memory.
//!
//! **Promise.** Of those that wait, the most urgent lane goes first, and within a lane whoever came first. Part of the
//! width is kept for what somebody waits for, so that a long upload or a slow page of a feed is never in the way of a
//! listing. No lane starves: one that was passed over [`PATIENCE`] times has the next turn. A waiter that gives up
//! leaves no trace.

mod hurry;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::types::Urgency;

pub use hurry::Hurry;

/// Turns that go to more urgent lanes before one goes to a lane that waits.
const PATIENCE: u32 = 16;
const LANES: usize = 5;

/// What a call is for; the first is the most urgent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Somebody waits for a listing, or for a session.
    Look,
    /// Somebody waits for content.
    Read,
    /// Content that is expected to be wanted soon.
    Ahead,
    /// Sending what was changed here.
    Send,
    /// Nobody waits: the feeds, figures for the status, content for later.
    Background,
}

impl Lane {
    const ALL: [Lane; LANES] = [Lane::Look, Lane::Read, Lane::Ahead, Lane::Send, Lane::Background];

    /// How much of `width` this lane and all behind it may take together.
    fn share(self, width: u64) -> u64 {
        let share = match self {
            Lane::Look | Lane::Read => width,
            Lane::Ahead | Lane::Send => width - (width / 8).max(1),
            Lane::Background => width / 2,
        };
        share.max(1)
    }
}

impl From<Urgency> for Lane {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Now => Lane::Read,
            Urgency::Soon => Lane::Ahead,
            Urgency::Someday => Lane::Background,
        }
    }
}

/// A gate of some width. Cheap to clone; clones are one gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    width: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Weight that is through, by lane.
    held: [u64; LANES],
    queues: [Queue; LANES],
    tickets: u64,
}

#[derive(Default)]
struct Queue {
    /// By ticket: in the order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    /// Turns given to more urgent lanes while this one waited.
    overtaken: u32,
}

struct Waiter {
    weight: u64,
    wake: oneshot::Sender<Pass>,
}

/// The leave to be beyond the gate, given up when dropped.
pub struct Pass {
    gate: Arc<Inner>,
    lane: Lane,
    weight: u64,
}

impl Gate {
    /// A gate through which a weight of `width` fits at a time, 1 at least.
    #[must_use]
    pub fn new(width: u64) -> Self {
        Gate(Arc::new(Inner { width: width.max(1), state: Mutex::default() }))
    }

    /// What fits through at a time.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.0.width
    }

    /// Waits for a turn of weight 1.
    pub async fn enter(&self, lane: Lane) -> Pass {
        self.enter_with(lane, 1).await
    }

    /// Waits for a turn of some weight. What is more than the lane's share counts as that. Within a [`Hurry`]'s call the
    /// lane is that one's, where that is more urgent.
    pub async fn enter_with(&self, lane: Lane, weight: u64) -> Pass {
        let Some(mut hurry) = hurry::of_this_call() else { return self.enter_in(lane, weight).await };
        loop {
            let lane = lane.min(*hurry.borrow_and_update());
            tokio::select! {
                biased;
                pass = self.enter_in(lane, weight) => return pass,
                // Gives up the place it had.
                Ok(()) = hurry.changed() => {}
            }
        }
    }

    async fn enter_in(&self, lane: Lane, weight: u64) -> Pass {
        let weight = weight.min(lane.share(self.0.width));
        let (wake, woken) = oneshot::channel();
        let place = {
            let mut state = self.0.state.lock();
            state.tickets += 1;
            let ticket = state.tickets;
            state.queues[lane as usize].waiters.insert(ticket, Waiter { weight, wake });
            Place { gate: &self.0, lane, ticket }
        };
        self.0.admit();
        let pass = woken.await;
        drop(place);
        // The queue lives as long as we do, so there is always an answer.
        pass.unwrap_or_else(|_| Pass { gate: self.0.clone(), lane, weight: 0 })
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.state.lock().queues.iter().map(|q| q.waiters.len()).sum()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({} wide)", self.0.width)
    }
}

impl Inner {
    /// Lets through whoever's turn it is.
    fn admit(self: &Arc<Self>) {
        let mut admitted = Vec::new();
        {
            let mut state = self.state.lock();
            while let Some(lane) = state.next(self.width) {
                let Some(waiter) = state.take(lane) else { break };
                admitted.push((lane, waiter));
            }
        }
        for (lane, Waiter { weight, wake }) in admitted {
            // One that has just given up gives its pass back.
            let _ = wake.send(Pass { gate: self.clone(), lane, weight });
        }
    }
}

impl State {
    /// The lane whose first waiter goes next, if there is room.
    fn next(&self, width: u64) -> Option<Lane> {
        let waiting = |lane: &Lane| !self.queues[*lane as usize].waiters.is_empty();
        let overtaken = |lane: &Lane| self.queues[*lane as usize].overtaken;
        let starved =
            Lane::ALL.into_iter().filter(|l| waiting(l) && overtaken(l) >= PATIENCE).max_by_key(overtaken);
        // Room that one waits for is kept for it; more urgent lanes use what it could not have anyway.
        let mut behind = LANES;
        if let Some(lane) = starved {
            match self.obstacle(lane, width) {
                None => return Some(lane),
                Some(full) => behind = full,
            }
        }
        let first = Lane::ALL.into_iter().take(behind).find(waiting)?;
        self.obstacle(first, width).is_none().then_some(first)
    }

    /// The first of the nested shares that has no room for a lane's first waiter.
    fn obstacle(&self, lane: Lane, width: u64) -> Option<usize> {
        let weight = self.queues[lane as usize].waiters.first_key_value().map_or(0, |(_, w)| w.weight);
        let around = Lane::ALL.into_iter().take(lane as usize + 1);
        let mut full = around.filter(|outer| {
            let held: u64 = self.held[*outer as usize..].iter().sum();
            held + weight > outer.share(width)
        });
        full.next().map(|outer| outer as usize)
    }

    fn take(&mut self, lane: Lane) -> Option<Waiter> {
        let queue = &mut self.queues[lane as usize];
        let (_, waiter) = queue.waiters.pop_first()?;
        queue.overtaken = 0;
        self.held[lane as usize] += waiter.weight;
        for later in &mut self.queues[lane as usize + 1..] {
            later.overtaken = if later.waiters.is_empty() { 0 } else { later.overtaken + 1 };
        }
        Some(waiter)
    }
}

impl Pass {
    /// Gives up all but `weight` of it.
    pub fn shrink(&mut self, weight: u64) {
        let surplus = self.weight.saturating_sub(weight);
        self.give_back(surplus);
    }

    fn give_back(&mut self, weight: u64) {
        if weight > 0 {
            self.weight -= weight;
            self.gate.state.lock().held[self.lane as usize] -= weight;
            self.gate.admit();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.give_back(self.weight);
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({:?}, {})", self.lane, self.weight)
    }
}

/// A place in a queue, given up however the waiting ends.
struct Place<'a> {
    gate: &'a Arc<Inner>,
    lane: Lane,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let gone = self.gate.state.lock().queues[self.lane as usize].waiters.remove(&self.ticket);
        if gone.is_some() {
            // Who stood behind may fit where this one did not.
            self.gate.admit();
        }
    }
}

#[cfg(test)]
mod tests;
