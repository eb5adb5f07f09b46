-- Evaluations (requests and their progress) and evidence (immutable documents by digest).
CREATE TABLE evaluations (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    version BIGINT NOT NULL,
    model_digest TEXT NOT NULL,
    request {blob} NOT NULL,
    state TEXT NOT NULL,
    progress DOUBLE PRECISION NOT NULL,
    step TEXT NOT NULL,
    evidence TEXT NOT NULL,
    error TEXT NOT NULL,
    author TEXT NOT NULL,
    at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX evaluations_use_case ON evaluations (use_case, at);
CREATE TABLE evidence (
    id {id},
    digest TEXT NOT NULL UNIQUE,
    use_case TEXT NOT NULL,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    model_digest TEXT NOT NULL,
    window_id TEXT NOT NULL,
    dataset TEXT NOT NULL,
    author TEXT NOT NULL,
    at BIGINT NOT NULL,
    body {blob} NOT NULL
);
CREATE INDEX evidence_model ON evidence (use_case, model_digest, kind, id);
CREATE INDEX evidence_use_case ON evidence (use_case, id);
