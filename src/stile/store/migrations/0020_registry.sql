-- Registry: models, versions, aliases. Version numbers are never used twice: last_version only grows.
CREATE TABLE registered_models (
    id {id},
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    last_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE TABLE registered_model_tags (
    model BIGINT NOT NULL REFERENCES registered_models (id),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, key)
) {clustered};
-- root: logical path of the folder it was registered from, '' when that is not in this store.
-- snapshot: logical path of the version's own unchangeable view of the same blobs, '' likewise.
CREATE TABLE model_versions (
    model BIGINT NOT NULL REFERENCES registered_models (id),
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    source TEXT NOT NULL,
    root TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    run_id TEXT NOT NULL,
    run_link TEXT NOT NULL,
    model_id TEXT NOT NULL,
    description TEXT NOT NULL,
    stage TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (model, version)
) {clustered};
CREATE INDEX model_versions_by_root ON model_versions (root);
CREATE INDEX model_versions_by_run ON model_versions (run_id);
CREATE INDEX model_versions_by_model_id ON model_versions (model_id);
CREATE INDEX model_versions_by_digest ON model_versions (digest);
CREATE TABLE version_tags (
    model BIGINT NOT NULL REFERENCES registered_models (id),
    version BIGINT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, version, key)
) {clustered};
CREATE TABLE model_aliases (
    model BIGINT NOT NULL REFERENCES registered_models (id),
    alias TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (model, alias)
) {clustered};
-- Every move of every alias; version 0 means the alias was taken away.
CREATE TABLE alias_history (
    id {id},
    model BIGINT NOT NULL REFERENCES registered_models (id),
    alias TEXT NOT NULL,
    version BIGINT NOT NULL,
    previous BIGINT NOT NULL,
    at BIGINT NOT NULL,
    by_name TEXT NOT NULL,
    decision TEXT NOT NULL
);
CREATE INDEX alias_history_of_model ON alias_history (model, id);
