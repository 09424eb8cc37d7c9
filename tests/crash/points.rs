//! The named points: where, between here and the service, the program dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inxtfs::emulator::{Moment, Probe};

use crate::hand::{Call, Stop};
use crate::life::Killer;
use crate::rng::Rng;
use crate::world::World;

const START: (&str, &str) = ("POST", "/network/v2/buckets/*/files/start");
const PART: (&str, &str) = ("PUT", "/shards/**");
const FINISH: (&str, &str) = ("POST", "/network/v2/buckets/*/files/finish");
const CREATE: (&str, &str) = ("POST", "/drive/files");
const REPLACE: (&str, &str) = ("PUT", "/drive/files/*");
const RELOCATE: (&str, &str) = ("PATCH", "/drive/files/*");
const RELOCATE_FOLDER: (&str, &str) = ("PATCH", "/drive/folders/*");
const MKDIR: (&str, &str) = ("POST", "/drive/folders");
const TRASH: (&str, &str) = ("POST", "/drive/storage/trash/add");
const LOOK: (&str, &str) = ("POST", "/drive/folders/content/*/files/existence");
const FEED: (&str, &str) = ("GET", "/drive/files");

/// A moment of a request to the service.
type Point = (&'static str, (&'static str, &'static str), Moment);

const SERVED: [Point; 20] = [
    ("before the upload starts", START, Moment::Arrived),
    ("after the upload started", START, Moment::Handled),
    ("at the first byte of a part", PART, Moment::Arrived),
    ("in the middle of a part", PART, Moment::Halfway(1000)),
    ("after a part, before the finish", PART, Moment::Handled),
    ("before the finish", FINISH, Moment::Arrived),
    ("after the finish, before the create", FINISH, Moment::Handled),
    ("before the create", CREATE, Moment::Arrived),
    ("after the create, before its commit", CREATE, Moment::Handled),
    ("before the replace", REPLACE, Moment::Arrived),
    ("after the replace, before its commit", REPLACE, Moment::Handled),
    ("before a move", RELOCATE, Moment::Arrived),
    ("after a move, before its commit", RELOCATE, Moment::Handled),
    ("after a folder's move, before its commit", RELOCATE_FOLDER, Moment::Handled),
    ("before the mkdir", MKDIR, Moment::Arrived),
    ("after the mkdir, before its commit", MKDIR, Moment::Handled),
    ("before the trash", TRASH, Moment::Arrived),
    ("after the trash, before its commit", TRASH, Moment::Handled),
    ("before a name is looked for", LOOK, Moment::Arrived),
    ("after a feed was read", FEED, Moment::Handled),
];

/// Where one life ends.
#[derive(Clone, Copy)]
pub enum Plan {
    /// This many milliseconds after it began.
    After(u64),
    /// As many, and the mount need not stand by then.
    Starting(u64),
    /// In the request of this kind after `skip` others.
    Served(usize, u64),
    /// After a call has returned to this hand.
    Returned(usize, Stop),
}

impl Plan {
    /// Any moment.
    pub fn random(rng: &mut Rng) -> Plan {
        if rng.one_in(8) { Plan::Starting(rng.below(120)) } else { Plan::After(rng.below(400)) }
    }

    /// The named points, in turn.
    pub fn named(round: u64, hands: usize, rng: &mut Rng) -> Plan {
        let kinds = SERVED.len() + Call::ALL.len();
        let kind = usize::try_from(round).unwrap() % kinds;
        match kind.checked_sub(SERVED.len()) {
            None => Plan::Served(kind, rng.below(3)),
            Some(call) => {
                let hand = usize::try_from(rng.below(hands as u64)).unwrap();
                let nth = 1 + u32::try_from(rng.below(4)).unwrap();
                Plan::Returned(hand, Stop { call: Call::ALL[call], nth })
            }
        }
    }

    pub fn told(&self) -> String {
        match self {
            Plan::After(ms) => format!("after {ms} ms"),
            Plan::Starting(ms) => format!("{ms} ms after its start"),
            Plan::Served(at, skip) => format!("{} (after {skip} others)", SERVED[*at].0),
            Plan::Returned(hand, stop) => format!("when {:?} returned to hand {hand}", stop.call),
        }
    }

    /// Arms what kills from the service's side. True, later, if it was reached.
    pub fn arm(&self, world: &World, killer: &Killer) -> Arc<AtomicBool> {
        let reached = Arc::new(AtomicBool::new(false));
        if let Plan::Served(at, skip) = self {
            let (_, (method, path), moment) = SERVED[*at];
            let (killer, there) = (killer.clone(), reached.clone());
            let probe = Probe::on(method, path, moment, move || {
                there.store(true, Ordering::SeqCst);
                killer.kill();
            });
            world.shared().knobs.add_probe(probe.skip(*skip));
        }
        reached
    }
}
