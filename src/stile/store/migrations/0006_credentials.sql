-- Who handed out a credential, when that was somebody else than its owner; '' when the owner did, or nobody noted it.
ALTER TABLE accounts ADD COLUMN password_by TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN issued_by TEXT NOT NULL DEFAULT '';
ALTER TABLE sign_in_links ADD COLUMN issued_by TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN credential_by TEXT NOT NULL DEFAULT '';
