"""Govern: the registry, the rule language and policies, the gate, approvals, decisions. The heart."""
