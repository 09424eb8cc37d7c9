//! Whether names are free on the server, asked for many at a time: a question costs the same requests however many
//! names it holds, and the queue tells which will be asked for next.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::fs::Fs;
use crate::remote::{self, Class};
use crate::store::nodes::{self, Node};
use crate::types::{NodeId, Row};

/// Names of one question.
const BATCH: usize = 100;
/// An answer counts for this many units, once.
const FRESH: u32 = 2;
/// Questions of different folders under way at the same time.
const LANES: usize = 8;

/// Answers that nobody has asked for yet.
#[derive(Default)]
pub(super) struct Names {
    /// One question a folder at a time: who comes meanwhile finds its name answered.
    lanes: [tokio::sync::Mutex<()>; LANES],
    answers: Mutex<HashMap<(NodeId, String), Answer>>,
}

/// Who had a name at an instant.
struct Answer {
    at: Instant,
    rows: Vec<Row>,
}

impl Names {
    fn lane(&self, folder: &NodeId) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let n = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        &self.lanes[n]
    }

    fn take(&self, folder: &NodeId, name: &str, fresh: Duration) -> Option<Vec<Row>> {
        let answer = self.answers.lock().remove(&(folder.clone(), name.to_owned()))?;
        (answer.at.elapsed() < fresh).then_some(answer.rows)
    }

    /// Keeps who has each of `names`; `rows` are all that have one of them.
    fn keep(&self, folder: &NodeId, names: Vec<String>, rows: &[Row], at: Instant, fresh: Duration) {
        let mut answers = self.answers.lock();
        answers.retain(|_, a| a.at.elapsed() < fresh);
        for name in names {
            let rows = rows.iter().filter(|r| r.name.display() == name).cloned().collect();
            answers.insert((folder.clone(), name), Answer { at, rows });
        }
    }
}

/// The living rows of either kind that have the name a node wants in `folder`, its own among them.
pub(super) async fn ask(fs: &Arc<Fs>, node: &Node, folder: &NodeId) -> remote::Result<Vec<Row>> {
    let names = &fs.push.names;
    if node.tries > 0 {
        // Refused before: only what is so now helps.
        return fs.remote.find(folder, &node.name).await;
    }
    let fresh = fs.config.pace * FRESH;
    let _lane = names.lane(folder).lock().await;
    if let Some(rows) = names.take(folder, &node.name, fresh) {
        return Ok(rows);
    }
    let others = next_wanted(fs, node);
    let asked: Vec<String> = std::iter::once(node.name.clone()).chain(others.iter().cloned()).collect();
    let at = Instant::now();
    match fs.remote.find_all(folder, &asked).await {
        Ok(mut rows) => {
            names.keep(folder, others, &rows, at, fresh);
            rows.retain(|r| r.name.display() == node.name);
            Ok(rows)
        }
        // One of the others may be what the server does not like.
        Err(e) if e.class() == Class::Permanent && asked.len() > 1 => {
            fs.remote.find(folder, &node.name).await
        }
        Err(e) => Err(e),
    }
}

/// Names that other nodes of the folder will ask for next.
fn next_wanted(fs: &Fs, node: &Node) -> Vec<String> {
    let Some(parent) = node.parent else { return Vec::new() };
    let mut names = fs.db().read(|c| nodes::wanted_names(c, parent, node.ino, BATCH)).unwrap_or_default();
    names.retain(|n| *n != node.name);
    names.truncate(BATCH - 1);
    names
}
