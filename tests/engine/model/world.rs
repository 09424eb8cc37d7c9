//! The cloud of a life: its weather, its second client, and what is found in it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inxtfs::remote::fault::{Action, Random};
use inxtfs::remote::memory::{Memory, MemoryRemote};
use inxtfs::remote::{Method, Remote};
use inxtfs::types::{Kind, NodeId, Row, Status};
use tokio::runtime::Runtime;

use super::super::harness::Engine;
use super::Dice;

/// Reachable rows and the files' bytes, by path.
pub type Tree = Vec<(String, Row)>;

pub trait World {
    /// Another client of the account, over a line that is always good.
    fn second(&self) -> Arc<dyn Remote>;
    /// Where the other client's calls run, if not on the drive's own runtime.
    fn runtime(&self) -> Option<&Runtime> {
        None
    }
    /// Bad weather for the drive, until [`World::fair`].
    fn rough(&self, e: &Engine, dice: &mut Dice);
    /// As good as it gets. Not a word about the offline switch.
    fn fair(&self, e: &Engine);
    /// Called every few milliseconds while the weather is bad.
    fn tick(&self) {}
    /// The server's clock goes on.
    fn advance(&self, _by: Duration) {}
    /// What the service does late happens now.
    fn settle(&self);
    /// Data that a client destroyed or put at risk.
    fn harm(&self) -> Vec<String>;
    /// Before a start after an end: what the end took with it.
    fn reconnect(&self, _e: &mut Engine) {}
    /// What a person sees there, in order; doubles are all there.
    fn tree(&self, e: &Engine) -> Tree;
    /// A living or trashed file's bytes.
    fn content(&self, e: &Engine, row: &Row) -> Option<Bytes>;
    /// Every row, whatever its state.
    fn rows(&self, e: &Engine) -> Vec<Row>;
    /// For a person who asks why: what was asked at last, where that is known, and what is there.
    fn story(&self, e: &Engine) -> String;
}

/// Rows, one a line.
pub fn table(rows: &[Row]) -> String {
    let line = |r: &Row| {
        let parent = r.parent.as_ref().map_or("-", |p| p.as_str());
        let (kind, name, status, at) = (r.kind, r.name.display(), r.status, r.updated.to_millis_precision());
        format!("{:?} {} in {parent}: {name:?} {status:?}, {at:?}, {:?}\n", kind, r.id.as_str(), r.content)
    };
    rows.iter().map(line).collect()
}

/// The cloud in memory.
pub struct Mem {
    pub cloud: Memory,
    pub lagging: bool,
}

impl World for Mem {
    fn second(&self) -> Arc<dyn Remote> {
        let second: Arc<MemoryRemote> = self.cloud.client("b");
        second
    }

    fn rough(&self, e: &Engine, dice: &mut Dice) {
        if self.lagging {
            self.cloud.set_lag(1 + dice.below(3));
            // What others did before is out in the replicas.
            self.cloud.catch_up();
        }
        let mut weather = Random::weather([50, 100, 200][dice.below(3)]);
        weather.actions.push(Action::Delay(Duration::from_millis(2)));
        e.fault.random(Some(weather));
        if dice.one_in(4) {
            let method = dice.of(&Method::ALL).unwrap();
            e.fault.script(method, 1 + dice.below(3) as u64, Action::SessionLost);
        }
    }

    fn fair(&self, e: &Engine) {
        e.fault.random(None);
        self.cloud.set_lag(0);
    }

    fn tick(&self) {
        // Replicas lag by a few changes or by a few milliseconds, whichever is less.
        self.cloud.catch_up();
    }

    fn advance(&self, by: Duration) {
        self.cloud.advance(by);
    }

    fn settle(&self) {
        self.cloud.settle();
    }

    fn harm(&self) -> Vec<String> {
        self.cloud.check().err().into_iter().collect()
    }

    fn tree(&self, _: &Engine) -> Tree {
        self.cloud.tree()
    }

    fn content(&self, _: &Engine, row: &Row) -> Option<Bytes> {
        self.cloud.content(&row.id)
    }

    fn rows(&self, _: &Engine) -> Vec<Row> {
        self.cloud.rows()
    }

    fn story(&self, _: &Engine) -> String {
        table(&self.cloud.rows())
    }
}

/// All files that are not deleted for good, the trash and what is below it included.
pub fn files(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|r| r.kind == Kind::File && r.status != Status::Deleted)
}

/// A row and everything below it, whatever its state.
pub fn rows_below<'r>(rows: &'r [Row], top: &NodeId) -> Vec<&'r Row> {
    let mut found: Vec<_> = rows.iter().filter(|r| r.id == *top).collect();
    let mut next = 0;
    while let Some(at) = found.get(next).map(|r| r.id.clone()) {
        let below =
            rows.iter().filter(|r| r.parent.as_ref() == Some(&at) && !found.iter().any(|f| f.id == r.id));
        let below: Vec<_> = below.collect();
        found.extend(below);
        next += 1;
    }
    found
}

/// Whether a row is `id` or lies below it.
pub fn lies_below(tree: &Tree, id: &NodeId, folder: &NodeId) -> bool {
    let mut at = Some(folder.clone());
    for _ in 0..tree.len() + 2 {
        match at {
            Some(here) if here == *id => return true,
            Some(here) => at = tree.iter().find(|(_, r)| r.id == here).and_then(|(_, r)| r.parent.clone()),
            None => return false,
        }
    }
    false
}
