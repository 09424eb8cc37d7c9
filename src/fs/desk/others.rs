//! What lies in the service's trash and was not put there here: other clients' deletes, and `rm`. It is looked for when
//! somebody looks into the trash.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::INFO;
use crate::fs::invalidate::Note;
use crate::fs::{Fs, Result, SessionState};
use crate::names;
use crate::store::nodes::{self, Entry, Node};
use crate::store::{self, Tx};
use crate::types::{Ino, Row, Timestamp};

/// Who looks into the trash waits so long for what others have in it; what comes later is shown the next time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rows of one transaction.
const CHUNK: usize = 64;

impl Fs {
    /// Whether it is time to ask the service what is in its trash; it counts as asked then.
    pub(in crate::fs) fn is_trash_due(&self) -> bool {
        if !matches!(self.health.state(), SessionState::Online) {
            return false;
        }
        let mut asked = self.desk.asked.lock();
        let due = asked.is_none_or(|at| at.elapsed() >= self.config.poll_interval);
        if due {
            *asked = Some(Instant::now());
        }
        due
    }

    /// Shows what the service has in its trash.
    pub(in crate::fs) async fn see_trash(self: &Arc<Self>) {
        let fs = self.clone();
        let looked = self.rt.spawn(async move {
            let rows = fs.health.note(fs.remote.trashed().await)?;
            fs.blocking(move |fs| fs.show_trashed(&rows)).get().await
        });
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(Ok(Err(e))) => tracing::debug!(error = %e, "the service's trash cannot be looked into"),
            Ok(Err(e)) => tracing::debug!(error = %e, "looking into the service's trash failed"),
            Ok(Ok(Ok(()))) | Err(_) => {}
        }
    }

    fn show_trashed(&self, rows: &[Row]) -> Result<()> {
        for chunk in rows.chunks(CHUNK) {
            let notes = self.db().write(|tx| {
                let mut notes = Vec::new();
                for row in chunk {
                    notes.extend(self.show_one(tx, row)?);
                }
                Ok(notes)
            })?;
            let names = notes.into_iter().flat_map(|name| {
                let info = Note::Entry(Ino::TRASH_INFO, format!("{name}{INFO}"));
                [Note::Entry(Ino::TRASH_FILES, name), info]
            });
            self.invalidate.tell(names.collect(), |ino| self.outward(ino));
        }
        Ok(())
    }

    /// Gives a row an entry, if it has none and is not about to go; its name.
    fn show_one(&self, tx: &Tx, row: &Row) -> store::Result<Option<String>> {
        if nodes::has_purge(tx, &row.id)? {
            return Ok(None);
        }
        let node = match nodes::by_remote(tx, &row.id)? {
            // Being deleted, or restored: what is known of it here is newer.
            Some(node) if node.linked || node.tomb || node.ino == Ino::ROOT => return Ok(None),
            Some(node) if nodes::in_trash(tx, node.ino)? => return Ok(None),
            Some(node) => node,
            None => self.heard_of(tx, row)?,
        };
        let display = row.name.display();
        let free = names::is_showable(&display) && nodes::entry_named(tx, &display)?.is_none();
        let name = if free { display } else { names::alias(&display, row.id.as_str()) };
        if nodes::entry_named(tx, &name)?.is_some() {
            return Ok(None);
        }
        self.tell_where(tx, &node, &name, row.updated)?;
        nodes::put_in_trash(tx, &Entry { ino: node.ino, name: name.clone(), newest: Ino::ANY })?;
        Ok(Some(name))
    }

    /// A node for what was trashed before anybody here heard of it.
    fn heard_of(&self, tx: &Tx, row: &Row) -> store::Result<Node> {
        let parent = row.parent.as_ref().map(|id| nodes::ino_of(tx, id)).transpose()?.flatten();
        let display = row.name.display();
        let alias = !names::is_showable(&display);
        let name = if alias { names::alias(&display, row.id.as_str()) } else { display };
        let node = Node::from_row(row.clone(), parent, name, alias, Timestamp::now());
        nodes::insert(tx, &node)
    }
}
