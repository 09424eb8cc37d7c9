-- How many nodes the user deleted that the server has, by second: what the brake on mass deletes looks at.
CREATE TABLE removals (
    second INTEGER PRIMARY KEY, -- since 1970
    nodes  INTEGER NOT NULL
) STRICT;
