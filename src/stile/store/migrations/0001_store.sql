-- Store: events on their way up, the ledger.
CREATE TABLE outbox (
    position {id},
    at BIGINT NOT NULL,
    name TEXT NOT NULL,
    body {blob} NOT NULL
);
CREATE TABLE outbox_positions (
    subscriber TEXT PRIMARY KEY,
    position BIGINT NOT NULL
);
-- The ledger: append-only; ``hash`` covers the entry and the hash before it.
CREATE TABLE ledger (
    position BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    use_case TEXT NOT NULL,
    subject TEXT NOT NULL,
    body {blob} NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX ledger_use_case ON ledger (use_case, position);
-- Roots of the complete subtrees that make up the Merkle tree over all entries, widest first.
CREATE TABLE ledger_frontier (
    level BIGINT PRIMARY KEY,
    hash TEXT NOT NULL
);
CREATE TABLE ledger_checkpoints (
    size BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    root TEXT NOT NULL,
    note TEXT NOT NULL
);
