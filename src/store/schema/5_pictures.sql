-- Which object is known to be the small picture of which content of a file: when both change hands, or the file another
-- name, times do not tell.
CREATE TABLE pictures (
    ino     INTEGER PRIMARY KEY REFERENCES nodes(ino) ON DELETE CASCADE,
    object  TEXT NOT NULL,             -- the content's
    picture TEXT NOT NULL
) STRICT;
