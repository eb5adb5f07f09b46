"""The deciding half of a use case: policies, the gate, promotions and their approvals, plan, apply, roll back."""

from __future__ import annotations

from typing import Any

from stile.client.scope import Scope


class GovernVerbs(Scope):
    """Policies, verdicts and decisions of one use case."""

    def publish_policy(self, yaml: str) -> dict[str, Any]:
        """Publish a policy; the same text again is the same version.

        Raises:
            Invalid: the policy cannot be read; the message names rule and column.
        """
        return self._post("policies", {"yaml": yaml})

    def policies(self) -> list[dict[str, Any]]:
        """Published policies."""
        return self._list("policies")

    def policy(self) -> dict[str, Any]:
        """The policy in force."""
        return self._get("policy")

    def gate(self, version: int | None = None, policy_yaml: str | None = None) -> dict[str, Any]:
        """The verdict on one candidate, or on all; with ``policy_yaml`` a dry run under that policy."""
        return self._post("gate", {"version": version, "policy_yaml": policy_yaml})

    def propose(self, version: int, reason: str) -> dict[str, Any]:
        """Open a promotion request."""
        return self._post("promotions", {"version": version, "reason": reason})

    def promotions(self) -> list[dict[str, Any]]:
        """Promotion requests."""
        return self._list("promotions")

    def plan(self) -> dict[str, Any]:
        """What would be decided now and everything it would change, without doing it."""
        return self._post("plan", {})

    def apply(self, plan: str) -> dict[str, Any]:
        """Carry out the plan with that digest; returns the decision.

        Raises:
            Conflict: the world has moved since the plan was made.
        """
        return self._post("apply", {"plan": plan})

    def roll_back(self, reason: str, version: int | None = None) -> dict[str, Any]:
        """Put the previous champion (or the given version) back; returns the decision."""
        body: dict[str, Any] = {"reason": reason}
        if version is not None:
            body["version"] = version
        return self._post("rollback", body)

    def hold(self, reason: str) -> dict[str, Any]:
        """Stop the use case's promotions until somebody decides; returns the decision."""
        return self._post("hold", {"reason": reason})

    def decisions(self) -> list[dict[str, Any]]:
        """Decisions, as recorded."""
        return self._list("decisions")

    def labels(self) -> list[dict[str, Any]]:
        """The standing of every version."""
        return self._list("labels")
