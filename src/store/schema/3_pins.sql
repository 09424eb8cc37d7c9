-- What the user wants to be here always: a file, or a folder with all below it.
CREATE TABLE pins (
    ino INTEGER PRIMARY KEY REFERENCES nodes(ino) ON DELETE CASCADE
) STRICT;
-- Whether a content is kept from eviction for that: 1, and 2 once all of it is here.
ALTER TABLE contents ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
CREATE INDEX contents_kept ON contents (id) WHERE kept > 0;
DROP INDEX contents_lru;
CREATE INDEX contents_lru ON contents (state, pinned, kept, last_used);
