"""Policies, the gate, promotions and approvals, plan and apply, decisions, standings."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.govern import decision_records, decisions, policies, policy_records, promotions
from stile.govern.policy import parse_policy
from stile.govern.promotions import Promotion
from stile.govern.report import gate_report
from stile.kernel.permission import Permission
from stile.people import use_cases
from stile.store.database import Tx


class _Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    yaml: str


class _Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int | None = None
    policy_yaml: str | None = None


class _Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    reason: str = ""


class _Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: str
    verdict: Literal["yes", "no"]
    reason: str = ""


class _Apply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plan: str
    reason: str = ""


class _RollBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str
    version: int | None = None


class _Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


async def _publish(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Policy)
    await asyncio.to_thread(parse_policy, wanted.yaml)  # a large or broken text is refused outside the writer
    published = await call.write(
        lambda tx: policies.publish(tx, use_case=use_case, yaml=wanted.yaml, by=call.principal.name)
    )
    return json_response(published, 201)


async def _list_policies(call: Call) -> Response:
    use_case = call.path("use_case")

    def look(tx: Tx) -> list[Any]:
        use_cases.get(tx, use_case)
        return list(policy_records.listing(tx, use_case))

    return json_response({"policies": await call.read(look)})


async def _get_policy(call: Call) -> Response:
    use_case = call.path("use_case")
    return json_response(await call.read(lambda tx: policies.in_force(tx, use_case)))


async def _gate(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Gate)
    report = await call.read(
        lambda tx: gate_report(tx, use_case=use_case, version=wanted.version, policy_yaml=wanted.policy_yaml)
    )
    return json_response(report)


async def _propose(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Proposal)
    proposed = await call.write(
        lambda tx: promotions.propose(
            tx, use_case=use_case, version=wanted.version, reason=wanted.reason, by=call.principal.name
        )
    )
    return json_response(proposed, 201)


async def _list_promotions(call: Call) -> Response:
    use_case = call.path("use_case")
    return json_response({"promotions": await call.read(lambda tx: promotions.listing(tx, use_case))})


async def _get_promotion(call: Call) -> Response:
    promotion = call.path("promotion")
    return json_response(await call.read(lambda tx: promotions.get(tx, promotion)))


async def _approve(call: Call) -> Response:
    promotion, wanted = call.path("promotion"), await call.json(_Word)

    def look(tx: Tx) -> tuple[str, bool]:
        use_case = promotions.use_case_of(tx, promotion)
        return use_case, use_cases.get(tx, use_case).solo

    use_case, solo = await call.read(look)
    call.require(Permission.APPROVE, use_case, solo=solo)

    def say(tx: Tx) -> tuple[Promotion, str]:
        return promotions.approve(
            tx, promotion=promotion, role=wanted.role, verdict=wanted.verdict, reason=wanted.reason, by=call.principal
        )

    after, decision = await call.write(say)
    return json_response(msgspec.to_builtins(after) | {"applied": decision}, 201)


async def _plan(call: Call) -> Response:
    use_case = call.path("use_case")
    return json_response(await call.write(lambda tx: decisions.plan(tx, use_case=use_case, by=call.principal.name)))


async def _apply(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Apply)
    decision = await call.write(
        lambda tx: decisions.apply(
            tx, use_case=use_case, plan=wanted.plan, reason=wanted.reason, by=call.principal.name
        )
    )
    return json_response(decision)


async def _roll_back(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_RollBack)
    decision = await call.write(
        lambda tx: decisions.roll_back(
            tx, use_case=use_case, reason=wanted.reason, version=wanted.version, by=call.principal.name
        )
    )
    return json_response(decision, 201)


async def _hold(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Hold)
    decision = await call.write(
        lambda tx: decisions.hold(tx, use_case=use_case, reason=wanted.reason, by=call.principal.name)
    )
    return json_response(decision, 201)


async def _list_decisions(call: Call) -> Response:
    use_case, limit = call.path("use_case"), call.query_int("limit", 200, low=1, high=1000)

    def look(tx: Tx) -> list[Any]:
        use_cases.get(tx, use_case)
        return list(decision_records.listing(tx, use_case, limit=limit))

    return json_response({"decisions": await call.read(look)})


async def _get_decision(call: Call) -> Response:
    decision = call.path("decision")
    return json_response(await call.read(lambda tx: decisions.get(tx, decision)))


async def _labels(call: Call) -> Response:
    use_case = call.path("use_case")
    return json_response({"labels": await call.read(lambda tx: decisions.standings(tx, use_case))})


_IN = "/api/v1/use-cases/{use_case}"

ROUTES = [
    Route("POST", f"{_IN}/policies", Permission.POLICY_WRITE, _publish, summary="Publish a policy"),
    Route("GET", f"{_IN}/policies", Permission.READ, _list_policies, summary="Published policies"),
    Route("GET", f"{_IN}/policy", Permission.READ, _get_policy, summary="The policy in force"),
    Route("POST", f"{_IN}/gate", Permission.READ, _gate, summary="The verdict on candidates, deciding nothing"),
    Route("POST", f"{_IN}/promotions", Permission.PROPOSE, _propose, summary="Ask for a promotion"),
    Route("GET", f"{_IN}/promotions", Permission.READ, _list_promotions, summary="Promotion requests"),
    Route("GET", "/api/v1/promotions/{promotion}", Permission.READ, _get_promotion, summary="One promotion request"),
    Route("POST", "/api/v1/promotions/{promotion}/approvals", Permission.APPROVE, _approve, summary="Say yes or no"),
    Route("POST", f"{_IN}/plan", Permission.READ, _plan, summary="What would be decided now"),
    Route("POST", f"{_IN}/apply", Permission.APPLY, _apply, summary="Carry out a plan"),
    Route("POST", f"{_IN}/rollback", Permission.APPLY, _roll_back, summary="Return to an earlier champion"),
    Route("POST", f"{_IN}/hold", Permission.APPLY, _hold, summary="Put the champion on hold"),
    Route("GET", f"{_IN}/decisions", Permission.READ, _list_decisions, summary="Decisions, newest first"),
    Route("GET", "/api/v1/decisions/{decision}", Permission.READ, _get_decision, summary="One decision"),
    Route("GET", f"{_IN}/labels", Permission.READ, _labels, summary="Where every version stands"),
]
