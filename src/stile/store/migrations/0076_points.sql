-- Chunks of points leave the tree of their key: looking for a key there, SQLite reads the whole body of every chunk it
-- compares with, 150 us in a long series against 5. PostgreSQL keeps bodies apart anyway.
{sqlite} CREATE TABLE points_apart (
    run BIGINT NOT NULL,
    key BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    count BIGINT NOT NULL,
    body {blob} NOT NULL
);
{sqlite} INSERT INTO points_apart (run, key, chunk, count, body) SELECT run, key, chunk, count, body FROM points ORDER BY run, key, chunk;
{sqlite} DROP TABLE points;
{sqlite} ALTER TABLE points_apart RENAME TO points;
{sqlite} CREATE UNIQUE INDEX points_in_order ON points (run, key, chunk);
