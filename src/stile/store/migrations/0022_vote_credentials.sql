-- Who handed out the credential a vote was given with, when that was somebody else than the voter.
ALTER TABLE approvals ADD COLUMN credential_by TEXT NOT NULL DEFAULT '';
