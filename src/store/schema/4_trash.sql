-- What a file manager has put into the trash, under the names it has there: nodes that no folder lists.
CREATE TABLE trash (
    ino    INTEGER PRIMARY KEY REFERENCES nodes(ino) ON DELETE CASCADE,
    name   TEXT    NOT NULL UNIQUE,
    newest INTEGER NOT NULL            -- nodes below it with a higher number came later, and are not meant
) STRICT;

-- The small files that programs keep beside it. They are never sent.
CREATE TABLE trash_notes (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    folder  INTEGER NOT NULL,          -- ino
    name    TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    mtime_s INTEGER NOT NULL, mtime_n INTEGER NOT NULL,
    UNIQUE (folder, name)
) STRICT;

-- What was removed from the trash: to be deleted for good.
CREATE TABLE purges (
    r_id   TEXT    PRIMARY KEY,
    kind   INTEGER NOT NULL,
    newest INTEGER NOT NULL,           -- as in `trash`
    due    INTEGER NOT NULL,           -- milliseconds
    tries  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- 1: lies in the trash with a folder, and differs from the server; nothing of it is sent until it comes out.
ALTER TABLE nodes ADD COLUMN shelved INTEGER NOT NULL DEFAULT 0;
