-- Sums over the contents as of the last save, and the slots that a start looks at: neither is to be found by a scan then.
ALTER TABLE meta ADD COLUMN cached INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN staged INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET
    cached = (SELECT ifnull(sum(bytes), 0) FROM contents WHERE state = 0),
    staged = (SELECT ifnull(sum(bytes), 0) FROM contents WHERE state = 1);
CREATE INDEX contents_fill ON contents (fill_place, fill_slot) WHERE fill_place IS NOT NULL;
