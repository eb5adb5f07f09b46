"""All candidates of a use case judged together: rules, choice, approvals, labels. Pure, over one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from stile.govern.expression.bindings import Champion
from stile.govern.gate import Candidate, GateResult, Judged, approval_needs, choose, conclude, judge
from stile.govern.history import Past
from stile.govern.known_verdicts import KnownVerdicts
from stile.govern.labels import Standing, Standings, standing
from stile.govern.policy import CompiledPolicy
from stile.govern.separation import Approval, ApprovalState, Binding, Team, approval_states
from stile.train.evidence import Evidence

RETIRED_TAG = "stile.retired"
_verdicts = KnownVerdicts()


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one version.

    Attributes:
        evidence: the newest about its bytes; None when it was never evaluated.
        evidence_digest: its digest, empty for none.
        promotion: id of the open request, empty for none.
        approvals: everything said on that request (or, when it is closed, on the last one), oldest first.
        refused_by, refusal: role and words of who turned its last request down, when nothing it was about has
            changed since.
    """

    candidate: Candidate
    evidence: Evidence | None
    evidence_digest: str
    promotion: str = ""
    approvals: list[Approval] = []
    refused_by: str = ""
    refusal: str = ""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot of what a decision in a use case rests on."""

    use_case: str
    facts: dict[str, Any]
    policy: CompiledPolicy
    policy_version: int
    cases: list[Case]
    champion: Champion | None
    champion_evidence: str
    aliases: dict[str, int]
    past: Past
    rejected: list[str]  # keys of rejections already recorded, see ``rejection_key``
    last_decision: str
    team: Team
    now: int

    def case(self, version: int) -> Case | None:
        """The case of a version."""
        return next((case for case in self.cases if case.candidate.version == version), None)


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's answer and the standing of every version; ``best`` is the choice among those that pass, 0 for none."""

    results: list[GateResult]
    standings: list[Standing]
    best: int

    def result(self, version: int) -> GateResult | None:
        """The gate's answer for a version."""
        return next((result for result in self.results if result.version == version), None)


def binding_of(case: Case, policy_digest: str) -> Binding:
    """The digests that a yes or no about this version is about, as they are now."""
    evidence = case.evidence
    return Binding(
        model=case.candidate.digest,
        data=",".join(sorted({use.digest for use in evidence.datasets})) if evidence else "",
        policy=policy_digest,
        evidence=case.evidence_digest,
        environment=evidence.lineage.environment if evidence else "",
    )


def rejection_key(subject: str, policy: str, evidence: str) -> str:
    """What makes a rejection the same as one already recorded."""
    return f"{subject} {policy} {evidence}"


def assess(world: World) -> Assessment:
    """Judge every version and say where it stands."""
    judged = {case.candidate.version: _judged(world, case) for case in world.cases}
    approvals = {case.candidate.version: _approvals(world, case) for case in world.cases}
    rivals = [case for case in world.cases if _is_rival(world, case, judged, approvals)]
    first = _first_by_data(rivals, judged)
    best = first[_test_data(max(rivals, key=lambda case: case.candidate.version))] if rivals else 0
    compared = {case.candidate.version for case in rivals}
    results = [
        conclude(
            judged[case.candidate.version],
            use_case=world.use_case,
            candidate=case.candidate,
            policy_digest=world.policy.digest,
            evidence_digest=case.evidence_digest,
            champion_digest=world.champion.digest if world.champion else "",
            approvals=approvals[case.candidate.version],
            promotion=case.promotion,
            dominated_by=_dominating(case, first) if case.candidate.version in compared else None,
            standing=_place(world, case.candidate.version),
            refused=(case.refused_by, case.refusal),
            url=f"/use-cases/{world.use_case}/versions/{case.candidate.version}",
        )
        for case in world.cases
    ]
    return Assessment(results=results, standings=_standings(world, results, best, world.past.champion), best=best)


def relabelled(world: World, assessment: Assessment, champion: int) -> Assessment:
    """The same verdicts, with every version labelled as it will stand once ``champion`` is in production."""
    standings = _standings(world, assessment.results, assessment.best, champion)
    return msgspec.structs.replace(assessment, standings=standings)


def orders(results: list[GateResult]) -> Mapping[int, list[float | None]]:
    """Version -> the values that ``choose`` compares."""
    return {result.version: result.order for result in results}


def _judged(world: World, case: Case) -> Judged:
    champion = world.champion
    if champion is not None and champion.version == case.candidate.version:
        champion = None  # nothing to compare it with but itself

    def rules() -> Judged:
        return judge(
            world.policy, candidate=case.candidate, evidence=case.evidence, champion=champion,
            use_case=world.facts, now=world.now,
        )  # fmt: skip

    against = (champion.version, champion.digest, world.champion_evidence) if champion else None
    if world.policy.reads_clock or (case.evidence and not case.evidence_digest):
        return rules()
    return _verdicts.judged((world.policy.digest, case.candidate, case.evidence_digest, against, world.facts), rules)


def _approvals(world: World, case: Case) -> list[ApprovalState]:
    needs = approval_needs(world.policy, world.facts, case.candidate)
    binding = binding_of(case, world.policy.digest)
    return approval_states(needs, case.approvals, binding, world.team, case.candidate.authors)


def _place(world: World, version: int) -> Literal["candidate", "champion", "former"]:
    if version == world.past.champion:
        return "champion"
    return "former" if version in world.past.ever else "candidate"


def _is_rival(
    world: World, case: Case, judged: Mapping[int, Judged], approvals: Mapping[int, list[ApprovalState]]
) -> bool:
    """Whether a version takes part in the choice."""
    version = case.candidate.version
    return (
        judged[version].passes
        and version not in world.past.ever
        and RETIRED_TAG not in case.candidate.tags
        and not case.refused_by
        and not any(state.state == "no" for state in approvals[version])
    )


def _test_data(case: Case) -> str:
    uses = case.evidence.datasets if case.evidence else []
    return ",".join(sorted(use.digest for use in uses if use.role == "test"))


def _first_by_data(rivals: list[Case], judged: Mapping[int, Judged]) -> dict[str, int]:
    """Test data -> the choice among those tested on it; numbers from different data are not compared."""
    found: dict[str, dict[int, list[float | None]]] = {}
    for rival in rivals:
        version = rival.candidate.version
        found.setdefault(_test_data(rival), {})[version] = judged[version].order
    return {data: choose(orders) or 0 for data, orders in found.items()}


def _dominating(case: Case, first: Mapping[str, int]) -> int | None:
    """The version that is preferred to this one, among those tested on the same data."""
    version = first[_test_data(case)]
    return version if version != case.candidate.version else None


def _standings(world: World, results: list[GateResult], best: int, champion: int) -> list[Standing]:
    context = Standings(
        champion=champion,
        holders={world.aliases[alias]: alias for alias in ("shadow", "challenger") if alias in world.aliases},
        former=[version for version in world.past.ever if version != champion],
        retired=[case.candidate.version for case in world.cases if RETIRED_TAG in case.candidate.tags],
        held=world.past.held and champion == world.past.champion,
        best=best if best != champion else 0,
    )
    return [
        standing(
            world.policy,
            result=result,
            candidate=case.candidate,
            evidence=case.evidence,
            champion=world.champion,
            use_case=world.facts,
            context=context,
            now=world.now,
        )
        for case, result in zip(world.cases, results, strict=True)
    ]
