-- Data: contracts by use case and version; dataset versions; profiles by digest.
CREATE TABLE contracts (
    use_case TEXT NOT NULL,
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL,
    author TEXT NOT NULL,
    PRIMARY KEY (use_case, version)
){clustered};
CREATE TABLE datasets (
    id {id},
    use_case TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    role TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    column_count BIGINT NOT NULL,
    contract_version BIGINT NOT NULL,
    profile_digest TEXT NOT NULL,
    table_digest TEXT NOT NULL,
    source TEXT NOT NULL,
    at BIGINT NOT NULL,
    author TEXT NOT NULL,
    UNIQUE (use_case, digest, name, role)
);
CREATE TABLE profiles (
    digest TEXT PRIMARY KEY,
    body {blob} NOT NULL
);
