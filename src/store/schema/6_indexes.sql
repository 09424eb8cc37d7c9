-- Rows that are never asked for by this: a new file's does not make its commit write the index.
DROP INDEX nodes_r_parent;
CREATE INDEX nodes_r_parent ON nodes(r_parent, r_stem) WHERE r_parent IS NOT NULL;
