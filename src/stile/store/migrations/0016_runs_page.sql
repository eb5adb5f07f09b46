-- How many runs are in which state, and whose: counted from this index alone.
CREATE INDEX runs_by_state ON runs (experiment, lifecycle, status, user_id);
-- Which searches people keep: what to look for, what to show, how to sort, and what to compare with.
-- sees: 'owner' or 'everybody'. query: JSON of saved_view_records.Query.
CREATE TABLE saved_views (
    id {id},
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    sees TEXT NOT NULL,
    query TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (experiment, owner, name)
);
