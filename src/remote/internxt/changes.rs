//! Changing rows. Every request is sent once, unless its failure proves that nothing was done.

use super::Core;
use super::errors::{answer, of_change};
use super::rows;
use crate::api::drive::{self, FileEntry, NewContent};
use crate::names::RemoteName;
use crate::remote::session::Failure;
use crate::remote::{Class, Error, NewFile, Refusal, Replacement, Result, Row};
use crate::types::{Kind, NodeId, Timestamp};

impl Core {
    pub(super) async fn create(&self, file: &NewFile) -> Result<Row> {
        if file.content.is_some() != (file.size > 0) {
            return Err(Error::Protocol("a file has content exactly if it has bytes".to_owned()));
        }
        let credentials = self.session.credentials();
        let entry = FileEntry {
            folder: file.parent.as_str(),
            plain_name: &file.name.stem,
            ext: file.name.ext.as_deref(),
            bucket: file.content.as_ref().map_or(credentials.bucket.as_str(), |v| &v.bucket),
            object: file.content.as_ref().map(|v| v.object.as_str()),
            size: file.size,
            modified: file.modified.as_millis(),
            created: file.created.as_millis(),
        };
        let outcome = self.session.drive(&drive::create_file(&entry)).await.map(rows::file);
        let outcome = outcome.map_err(|failure| refused_content(failure, file.size));
        self.note_registered(entry.object, &outcome);
        outcome
    }

    pub(super) async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row> {
        let held = with.base().map(|v| v.object.as_str());
        let object = with.content().map(|v| v.object.as_str());
        let content = NewContent::new(held, object, with.size(), with.modified().as_millis())
            .map_err(|e| Error::Protocol(e.to_string()))?;
        // The base may be stale: what may be in a row already is never offered again.
        if object.is_some_and(|o| self.may_be_registered(o)) {
            return Err(Error::Protocol(
                "this object may be in a row already; upload the content anew".to_owned(),
            ));
        }
        let outcome = self.session.drive(&drive::replace_file(id.as_str(), &content)).await.map(rows::file);
        let outcome = outcome.map_err(|failure| match answer(&failure) {
            (400, message, _) if message.contains("can not be replaced") => Error::NotFound,
            _ => refused_content(failure, with.size()),
        });
        self.note_registered(object, &outcome);
        outcome
    }

    /// Remembers an object that is, or may be, in a row now.
    fn note_registered(&self, object: Option<&str>, outcome: &Result<Row>) {
        let maybe = match outcome {
            Ok(_) => true,
            Err(e) => e.class() == Class::Ambiguous,
        };
        if let Some(object) = object.filter(|_| maybe) {
            self.registered.lock().put(object.to_owned(), ());
        }
    }

    pub(super) fn may_be_registered(&self, object: &str) -> bool {
        self.registered.lock().contains(object)
    }

    pub(super) async fn mkdir(
        &self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row> {
        let request = drive::create_folder(parent.as_str(), name, modified.as_millis(), created.as_millis());
        let outcome = self.session.drive(&request).await.map(rows::folder);
        outcome.map_err(|failure| match answer(&failure) {
            (400, ..) => Error::Refused(Refusal::Name),
            _ => of_change(failure),
        })
    }

    pub(super) async fn relocate(
        &self,
        kind: Kind,
        id: &NodeId,
        parent: &NodeId,
        name: &RemoteName,
    ) -> Result<Row> {
        let (uuid, to) = (id.as_str(), parent.as_str());
        let outcome = match kind {
            Kind::File => {
                let request = drive::patch_file(uuid, to, &name.stem, name.ext.as_deref());
                self.session.drive(&request).await.map(rows::file)
            }
            Kind::Folder => {
                let request = drive::patch_folder(uuid, to, &name.display());
                self.session.drive(&request).await.map(rows::folder)
            }
        };
        let failure = match outcome {
            Ok(row) => return Ok(row),
            Err(failure) => failure,
        };
        match answer(&failure) {
            (409, message, _) if message.contains("already moved") => self.stat(kind, id).await,
            (422, ..) => Err(Error::NotFound),
            (400, ..) => Err(Error::Refused(Refusal::Name)),
            _ => Err(of_change(failure)),
        }
    }

    pub(super) async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()> {
        for batch in items.chunks(drive::TRASH_BATCH) {
            let request = drive::trash(batch.iter().map(|(kind, id)| (*kind, id.as_str())));
            self.session.drive(&request).await.map_err(of_change)?;
        }
        Ok(())
    }

    pub(super) async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()> {
        let request = match kind {
            Kind::File => drive::delete_file(id.as_str()),
            Kind::Folder => drive::delete_folder(id.as_str()),
        };
        match self.session.drive(&request).await {
            Ok(()) => Ok(()),
            Err(failure) => match answer(&failure) {
                (404, ..) => Ok(()),
                // The root.
                (406, ..) => Err(Error::Refused(Refusal::Forbidden)),
                _ => Err(of_change(failure)),
            },
        }
    }
}

/// Refusals of a file for its size or lack of it.
fn refused_content(failure: Failure, size: u64) -> Error {
    match answer(&failure) {
        (402, ..) if size == 0 => Error::Refused(Refusal::EmptyFile),
        (400, message, _) if size == 0 && message.contains("empty files") => {
            Error::Refused(Refusal::EmptyFile)
        }
        (402, _, code) if code != "FEATURE_NOT_AVAILABLE" => Error::Refused(Refusal::TooLarge),
        _ => of_change(failure),
    }
}
