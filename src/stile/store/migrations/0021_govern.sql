-- Govern: policies, promotion requests, approvals, decisions, standings.
-- Policies are versions of one text per use case; number counts from 1. Only the newest is in force.
CREATE TABLE policies (
    use_case TEXT NOT NULL,
    number BIGINT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    yaml TEXT NOT NULL,
    body {blob} NOT NULL,
    at BIGINT NOT NULL,
    by_name TEXT NOT NULL,
    PRIMARY KEY (use_case, number)
) {clustered};
CREATE INDEX policies_by_digest ON policies (use_case, digest);
-- Requests to promote a version. state: open, promoted, rejected.
CREATE TABLE promotions (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    subject_version BIGINT NOT NULL,
    binding {blob} NOT NULL,
    reason TEXT NOT NULL,
    by_name TEXT NOT NULL,
    at BIGINT NOT NULL,
    state TEXT NOT NULL,
    decision TEXT NOT NULL,
    closed_at BIGINT
) {clustered};
CREATE INDEX promotions_of_use_case ON promotions (use_case, state, id);
-- Every yes and no as given; never changed, never deleted.
CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    promotion TEXT NOT NULL REFERENCES promotions (id),
    role TEXT NOT NULL,
    person TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    binding {blob} NOT NULL,
    solo BIGINT NOT NULL
) {clustered};
CREATE INDEX approvals_of_promotion ON approvals (promotion, id);
-- Plans as shown to people, so that a refusal can say what has moved since.
CREATE TABLE plans (
    use_case TEXT NOT NULL,
    digest TEXT NOT NULL,
    body {blob} NOT NULL,
    at BIGINT NOT NULL,
    by_name TEXT NOT NULL,
    PRIMARY KEY (use_case, digest)
) {clustered};
-- Decisions: append-only; body is the ledger entry's body, position and hash lead to it.
CREATE TABLE decisions (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    scope TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject_version BIGINT NOT NULL,
    subject_digest TEXT NOT NULL,
    previous_version BIGINT,
    policy_digest TEXT NOT NULL,
    evidence_digest TEXT NOT NULL,
    plan TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_name TEXT NOT NULL,
    at BIGINT NOT NULL,
    body {blob} NOT NULL,
    position BIGINT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) {clustered};
CREATE INDEX decisions_of_use_case ON decisions (use_case, id);
CREATE INDEX decisions_of_version ON decisions (use_case, subject_version);
-- The standing of every version as the last decision left it.
CREATE TABLE labels (
    use_case TEXT NOT NULL,
    subject_version BIGINT NOT NULL,
    label TEXT NOT NULL,
    body {blob} NOT NULL,
    decision TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (use_case, subject_version)
) {clustered};
