"""Taking decisions: ledger entry, record, aliases, standings and event, all in one transaction or not at all.

There is no other way to move a guarded alias: it is a view of the last decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.govern import aliases, decision_records, promotion_records
from stile.govern.assess import Assessment, Case, World, assess, binding_of, relabelled
from stile.govern.decision_values import AliasChange, Decided, Decision, DecisionKind, Plan, VersionRef
from stile.govern.events import DecisionTaken
from stile.govern.gate import GateResult, RuleResult
from stile.govern.labels import Standing
from stile.govern.plan import aliases_after, make_plan, what_moved
from stile.govern.snapshot import read_world
from stile.kernel.errors import Conflict, Invalid, Missing
from stile.store import ledger
from stile.store.database import Tx

MACHINE = "stile"
_MAX_REASON = 4_000


def plan(tx: Tx, *, use_case: str, by: str) -> Plan:
    """What would be decided now, remembered so that a later refusal can say what moved.

    Raises:
        Missing: no such use case, or no policy in force.
    """
    made, _ = make_plan(read_world(tx, use_case))
    decision_records.save_plan(tx, made, by)
    return made


def apply(tx: Tx, *, use_case: str, plan: str, by: str, reason: str = "") -> Decision:
    """Carry out the plan with this digest. Carrying it out again returns what was decided then.

    Raises:
        Missing: no such use case or policy.
        Conflict: the world has moved since the plan was made (``details["moved"]`` says what), or it does nothing.
    """
    _check_reason(reason, needed=False)
    done = decision_records.by_plan(tx, use_case, plan)
    if done:
        return _main(done)
    world = read_world(tx, use_case)
    now, after = make_plan(world)
    if now.digest != plan:
        shown = decision_records.find_plan(tx, use_case, plan)
        if shown is None:
            raise Conflict("There is no such plan for this use case. Make a new one with: stile plan.")
        moved = what_moved(shown.inputs, now.inputs) or ["the verdicts or effects are others now"]
        raise Conflict(
            f"The world has moved since this plan was made: {'; '.join(moved)}. Look at a new plan first.",
            moved=moved,
            plan=now.digest,
        )
    if now.nothing:
        raise Conflict(f"There is nothing to apply: {now.sentence}.", sentence=now.sentence)
    return carry_out(tx, world, now, after, by=by, reason=reason)


def carry_out(tx: Tx, world: World, made: Plan, after: Assessment, *, by: str, reason: str) -> Decision:
    """Take every decision of a plan made from this very snapshot; returns the promotion, else the last rejection."""
    taken: list[Decision] = []
    for one in made.decisions:
        case, result = world.case(one.version), after.result(one.version)
        if case is None or result is None:
            raise Missing(f"{world.use_case} has no version {one.version}.")
        champion = one.version if one.kind == "promoted" else world.past.champion
        last = one is made.decisions[-1]
        wanted = aliases_after(after, champion) if last else None
        why = reason or _promotion_reason(tx, one.promotion) or one.sentence
        decided = _decided(
            tx, world, one.kind, case, result,
            labels=after.standings, wanted=wanted, plan=made.digest, by=by, reason=why,
        )  # fmt: skip
        taken.append(_take(tx, world, decided, champion=champion))
        if one.promotion:
            promotion_records.close(tx, one.promotion, one.kind, decided.decision)
    return _main(taken)


def roll_back(tx: Tx, *, use_case: str, reason: str, by: str, version: int | None = None) -> Decision:
    """Return to the previous champion, or to the named earlier one, as one audited act.

    Raises:
        Missing: no such use case or policy.
        Invalid: no reason is given.
        Conflict: there is no earlier champion, or the named version never was one.
    """
    _check_reason(reason, needed=True)
    world = read_world(tx, use_case)
    stack = world.past.champions
    if version is None:
        if len(stack) < 2:
            raise Conflict("There is no earlier champion to return to. Hold the use case, or promote another version.")
        version = stack[-2]
    if version == world.past.champion:
        raise Conflict(f"Version {version} is the champion already.")
    if version not in world.past.ever:
        raise Conflict(f"Version {version} was never champion, so it cannot be rolled back to. Propose it instead.")
    after = relabelled(world, assess(world), version)
    case, result = world.case(version), after.result(version)
    if case is None or result is None:
        raise Missing(f"Version {version} is no longer registered.")
    decided = _decided(
        tx, world, "rolled_back", case, result, labels=after.standings, wanted=aliases_after(after, version),
        plan="", by=by, reason=reason,
    )  # fmt: skip
    return _take(tx, world, decided, champion=version)


def hold(tx: Tx, *, use_case: str, reason: str, by: str) -> Decision:
    """Put the champion on hold by hand; see ``open_hold``.

    Raises:
        Invalid: no reason is given.
        Conflict: there is no champion.
    """
    _check_reason(reason, needed=True)
    return open_hold(tx, use_case=use_case, reason=reason, by=by)


def open_hold(
    tx: Tx,
    *,
    use_case: str,
    reason: str,
    by: str = MACHINE,
    evidence_digest: str = "",
    policy_digest: str = "",
    results: Sequence[RuleResult] = (),
) -> Decision:
    """Record that the champion no longer holds, with the evidence; it stays in production until people decide.

    A champion already on hold stays on the same hold: that decision is returned.

    Args:
        use_case: where.
        reason: which rule stopped holding, in words.
        by: who noticed; ``stile`` for the living gate.
        evidence_digest: of the window's evidence.
        policy_digest: of the policy whose live rules were applied; the one in force when empty.
        results: the live rules' verdicts.
        tx: the transaction.

    Raises:
        Conflict: there is no champion.
    """
    world = read_world(tx, use_case)
    champion = world.case(world.past.champion)
    if champion is None:
        raise Conflict("There is no champion to hold.")
    if world.past.held:
        return next(one for one in decision_records.listing(tx, use_case) if one.kind == "held")
    held = msgspec.structs.replace(world, past=msgspec.structs.replace(world.past, held=True))
    after = assess(held)
    result = after.result(champion.candidate.version)
    if result is None:
        raise Missing(f"{use_case} has no version {champion.candidate.version}.")
    decided = _decided(
        tx, world, "held", champion, result, labels=after.standings, wanted=None, plan="", by=by, reason=reason
    )
    if results or evidence_digest:
        decided = msgspec.structs.replace(
            decided,
            evidence=evidence_digest or decided.evidence,
            policy=policy_digest or decided.policy,
            verdicts=list(results),
            warnings=[],
            scopes=[],
        )
    return _take(tx, world, decided, champion=champion.candidate.version)


def get(tx: Tx, decision: str) -> Decision:
    """A decision as recorded.

    Raises:
        Missing: there is none.
    """
    found = decision_records.find(tx, decision)
    if found is None:
        raise Missing(f"There is no decision {decision!r}.")
    return found


def standings(tx: Tx, use_case: str) -> list[Standing]:
    """Where every version stands now."""
    return assess(read_world(tx, use_case)).standings


def _decided(
    tx: Tx,
    world: World,
    kind: DecisionKind,
    case: Case,
    result: GateResult,
    *,
    labels: list[Standing],
    wanted: dict[str, int] | None,
    plan: str,
    by: str,
    reason: str,
) -> Decided:
    """The act as it will stand in the ledger. ``wanted``: where guarded aliases point afterwards; None moves none."""
    moves = []
    for alias in aliases.GUARDED if wanted is not None else ():
        before, after = world.aliases.get(alias, 0), (wanted or {}).get(alias, 0)
        if before != after:
            moves.append(AliasChange(alias=alias, before=before, after=after))
    previous = None
    if world.champion is not None:
        previous = VersionRef(version=world.champion.version, digest=world.champion.digest)
    return Decided(
        decision=tx.new_id("dec"), use_case=world.use_case, scope="", kind=kind, version=case.candidate.version,
        subject=case.candidate.digest, previous=previous, policy=world.policy.digest, evidence=case.evidence_digest,
        champion_evidence=world.champion_evidence, binding=binding_of(case, world.policy.digest),
        sentence=result.sentence if kind in ("promoted", "rejected") else reason, verdicts=result.rules,
        warnings=result.warnings, scopes=result.scopes, approvals=result.approvals, labels=labels, aliases=moves,
        plan=plan, promotion=case.promotion, solo=world.team.solo, by=by, at=tx.now_ms(), reason=reason,
    )  # fmt: skip


def _take(tx: Tx, world: World, decided: Decided, *, champion: int) -> Decision:
    """Ledger, record, aliases, standings, event."""
    entry = ledger.append(
        tx, kind=f"decision_{decided.kind}", use_case=decided.use_case, subject=decided.subject, body=decided
    )
    decision_records.insert(tx, decided, entry)
    for move in decided.aliases:
        if move.after:
            aliases.set_alias(tx, decided.use_case, move.alias, move.after, decided.by, decided.decision)
        else:
            aliases.drop_alias(tx, decided.use_case, move.alias, decided.by, decided.decision)
    decision_records.save_labels(tx, decided.use_case, decided.labels, decided.decision)
    tx.emit(
        DecisionTaken(
            use_case=decided.use_case, decision=decided.decision, kind=decided.kind, version=decided.version,
            digest=decided.subject, champion=champion, previous=world.past.champion, reason=decided.reason,
            by=decided.by, promotion=decided.promotion,
            labels={str(one.version): one.label for one in decided.labels},
        )
    )  # fmt: skip
    return get(tx, decided.decision)


def _main(taken: Sequence[Decision]) -> Decision:
    main = next((one for one in taken if one.kind == "promoted"), taken[-1])
    return msgspec.structs.replace(main, also=[one.decision for one in taken if one.decision != main.decision])


def _promotion_reason(tx: Tx, promotion: str) -> str:
    row = promotion_records.find(tx, promotion) if promotion else None
    return row.reason if row else ""


def _check_reason(reason: str, *, needed: bool) -> None:
    if needed and not reason.strip():
        raise Invalid("Say why: a reason is part of the record.")
    if len(reason) > _MAX_REASON:
        raise Invalid(f"A reason may have at most {_MAX_REASON} characters.")
