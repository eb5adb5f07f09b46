-- Tracking: experiments, runs, and what is logged to them. Integer ids inside, public ids outside.
CREATE TABLE experiments (
    id {id},
    name TEXT NOT NULL UNIQUE,
    artifact_location TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
INSERT INTO experiments (id, name, artifact_location, lifecycle, created_at, updated_at, created_by) VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 0, 0, 'stile');
CREATE TABLE experiment_tags (
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, key)
) {clustered};
-- deleted_with: the run went away because its experiment did, and comes back with it.
CREATE TABLE runs (
    id {id},
    run_id TEXT NOT NULL UNIQUE,
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    start_time BIGINT NOT NULL,
    end_time BIGINT,
    artifact_uri TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    deleted_with BIGINT NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL
);
CREATE INDEX runs_newest ON runs (experiment, lifecycle, start_time, run_id);
CREATE INDEX runs_by_start ON runs (start_time, run_id);
-- Every key of a metric, parameter or tag, once.
CREATE TABLE run_keys (
    id {id},
    name TEXT NOT NULL UNIQUE
);
-- The newest point of each series: greatest by (step, at, value). NULL value means NaN.
CREATE TABLE latest (
    run BIGINT NOT NULL REFERENCES runs (id),
    key BIGINT NOT NULL,
    experiment BIGINT NOT NULL,
    value DOUBLE PRECISION,
    step BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (run, key)
) {clustered};
CREATE INDEX latest_by_value ON latest (experiment, key, value, run);
-- All points of a series, packed; see train/points.py for the form of body.
CREATE TABLE points (
    run BIGINT NOT NULL,
    key BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    count BIGINT NOT NULL,
    body {blob} NOT NULL,
    PRIMARY KEY (run, key, chunk)
) {clustered};
CREATE TABLE params (
    run BIGINT NOT NULL REFERENCES runs (id),
    key BIGINT NOT NULL,
    experiment BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) {clustered};
CREATE INDEX params_by_value ON params (experiment, key, substr(value, 1, 100), run);
CREATE TABLE run_tags (
    run BIGINT NOT NULL REFERENCES runs (id),
    key BIGINT NOT NULL,
    experiment BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) {clustered};
CREATE INDEX run_tags_by_value ON run_tags (experiment, key, substr(value, 1, 100), run);
-- Tables a run says it has read, as the client describes them.
CREATE TABLE input_datasets (
    id {id},
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    schema_text TEXT NOT NULL,
    profile TEXT NOT NULL,
    UNIQUE (experiment, name, digest)
);
CREATE TABLE run_inputs (
    run BIGINT NOT NULL REFERENCES runs (id),
    dataset BIGINT NOT NULL REFERENCES input_datasets (id),
    context TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (run, dataset)
) {clustered};
CREATE INDEX run_inputs_by_dataset ON run_inputs (dataset, run);
-- Logged models a run has read ('input') or made ('output').
CREATE TABLE run_models (
    run BIGINT NOT NULL REFERENCES runs (id),
    direction TEXT NOT NULL,
    model_id TEXT NOT NULL,
    step BIGINT NOT NULL,
    PRIMARY KEY (run, direction, model_id)
) {clustered};
CREATE TABLE logged_models (
    id {id},
    model_id TEXT NOT NULL UNIQUE,
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    model_type TEXT NOT NULL,
    source_run_id TEXT NOT NULL,
    artifact_uri TEXT NOT NULL,
    status TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX logged_models_newest ON logged_models (experiment, lifecycle, created_at);
CREATE TABLE logged_model_tags (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) {clustered};
CREATE TABLE logged_model_params (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) {clustered};
CREATE TABLE logged_model_metrics (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    key TEXT NOT NULL,
    run_id TEXT NOT NULL,
    dataset_name TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    step BIGINT NOT NULL,
    at BIGINT NOT NULL,
    value DOUBLE PRECISION,
    PRIMARY KEY (model, key, run_id, dataset_name, dataset_digest)
) {clustered};
-- Logical path of an artifact -> blob.
CREATE TABLE artifacts (
    path TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    at BIGINT NOT NULL,
    by_name TEXT NOT NULL
) {clustered};
CREATE INDEX artifacts_by_digest ON artifacts (digest);
