-- Replaces of ours that are not known to have lasted: another client's may have raced them.
CREATE TABLE watches (
    ino     INTEGER PRIMARY KEY REFERENCES nodes(ino) ON DELETE CASCADE,
    bucket  TEXT    NOT NULL, object TEXT NOT NULL, -- what was sent
    content INTEGER,                                -- its bytes here: pinned, or still staged
    size    INTEGER NOT NULL,
    mtime_s INTEGER NOT NULL, mtime_n INTEGER NOT NULL,
    at      INTEGER NOT NULL,                       -- milliseconds: when it was confirmed
    due     INTEGER NOT NULL,                       -- milliseconds: when the row is read again
    seen    INTEGER NOT NULL                        -- 1: the row showed it some time after that
) STRICT;

-- Where folders were that we moved: to take the move back if it closed a ring.
CREATE TABLE departures (
    ino    INTEGER PRIMARY KEY REFERENCES nodes(ino) ON DELETE CASCADE,
    parent TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    at     INTEGER NOT NULL -- milliseconds
) STRICT;
