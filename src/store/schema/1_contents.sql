-- One row, about the store as a whole.
CREATE TABLE meta (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    boot      TEXT    NOT NULL,            -- boot id of the last opening
    clean     INTEGER NOT NULL,            -- closed in order: counters can be believed
    durable   INTEGER NOT NULL DEFAULT 0   -- counted durable commits once; not used any more
) STRICT;
INSERT INTO meta (id, boot, clean) VALUES (1, '', 1);

-- A content: immutable remote bytes (cached), or local ones not yet in a version (staged).
CREATE TABLE contents (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    cid        BLOB    NOT NULL UNIQUE,      -- 16 random bytes; the sealing key derives from it
    state      INTEGER NOT NULL,             -- 0 cached, 1 staged
    bucket     TEXT,
    object     TEXT,
    size       INTEGER NOT NULL,
    base       INTEGER REFERENCES contents (id),
    base_limit INTEGER NOT NULL DEFAULT 0,   -- bytes of the base that still count
    fill_place INTEGER,                      -- where fetched bytes of a small cached content go
    fill_slot  INTEGER,
    durable    INTEGER NOT NULL DEFAULT 0,
    boot       TEXT    NOT NULL,             -- boot id of the last commit
    pinned     INTEGER NOT NULL DEFAULT 0,
    condemned  INTEGER NOT NULL DEFAULT 0,   -- to be forgotten as soon as it is nobody's base
    bytes      INTEGER NOT NULL DEFAULT 0,   -- on disk, as of the last save
    last_used  INTEGER NOT NULL DEFAULT 0,   -- milliseconds since 1970
    UNIQUE (bucket, object)
) STRICT;
CREATE INDEX contents_lru ON contents (state, pinned, last_used);
CREATE INDEX contents_base ON contents (base) WHERE base IS NOT NULL;

-- Where the blocks of staged (and adopted) contents are.
CREATE TABLE slots (
    content    INTEGER NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
    block      INTEGER NOT NULL,
    place      INTEGER NOT NULL,             -- 0: the content's own file, else a slab's class
    slot       INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    extents    BLOB    NOT NULL,             -- pairs of u32 (little endian): start, end within the block
    PRIMARY KEY (content, block)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_slab ON slots (place, slot) WHERE place > 0;

-- Contents whose row is gone and whose files may still be there.
CREATE TABLE doomed (cid BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
