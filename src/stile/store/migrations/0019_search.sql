-- Runs by name: found by its beginning, and walked in its order. Names may be longer than an index entry.
CREATE INDEX runs_by_name ON runs (experiment, lifecycle, substr(name, 1, 100));
