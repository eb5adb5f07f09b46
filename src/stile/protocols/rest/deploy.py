"""Deployments and gateways over HTTP."""

from __future__ import annotations

import time

from starlette.responses import Response

from stile.deploy import deployment_records, deployments
from stile.deploy.deployment import Deployment
from stile.deploy.sources import GatewayReport
from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store import outbox
from stile.store.database import Tx

_MAX_WAIT_S = 25
_LOOK_EVERY_S = 0.5


async def _deployment(call: Call) -> Response:
    """The document in force; with ``after`` waits up to ``wait`` seconds until its revision is another."""
    use_case = call.path("use_case")
    after = call.query_int("after", -1, low=-1)
    ends = time.monotonic() + call.query_int("wait", 0, high=_MAX_WAIT_S)
    found, seen = await _now(call, use_case)
    if found.revision == after and time.monotonic() < ends:
        # the stream ends when the server stops, so that no gateway holds it up
        async for _ in call.services.live.topics(heartbeat_s=_LOOK_EVERY_S):
            # a change of what is deployed always comes with an event
            if await call.read(outbox.last_position) != seen:
                found, seen = await _now(call, use_case)
            if found.revision != after or time.monotonic() >= ends:
                break
    etag = f'"{use_case}-{found.revision}"'
    if call.request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    answer = json_response(found)
    answer.headers["ETag"] = etag
    return answer


async def _now(call: Call, use_case: str) -> tuple[Deployment, int]:
    def look(tx: Tx) -> tuple[bool, Deployment, int]:
        found = deployments.current(tx, use_case)  # first: an unknown use case is Missing
        return deployments.stale(tx, use_case), found, outbox.last_position(tx)

    stale, found, seen = await call.read(look)
    if stale:
        found = await call.write(lambda tx: deployments.refresh(tx, use_case))
    return found, seen


async def _history(call: Call) -> Response:
    use_case = call.path("use_case")
    limit = call.query_int("limit", 50, low=1, high=500)
    found = await call.read(lambda tx: deployment_records.history(tx, use_case, limit))
    return json_response({"deployments": [{"at": at, "deployment": document} for document, at in found]})


async def _report(call: Call) -> Response:
    use_case, gateway = call.path("use_case"), call.path("gateway")
    report = await call.json(GatewayReport)
    if report.gateway != gateway:
        raise Invalid("The report is about another gateway than the address names.")
    await call.write(lambda tx: deployments.report(tx, use_case=use_case, report=report))
    return json_response({})


async def _gateways(call: Call) -> Response:
    use_case = call.path("use_case")
    return json_response({"gateways": await call.read(lambda tx: deployments.gateways(tx, use_case))})


_BASE = "/api/v1/use-cases/{use_case}"

ROUTES = [
    Route(
        "GET", f"{_BASE}/deployment", Permission.READ, _deployment, summary="What gateways serve; long poll with after"
    ),
    Route("GET", f"{_BASE}/deployments", Permission.READ, _history, summary="Every deployment revision, newest first"),
    Route("GET", f"{_BASE}/gateways", Permission.READ, _gateways, summary="Gateways and how they are"),
    Route("PUT", f"{_BASE}/gateways/{{gateway}}", Permission.DEPLOY, _report, summary="A gateway tells how it is"),
]
