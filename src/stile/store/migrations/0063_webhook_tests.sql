-- test: an example message that somebody has sent by hand (1), not one about something that happened (0).
ALTER TABLE webhook_deliveries ADD COLUMN test BIGINT NOT NULL DEFAULT 0;
