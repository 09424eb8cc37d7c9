//! Which small picture is known to be of which content of a file.

use rusqlite::{Connection, OptionalExtension, params};

use super::int;
use crate::store::Error;
use crate::types::{Ino, Version};

/// Notes that an object is the picture of a file's content. It was seen to be younger than that, or made of it.
///
/// # Errors
/// The database's, here and below.
pub fn note_picture(conn: &Connection, ino: Ino, of: &Version, picture: &Version) -> Result<(), Error> {
    let sql = "INSERT INTO pictures (ino, object, picture) SELECT ?1, ?2, ?3 WHERE EXISTS \
               (SELECT 1 FROM nodes WHERE ino=?1) \
               ON CONFLICT (ino) DO UPDATE SET object=excluded.object, picture=excluded.picture";
    conn.prepare_cached(sql)?.execute(params![int(ino.0), of.object, picture.object])?;
    Ok(())
}

/// The object that is known to be the picture of a file's content.
pub fn picture_of(conn: &Connection, ino: Ino, of: &Version) -> Result<Option<String>, Error> {
    let sql = "SELECT picture FROM pictures WHERE ino=?1 AND object=?2";
    Ok(conn.prepare_cached(sql)?.query_row(params![int(ino.0), of.object], |r| r.get(0)).optional()?)
}
