-- The mirror: one row a node, what the user sees beside what the server last confirmed.
CREATE TABLE nodes (
    ino        INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused
    kind       INTEGER NOT NULL,                  -- 0 file, 1 folder
    -- what the user sees
    parent     INTEGER,                           -- ino; NULL: the root, or its folder is not known (yet)
    name       TEXT    NOT NULL,
    linked     INTEGER NOT NULL,                  -- 1: in its parent's listing
    alias      INTEGER NOT NULL,                  -- 1: the name is a stand-in and never pushed
    tomb       INTEGER NOT NULL,                  -- 1: deleted by the user, not yet confirmed
    size       INTEGER NOT NULL,
    mtime_s    INTEGER NOT NULL, mtime_n INTEGER NOT NULL,
    ctime_s    INTEGER NOT NULL, ctime_n INTEGER NOT NULL,
    btime_s    INTEGER NOT NULL, btime_n INTEGER NOT NULL,
    content    INTEGER REFERENCES contents(id),   -- staged content; NULL: the confirmed version's
    emptied    INTEGER NOT NULL,                  -- 1: the user sees an empty file that the server does not have (yet)
    listed     INTEGER NOT NULL,                  -- folders: 1 if all children are known
    -- what the server last confirmed (all NULL: the server does not know it)
    r_id       TEXT UNIQUE, r_parent TEXT, r_stem TEXT, r_ext TEXT, r_status INTEGER,
    r_bucket   TEXT, r_vbucket TEXT, r_object TEXT, r_size INTEGER, r_readable INTEGER,
    r_created  INTEGER, r_modified INTEGER, r_updated INTEGER, -- milliseconds
    -- the push of the difference
    moved      INTEGER NOT NULL,                  -- 1: name or folder differ from the confirmed ones
    u_bucket   TEXT, u_object TEXT,               -- `content` as uploaded, registered with no row yet
    dirty      INTEGER NOT NULL,                  -- derived: the two views differ
    due        INTEGER NOT NULL,                  -- milliseconds: not before
    tries      INTEGER NOT NULL,
    blocked    INTEGER NOT NULL,                  -- 0: no; else why it waits (store::nodes::Blocked)
    error      TEXT,
    waits_for  INTEGER                            -- ino of a node that must be clean first
) STRICT;
CREATE UNIQUE INDEX nodes_entry ON nodes(parent, name) WHERE linked = 1;
CREATE INDEX nodes_order ON nodes(parent, ino) WHERE linked = 1;
CREATE INDEX nodes_r_parent ON nodes(r_parent, r_stem);
CREATE INDEX nodes_dirty ON nodes(due) WHERE dirty = 1;
CREATE INDEX nodes_content ON nodes(content) WHERE content IS NOT NULL;
CREATE INDEX nodes_doomed ON nodes(ino) WHERE linked = 0 AND r_id IS NULL;

-- What was sent and whose fate is not known: nothing else happens to the node until it is.
CREATE TABLE intents (
    ino  INTEGER PRIMARY KEY REFERENCES nodes(ino) ON DELETE CASCADE,
    body TEXT    NOT NULL,
    at   INTEGER NOT NULL, -- milliseconds
    looks INTEGER NOT NULL -- how often it was looked for in vain
) STRICT;

-- Values our own writes replaced, so that a lagging answer is not taken for a foreign change.
CREATE TABLE echoes (
    ino  INTEGER NOT NULL REFERENCES nodes(ino) ON DELETE CASCADE,
    what TEXT    NOT NULL, -- an object's id, or a place
    at   INTEGER NOT NULL, -- milliseconds
    PRIMARY KEY (ino, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE mirror_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Numbers below are the root's and those reserved for virtual nodes.
INSERT INTO sqlite_sequence (name, seq) VALUES ('nodes', 63);
