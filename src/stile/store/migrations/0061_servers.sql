-- Work: the servers that share this store; beat counts up while one lives, and is -1 once it has stopped.
CREATE TABLE work_servers (
    id TEXT PRIMARY KEY,
    beat BIGINT NOT NULL,
    at BIGINT NOT NULL
);
