"""Predictions, outcomes and feedback over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from stile.deploy import (
    feedback,
    feedback_records,
    outcome_records,
    outcomes,
    prediction_records,
    predictions,
    why,
)
from stile.deploy.deployment import ROLES
from stile.deploy.feedback import FeedbackOrder
from stile.deploy.outcomes import OutcomeOrder
from stile.deploy.predictions import Delivery
from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission, PrincipalKind, Role
from stile.people import use_cases
from stile.store.database import Tx


class _Outcomes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    outcomes: list[OutcomeOrder]


async def _deliver(call: Call) -> Response:
    use_case = call.path("use_case")
    body = await call.body()

    def read() -> Delivery:
        try:  # thousands of flat records: the decoder's own depth guard is enough, and much faster
            delivery = msgspec.json.decode(body, type=Delivery)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(f"The delivery does not fit: {error}.") from error
        predictions.check(delivery)
        return delivery

    delivery = await asyncio.to_thread(read)
    return json_response(await call.write(lambda tx: predictions.store(tx, use_case=use_case, delivery=delivery)))


async def _page(call: Call) -> Response:
    use_case = call.path("use_case")
    after, limit = call.query_int("after", 0), call.query_int("limit", 100, low=1, high=1000)
    role = call.query("role", "champion")
    if role not in (*ROLES, "all"):
        raise Invalid(f"role is one of {', '.join(ROLES)}, all.")
    newest = call.query("order") == "newest"

    def look(tx: Tx) -> dict[str, Any]:
        use_cases.get(tx, use_case)
        chosen = None if role == "all" else role
        rows = prediction_records.page(tx, use_case, role=chosen, after=after, limit=limit, newest=newest)
        return {
            "predictions": rows,
            "next_after": max((row.position for row in rows), default=after),
            "pending_outcomes": outcome_records.pending(tx, use_case),
        }

    return json_response(await call.read(look))


async def _get(call: Call) -> Response:
    id = call.path("prediction")

    def look(tx: Tx) -> dict[str, Any]:
        said = predictions.everything(tx, id)
        use_case = said[0].use_case
        shown: dict[str, Any] = msgspec.to_builtins(said[0])
        return shown | {
            "others": said[1:],
            "outcomes": outcome_records.of_prediction(tx, use_case, id),
            "feedback": feedback_records.of_prediction(tx, id),
        }

    found = await call.read(look)
    call.require(Permission.READ, found["use_case"])
    return json_response(found)


async def _why(call: Call) -> Response:
    id = call.path("prediction")
    chain = await call.read(lambda tx: why.why(tx, id))
    call.require(Permission.READ, chain.use_case)
    return json_response(chain)


async def _feedback(call: Call) -> Response:
    id, order = call.path("prediction"), await call.json(FeedbackOrder)
    answer = await call.read(lambda tx: predictions.get(tx, id))
    call.require(Permission.FEEDBACK, answer.use_case)
    who = call.principal
    expert = Role.DOMAIN_EXPERT in who.roles_in(answer.use_case) or who.kind is PrincipalKind.LOCAL
    said = await call.write(lambda tx: feedback.give(tx, prediction=id, order=order, by=who.name, expert=expert))
    return json_response(said, 201)


async def _outcomes(call: Call) -> Response:
    use_case, told = call.path("use_case"), await call.json(_Outcomes)
    by = call.principal.name
    accepted = await call.write(lambda tx: outcomes.record(tx, use_case=use_case, orders=told.outcomes, by=by))
    return json_response(accepted)


async def _queue(call: Call) -> Response:
    use_case, person = call.path("use_case"), call.principal.name
    limit = call.query_int("limit", 50, low=1, high=500)
    found = await call.read(lambda tx: feedback.queue(tx, use_case, person=person, limit=limit))
    return json_response({"feedback_queue": found})


async def _said(call: Call) -> Response:
    use_case = call.path("use_case")
    limit = call.query_int("limit", 100, low=1, high=1000)
    return json_response({"feedback": await call.read(lambda tx: feedback_records.of_use_case(tx, use_case, limit))})


_BASE = "/api/v1/use-cases/{use_case}"
_ONE = "/api/v1/predictions/{prediction}"

ROUTES = [
    Route(
        "POST",
        f"{_BASE}/predictions",
        Permission.PREDICT_LOG,
        _deliver,
        summary="A gateway delivers records, exactly once",
    ),
    Route("GET", f"{_BASE}/predictions", Permission.READ, _page, summary="Live predictions in order of arrival"),
    Route("GET", _ONE, Permission.READ, _get, summary="One prediction with what is known about it"),
    Route("GET", f"{_ONE}/why", Permission.READ, _why, summary="The chain from the answer to the vote"),
    Route("POST", f"{_ONE}/feedback", Permission.FEEDBACK, _feedback, summary="What a person thinks of a prediction"),
    Route("POST", f"{_BASE}/outcomes", Permission.PREDICT_LOG, _outcomes, summary="What turned out true"),
    Route("GET", f"{_BASE}/feedback", Permission.READ, _said, summary="What people said lately"),
    Route("GET", f"{_BASE}/feedback-queue", Permission.READ, _queue, summary="Predictions that need a person"),
]
