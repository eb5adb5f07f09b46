"""MLflow's webhooks. Those that also ask for events MLflow does not know are shown here without these.

Source: ``mlflow/protos/webhooks.proto`` of MLflow 3.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import decode, done, need, reply
from stile.store.database import Tx
from stile.work import webhooks
from stile.work.webhook_values import MLFLOW_EVENTS, STATUSES, Webhook

_ENTITIES = (
    "ENTITY_UNSPECIFIED", "REGISTERED_MODEL", "MODEL_VERSION", "MODEL_VERSION_TAG", "MODEL_VERSION_ALIAS", "PROMPT",
    "PROMPT_VERSION", "PROMPT_TAG", "PROMPT_VERSION_TAG", "PROMPT_ALIAS", "BUDGET_POLICY",
)  # fmt: skip
_ACTIONS = ("ACTION_UNSPECIFIED", "CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED")
_MOST_PER_PAGE = 1000


class _Event(msgspec.Struct, frozen=True):
    entity: str | int = ""
    action: str | int = ""

    def name(self) -> str:
        """The event as we name it."""
        event = f"{_named(self.entity, _ENTITIES)}.{_named(self.action, _ACTIONS)}".lower()
        if event not in MLFLOW_EVENTS:
            raise Invalid(f"The event {event[:80]!r} is not sent by this server. It sends: {', '.join(MLFLOW_EVENTS)}.")
        return event


class _Create(msgspec.Struct):
    name: str = ""
    description: str = ""
    url: str = ""
    events: list[_Event] = []
    secret: str = ""
    status: str | int = ""


class _Update(msgspec.Struct):
    name: str = ""
    description: str | None = None
    url: str = ""
    events: list[_Event] = []
    secret: str | None = None
    status: str | int = ""


class _Test(msgspec.Struct):
    event: _Event | None = None


async def _create(call: Call) -> Response:
    """Register a webhook."""
    body = decode(await call.body(), _Create)
    url = need(body.url, "url")
    events = [event.name() for event in body.events]
    await call.services.webhooks.judge(url)
    webhook_id = call.services.ids.hex32()
    sealed = call.services.webhooks.seal(webhook_id, body.secret)
    made = await call.write(
        lambda tx: webhooks.create(
            tx, webhook_id=webhook_id, name=need(body.name, "name"), url=url, events=events, secret=sealed,
            description=body.description, status=_status(body.status) or "ACTIVE", by=call.principal.name,
        )
    )  # fmt: skip
    return reply({"webhook": _message(made)})


async def _list(call: Call) -> Response:
    """List webhooks."""
    most = call.query_int("max_results", 100, low=0, high=_MOST_PER_PAGE) or 100
    token = call.query("page_token")
    if token and not (token.isdecimal() and len(token) < 19):
        raise Invalid("Invalid page token. Start again without a page_token.")
    found = await call.read(lambda tx: webhooks.page(tx, after=int(token or 0), limit=most + 1))
    out: wire.Json = {"webhooks": [_message(one) for one in found[:most] if one.mlflow_events]}
    return reply(out | ({"next_page_token": str(found[most - 1].row)} if len(found) > most else {}))


async def _get(call: Call) -> Response:
    """Get a webhook."""
    webhook_id = call.path("webhook_id")
    return reply({"webhook": _message(await call.read(lambda tx: webhooks.get(tx, webhook_id)))})


async def _update(call: Call) -> Response:
    """Change a webhook."""
    body = decode(await call.body(), _Update)
    webhook_id = call.path("webhook_id")
    before = await call.read(lambda tx: webhooks.get(tx, webhook_id))
    ours = [event for event in before.events if event not in MLFLOW_EVENTS]
    events = [*(event.name() for event in body.events), *ours] if body.events else None
    if body.url:
        await call.services.webhooks.judge(body.url)
    sealed = call.services.webhooks.seal(webhook_id, body.secret or "")

    def work(tx: Tx) -> Webhook:
        webhooks.update(
            tx, webhook_id, name=body.name or None, description=body.description, url=body.url or None,
            events=events, status=_status(body.status) or None, by=call.principal.name,
        )  # fmt: skip
        if body.secret is not None:
            webhooks.set_secret(tx, webhook_id, sealed)
        return webhooks.get(tx, webhook_id)

    return reply({"webhook": _message(await call.write(work))})


async def _delete(call: Call) -> Response:
    """Delete a webhook; what waits for it is not sent."""
    webhook_id = call.path("webhook_id")
    await call.write(lambda tx: webhooks.delete(tx, webhook_id, by=call.principal.name))
    return done()


async def _test(call: Call) -> Response:
    """Send an example message to a webhook now."""
    body = decode(await call.body(), _Test)
    outcome = await call.services.webhooks.test(call.path("webhook_id"), body.event.name() if body.event else "")
    result: wire.Json = {"success": outcome.delivered}
    if outcome.answer is not None:
        result |= {"response_status": outcome.answer, "response_body": outcome.body}
    return reply({"result": result | ({"error_message": outcome.error} if outcome.error else {})})


def _message(found: Webhook) -> wire.Json:
    events = [event.upper().split(".") for event in found.mlflow_events]
    return {
        "webhook_id": found.webhook_id,
        "name": found.name,
        "description": found.description,
        "url": found.url,
        "events": [{"entity": entity, "action": action} for entity, action in events],
        "status": found.status,
        "creation_timestamp": found.created_at,
        "last_updated_timestamp": found.updated_at,
    }


def _status(status: str | int) -> str:
    return _named(status, ("", *STATUSES)) if status != "" else ""


def _named(value: str | int, names: tuple[str, ...]) -> str:
    if isinstance(value, int) or value.isdecimal():
        number = int(value)
        return names[number] if 0 <= number < len(names) else "?"
    return value


ROUTES = routes(
    [
        ("POST", "webhooks", Permission.OPERATE, _create),
        ("GET", "webhooks", Permission.OPERATE, _list),
        ("GET", "webhooks/{webhook_id}", Permission.OPERATE, _get),
        ("PATCH", "webhooks/{webhook_id}", Permission.OPERATE, _update),
        ("DELETE", "webhooks/{webhook_id}", Permission.OPERATE, _delete),
        ("POST", "webhooks/{webhook_id}/test", Permission.OPERATE, _test),
    ]
)
