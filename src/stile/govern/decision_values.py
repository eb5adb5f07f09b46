"""What a decision, a plan and a gate report are. Values only."""

from __future__ import annotations

from typing import Literal

import msgspec

from stile.govern.gate import GateResult, RuleResult, ScopeVerdict
from stile.govern.labels import Standing
from stile.govern.separation import ApprovalState, Binding
from stile.kernel.canonical import digest_of

DecisionKind = Literal["promoted", "rejected", "held", "rolled_back", "demoted", "waived"]


class VersionRef(msgspec.Struct, frozen=True, kw_only=True):
    """A version and the digest of its bytes."""

    version: int
    digest: str


class AliasChange(msgspec.Struct, frozen=True, kw_only=True):
    """An alias that points elsewhere afterwards; version 0 means nowhere."""

    alias: str
    before: int
    after: int


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """The act itself, as it stands in the ledger.

    Attributes:
        decision: its id.
        scope: the segment it holds for; empty for everywhere.
        kind: what was decided.
        version, subject: the registry version and the digest of its bytes.
        previous: the champion before.
        policy, evidence, champion_evidence: digests it rests on.
        binding: what approvals had to be about.
        verdicts, warnings, scopes: every rule with its trace.
        approvals: who said what.
        labels: the standing of every version afterwards.
        aliases: the aliases it moved.
        plan: digest of the plan it carried out; empty when nobody planned it.
        solo: one person works alone in this use case, so duties were not separated.
    """

    decision: str
    use_case: str
    scope: str
    kind: DecisionKind
    version: int
    subject: str
    previous: VersionRef | None
    policy: str
    evidence: str
    champion_evidence: str
    binding: Binding | None
    sentence: str
    verdicts: list[RuleResult]
    warnings: list[RuleResult]
    scopes: list[ScopeVerdict]
    approvals: list[ApprovalState]
    labels: list[Standing]
    aliases: list[AliasChange]
    plan: str
    promotion: str
    solo: bool
    by: str
    at: int
    reason: str


class Decision(Decided, frozen=True, kw_only=True):
    """A decision as recorded, with its place in the ledger.

    Attributes:
        position, prev_hash, hash: the ledger entry.
        also: decisions taken by the same act, e.g. rejections beside a promotion.
        url: where people read it.
    """

    position: int
    prev_hash: str
    hash: str
    also: list[str] = []
    url: str = ""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a plan would change. ``kind``: champion, alias, label, promotion, route, monitor, card."""

    kind: Literal["champion", "alias", "label", "promotion", "route", "monitor", "card"]
    what: str
    before: str
    after: str
    sentence: str


class PlannedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that a plan would take."""

    kind: Literal["promoted", "rejected"]
    version: int
    digest: str
    sentence: str
    promotion: str = ""


class PlanInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan rests on; when any of it moves, the plan no longer holds."""

    policy: str
    champion: str
    champion_evidence: str
    aliases: dict[str, int]
    evidence: dict[str, str]  # version -> evidence digest
    models: dict[str, str]  # version -> model digest
    approvals: dict[str, str]  # promotion -> digest of all that was said
    last_decision: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that would be taken now, and all it would change. Nothing is done by making it.

    Attributes:
        digest: over decisions, effects and inputs; ``apply`` takes it.
        nothing: whether there is nothing to do; ``sentence`` says what is missing.
        decisions: at most one promotion, and the rejections recorded with it.
    """

    use_case: str
    digest: str
    nothing: bool
    sentence: str
    decisions: list[PlannedDecision]
    effects: list[Effect]
    inputs: PlanInputs
    results: list[GateResult]
    labels: list[Standing]
    at: int
    url: str = ""


def plan_digest(decisions: list[PlannedDecision], effects: list[Effect], inputs: PlanInputs) -> str:
    """The digest of a plan: what would be done, and on which facts."""
    return digest_of({"decisions": decisions, "effects": effects, "inputs": inputs})


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The gate on one candidate or on all of a use case.

    Attributes:
        exit_code: of the asked candidate; for all: 0 when one would be promoted, else 2 when one waits, else 1.
        dry_run: judged under a draft policy that is not in force.
    """

    use_case: str
    policy: str
    policy_version: int
    policy_name: str
    says: str
    dry_run: bool
    champion: VersionRef | None
    outcome: str
    exit_code: int
    sentence: str
    candidates: list[GateResult]
    labels: list[Standing]
    at: int
    url: str = ""
