"""Rows of webhooks and of what was sent to them."""

from __future__ import annotations

import json

import msgspec

from stile.store.database import Row, Tx
from stile.work.webhook_values import Delivery, Outcome, Webhook

_COLUMNS = (
    "w.id, w.webhook_id, w.name, w.description, w.url, w.events, w.status, w.secret IS NOT NULL, w.created_at, "
    "w.updated_at, w.created_by"
)
_DELIVERY = (
    "d.delivery_id, w.webhook_id, d.event, d.state, d.tries, d.next_at, d.answer, d.error, d.created_at, d.ended_at, "
    "d.test"
)


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this server has claimed, with all that sending it needs."""

    row: int
    delivery_id: str
    webhook: int
    webhook_id: str
    url: str
    secret: bytes | None
    body: str
    tries: int


def add(tx: Tx, webhook: Webhook, secret: bytes | None) -> None:
    """A new webhook."""
    tx.run(
        "INSERT INTO webhooks (webhook_id, name, description, url, events, secret, status, created_at, updated_at, "
        "created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            webhook.webhook_id, webhook.name, webhook.description, webhook.url, json.dumps(webhook.events), secret,
            webhook.status, webhook.created_at, webhook.updated_at, webhook.created_by,
        ),
    )  # fmt: skip


def change(tx: Tx, webhook: Webhook) -> None:
    """Everything of it but its secret."""
    tx.run(
        "UPDATE webhooks SET name = ?, description = ?, url = ?, events = ?, status = ?, updated_at = ? WHERE id = ?",
        (
            webhook.name, webhook.description, webhook.url, json.dumps(webhook.events), webhook.status,
            webhook.updated_at, webhook.row,
        ),
    )  # fmt: skip


def set_secret(tx: Tx, row: int, secret: bytes | None) -> None:
    """Its sealed secret; None for none."""
    tx.run("UPDATE webhooks SET secret = ? WHERE id = ?", (secret, row))


def secret_of(tx: Tx, row: int) -> bytes | None:
    """Its sealed secret."""
    found = tx.scalar("SELECT secret FROM webhooks WHERE id = ?", (row,))
    return None if found is None else bytes(found)


def drop(tx: Tx, row: int) -> None:
    """Take a webhook away, and what was sent to it."""
    tx.run("DELETE FROM webhook_deliveries WHERE webhook = ?", (row,))
    tx.run("DELETE FROM webhooks WHERE id = ?", (row,))


def find(tx: Tx, webhook_id: str) -> Webhook | None:
    """The webhook with this id."""
    row = tx.one(f"SELECT {_COLUMNS} FROM webhooks w WHERE w.webhook_id = ?", (webhook_id,))
    return None if row is None else _webhook(row)


def page(tx: Tx, *, after: int = 0, limit: int = 1000) -> list[Webhook]:
    """Webhooks in the order they were made."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM webhooks w WHERE w.id > ? ORDER BY w.id LIMIT ?", (after, limit))
    return [_webhook(row) for row in rows]


def add_delivery(tx: Tx, webhook: int, *, delivery_id: str, event: str, body: str) -> None:
    """A message that waits to be sent."""
    now = tx.now_ms()
    tx.run(
        "INSERT INTO webhook_deliveries (delivery_id, webhook, event, body, state, tries, next_at, claimed_until, "
        "answer, error, created_at, ended_at) VALUES (?, ?, ?, ?, 'waiting', 0, ?, 0, NULL, '', ?, NULL)",
        (delivery_id, webhook, event, body, now, now),
    )


def add_test(tx: Tx, webhook: int, *, delivery_id: str, event: str, body: str, outcome: Outcome) -> None:
    """An example message that was sent by hand, once, and what has come of it."""
    now = tx.now_ms()
    tx.run(
        "INSERT INTO webhook_deliveries (delivery_id, webhook, event, body, state, tries, next_at, claimed_until, "
        "answer, error, created_at, ended_at, test) VALUES (?, ?, ?, ?, ?, 1, ?, 0, ?, ?, ?, ?, 1)",
        (
            delivery_id, webhook, event, body, "delivered" if outcome.delivered else "failed", now, outcome.answer,
            outcome.error[:1000], now, now,
        ),
    )  # fmt: skip


