-- Small contents on their way into the blob store: kept here first, in the transaction that refers to them.
CREATE TABLE arrivals (
    digest TEXT PRIMARY KEY,
    content {blob} NOT NULL
);
