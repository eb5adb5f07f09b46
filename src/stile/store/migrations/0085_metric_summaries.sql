-- The least and the greatest number of each metric series, kept with its newest point. A series without any number
-- has low > high: the greatest and the least number there are, so that whatever is logged later replaces them.
-- NULL in both: not known yet. These series are in summaries_due: they were logged before there were these columns.
ALTER TABLE latest ADD COLUMN low DOUBLE PRECISION;
ALTER TABLE latest ADD COLUMN high DOUBLE PRECISION;
CREATE TABLE summaries_due (
    run BIGINT NOT NULL,
    key BIGINT NOT NULL,
    PRIMARY KEY (run, key)
) {clustered};
INSERT INTO summaries_due (run, key) SELECT p.run, p.key FROM points p JOIN latest l ON l.run = p.run AND l.key = p.key GROUP BY p.run, p.key HAVING SUM(p.count) > 1;
UPDATE latest SET low = COALESCE(value, 1.7976931348623157e308), high = COALESCE(value, -1.7976931348623157e308)
WHERE NOT EXISTS (SELECT 1 FROM summaries_due d WHERE d.run = latest.run AND d.key = latest.key);
