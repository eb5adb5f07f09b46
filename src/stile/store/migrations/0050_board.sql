-- Board: columns, cards and their history, comments, mentions, iterations, what a person has dealt with.
CREATE TABLE board_columns (
    use_case TEXT NOT NULL,
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    position BIGINT NOT NULL,
    wip_limit BIGINT,
    PRIMARY KEY (use_case, name)
);
CREATE TABLE cards (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    number BIGINT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    column_name TEXT NOT NULL,
    came_from TEXT NOT NULL,
    owner TEXT NOT NULL,
    version BIGINT,
    promotion TEXT NOT NULL,
    decision TEXT NOT NULL,
    alert TEXT NOT NULL,
    iteration TEXT NOT NULL,
    flag TEXT NOT NULL,
    flag_reason TEXT NOT NULL,
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    moved_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX cards_number ON cards (use_case, number);
CREATE UNIQUE INDEX cards_version ON cards (use_case, version) WHERE version IS NOT NULL;
CREATE TABLE card_moves (
    id {id},
    card TEXT NOT NULL,
    at BIGINT NOT NULL,
    by TEXT NOT NULL,
    from_column TEXT NOT NULL,
    to_column TEXT NOT NULL,
    because TEXT NOT NULL
);
CREATE INDEX card_moves_card ON card_moves (card, id);
CREATE TABLE card_comments (
    id TEXT PRIMARY KEY,
    card TEXT NOT NULL,
    at BIGINT NOT NULL,
    by TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX card_comments_card ON card_comments (card, id);
CREATE TABLE card_mentions (
    comment TEXT NOT NULL,
    person TEXT NOT NULL,
    card TEXT NOT NULL,
    use_case TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (person, comment)
);
CREATE TABLE iterations (
    id TEXT PRIMARY KEY,
    use_case TEXT NOT NULL,
    title TEXT NOT NULL,
    goal TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX iterations_use_case ON iterations (use_case, starts_at);
CREATE TABLE inbox_done (
    person TEXT NOT NULL,
    item TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (person, item)
);
CREATE TABLE notifications (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    use_case TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    url TEXT NOT NULL,
    about TEXT NOT NULL,
    at BIGINT NOT NULL,
    seen_at BIGINT
);
CREATE UNIQUE INDEX notifications_once ON notifications (person, kind, about);
CREATE INDEX notifications_person ON notifications (person, id);
