"""Asking for a promotion, and saying yes or no to it."""

from __future__ import annotations

import msgspec

from stile.govern import aliases, decisions, promotion_records
from stile.govern.assess import Assessment, Case, World, assess, binding_of
from stile.govern.events import ApprovalGiven, PromotionProposed
from stile.govern.gate import GateResult
from stile.govern.plan import make_plan
from stile.govern.promotion_records import PromotionRow, PromotionState
from stile.govern.separation import Approval, Binding, VoteVerdict, refusal
from stile.govern.snapshot import read_world, version_of
from stile.kernel.errors import Conflict, Forbidden, Invalid, Missing
from stile.kernel.permission import Principal, PrincipalKind
from stile.people import use_cases
from stile.store import ledger
from stile.store.database import Tx

MAX_REASON = 4_000


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A request to make a version the champion, as it stands now.

    Attributes:
        asked_over: the digests when it was asked for.
        binding: the digests now; a yes over others has lapsed.
        changed: the parts that changed since it was asked for.
        gate: the gate's answer now, with approvals and who is waited for; None once the request is closed.
        said: everything said about it, oldest first.
        decision: the decision that closed it.
    """

    id: str
    use_case: str
    version: int
    digest: str
    state: PromotionState
    reason: str
    by: str
    at: int
    asked_over: Binding
    binding: Binding
    changed: list[str]
    sentence: str
    waiting_for: list[str]
    gate: GateResult | None
    said: list[Approval]
    decision: str = ""
    closed_at: int | None = None
    url: str = ""


def propose(tx: Tx, *, use_case: str, version: int, reason: str, by: str) -> Promotion:
    """Ask for a version to become the champion. Asking again while a request is open returns that request.

    Raises:
        Missing: no such use case or version, or no policy in force.
        Invalid: the version's files are not kept here, or the reason is too long.
        Conflict: it is the champion, or was before.
    """
    _check_reason(reason)
    found = version_of(tx, use_case, version)
    if not found.digest:
        raise Invalid(
            f"The files of version {version} are not kept here, so an approval could not be bound to them. "
            "Log the model to this server and register it again."
        )
    world = read_world(tx, use_case)
    if version == world.past.champion:
        raise Conflict(f"Version {version} is the champion already.")
    if version in world.past.ever:
        raise Conflict(f"Version {version} was champion before. To return to it, roll back: stile rollback.")
    case = _case(world, version)
    if case.promotion:
        return get(tx, case.promotion)
    row = PromotionRow(
        id=tx.new_id("prm"), use_case=use_case, version=version, binding=binding_of(case, world.policy.digest),
        reason=reason, by=by, at=tx.now_ms(), state="open",
    )  # fmt: skip
    promotion_records.insert(tx, row)
    ledger.append(
        tx, kind="promotion_proposed", use_case=use_case, subject=found.digest,
        body={"promotion": row.id, "version": version, "binding": row.binding, "reason": reason, "by": by},
    )  # fmt: skip
    proposed = get(tx, row.id)
    states = proposed.gate.approvals if proposed.gate else []
    people = sorted({person for state in states if state.state == "waiting" for person in state.people})
    roles = [state.role for state in states if state.state == "waiting"]
    tx.emit(
        PromotionProposed(
            use_case=use_case, promotion=row.id, version=version, reason=reason, roles=roles, people=people, by=by
        )
    )
    return proposed


def propose_by_alias(tx: Tx, *, model: str, alias: str, version: int, by: str) -> Promotion | None:
    """Take a client's wish to move ``champion`` as a request to promote, where the use case wants it so.

    Returns:
        The request, new or open before; None when this is no such move: another alias, a model that is not
        governed, a use case whose charter refuses such moves, or the alias names the version already.
    """
    if alias != "champion" or not use_cases.exists(tx, model):
        return None
    if use_cases.get(tx, model).alias_moves != "propose" or aliases.of_model(tx, model).get(alias) == version:
        return None
    reason = f"A client asked for the alias {alias!r} to name version {version}."
    return propose(tx, use_case=model, version=version, reason=reason, by=by)


def approve(
    tx: Tx, *, promotion: str, role: str, verdict: VoteVerdict, reason: str, by: Principal
) -> tuple[Promotion, str]:
    """Say yes or no in a role. A later word of the same person takes the place of the earlier, which stays on record.

    Returns:
        The request afterwards, and the id of the decision when the policy applies automatically and this was the
        last yes; else an empty string.

    Raises:
        Missing: no such request.
        Conflict: the request is closed, or the version has no evidence to agree to.
        Invalid: the policy asks for no approval in this role, or a no has no reason.
        Forbidden: this person may not: not in the role, the author, a service account, or approved in another role.
    """
    _check_reason(reason)
    row = _row(tx, promotion)
    if verdict == "no" and not reason.strip():
        raise Invalid("A no needs a reason: say what would have to change.")
    world = read_world(tx, row.use_case)
    case = _case(world, row.version)
    result = _result(assess(world), row.version)
    roles = [state.role for state in result.approvals]
    if role not in roles:
        raise Invalid(f"The policy asks for no approval as {role!r} here. It asks for: {', '.join(roles) or 'nobody'}.")
    why_not = refusal(by, role, world.team, case.candidate.authors, result.approvals)
    if why_not is not None:
        raise Forbidden(f"This approval cannot be taken: {why_not}.")
    if row.state != "open":
        raise Conflict(f"This request is closed: {row.state}. Propose the version again to ask anew.", state=row.state)
    if not case.evidence_digest:
        raise Conflict(
            f"Version {row.version} has no evidence yet, so there is nothing to agree to. Evaluate it first."
        )
    after = _record(tx, row, case, world, role=role, verdict=verdict, reason=reason, by=by)
    decision = _apply_if_automatic(tx, row.use_case, by.name)
    return (get(tx, promotion) if decision else after), decision


def get(tx: Tx, promotion: str) -> Promotion:
    """A request as it stands now.

    Raises:
        Missing: there is none.
    """
    row = promotion_records.find(tx, promotion)
    if row is None:
        raise Missing(f"There is no promotion request {promotion!r}.")
    world = read_world(tx, row.use_case)
    return _view(tx, row, world, assess(world))


def listing(tx: Tx, use_case: str) -> list[Promotion]:
    """Requests of a use case as they stand now, newest first."""
    rows = promotion_records.listing(tx, use_case)
    if not rows:
        return []
    world = read_world(tx, use_case)
    assessment = assess(world)
    return [_view(tx, row, world, assessment) for row in rows]


def use_case_of(tx: Tx, promotion: str) -> str:
    """The use case of a request.

    Raises:
        Missing: there is none.
    """
    return _row(tx, promotion).use_case


def _record(
    tx: Tx, row: PromotionRow, case: Case, world: World, *, role: str, verdict: VoteVerdict, reason: str, by: Principal
) -> Promotion:
    """Write the word down unless it was said already; the request afterwards."""
    binding = binding_of(case, world.policy.digest)
    own = [one for one in case.approvals if one.role == role and one.person == by.name]
    if own and (own[-1].verdict, own[-1].over, own[-1].reason) == (verdict, binding, reason):
        return get(tx, row.id)
    approval = Approval(
        id=tx.new_id("apr"), promotion=row.id, role=role, person=by.name, verdict=verdict, reason=reason,
        at=tx.now_ms(), over=binding, solo=by.kind is PrincipalKind.LOCAL or world.team.solo,
        credential_by=by.credential_by,
    )  # fmt: skip
    promotion_records.add_approval(tx, approval)
    ledger.append(tx, kind="approval", use_case=row.use_case, subject=case.candidate.digest, body=approval)
    after = get(tx, row.id)
    tx.emit(
        ApprovalGiven(
            use_case=row.use_case, promotion=row.id, version=row.version, role=role, person=by.name, verdict=verdict,
            reason=reason, waiting_for=after.waiting_for,
        )
    )  # fmt: skip
    return after


def _apply_if_automatic(tx: Tx, use_case: str, by: str) -> str:
    world = read_world(tx, use_case)
    if world.policy.policy.apply != "automatic":
        return ""
    plan, after = make_plan(world)
    if not any(one.kind == "promoted" for one in plan.decisions):
        return ""
    return decisions.carry_out(tx, world, plan, after, by=by, reason="the last approval was given").decision


def _view(tx: Tx, row: PromotionRow, world: World, assessment: Assessment) -> Promotion:
    case = world.case(row.version)
    binding = binding_of(case, world.policy.digest) if case else row.binding
    is_open = row.state == "open"
    result = assessment.result(row.version) if is_open else None
    return Promotion(
        id=row.id, use_case=row.use_case, version=row.version, digest=row.binding.model, state=row.state,
        reason=row.reason, by=row.by, at=row.at, asked_over=row.binding, binding=binding if is_open else row.binding,
        changed=row.binding.changed(binding) if is_open else [], sentence=result.sentence if result else row.state,
        waiting_for=result.waiting_for if result else [], gate=result,
        said=promotion_records.approvals(tx, row.id), decision=row.decision, closed_at=row.closed_at,
        url=f"/use-cases/{row.use_case}/versions/{row.version}",
    )  # fmt: skip


def _row(tx: Tx, promotion: str) -> PromotionRow:
    row = promotion_records.find(tx, promotion)
    if row is None:
        raise Missing(f"There is no promotion request {promotion!r}.")
    return row


def _case(world: World, version: int) -> Case:
    case = world.case(version)
    if case is None:
        raise Missing(f"{world.use_case} has no version {version}.")
    return case


def _result(assessment: Assessment, version: int) -> GateResult:
    result = assessment.result(version)
    if result is None:
        raise Missing(f"There is no version {version}.")
    return result


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON:
        raise Invalid(f"A reason may have at most {MAX_REASON} characters.")
