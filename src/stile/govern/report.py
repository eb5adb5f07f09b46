"""The gate's report on one candidate or on all, under the policy in force or under a draft."""

from __future__ import annotations

from stile.govern.assess import assess
from stile.govern.decision_values import GateReport, VersionRef
from stile.govern.gate import GateResult
from stile.govern.policy import compile_policy, parse_policy
from stile.govern.snapshot import read_world, version_of
from stile.store.database import Tx


def gate_report(tx: Tx, *, use_case: str, version: int | None = None, policy_yaml: str | None = None) -> GateReport:
    """Judge without deciding anything.

    Args:
        tx: the transaction; only read.
        use_case: where.
        version: one version; None for all candidates (the champion, when there is nothing else).
        policy_yaml: a draft to judge under instead of the policy in force.

    Raises:
        Missing: no such use case or version, or no policy.
        Invalid: the draft cannot be used.
    """
    draft = compile_policy(parse_policy(policy_yaml)) if policy_yaml is not None else None
    world = read_world(tx, use_case, policy=draft)
    if version is not None:
        version_of(tx, use_case, version)
    assessment = assess(world)
    shown = [result for result in assessment.results if result.version == version]
    if version is None:
        candidates = [result for result in assessment.results if result.version not in world.past.ever]
        shown = candidates or [result for result in assessment.results if result.version == world.past.champion]
    decisive = _decisive(shown, assessment.best) if version is None else shown[0]
    policy = world.policy.policy
    champion = world.champion
    return GateReport(
        use_case=use_case, policy=world.policy.digest, policy_version=world.policy_version, policy_name=policy.policy,
        says=policy.says, dry_run=draft is not None,
        champion=VersionRef(version=champion.version, digest=champion.digest) if champion else None,
        outcome=decisive.outcome if decisive else "wait", exit_code=decisive.exit_code if decisive else 2,
        sentence=_sentence(decisive, one_asked=version is not None), candidates=shown, labels=assessment.standings,
        at=world.now, url=f"/use-cases/{use_case}",
    )  # fmt: skip


def _decisive(candidates: list[GateResult], best: int) -> GateResult | None:
    """Of all candidates the one that says most: one to promote, else one that waits, else the newest rejected."""
    order = {"promote": 2, "wait": 1, "reject": 0}
    return max(
        candidates, key=lambda result: (order[result.outcome], result.version == best, result.version), default=None
    )


def _sentence(decisive: GateResult | None, *, one_asked: bool) -> str:
    if decisive is None:
        return "there is no candidate: train a model and register it under the name of the use case"
    return decisive.sentence if one_asked else f"v{decisive.version}: {decisive.sentence}"
