-- Deploy: what gateways serve, what they answered, what turned out true, what people think of it.
-- Every deployment document as it was in force; revision counts from 1 within a use case.
CREATE TABLE deployments (
    use_case TEXT NOT NULL,
    revision BIGINT NOT NULL,
    digest TEXT NOT NULL,
    body {blob} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (use_case, revision)
) {clustered};
CREATE TABLE gateways (
    use_case TEXT NOT NULL,
    gateway TEXT NOT NULL,
    state TEXT NOT NULL,
    revision BIGINT NOT NULL,
    serving BIGINT NOT NULL,
    problems TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (use_case, gateway)
) {clustered};
-- How many records of a gateway's segment are stored; moved in the transaction that stores them.
CREATE TABLE prediction_segments (
    use_case TEXT NOT NULL,
    gateway TEXT NOT NULL,
    segment TEXT NOT NULL,
    next BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (use_case, gateway, segment)
) {clustered};
CREATE TABLE prediction_columns (
    id {id},
    key TEXT NOT NULL UNIQUE,
    names TEXT NOT NULL
);
-- One row per prediction and version: challenger and shadow share the id of the champion's answer.
CREATE TABLE predictions (
    position {id},
    id TEXT NOT NULL,
    use_case TEXT NOT NULL,
    at BIGINT NOT NULL,
    role TEXT NOT NULL,
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    revision BIGINT NOT NULL,
    columns_id BIGINT NOT NULL REFERENCES prediction_columns (id),
    inputs {blob} NOT NULL,
    output TEXT NOT NULL,
    score DOUBLE PRECISION,
    latency_us BIGINT NOT NULL,
    unit TEXT NOT NULL,
    segment TEXT NOT NULL,
    slices TEXT NOT NULL,
    broken TEXT NOT NULL
);
CREATE UNIQUE INDEX predictions_once ON predictions (id, role, version);
CREATE INDEX predictions_of_use_case ON predictions (use_case, role, position);
-- Everything that was ever said to be true of a prediction, known here or not yet; never changed.
CREATE TABLE outcomes (
    position {id},
    use_case TEXT NOT NULL,
    prediction TEXT NOT NULL,
    outcome TEXT NOT NULL,
    source TEXT NOT NULL,
    author TEXT NOT NULL,
    at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX outcomes_of_prediction ON outcomes (use_case, prediction, source, position);
-- The accepted one of them, by the rule in deploy/outcomes.py.
CREATE TABLE accepted_outcomes (
    use_case TEXT NOT NULL,
    prediction TEXT NOT NULL,
    position BIGINT NOT NULL REFERENCES outcomes (position),
    outcome TEXT NOT NULL,
    source TEXT NOT NULL,
    author TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (use_case, prediction)
) {clustered};
CREATE TABLE feedback (
    position {id},
    id TEXT NOT NULL UNIQUE,
    use_case TEXT NOT NULL,
    prediction TEXT NOT NULL,
    person TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    corrected TEXT,
    expert BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX feedback_of_prediction ON feedback (prediction, position);
CREATE INDEX feedback_of_use_case ON feedback (use_case, position);
