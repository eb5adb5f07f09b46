"""Webhooks with all events there are, and what was sent to them. For operators."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.work import webhooks
from stile.work.webhook_values import EVENTS, Webhook


class _Create(msgspec.Struct):
    name: str
    url: str
    events: list[str]
    description: str = ""
    secret: str = ""
    status: str = "ACTIVE"


class _Change(msgspec.Struct):
    name: str | None = None
    url: str | None = None
    events: list[str] | None = None
    description: str | None = None
    secret: str | None = None
    status: str | None = None


class _Test(msgspec.Struct):
    event: str = ""


async def _list(call: Call) -> Response:
    return json_response({"webhooks": await call.read(webhooks.page), "events": list(EVENTS)})


async def _create(call: Call) -> Response:
    body = await call.json(_Create)
    await call.services.webhooks.judge(body.url)
    webhook_id = call.services.ids.hex32()
    sealed = call.services.webhooks.seal(webhook_id, body.secret)
    made = await call.write(
        lambda tx: webhooks.create(
            tx, webhook_id=webhook_id, name=body.name, url=body.url, events=body.events, secret=sealed,
            description=body.description, status=body.status, by=call.principal.name,
        )
    )  # fmt: skip
    return json_response({"webhook": made}, 201)


async def _get(call: Call) -> Response:
    webhook_id = call.path("id")
    return json_response({"webhook": await call.read(lambda tx: webhooks.get(tx, webhook_id))})


async def _change(call: Call) -> Response:
    body = await call.json(_Change)
    webhook_id = call.path("id")
    await call.read(lambda tx: webhooks.get(tx, webhook_id))
    if body.url is not None:
        await call.services.webhooks.judge(body.url)
    sealed = call.services.webhooks.seal(webhook_id, body.secret or "")

    def work(tx: Tx) -> Webhook:
        webhooks.update(
            tx, webhook_id, name=body.name, description=body.description, url=body.url, events=body.events,
            status=body.status, by=call.principal.name,
        )  # fmt: skip
        if body.secret is not None:
            webhooks.set_secret(tx, webhook_id, sealed)
        return webhooks.get(tx, webhook_id)

    return json_response({"webhook": await call.write(work)})


async def _delete(call: Call) -> Response:
    webhook_id = call.path("id")
    await call.write(lambda tx: webhooks.delete(tx, webhook_id, by=call.principal.name))
    return json_response({})


async def _test(call: Call) -> Response:
    body = await call.json(_Test)
    outcome = await call.services.webhooks.test(call.path("id"), body.event)
    return json_response({"delivered": outcome.delivered, "answer": outcome.answer, "error": outcome.error})


async def _deliveries(call: Call) -> Response:
    webhook_id = call.path("id")
    limit = call.query_int("limit", 50, low=1, high=200)
    return json_response({"deliveries": await call.read(lambda tx: webhooks.deliveries(tx, webhook_id, limit))})


_PATH = "/api/v1/webhooks"
ROUTES = [
    Route("GET", _PATH, Permission.OPERATE, _list, summary="Webhooks, and the events they can ask for"),
    Route("POST", _PATH, Permission.OPERATE, _create, summary="Register a webhook"),
    Route("GET", f"{_PATH}/{{id}}", Permission.OPERATE, _get, summary="One webhook"),
    Route("PATCH", f"{_PATH}/{{id}}", Permission.OPERATE, _change, summary="Change a webhook"),
    Route("DELETE", f"{_PATH}/{{id}}", Permission.OPERATE, _delete, summary="Delete a webhook"),
    Route("POST", f"{_PATH}/{{id}}/test", Permission.OPERATE, _test, summary="Send an example message now"),
    Route("GET", f"{_PATH}/{{id}}/deliveries", Permission.OPERATE, _deliveries, summary="What was sent, newest first"),
]
