"""Decisions: the list of all, the record of one, and the plan that would be carried out now."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.route import Route
from stile.govern import decision_records, decisions, policies, policy_records, snapshot
from stile.govern.decision_values import Decision, Plan
from stile.govern.plan import make_plan
from stile.kernel.permission import Permission
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evidence_records
from stile.train.evidence import Evidence
from stile.web.pages.chain import Stop, chain
from stile.web.pages.gate import evidence_extras
from stile.web.pages.gate_view import Number, three_numbers
from stile.web.render import Crumb, Frame, Page, error_page, see_other

_SHAPES = {"promoted": "pass", "rejected": "fail", "held": "wait", "rolled_back": "wait", "demoted": "fail"}


class DecisionsData(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of every use case, or of one, newest first."""

    decisions: list[Decision]
    use_case: str
    use_cases: list[str]


class DecisionData(msgspec.Struct, frozen=True, kw_only=True):
    """One decision as recorded, and the evidence it rests on."""

    decision: Decision
    title: str
    chain: list[Stop]
    evidence: Evidence | None
    champion_evidence: Evidence | None
    numbers: list[Number]
    policy_version: int
    earlier: str
    later: str


class PlanData(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided now, and everything it would change."""

    use_case: str
    title: str
    chain: list[Stop]
    plan: Plan | None


def _load_list(tx: Tx, call: Call) -> DecisionsData:
    wanted = call.query("use_case")
    names = [each.name for each in use_cases.all_use_cases(tx)]
    found = [each for name in names if wanted in ("", name) for each in decision_records.listing(tx, name, limit=100)]
    return DecisionsData(
        decisions=sorted(found, key=lambda each: -each.position)[:100], use_case=wanted, use_cases=names
    )


def _load(tx: Tx, call: Call) -> DecisionData:
    decision = decisions.get(tx, call.path("decision"))
    evidence = evidence_records.find(tx, decision.evidence) if decision.evidence else None
    before = evidence_records.find(tx, decision.champion_evidence) if decision.champion_evidence else None
    order = [each.id for each in decision_records.outlines(tx, decision.use_case)]
    at = order.index(decision.decision)
    versions = {each.digest: each.version for each in policy_records.listing(tx, decision.use_case)}
    return DecisionData(
        decision=decision,
        title=use_cases.get(tx, decision.use_case).title or decision.use_case,
        chain=chain(tx, decision.use_case),
        evidence=evidence,
        champion_evidence=before if before != evidence else None,
        numbers=three_numbers(evidence, decision.verdicts),
        policy_version=versions.get(decision.policy, 0),
        earlier=order[at - 1] if at else "",
        later=order[at + 1] if at + 1 < len(order) else "",
    )


def _frame(data: DecisionData) -> Frame:
    one = data.decision
    return Frame(
        title=f"v{one.version} {one.kind.replace('_', ' ')}",
        here="decisions",
        crumbs=[
            Crumb("Decisions", "/decisions"),
            Crumb(one.use_case, f"/use-cases/{one.use_case}"),
            Crumb(one.decision),
        ],
    )


def _extras(data: DecisionData, call: Call) -> dict[str, Any]:
    drawn = evidence_extras(data.evidence, data.champion_evidence, call.query("metric"), data.decision.verdicts)
    return {"here": "govern", "shape": _SHAPES.get(data.decision.kind, "unknown"), "shapes": _SHAPES} | drawn


def _load_plan(tx: Tx, call: Call) -> PlanData:
    name = call.path("use_case")
    use_case = use_cases.get(tx, name)
    made = None
    if policies.compiled_in_force(tx, name) is not None:
        made, _ = make_plan(snapshot.read_world(tx, name))
    return PlanData(use_case=name, title=use_case.title or name, chain=chain(tx, name), plan=made)


def _plan_frame(data: PlanData) -> Frame:
    return Frame(
        title=f"Plan for {data.title}",
        here="portfolio",
        crumbs=[Crumb("Portfolio", "/portfolio"), Crumb(data.use_case, f"/use-cases/{data.use_case}"), Crumb("Plan")],
        live=f"govern:{data.use_case}",
    )


LIST = Page(
    "/decisions",
    "decisions.html",
    _load_list,
    lambda data: Frame(title="Decisions", here="decisions", live=" ".join(f"govern:{name}" for name in data.use_cases)),
    extras=lambda data, call: {"shapes": _SHAPES},  # noqa: ARG005
)
PAGE = Page("/decisions/{decision}", "decision.html", _load, _frame, extras=_extras)
PLAN = Page(
    "/use-cases/{use_case}/plan",
    "plan.html",
    _load_plan,
    _plan_frame,
    extras=lambda data, call: {"here": "govern"},  # noqa: ARG005
)


async def _to_decision(call: Call) -> Response:
    return see_other(f"/decisions/{call.path('decision')}")


ROUTES = [
    *LIST.routes,
    *PAGE.routes,
    *PLAN.routes,
    Route("GET", "/use-cases/{use_case}/decisions/{decision}", Permission.READ, _to_decision, on_error=error_page),
]
