//! What a file tells about itself, as extended attributes: `user.inxtfs.state` and others.
//!
//! They are not listed. Programs that copy attributes (`cp -a`, `rsync -X`) take what is listed along to other
//! filesystems, and remove at the target what the source does not have; both make no sense of these. No other attribute is
//! kept: the service has no place for them.

use std::sync::Arc;

use super::{Answer, Error, Fs, Result, files::Source};
use crate::store::nodes::{self, Node};
use crate::types::{Ino, Kind};

/// What they all begin with.
const PREFIX: &str = "user.inxtfs.";

/// Those that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    /// `clean`, `dirty`, `uploading` or `blocked`.
    State,
    /// The identity on the server.
    Uuid,
    /// Bytes of a file that are here.
    Cached,
    /// Why it is not sent.
    Error,
    /// `1` if it is pinned itself, `inherited` if a folder above it is. The only one that can be set: `1`, or `0`.
    Pin,
    /// The server's modification time, if another one is shown.
    Mtime,
    /// How many former contents the server keeps. A request.
    Versions,
}

impl Name {
    /// `None`: somebody else's.
    fn parse(name: &[u8]) -> Option<std::result::Result<Name, Error>> {
        let own = std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?;
        Some(Ok(match own {
            "state" => Name::State,
            "uuid" => Name::Uuid,
            "cached" => Name::Cached,
            "error" => Name::Error,
            "mtime" => Name::Mtime,
            "pin" => Name::Pin,
            "versions" => Name::Versions,
            _ => return Some(Err(Error::NoAttribute)),
        }))
    }
}

impl Fs {
    /// An attribute's value.
    pub(super) fn tree_getxattr(self: &Arc<Self>, ino: Ino, name: &[u8]) -> Answer<Vec<u8>> {
        // Most questions are for what is not kept here (access lists, capabilities): they cost nothing.
        let name = match Name::parse(name) {
            None => return Answer::Now(Err(Error::NotSupported)),
            Some(Err(e)) => return Answer::Now(Err(e)),
            Some(Ok(name)) => name,
        };
        let node = match self.node(self.inward(ino)) {
            Ok(node) => node,
            Err(e) => return Answer::Now(Err(e)),
        };
        if name == Name::Versions {
            return self.count_versions(node);
        }
        let value = self.told(&node, name).and_then(|v| v.ok_or(Error::NoAttribute));
        Answer::Now(value.map(String::into_bytes))
    }

    /// The names of a file's attributes, each with a zero behind it: none, see above.
    #[must_use]
    pub fn listxattr() -> Vec<u8> {
        Vec::new()
    }

    /// Sets an attribute.
    pub(super) fn tree_setxattr(self: &Arc<Self>, ino: Ino, name: &[u8], value: &[u8]) -> Answer<()> {
        match (Name::parse(name), value) {
            (Some(Ok(Name::Pin)), b"1") => self.blocking(move |fs| fs.pin(ino).map(|_| ())),
            (Some(Ok(Name::Pin)), b"0") => self.blocking(move |fs| fs.unpin(ino).map(|_| ())),
            (Some(Ok(Name::Pin)), _) => Answer::Now(Err(Error::Invalid("a pin is 1 or 0"))),
            _ => Answer::Now(Err(unchangeable(name))),
        }
    }

    /// Takes an attribute away.
    pub(super) fn tree_removexattr(self: &Arc<Self>, ino: Ino, name: &[u8]) -> Answer<()> {
        match Name::parse(name) {
            Some(Ok(Name::Pin)) => self.blocking(move |fs| match fs.unpin(ino)? {
                None => Ok(()),
                Some(_) => Err(Error::NoAttribute),
            }),
            _ => Answer::Now(Err(unchangeable(name))),
        }
    }

    fn pin_of(&self, ino: Ino) -> Result<Option<&'static str>> {
        let (own, above) =
            self.db().read(|c| Ok((nodes::has_pin(c, ino)?, nodes::pin_above(c, ino)?.is_some())))?;
        Ok(if own { Some("1") } else { above.then_some("inherited") })
    }

    fn told(self: &Arc<Self>, node: &Node, name: Name) -> Result<Option<String>> {
        Ok(match name {
            Name::State => Some(self.state_of(node)?.to_owned()),
            Name::Uuid => node.id().map(|id| id.as_str().to_owned()),
            Name::Cached => self.here(node)?.map(|bytes| bytes.to_string()),
            Name::Error => node.error.clone(),
            Name::Mtime => hidden_mtime(node),
            Name::Pin => self.pin_of(node.ino)?.map(str::to_owned),
            Name::Versions => None,
        })
    }

    fn state_of(&self, node: &Node) -> Result<&'static str> {
        if node.blocked.is_some() {
            return Ok("blocked");
        }
        if self.push.sent(node.ino).is_some() {
            return Ok("uploading");
        }
        let open = self.db().read(|c| nodes::intent(c, node.ino))?.is_some();
        let dirty = open || node.is_dirty() || self.files.is_unjournalled(node.ino);
        Ok(if dirty { "dirty" } else { "clean" })
    }

    /// Bytes of a file that can be read without a network.
    fn here(self: &Arc<Self>, node: &Node) -> Result<Option<u64>> {
        if node.kind == Kind::Folder {
            return Ok(None);
        }
        let file = self.files.acquire(node.ino, false);
        let (source, size) = match self.state(&file)?.as_ref() {
            Some(state) => (state.source.clone(), state.size),
            None => return Ok(None),
        };
        let content = match source {
            Source::Empty | Source::Unreadable => return Ok(Some(0)),
            Source::Staged(content) | Source::Version(_, Some(content)) => Some(content),
            Source::Version(version, None) => self.db().read(|c| self.blocks().find(c, &version))?,
        };
        let Some(content) = content else { return Ok(Some(0)) };
        let missing: u64 = self.misses(&content, 0..size)?.iter().map(|m| m.range.end - m.range.start).sum();
        Ok(Some(size.saturating_sub(missing)))
    }

    fn count_versions(self: &Arc<Self>, node: Node) -> Answer<Vec<u8>> {
        let Some(id) = node.id().filter(|_| node.kind == Kind::File).cloned() else {
            return Answer::Now(Err(Error::NoAttribute));
        };
        let fs = self.clone();
        Answer::later(async move {
            let kept = fs.health.note(fs.remote.versions(&id).await)?;
            Ok(kept.to_string().into_bytes())
        })
    }
}

/// The server's modification time, where a program has set another one since the upload.
fn hidden_mtime(node: &Node) -> Option<String> {
    let row = node.remote.as_ref().filter(|_| node.kind == Kind::File && !node.content_dirty())?;
    if node.mtime.to_millis_precision() == row.modified.to_millis_precision() {
        return None;
    }
    let shown = jiff::Timestamp::from_millisecond(row.modified.as_millis()).ok()?;
    Some(format!("{shown:.3}"))
}

fn unchangeable(name: &[u8]) -> Error {
    match Name::parse(name) {
        Some(Ok(_)) => Error::NotPermitted,
        _ => Error::NotSupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_unknown_or_somebody_elses() {
        assert!(matches!(Name::parse(b"user.inxtfs.state"), Some(Ok(Name::State))));
        assert!(matches!(Name::parse(b"user.inxtfs.colour"), Some(Err(Error::NoAttribute))));
        for other in [&b"user.inxtfs"[..], b"user.colour", b"system.posix_acl_access", b"user.\xff"] {
            assert!(Name::parse(other).is_none());
        }
    }
}