def prune(tx: Tx, webhook: int, keep: int) -> None:
    """Forget all but the newest messages to a webhook; those that wait stay."""
    edge = tx.scalar(
        "SELECT id FROM webhook_deliveries WHERE webhook = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (webhook, keep)
    )
    if edge is not None:
        tx.run("DELETE FROM webhook_deliveries WHERE webhook = ? AND id <= ? AND state <> 'waiting'", (webhook, edge))


def anything_due(tx: Tx) -> bool:
    """Whether a message waits to be sent now."""
    return bool(_due(tx, 1))


def claim(tx: Tx, *, limit: int, for_ms: int) -> list[Due]:
    """Messages to be sent now, the oldest first; no other server sends them for ``for_ms``."""
    rows = _due(tx, limit)
    until = tx.now_ms() + for_ms
    for row in rows:
        tx.run("UPDATE webhook_deliveries SET claimed_until = ? WHERE id = ?", (until, row[0]))
    return [
        Due(
            row=row[0], delivery_id=row[1], webhook=row[2], webhook_id=row[3], url=row[4],
            secret=None if row[5] is None else bytes(row[5]), body=row[6], tries=row[7],
        )
        for row in rows
    ]  # fmt: skip


def release(tx: Tx, row: int) -> None:
    """Give a claimed message back untried."""
    tx.run("UPDATE webhook_deliveries SET claimed_until = 0 WHERE id = ?", (row,))


def note(tx: Tx, row: int, outcome: Outcome, *, state: str, tries: int, next_at: int) -> None:
    """What a try has come to."""
    ended = None if state == "waiting" else tx.now_ms()
    tx.run(
        "UPDATE webhook_deliveries SET state = ?, tries = ?, next_at = ?, claimed_until = 0, answer = ?, error = ?, "
        "ended_at = ? WHERE id = ?",
        (state, tries, next_at, outcome.answer, outcome.error[:1000], ended, row),
    )


def deliveries(tx: Tx, webhook: int, limit: int) -> list[Delivery]:
    """The newest messages to a webhook."""
    rows = tx.all(
        f"SELECT {_DELIVERY} FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook "
        "WHERE d.webhook = ? ORDER BY d.id DESC LIMIT ?",
        (webhook, limit),
    )
    return [
        Delivery(
            delivery_id=row[0], webhook_id=row[1], event=row[2], state=row[3], tries=row[4], next_at=row[5],
            answer=row[6], error=row[7], created_at=row[8], ended_at=row[9], test=bool(row[10]),
        )
        for row in rows
    ]  # fmt: skip


def standing(tx: Tx) -> dict[tuple[int, str], int]:
    """How many messages of each webhook are in which state, among those that are kept; tests are not counted."""
    rows = tx.all("SELECT webhook, state, COUNT(*) FROM webhook_deliveries WHERE test = 0 GROUP BY webhook, state")
    return {(webhook, state): count for webhook, state, count in rows}


def _due(tx: Tx, limit: int) -> list[Row]:
    now = tx.now_ms()
    return tx.all(
        "SELECT d.id, d.delivery_id, d.webhook, w.webhook_id, w.url, w.secret, d.body, d.tries "
        "FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook "
        "WHERE d.state = 'waiting' AND d.next_at <= ? AND d.claimed_until <= ? AND w.status = 'ACTIVE' "
        "ORDER BY d.id LIMIT ?",
        (now, now, limit),
    )


def _webhook(row: Row) -> Webhook:
    return Webhook(
        row=row[0], webhook_id=row[1], name=row[2], description=row[3], url=row[4], events=json.loads(row[5]),
        status=row[6], signed=bool(row[7]), created_at=row[8], updated_at=row[9], created_by=row[10],
    )  # fmt: skip
