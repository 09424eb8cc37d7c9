//! Where rows go in the tree: names that are taken or cannot be shown, folders that are not known yet.

use super::merge::Merge;
use crate::fs::change::is_moved;
use crate::fs::desk::INFO;
use crate::fs::invalidate::Note;
use crate::fs::now_ms;
use crate::names;
use crate::store::Result;
use crate::store::nodes::{self, Node};
use crate::types::{Ino, Kind, Row, Status, Timestamp};

/// Conflict copies of one name and day that are told apart.
const COPIES: u32 = 1000;

impl Merge<'_> {
    /// A row the mirror does not know gets a node.
    pub(super) fn add(&mut self, row: &Row, parent: Option<Ino>) -> Result<()> {
        if let Some(parent) = parent
            && self.merge_folders(row, parent)?
        {
            return Ok(());
        }
        let display = row.name.display();
        let (name, alias) = self.name_for(row, parent, &display, None)?;
        let mut node = Node::from_row(row.clone(), parent, name, alias, self.now);
        node.listed = row.kind == Kind::Folder && self.fs_knows_all()?;
        let node = nodes::insert(self.tx, &node)?;
        self.appeared(&node)?;
        if node.kind == Kind::Folder { self.gather(&node) } else { Ok(()) }
    }

    /// The same, in the folder the row names.
    pub(super) fn add_where_it_is(&mut self, row: &Row) -> Result<()> {
        let folder = row.parent.as_ref().map(|id| nodes::by_remote(self.tx, id)).transpose()?.flatten();
        self.add(row, folder.map(|f| f.ino))
    }

    /// A row gets a new node at a place where the user has moved its former one.
    pub(super) fn add_moved(&mut self, row: &Row, parent: Option<Ino>, name: String) -> Result<()> {
        let mut node = Node::from_row(row.clone(), parent, name, false, self.now);
        node.moved = is_moved(self.tx, &node)?;
        let node = nodes::insert(self.tx, &node)?;
        self.appeared(&node)?;
        self.outcome.push = true;
        Ok(())
    }

    /// A row is shown again while somebody still has its nameless file open: that one keeps what it shows, the row gets a
    /// new node.
    pub(super) fn reborn(&mut self, mut node: Node, row: &Row) -> Result<()> {
        self.unwatch(node.ino)?;
        self.leave_trash(node.ino)?;
        (node.remote, node.tomb, node.linked) = (None, true, false);
        nodes::save(self.tx, &node)?;
        self.outcome.doomed.push(node.ino);
        self.add_where_it_is(row)?;
        if row.status == Status::Trashed
            && let Some(again) = nodes::by_remote(self.tx, &row.id)?
        {
            // What differs is that it lives here: the push restores it.
            self.outcome.push = true;
            return self.place_row(again, row);
        }
        Ok(())
    }

    /// A node is not in the trash any more, and not by the hand of a file manager.
    pub(super) fn leave_trash(&mut self, ino: Ino) -> Result<()> {
        let Some(entry) = nodes::leave_trash(self.tx, ino)? else { return Ok(()) };
        let info = format!("{}{INFO}", entry.name);
        nodes::drop_note(self.tx, Ino::TRASH_INFO, &info)?;
        nodes::unshelve(self.tx, ino, now_ms())?;
        self.outcome.notes.push(Note::Entry(Ino::TRASH_FILES, entry.name));
        self.outcome.notes.push(Note::Entry(Ino::TRASH_INFO, info));
        self.outcome.push = true;
        Ok(())
    }

    /// A node whose row belongs to another goes. `false` if something of it is only here.
    pub(super) fn leave(&mut self, node: Node) -> Result<bool> {
        if node.kind == Kind::Folder || node.is_dirty() || nodes::intent(self.tx, node.ino)?.is_some() {
            return Ok(false);
        }
        if node.linked {
            self.vanished(&node);
        }
        self.unwatch(node.ino)?;
        self.outcome.doomed.push(node.ino);
        nodes::save(self.tx, &Node { remote: None, tomb: true, linked: false, ..node })?;
        Ok(true)
    }

    /// A folder of that name that is only here becomes the server's: folders merge.
    fn merge_folders(&mut self, row: &Row, parent: Ino) -> Result<bool> {
        if row.kind != Kind::Folder {
            return Ok(false);
        }
        let Some(mut ours) = nodes::child(self.tx, parent, &row.name.display())? else { return Ok(false) };
        if ours.kind != Kind::Folder || ours.remote.is_some() || ours.ino == Ino::RECOVERY {
            return Ok(false);
        }
        ours.remote = Some(row.clone());
        ours.listed = self.fs_knows_all()?;
        if !ours.listed {
            // What it holds there is not known yet: the kernel is to ask.
            self.outcome.notes.push(Note::Entry(parent, ours.name.clone()));
            self.outcome.notes.push(Note::Data(ours.ino));
        }
        ours.moved = is_moved(self.tx, &ours)?;
        nodes::save(self.tx, &ours)?;
        nodes::wake_children(self.tx, ours.ino)?;
        self.outcome.push = true;
        self.gather(&ours)?;
        Ok(true)
    }

    /// Children that were reported before their folder.
    pub(super) fn gather(&mut self, folder: &Node) -> Result<()> {
        let Some(id) = folder.id().cloned() else { return Ok(()) };
        for child in nodes::adopt_orphans(self.tx, &id)? {
            let Some(row) = child.remote.clone() else { continue };
            if row.status == Status::Exists {
                self.place_row(child, &row)?;
            } else {
                // In the trash it stays, and lies there from now on.
                let parent = self.hang(&child, Some(folder.ino))?;
                nodes::save(self.tx, &Node { parent, ..child })?;
            }
        }
        Ok(())
    }

    /// Puts a node where its row says it is, and saves it.
    pub(super) fn place_row(&mut self, mut node: Node, row: &Row) -> Result<()> {
        let mut parent = match row.parent.as_ref() {
            Some(id) => nodes::ino_of(self.tx, id)?,
            None => None,
        };
        if node.parent != parent {
            parent = self.hang(&node, parent)?;
        }
        let display = row.name.display();
        let unchanged = node.linked && node.parent == parent && (node.name == display || node.alias);
        if unchanged && !node.alias {
            node.moved = is_moved(self.tx, &node)?;
            return nodes::save(self.tx, &node);
        }
        if node.linked {
            self.vanished(&node);
        } else {
            self.leave_trash(node.ino)?;
        }
        let (name, alias) = self.name_for(row, parent, &display, Some(node.ino))?;
        (node.name, node.alias, node.parent, node.linked) = (name, alias, parent, true);
        node.moved = is_moved(self.tx, &node)?;
        nodes::save(self.tx, &node)?;
        self.appeared(&node)?;
        Ok(())
    }

    /// The name a row shows under: its own, or a stand-in where that cannot be shown or is taken. A name that a
    /// local, unsent node has is given up by that one.
    fn name_for(
        &mut self,
        row: &Row,
        parent: Option<Ino>,
        display: &str,
        own: Option<Ino>,
    ) -> Result<(String, bool)> {
        let stand_in = || (names::alias(display, row.id.as_str()), true);
        if !names::is_showable(display) || parent.is_some_and(|p| self.fs.is_hidden_by_trash(p, display)) {
            return Ok(stand_in());
        }
        let Some(parent) = parent else { return Ok((display.to_owned(), false)) };
        let taken = nodes::child(self.tx, parent, display)?.filter(|t| Some(t.ino) != own);
        match taken {
            None => Ok((display.to_owned(), false)),
            Some(ours) if ours.remote.is_none() || ours.moved => {
                self.step_beside(ours, parent)?;
                Ok((display.to_owned(), false))
            }
            Some(_) => Ok(stand_in()),
        }
    }

    /// Gives an unsent node a conflict name.
    pub(super) fn step_beside(&mut self, mut ours: Node, parent: Ino) -> Result<()> {
        if ours.ino == Ino::RECOVERY {
            return self.rename_recovery(ours);
        }
        tracing::warn!(name = %ours.name, "the name was taken by another client; ours steps aside");
        let name = self.take_conflict_name(Some(parent), &ours.name)?;
        self.vanished(&ours);
        (ours.name, ours.alias, ours.due) = (name, false, now_ms());
        ours.moved = is_moved(self.tx, &ours)?;
        nodes::save(self.tx, &ours)?;
        self.appeared(&ours)?;
        self.outcome.push = true;
        Ok(())
    }

    /// A free name for ours beside another's. Who asks gives it: it is told as a conflict copy.
    pub(super) fn take_conflict_name(&mut self, parent: Option<Ino>, name: &str) -> Result<String> {
        let date = date_of(self.now);
        let mut candidate = names::conflict(name, &self.fs.config.host, &date, 1);
        for n in 2..COPIES {
            let Some(parent) = parent else { break };
            if nodes::child(self.tx, parent, &candidate)?.is_none() {
                break;
            }
            candidate = names::conflict(name, &self.fs.config.host, &date, n);
        }
        self.outcome.conflicts.push(candidate.clone());
        Ok(candidate)
    }

    /// Takes a node's name away; it is still in its folder's column.
    pub(super) fn unname(&mut self, node: &mut Node) -> Result<()> {
        self.vanished(node);
        node.linked = false;
        nodes::save(self.tx, &Node { remote: None, tomb: true, ..node.clone() })
    }

    /// Names that became free go to rows that show under stand-ins because those were taken.
    pub(super) fn give_names_back(&mut self) -> Result<()> {
        for (parent, name) in std::mem::take(&mut self.freed) {
            let folder = nodes::get(self.tx, parent)?.and_then(|p| p.id().cloned());
            let Some(folder) = folder.filter(|_| names::is_showable(&name)) else { continue };
            if nodes::child(self.tx, parent, &name)?.is_some() {
                continue;
            }
            let waiting = nodes::holders(self.tx, &folder, &name)?;
            let Some(node) = waiting.into_iter().find(|n| n.alias && n.linked && n.parent == Some(parent))
            else {
                continue;
            };
            if let Some(row) = node.remote.clone() {
                self.place_row(node, &row)?;
            }
        }
        Ok(())
    }

    /// The kernel knows what is not there of folders that have been listed only.
    pub(super) fn appeared(&mut self, node: &Node) -> Result<()> {
        if let (Some(parent), true) = (node.parent, node.linked)
            && nodes::is_listed(self.tx, parent)?
        {
            self.outcome.notes.push(Note::Entry(parent, node.name.clone()));
        }
        Ok(())
    }

    pub(super) fn vanished(&mut self, node: &Node) {
        if let Some(parent) = node.parent {
            self.freed.push((parent, node.name.clone()));
            self.outcome.notes.push(Note::Entry(parent, node.name.clone()));
        }
    }

    fn fs_knows_all(&self) -> Result<bool> {
        Ok(nodes::meta(self.tx, "hydrated")?.is_some())
    }
}

/// The day, as people write it in file names.
fn date_of(now: Timestamp) -> String {
    let second = jiff::Timestamp::from_second(now.secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    second.strftime("%Y-%m-%d").to_string()
}
