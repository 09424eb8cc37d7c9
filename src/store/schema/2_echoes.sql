-- Who sent an object, or left a place: asked for by the value.
CREATE INDEX echoes_what ON echoes (what);
