-- Webhooks: who is told when something happens, and what was sent to them.
-- events: a JSON list of entity.action; secret: sealed with the server's key, NULL when there is none.
CREATE TABLE webhooks (
    id {id},
    webhook_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret {blob},
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
-- state: waiting, delivered, failed. next_at: not before (ms). claimed_until: a server is sending it (ms).
CREATE TABLE webhook_deliveries (
    id {id},
    delivery_id TEXT NOT NULL UNIQUE,
    webhook BIGINT NOT NULL REFERENCES webhooks (id),
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL,
    answer BIGINT,
    error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, next_at);
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (webhook, id);
