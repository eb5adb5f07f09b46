-- Uploads that come in parts, and the key that signs addresses of single transfers.
-- digest: of the finished content; '' while it is coming. A finished one is remembered, so that a repeated call succeeds.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    parts BIGINT NOT NULL,
    by_name TEXT NOT NULL,
    at BIGINT NOT NULL,
    digest TEXT NOT NULL DEFAULT ''
);
CREATE INDEX uploads_by_age ON uploads (at);
CREATE TABLE upload_parts (
    upload TEXT NOT NULL REFERENCES uploads (id),
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (upload, number)
) {clustered};
CREATE TABLE transfer_keys (
    id BIGINT PRIMARY KEY,
    secret {blob} NOT NULL
);
