"""Who works on what: use cases with their charters, members and roles, accounts, tokens, sessions."""
