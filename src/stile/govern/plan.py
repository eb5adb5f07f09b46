"""The plan: which decision would be taken now, and everything it would change. Pure."""

from __future__ import annotations

from typing import Literal

from stile.govern.assess import Assessment, World, assess, orders, rejection_key, relabelled
from stile.govern.decision_values import Effect, Plan, PlanInputs, PlannedDecision, plan_digest
from stile.govern.gate import GateResult
from stile.govern.labels import Standing, alias_holders
from stile.kernel.canonical import digest_of

MOVED = {
    "policy": "another policy is in force",
    "champion": "another version is champion",
    "champion_evidence": "the champion has new evidence",
    "aliases": "an alias was moved",
    "evidence": "there is new evidence about a version",
    "models": "a version was registered or removed",
    "approvals": "somebody said yes or no, or asked for a promotion",
    "last_decision": "another decision was taken",
}


def make_plan(world: World, now: Assessment | None = None) -> tuple[Plan, Assessment]:
    """The plan for a snapshot, and the assessment it carries out; ``now`` is how things stand, if that is known."""
    now = now or assess(world)
    chosen = _chosen(world, now)
    after = relabelled(world, now, chosen.version) if chosen else now
    decisions = [_planned("rejected", result) for result in now.results if _to_reject(world, result)]
    if chosen is not None:
        decisions.append(_planned("promoted", chosen))
    effects = _effects(world, now, after, decisions) if decisions else []
    inputs = _inputs(world)
    plan = Plan(
        use_case=world.use_case,
        digest=plan_digest(decisions, effects, inputs),
        nothing=not decisions,
        sentence=_sentence(world, now, decisions),
        decisions=decisions,
        effects=effects,
        inputs=inputs,
        results=now.results,
        labels=after.standings,
        at=world.now,
        url=f"/use-cases/{world.use_case}",
    )
    return plan, after


def aliases_after(assessment: Assessment, champion: int) -> dict[str, int]:
    """Where the guarded aliases point once ``champion`` is in production."""
    wanted = alias_holders(assessment.standings, orders(assessment.results))
    if champion:
        wanted["champion"] = champion
    return wanted


def what_moved(before: PlanInputs, now: PlanInputs) -> list[str]:
    """In words, what changed between two plans."""
    return [words for field, words in MOVED.items() if getattr(before, field) != getattr(now, field)]


def _chosen(world: World, now: Assessment) -> GateResult | None:
    """The version to promote: the first by the policy's choice when it may be, else the newest that may."""
    ready = [r for r in now.results if r.outcome == "promote" and r.version not in world.past.ever]
    return max(ready, key=lambda result: (result.version == now.best, result.version), default=None)


def _to_reject(world: World, result: GateResult) -> bool:
    """Whether a rejection is recorded: of a request, or of rules that failed on evidence not yet judged so."""
    if result.outcome != "reject" or result.version in world.past.ever or not result.evidence:
        return False
    if result.promotion:
        return True
    key = rejection_key(result.digest, result.policy, result.evidence)
    return bool(result.failed) and key not in world.rejected


def _planned(kind: Literal["promoted", "rejected"], result: GateResult) -> PlannedDecision:
    return PlannedDecision(
        kind=kind, version=result.version, digest=result.digest, sentence=result.sentence, promotion=result.promotion
    )


def _inputs(world: World) -> PlanInputs:
    return PlanInputs(
        policy=world.policy.digest,
        champion=world.champion.digest if world.champion else "",
        champion_evidence=world.champion_evidence,
        aliases=world.aliases,
        evidence={str(case.candidate.version): case.evidence_digest for case in world.cases},
        models={str(case.candidate.version): case.candidate.digest for case in world.cases},
        approvals={case.promotion: digest_of(case.approvals) for case in world.cases if case.promotion},
        last_decision=world.last_decision,
    )


def _effects(world: World, now: Assessment, after: Assessment, decisions: list[PlannedDecision]) -> list[Effect]:
    found: list[Effect] = []
    promoted = next((one for one in decisions if one.kind == "promoted"), None)
    champion = promoted.version if promoted else world.past.champion
    before_aliases = {alias: world.aliases.get(alias, 0) for alias in ("champion", "challenger", "shadow")}
    wanted = aliases_after(after, champion)
    if promoted is not None:
        found.extend(_promotion_effects(world, promoted))
    for alias, before in before_aliases.items():
        to = wanted.get(alias, 0)
        if before != to:
            sentence = f"the alias {alias} moves from {_name(before)} to {_name(to)}"
            found.append(Effect(kind="alias", what=alias, before=_name(before), after=_name(to), sentence=sentence))
    found.extend(_label_effects(now.standings, after.standings))
    for one in decisions:
        if one.promotion:
            sentence = f"the promotion request for v{one.version} closes: {one.kind}"
            found.append(Effect(kind="promotion", what=one.promotion, before="open", after=one.kind, sentence=sentence))
        sentence = f"the card of v{one.version} moves on the board: {one.kind}"
        found.append(Effect(kind="card", what=f"v{one.version}", before="", after=one.kind, sentence=sentence))
    return found


def _promotion_effects(world: World, promoted: PlannedDecision) -> list[Effect]:
    before, to = _name(world.past.champion), _name(promoted.version)
    scope = world.policy.policy.scope
    where = f"everywhere (judged by {scope} as well)" if scope else "everywhere"
    return [
        Effect(
            kind="champion", what=where, before=before, after=to, sentence=f"the champion changes from {before} to {to}"
        ),
        Effect(
            kind="route", what=f"gateways of {world.use_case}", before=before, after=to,
            sentence=f"running gateways swap to {to} without dropping a request",
        ),
        Effect(
            kind="monitor", what="reference profile", before=before, after=to,
            sentence=f"live windows are compared with the evidence of {to}",
        ),
    ]  # fmt: skip


def _label_effects(before: list[Standing], after: list[Standing]) -> list[Effect]:
    old = {one.version: one for one in before}
    return [
        Effect(
            kind="label", what=f"v{one.version}", before=old[one.version].text, after=one.text,
            sentence=f"v{one.version} is labelled {one.text}",
        )
        for one in after
        if one.text != old[one.version].text
    ]  # fmt: skip


def _sentence(world: World, now: Assessment, decisions: list[PlannedDecision]) -> str:
    promoted = next((one for one in decisions if one.kind == "promoted"), None)
    rejections = sum(1 for one in decisions if one.kind == "rejected")
    parts = []
    if promoted is not None:
        parts.append(f"promote v{promoted.version} to champion in place of {_name(world.past.champion)}")
    if rejections:
        parts.append(f"record {rejections} rejection{'s' if rejections > 1 else ''}")
    waiting = [r for r in now.results if r.outcome == "wait" and r.version not in world.past.ever]
    if promoted is None and waiting:
        asked = next((r for r in waiting if r.promotion), waiting[0])
        parts.append(
            f"v{asked.version} is {asked.sentence}" if not parts else f"v{asked.version} waits: {asked.sentence}"
        )
    if not parts:
        return (
            "nothing to decide: there is no candidate with new evidence" if world.cases else "no version is registered"
        )
    return "; ".join(parts)


def _name(version: int) -> str:
    return f"v{version}" if version else "nothing"
