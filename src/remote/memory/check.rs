//! Invariants: what must hold of the cloud whatever its clients did, and what a person would see of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Memory;
use super::state::{State, children};
use crate::remote::{Row, Status};
use crate::types::{Kind, NodeId, Version};

impl Memory {
    /// Looks for destroyed or endangered data: rows that refer to missing objects, rows that share (or ever
    /// shared) one, sizes that are not true. Every violation is a client's fault.
    ///
    /// # Errors
    /// What was found, one a line.
    pub fn check(&self) -> Result<(), String> {
        let state = self.state.lock();
        let mut found = state.violations.clone();
        found.extend(contents(&state));
        if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
    }

    /// Objects that no row has and nothing will ever remove: paid for by the user, seen by nobody.
    #[must_use]
    pub fn orphans(&self) -> Vec<Version> {
        let state = self.state.lock();
        let held: BTreeSet<&Version> = state
            .rows
            .values()
            .flat_map(|r| {
                let thumbnail = r.thumbnail.iter().map(|t| &t.version);
                r.row.content.iter().chain(r.kept.iter().map(|(v, _)| v)).chain(thumbnail)
            })
            .chain(&state.doomed)
            .collect();
        let mut orphans: Vec<Version> = state.objects.keys().filter(|v| !held.contains(v)).cloned().collect();
        orphans.sort();
        orphans
    }

    /// Every row a person can reach from the root, by path (`a/b.txt`), in order. Doubles are all there;
    /// what lies in a cycle or below something trashed is not.
    #[must_use]
    pub fn tree(&self) -> Vec<(String, Row)> {
        let state = self.state.lock();
        let mut found = Vec::new();
        let mut todo: Vec<(String, NodeId)> = vec![(String::new(), state.account.root.clone())];
        while let Some((path, id)) = todo.pop() {
            for row in children(&state.rows, &id) {
                let path = format!("{path}{}", row.name.display());
                if row.kind == Kind::Folder {
                    todo.push((format!("{path}/"), row.id.clone()));
                }
                found.push((path, row.clone()));
            }
        }
        found.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
        found
    }

    /// The reachable files and their bytes, by path. Of doubles the last; of lost objects none.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, bytes::Bytes> {
        let files = self.tree().into_iter().filter(|(_, row)| row.kind == Kind::File);
        files.filter_map(|(path, row)| Some((path, self.content(&row.id)?))).collect()
    }
}

fn contents(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    let mut holders: HashMap<&Version, &NodeId> = HashMap::new();
    for rec in state.rows.values().filter(|r| r.row.status != Status::Deleted) {
        let row = &rec.row;
        let current = row.content.iter().map(|v| (v, row.size));
        for (version, size) in current.chain(rec.kept.iter().map(|(v, size)| (v, *size))) {
            match state.objects.get(version) {
                None => found.push(format!("row {} refers to the missing object {}", row.id, version.object)),
                Some(o) if o.pristine.len() as u64 != size => {
                    found.push(format!(
                        "row {} says {size} bytes, its object has {}",
                        row.id,
                        o.pristine.len()
                    ));
                }
                Some(_) => {}
            }
            if let Some(other) = holders.insert(version, &row.id) {
                found.push(format!("rows {other} and {} share the object {}", row.id, version.object));
            }
        }
        if row.content.is_some() != (row.size > 0) {
            found.push(format!("row {} has {} bytes and content {:?}", row.id, row.size, row.content));
        }
    }
    found
}
