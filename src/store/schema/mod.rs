//! The database's versions. `user_version` says which one a file has; each step is one transaction.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Error, Result};

/// Step `n` leads from version `n` to `n + 1`.
const STEPS: &[&[&str]] = &[
    &[include_str!("1_contents.sql"), include_str!("1_nodes.sql")],
    &[include_str!("2_brake.sql"), include_str!("2_echoes.sql"), include_str!("2_watches.sql")],
    &[include_str!("3_pins.sql"), include_str!("3_totals.sql")],
    &[include_str!("4_trash.sql")],
    &[include_str!("5_pictures.sql")],
    &[include_str!("6_indexes.sql")],
];

/// The newest version.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The file's version; an error if it is newer than known.
pub(super) fn version(conn: &Connection, path: &Path) -> Result<i64> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if found > known() {
        return Err(Error::TooNew { path: path.to_owned(), found, known: known() });
    }
    Ok(found)
}

/// Brings the file to the newest version.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<()> {
    let from = usize::try_from(version(conn, path)?).unwrap_or(0);
    for (n, step) in STEPS.iter().enumerate().skip(from) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for sql in *step {
            tx.execute_batch(sql)?;
        }
        tx.pragma_update(None, "user_version", i64::try_from(n + 1).unwrap_or(i64::MAX))?;
        tx.commit()?;
    }
    Ok(())
}
