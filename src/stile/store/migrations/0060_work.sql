-- Work: what was asked for before the engine was up, and events no subscriber could deal with.
CREATE TABLE work_starts (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    arguments TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE work_dead_letters (
    id {id},
    subscriber TEXT NOT NULL,
    position BIGINT NOT NULL,
    event TEXT NOT NULL,
    error TEXT NOT NULL,
    tries BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX work_dead_letters_once ON work_dead_letters (subscriber, position);
