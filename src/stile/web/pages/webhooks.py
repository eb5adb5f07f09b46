"""Webhooks: who is told when something happens, what was sent to them, and what came of it. For operators."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from stile.edge.call import Call
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.web.render import Crumb, Frame, Page
from stile.work import webhook_records, webhooks
from stile.work.webhook_values import EVENTS, TRIES, Delivery, Webhook

EVENT_WORDS = {
    "registered_model.created": "a model is registered",
    "model_version.created": "a version is registered",
    "model_version_tag.set": "a version gets a tag",
    "model_version_tag.deleted": "a version loses a tag",
    "model_version_alias.created": "an alias moves to a version",
    "model_version_alias.deleted": "an alias is taken away",
    "promotion.proposed": "a promotion is proposed",
    "decision.taken": "a decision is taken",
}
"""When a message is sent, in words; every event there is."""

_SHOWN, _KEPT = 50, 200


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook and how it fares.

    Attributes:
        newest: the last message whose fate is known, or that waits; None when nothing was ever sent.
        waiting: messages in line.
        failed: messages among those that are kept that were given up.
    """

    webhook: Webhook
    newest: Delivery | None
    waiting: int
    failed: int


class WebhooksData(msgspec.Struct, frozen=True, kw_only=True):
    """All webhooks, and the events that can be asked for."""

    webhooks: list[WebhookRow]
    events: list[str]


class WebhookData(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook and what was sent to it, the newest first; ``more`` when older messages are kept."""

    row: WebhookRow
    deliveries: list[Delivery]
    more: bool
    events: list[str]


def _load_all(tx: Tx, call: Call) -> WebhooksData:  # noqa: ARG001  the same for everybody who may look
    standing = webhook_records.standing(tx)
    return WebhooksData(webhooks=[_row(tx, each, standing) for each in webhooks.page(tx)], events=list(EVENTS))


def _load_one(tx: Tx, call: Call) -> WebhookData:
    webhook = webhooks.get(tx, call.path("id"))
    most = _KEPT if call.query("all") else _SHOWN
    found = webhooks.deliveries(tx, webhook.webhook_id, most + 1)
    return WebhookData(
        row=_row(tx, webhook, webhook_records.standing(tx)), deliveries=found[:most], more=len(found) > most,
        events=list(EVENTS),
    )  # fmt: skip


def _row(tx: Tx, webhook: Webhook, standing: dict[tuple[int, str], int]) -> WebhookRow:
    newest = webhook_records.deliveries(tx, webhook.row, 1)
    return WebhookRow(
        webhook=webhook, newest=next(iter(newest), None), waiting=standing.get((webhook.row, "waiting"), 0),
        failed=standing.get((webhook.row, "failed"), 0),
    )  # fmt: skip


def host(url: str) -> str:
    """Where messages go, without the path and query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"


def _words(data: Any, call: Call) -> dict[str, Any]:  # noqa: ARG001  the same on both pages
    return {
        "event_words": EVENT_WORDS, "tries": TRIES, "host": host, "problem": call.query("problem")[:500],
    }  # fmt: skip


LIST = Page(
    "/webhooks", "webhooks.html", _load_all,
    lambda data: Frame(title="Webhooks"),  # noqa: ARG005
    extras=_words, permission=Permission.OPERATE,
)  # fmt: skip

ONE = Page(
    "/webhooks/{id}", "webhook.html", _load_one,
    lambda data: Frame(
        title=data.row.webhook.name, crumbs=[Crumb("Webhooks", "/webhooks"), Crumb(data.row.webhook.name)]
    ),
    extras=_words, permission=Permission.OPERATE,
)  # fmt: skip

ROUTES = [*LIST.routes, *ONE.routes]
