-- Runs by user and by end: found by them, and walked in their order. A run that has just begun has no end.
CREATE INDEX runs_by_user ON runs (experiment, lifecycle, user_id);
CREATE INDEX runs_by_end ON runs (experiment, lifecycle, end_time) WHERE end_time IS NOT NULL;
