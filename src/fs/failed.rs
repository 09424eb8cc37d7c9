//! What cannot be sent and waits for a person: why, what would help, and the list of it.
//!
//! Nothing here deletes anything. A blocked node is read, written and renamed like any other; a change of it
//! unblocks it. What a person decides otherwise is [`Fs::retry`], [`Fs::discard`] and [`Fs::export`].

use serde::{Deserialize, Serialize};

use super::drain::what_of;
use super::push::confirm::is_same;
use super::{Error, Fs, Result, now_ms};
use crate::remote::{self, Refusal};
use crate::store::nodes::{self, Blocked, News, Node};
use crate::store::{self, Tx};
use crate::types::Ino;

/// Something that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedItem {
    /// Its inode number: how commands name it.
    pub id: u64,
    /// Where it is, from the drive's root.
    pub path: String,
    /// What was to be done: `upload`, `create`, `mkdir`, `move`, `delete`.
    pub what: String,
    /// Bytes of its content that are kept here.
    pub size: u64,
    /// The reason in one word, for scripts.
    pub reason: String,
    /// The reason, for people.
    pub why: String,
    /// What would help.
    pub remedy: String,
}

/// The reason in one word.
pub(super) fn word(of: Blocked) -> &'static str {
    match of {
        Blocked::Refused => "refused",
        Blocked::Quota => "quota",
        Blocked::TooLarge => "too-large",
        Blocked::EmptyFile => "empty-file",
        Blocked::Name => "name",
        Blocked::Forbidden => "forbidden",
        Blocked::Damaged => "damaged",
        Blocked::BaseLost => "base-lost",
    }
}

/// What would help, and whether it then goes by itself.
pub(super) fn remedy(of: Blocked) -> &'static str {
    match of {
        Blocked::Quota => "free space or upgrade the plan; it then goes by itself",
        Blocked::TooLarge => "upgrade the plan, or make the file smaller; it then goes by itself",
        Blocked::EmptyFile => "write something into it, or upgrade the plan; it then goes by itself",
        Blocked::Name => "give it another name",
        Blocked::Forbidden => {
            "see who may change it there, then `inxtfs failed retry`, or `inxtfs failed discard` to take the change back"
        }
        Blocked::Damaged => {
            "`inxtfs failed export` saves what can still be read; then write the file anew, or `inxtfs failed discard`"
        }
        Blocked::BaseLost => {
            "`inxtfs failed export` saves what was written here; then write the file anew as a whole, or \
             `inxtfs failed discard`"
        }
        Blocked::Refused => "it is tried again every hour; `inxtfs failed retry` does so now",
    }
}

/// The reason a failure of a request is, if it is permanent.
pub(super) fn reason_of(e: &remote::Error) -> Blocked {
    match e {
        remote::Error::Refused(Refusal::Quota) => Blocked::Quota,
        remote::Error::Refused(Refusal::TooLarge) => Blocked::TooLarge,
        remote::Error::Refused(Refusal::EmptyFile) => Blocked::EmptyFile,
        remote::Error::Refused(Refusal::Name) => Blocked::Name,
        remote::Error::Refused(Refusal::Forbidden) => Blocked::Forbidden,
        _ => Blocked::Refused,
    }
}

/// Blocks a node. `true` if that is news: to be told with [`Fs::tell_blocked`] after the transaction.
pub(super) fn block(tx: &Tx, mut node: Node, reason: Blocked, why: &str) -> store::Result<bool> {
    let news = node.error.as_deref() != Some(why);
    node.tries = node.tries.saturating_add(1);
    (node.blocked, node.due, node.error) = (Some(reason), now_ms(), Some(why.to_owned()));
    nodes::save(tx, &node)?;
    Ok(news)
}

impl Fs {
    /// Blocks the node a request was made for, unless it is another by now: what was refused is not what it is
    /// about any more.
    pub(super) fn block_sent(&self, sent: &Node, reason: Blocked, why: &str) -> Result<()> {
        let news = self.db().write(|tx| match nodes::get(tx, sent.ino)?.filter(|n| is_same(n, sent)) {
            Some(node) => block(tx, node, reason, why),
            None => Ok(false),
        })?;
        if news {
            self.tell_blocked(sent, reason, why);
        }
        Ok(())
    }

    /// One line in the log, for those who look there.
    pub(super) fn tell_blocked(&self, node: &Node, reason: Blocked, why: &str) {
        let path = self.db().read(|c| nodes::path_of(c, node.ino)).ok().flatten();
        let path = path.unwrap_or_else(|| node.name.clone());
        tracing::error!(
            id = node.ino.0, %path, why, remedy = remedy(reason),
            "blocked: kept here, and not sent until the reason is gone"
        );
    }

    /// What is blocked, in the order of numbers: up to `limit` items whose number is above `after`.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn failed(&self, after: u64, limit: usize) -> Result<Vec<FailedItem>> {
        let items = self.db().read(|c| {
            let mut items = Vec::new();
            for node in nodes::blocked_after(c, Ino(after), limit)? {
                let path = nodes::path_of(c, node.ino)?;
                items.extend(item_of(&node, path));
            }
            Ok(items)
        })?;
        Ok(items)
    }

    /// Tries blocked items again, all of them or one, whatever their reason. Returns how many.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the one is not blocked; those of the local state.
    pub fn retry(&self, only: Option<Ino>) -> Result<u64> {
        let freed = self.db().write(|tx| nodes::unblock(tx, only, |_| true))?;
        if freed == 0 && only.is_some() {
            return Err(Error::NotFound);
        }
        self.push.wake();
        Ok(freed)
    }

    /// Everything that was blocked and that no more than a try could show to be possible is tried again.
    ///
    /// # Errors
    /// Those of the local state.
    pub fn retry_blocked(&self) -> Result<()> {
        self.retry_after(News::Asked)
    }

    /// Tries again what `news` may have made possible.
    pub(super) fn retry_after(&self, news: News) -> Result<()> {
        if self.db().read(nodes::recount)?.blocked > 0 {
            self.db().write(|tx| nodes::unblock(tx, None, |b| b.may_pass(news)))?;
            self.push.wake();
        }
        Ok(())
    }
}

fn item_of(node: &Node, path: Option<String>) -> Option<FailedItem> {
    let reason = node.blocked?;
    Some(FailedItem {
        id: node.ino.0,
        path: path.unwrap_or_else(|| node.name.clone()),
        what: what_of(node).to_owned(),
        size: if node.tomb || node.content.is_none() { 0 } else { node.size },
        reason: word(reason).to_owned(),
        why: node.error.clone().unwrap_or_else(|| "refused".to_owned()),
        remedy: remedy(reason).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own_and_a_remedy() {
        let mut words: Vec<_> = Blocked::ALL.into_iter().map(word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Blocked::ALL.len());
        assert!(Blocked::ALL.into_iter().all(|b| !remedy(b).is_empty()));
    }

    #[test]
    fn refusals_keep_their_reason() {
        use remote::Error as E;
        assert_eq!(reason_of(&E::Refused(Refusal::Quota)), Blocked::Quota);
        assert_eq!(reason_of(&E::Refused(Refusal::Name)), Blocked::Name);
        assert_eq!(reason_of(&E::Protocol("odd".to_owned())), Blocked::Refused);
    }
}
