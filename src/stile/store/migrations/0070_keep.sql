-- Keeping and collecting: when a run was put aside, so that only what was deleted long enough is purged.
ALTER TABLE runs ADD COLUMN deleted_at BIGINT;
