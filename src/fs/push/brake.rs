//! The brake on mass deletes.
//!
//! A slip (`rm -rf` in the wrong terminal, a tool that takes an empty folder for the truth) reaches every machine of
//! the account within seconds. So when the user has deleted a large number and a large share of the drive within a
//! short time, no delete is sent any more until a person says which way it goes: [`Fs::resume_deletes`] or
//! [`Fs::restore_pending`]. The count and the hold are in the mirror, so a restart forgets neither.
//!
//! Only names that the user removed here and that the server has count: not what was only ever local, not what
//! renames replaced, not what other clients deleted. All that lay in a removed folder was removed by name before.

use std::sync::Arc;

use crate::fs::{Brake, Fs, Result, now_ms, pull};
use crate::store::nodes::{self, Node};
use crate::store::{self, Conn, Tx};
use crate::types::{Ino, Kind, Row};

/// Where the mirror keeps the hold.
const KEY: &str = "brake";
/// The echo of a delete that was sent, or may have been.
pub(in crate::fs) const SENT: &str = "trashed";
/// Deletes taken back in one transaction: a few milliseconds.
const CHUNK: usize = 64;
/// Folders that are climbed from a delete.
const DEPTH: usize = 10_000;

/// What tripped the brake, while deletes wait for that. `None`: deletes are sent.
pub(in crate::fs) fn hold(c: &Conn) -> store::Result<Option<Brake>> {
    let Some(text) = nodes::meta(c, KEY)? else { return Ok(None) };
    let (held, _) = nodes::count_tombs(c)?;
    let mut numbers = text.split(' ').map(|n| n.parse::<u64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let since = i64::try_from(next()).unwrap_or(0);
    Ok((held > 0).then(|| Brake { since, removed: next(), of: next(), held }))
}

/// Whether deletes are held back since an earlier moment.
pub(in crate::fs) fn holds_any(c: &Conn) -> store::Result<bool> {
    Ok(nodes::meta(c, KEY)?.is_some())
}

/// Whether no delete may be sent: since an earlier moment, or as of this one.
pub(super) fn holds(fs: &Fs) -> Result<bool> {
    let now = now_ms();
    let (held, verdict) = fs.db().read(|c| {
        let held = holds_any(c)?;
        Ok((held, if held { None } else { judge(fs, c, now)? }))
    })?;
    if held {
        return Ok(true);
    }
    if verdict.is_none() {
        return Ok(false);
    }
    // Looked at again where nobody decides meanwhile.
    let verdict = fs.db().write(|tx| {
        let verdict = judge(fs, tx, now)?;
        if let Some((removed, of)) = verdict {
            nodes::set_meta(tx, KEY, &format!("{} {removed} {of}", now / 1000))?;
        }
        Ok(verdict)
    })?;
    let Some((removed, of)) = verdict else { return Ok(false) };
    tracing::warn!(
        "{removed} of {of} files and folders were deleted within a short time: no delete is sent until \
         `inxtfs resume` sends them or `inxtfs restore --pending` takes them back"
    );
    Ok(true)
}

/// How many of how many were deleted, if that is too much.
fn judge(fs: &Fs, c: &Conn, now: i64) -> store::Result<Option<(u64, u64)>> {
    let config = &fs.config;
    if config.brake_count == 0 {
        return Ok(None);
    }
    let removed = nodes::removals_since(c, now - window(fs))?;
    if removed <= config.brake_count {
        return Ok(None);
    }
    let of = removed + nodes::count_shown(c)?;
    let share = u128::from(removed) * 100;
    Ok((share > u128::from(config.brake_percent) * u128::from(of)).then_some((removed, of)))
}

fn window(fs: &Fs) -> i64 {
    i64::try_from(fs.config.brake_window.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Counts a name that the user removes.
pub(in crate::fs) fn count(fs: &Fs, tx: &Tx, node: &Node) -> store::Result<()> {
    count_all(fs, tx, node, u64::from(node.remote.is_some()))
}

/// Counts so many names that go with a node.
pub(in crate::fs) fn count_all(fs: &Fs, tx: &Tx, node: &Node, names: u64) -> store::Result<()> {
    if names == 0 {
        return Ok(());
    }
    nodes::forget_echo(tx, node.ino, SENT)?;
    if nodes::meta(tx, KEY)?.is_some() && !nodes::any_tomb(tx)? {
        // Others have deleted what was held back, or taken it back by an edit.
        let_go(tx)?;
    }
    if fs.config.brake_count == 0 {
        return Ok(());
    }
    let now = now_ms();
    nodes::forget_removals(tx, now - window(fs))?;
    nodes::note_removals(tx, now, names)
}

/// Deletes are about to be sent: from here on they may have arrived.
pub(super) fn leaving(fs: &Fs, batch: &[Node]) -> Result<()> {
    let now = now_ms();
    fs.db().write(|tx| batch.iter().try_for_each(|n| nodes::note_echo(tx, n.ino, SENT, now)))?;
    Ok(())
}

/// A delete was certainly not done.
pub(super) fn not_sent(tx: &Tx, ino: Ino) -> store::Result<()> {
    nodes::forget_echo(tx, ino, SENT)
}

/// Whether a delete was sent, or that of a folder it lies in.
pub(in crate::fs) fn on_its_way(c: &Conn, node: &Node) -> store::Result<bool> {
    let mut at = node.clone();
    for _ in 0..DEPTH {
        if nodes::echoed(c, at.ino, SENT, i64::MIN)? {
            return Ok(true);
        }
        let Some(folder) = at.remote.as_ref().and_then(|r| r.parent.clone()) else { return Ok(false) };
        match nodes::by_remote(c, &folder)?.filter(|f| f.tomb) {
            Some(above) => at = above,
            None => return Ok(false),
        }
    }
    Ok(false)
}

fn let_go(tx: &Tx) -> store::Result<()> {
    nodes::forget_removals(tx, i64::MAX)?;
    nodes::unset_meta(tx, KEY)
}

impl Fs {
    /// Sends the deletes that were held back; their number. Those made from now on count anew.
    ///
    /// # Errors
    /// [`Error::ReadOnly`](super::super::Error::ReadOnly), and those of the local state.
    pub fn resume_deletes(&self) -> Result<u64> {
        self.check_writable()?;
        let held = self.db().write(|tx| {
            let held = hold(tx)?.map_or(0, |brake| brake.held);
            let_go(tx)?;
            Ok(held)
        })?;
        if held > 0 {
            tracing::info!("{held} deletes that were held back are sent");
        }
        self.push.wake();
        Ok(held)
    }

    /// Takes back every delete that was not sent, held back or not: how many reappeared, and how many had been sent
    /// before. What has the name of one by now steps aside, as in any merge.
    ///
    /// # Errors
    /// [`Error::ReadOnly`](super::super::Error::ReadOnly), and those of the local state; what came back until then
    /// stays, and the rest stays held back.
    pub async fn restore_pending(self: &Arc<Self>) -> Result<(u64, u64)> {
        self.check_writable()?;
        // Nothing is sent meanwhile.
        let _turn = self.push.trashing.lock().await;
        let fs = self.clone();
        let restored = self.rt.spawn_blocking(move || {
            let (folders, files) = (fs.bring_back(Kind::Folder)?, fs.bring_back(Kind::File)?);
            fs.db().write(let_go)?;
            Result::Ok((folders.0 + files.0, folders.1 + files.1))
        });
        let (back, sent) = restored.await.map_err(|e| crate::fs::Error::Io(e.to_string()))??;
        tracing::info!("{back} deletes were taken back, {sent} had been sent already");
        self.push.wake();
        Ok((back, sent))
    }

    /// Takes back the deletes of a kind: how many were, and how many are on their way.
    fn bring_back(self: &Arc<Self>, kind: Kind) -> Result<(u64, u64)> {
        let (mut back, mut sent, mut after) = (0, 0, Ino(0));
        loop {
            let page = self.db().read(|c| {
                let mut page = Vec::new();
                for node in nodes::tombs(c, kind, after, CHUNK)? {
                    let was_sent = on_its_way(c, &node)?;
                    page.push((node, was_sent));
                }
                Ok(page)
            })?;
            let Some((last, _)) = page.last() else { return Ok((back, sent)) };
            after = last.ino;
            // What waits for another node was not deleted by name: its content went on under that one's.
            let named: Vec<_> = page.into_iter().filter(|(n, _)| n.waits_for.is_none()).collect();
            sent += named.iter().filter(|(_, was_sent)| *was_sent).count() as u64;
            let rows: Vec<Row> =
                named.into_iter().filter(|(_, was_sent)| !was_sent).filter_map(|(n, _)| n.remote).collect();
            back += rows.len() as u64;
            pull::revive(self, rows)?;
        }
    }
}
