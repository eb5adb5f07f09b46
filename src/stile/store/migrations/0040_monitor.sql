-- Monitor: how windows are cut, the windows with what was found in them, alerts.
CREATE TABLE monitor_settings (
    use_case TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL
);
-- A window covers the predictions with first_position <= position <= last_position made by one version.
CREATE TABLE windows (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    first_position BIGINT NOT NULL,
    last_position BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    n_rows BIGINT NOT NULL,
    cut_at BIGINT NOT NULL,
    cut_by TEXT NOT NULL,
    closed_at BIGINT,
    evidence_first TEXT NOT NULL,
    evidence TEXT NOT NULL,
    outcomes_first BIGINT NOT NULL,
    outcomes BIGINT NOT NULL,
    outcomes_seen BIGINT NOT NULL,
    restated_at BIGINT,
    verdicts TEXT NOT NULL,
    problem TEXT NOT NULL
);
CREATE UNIQUE INDEX windows_number ON windows (use_case, number);
CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    window_id TEXT NOT NULL,
    windows TEXT NOT NULL,
    version BIGINT NOT NULL,
    rule TEXT NOT NULL,
    says TEXT NOT NULL,
    finding TEXT NOT NULL,
    action TEXT NOT NULL,
    decision TEXT NOT NULL,
    state TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT NOT NULL,
    cause TEXT NOT NULL,
    resolved_at BIGINT,
    resolved_by TEXT NOT NULL
);
CREATE INDEX alerts_use_case ON alerts (use_case, state, raised_at);
