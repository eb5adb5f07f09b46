-- Runs by where their files are: found by it, and walked in its order.
CREATE INDEX runs_by_files ON runs (experiment, lifecycle, substr(artifact_uri, 1, 100));
