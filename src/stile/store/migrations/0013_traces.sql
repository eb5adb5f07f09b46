-- Traces: what a program did for one request, as a tree of spans, and what was said about it later.
-- name, status, at (ms), took (ms) are of the whole trace; request and response are previews.
-- finalized: the client has said what the trace is as a whole, so spans that come later do not change it.
CREATE TABLE traces (
    id {id},
    trace_id TEXT NOT NULL UNIQUE,
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    at BIGINT NOT NULL,
    took BIGINT,
    client_request_id TEXT NOT NULL,
    request TEXT NOT NULL,
    response TEXT NOT NULL,
    finalized BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX traces_newest ON traces (experiment, at, trace_id);
-- One span each; started and ended are ns since 1970, 0 for not ended; body is the span as JSON.
CREATE TABLE spans (
    trace BIGINT NOT NULL REFERENCES traces (id),
    span_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (trace, span_id)
);
CREATE TABLE trace_tags (
    trace BIGINT NOT NULL REFERENCES traces (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (trace, key)
) {clustered};
CREATE INDEX trace_tags_by_value ON trace_tags (key, substr(value, 1, 100), trace);
CREATE TABLE trace_metadata (
    trace BIGINT NOT NULL REFERENCES traces (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (trace, key)
) {clustered};
CREATE INDEX trace_metadata_by_value ON trace_metadata (key, substr(value, 1, 100), trace);
-- Runs a trace belongs to: it was made in one, or was linked to it later.
CREATE TABLE trace_runs (
    run_id TEXT NOT NULL,
    trace BIGINT NOT NULL REFERENCES traces (id),
    PRIMARY KEY (run_id, trace)
) {clustered};
CREATE INDEX trace_runs_by_trace ON trace_runs (trace);
-- What people, judges and programs said about a trace. body is the value as JSON; text and number are for searching.
CREATE TABLE assessments (
    id {id},
    assessment_id TEXT NOT NULL UNIQUE,
    trace BIGINT NOT NULL REFERENCES traces (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    text TEXT NOT NULL,
    number DOUBLE PRECISION,
    rationale TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    metadata TEXT NOT NULL,
    overrides TEXT NOT NULL,
    valid BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    by_name TEXT NOT NULL
);
CREATE INDEX assessments_of_trace ON assessments (trace, name);
