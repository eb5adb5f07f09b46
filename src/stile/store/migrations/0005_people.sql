-- People: accounts and their credentials, use cases with charter and members.
CREATE TABLE accounts (
    id {id},
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    display TEXT NOT NULL,
    password_hash TEXT,
    system_roles TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    disabled_at BIGINT
);
CREATE TABLE tokens (
    id {id},
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    hash TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    last4 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX tokens_account ON tokens (account_id);
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX sessions_account ON sessions (account_id);
-- One-time ways in: for a first sign-in, and instead of passwords on a laptop.
CREATE TABLE sign_in_links (
    hash TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    ends_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE TABLE use_cases (
    id {id},
    name TEXT NOT NULL UNIQUE,
    charter {blob} NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE TABLE members (
    use_case_id BIGINT NOT NULL REFERENCES use_cases (id),
    person TEXT NOT NULL,
    role TEXT NOT NULL,
    at BIGINT NOT NULL,
    by TEXT NOT NULL,
    PRIMARY KEY (use_case_id, person, role)
) {clustered};
CREATE INDEX members_person ON members (person);
