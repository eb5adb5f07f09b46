"""What operators do with webhooks from their pages: make, change, pause, delete, and send a test. Plain forms."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.web.forms import form, needed
from stile.web.render import post, see_other
from stile.work import webhooks
from stile.work.webhook_values import EVENTS

_EVENT = "on:"
"""What the names of the boxes of events begin with: a form's field counts once."""


def _events(fields: dict[str, str]) -> list[str]:
    chosen = [event for event in EVENTS if f"{_EVENT}{event}" in fields]
    if not chosen:
        raise Invalid("Choose at least one event: without any, nothing would ever be sent.")
    return chosen


async def _make(call: Call) -> Response:
    fields = await form(call)
    name = needed(fields, "name", "A webhook needs a name, such as release-bot.")
    url = needed(fields, "url", "A webhook needs the address that messages are sent to.")
    events = _events(fields)
    await call.services.webhooks.judge(url)
    webhook_id = call.services.ids.hex32()
    sealed = call.services.webhooks.seal(webhook_id, fields.get("secret", ""))
    await call.write(
        lambda tx: webhooks.create(
            tx, webhook_id=webhook_id, name=name, url=url, events=events, secret=sealed,
            description=fields.get("description", ""), by=call.principal.name,
        )
    )  # fmt: skip
    return see_other(f"/webhooks/{webhook_id}", f"{name} is told from now on. Send a test to see that it arrives.")


async def _change(call: Call) -> Response:
    fields = await form(call)
    webhook_id = call.path("id")
    before = await call.read(lambda tx: webhooks.get(tx, webhook_id))
    name = needed(fields, "name", "A webhook needs a name, such as release-bot.")
    url = needed(fields, "url", "A webhook needs the address that messages are sent to.")
    events = _events(fields)
    if url != before.url:
        await call.services.webhooks.judge(url)
    secret, forget = fields.get("secret", ""), "unsigned" in fields
    if secret and forget:
        raise Invalid("Either write a new secret or take the secret away, not both.")
    sealed = call.services.webhooks.seal(webhook_id, secret)

    def work(tx: Tx) -> None:
        webhooks.update(
            tx, webhook_id, name=name, url=url, events=events, description=fields.get("description", ""),
            by=call.principal.name,
        )  # fmt: skip
        if secret or forget:
            webhooks.set_secret(tx, webhook_id, sealed)

    await call.write(work)
    return see_other(f"/webhooks/{webhook_id}", "The webhook was changed.")


async def _set_status(call: Call) -> Response:
    webhook_id = call.path("id")
    status = (await form(call)).get("status", "")
    await call.write(lambda tx: webhooks.update(tx, webhook_id, status=status, by=call.principal.name))
    says = "It goes on: what waits is sent now." if status == "ACTIVE" else "It is paused: nothing is sent to it."
    return see_other(f"/webhooks/{webhook_id}", says)


async def _delete(call: Call) -> Response:
    webhook_id = call.path("id")
    name = (await call.read(lambda tx: webhooks.get(tx, webhook_id))).name
    await call.write(lambda tx: webhooks.delete(tx, webhook_id, by=call.principal.name))
    return see_other("/webhooks", f"The webhook {name} was deleted.")


async def _test(call: Call) -> Response:
    webhook_id = call.path("id")
    event = (await form(call)).get("event", "")
    outcome = await call.services.webhooks.test(webhook_id, event)
    path = f"/webhooks/{quote(webhook_id, safe='')}"
    if outcome.delivered:
        return see_other(path, f"The test has arrived: it answered with status {outcome.answer}.")
    return see_other(f"{path}?problem={quote(f'The test has not arrived. {outcome.error}')}")


_PATH = "/webhooks"
ROUTES = [
    post(_PATH, Permission.OPERATE, _make),
    post(f"{_PATH}/{{id}}", Permission.OPERATE, _change),
    post(f"{_PATH}/{{id}}/status", Permission.OPERATE, _set_status),
    post(f"{_PATH}/{{id}}/delete", Permission.OPERATE, _delete),
    post(f"{_PATH}/{{id}}/test", Permission.OPERATE, _test),
]
