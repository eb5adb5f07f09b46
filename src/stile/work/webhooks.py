"""Verbs on webhooks: register, change, delete, and put a message in line when something has happened.

Messages are put in line in the transaction that takes the event from the outbox, so that each event makes
exactly one message for each webhook; they are sent later, by ``webhook_delivery``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from stile.govern import registry
from stile.govern.events import DecisionTaken, PromotionProposed
from stile.govern.registry_events import AliasMoved, ModelCreated, VersionRegistered, VersionTagDropped, VersionTagSet
from stile.kernel.errors import Invalid, Missing
from stile.store import ledger
from stile.store.database import Tx
from stile.work import webhook_records as records
from stile.work.subscriptions import Subscriptions
from stile.work.webhook_records import Due
from stile.work.webhook_values import TRIES, Delivery, Outcome, Webhook, check, message, pause_ms

MOST = 100
"""Webhooks of one installation."""

_KEPT = 200


def create(
    tx: Tx,
    *,
    webhook_id: str,
    name: str,
    url: str,
    events: Sequence[str],
    by: str,
    description: str = "",
    status: str = "ACTIVE",
    secret: bytes | None = None,
) -> Webhook:
    """A new webhook. Its address was judged and its secret sealed by ``webhook_delivery.Webhooks`` before.

    Raises:
        Invalid: something about it cannot be, or there are ``MOST`` already.
    """
    check(name=name, description=description, events=events, status=status, secret="")
    if len(records.page(tx, limit=MOST)) >= MOST:
        raise Invalid(f"There are {MOST} webhooks already, which is the most. Delete one first.")
    now = tx.now_ms()
    made = Webhook(
        row=0, webhook_id=webhook_id, name=name, description=description, url=url,
        events=list(dict.fromkeys(events)), status=status, signed=secret is not None,
        created_at=now, updated_at=now, created_by=by,
    )  # fmt: skip
    records.add(tx, made, secret)
    _note(tx, "registered", made, by)
    return get(tx, webhook_id)


def get(tx: Tx, webhook_id: str) -> Webhook:
    """The webhook.

    Raises:
        Missing: there is none with this id.
    """
    found = records.find(tx, webhook_id)
    if found is None:
        raise Missing(f"Webhook with ID {webhook_id[:200]} not found.")
    return found


def page(tx: Tx, *, after: int = 0, limit: int = 1000) -> list[Webhook]:
    """Webhooks in the order they were made, after the one with this number."""
    return records.page(tx, after=after, limit=limit)


def update(
    tx: Tx,
    webhook_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    url: str | None = None,
    events: Sequence[str] | None = None,
    status: str | None = None,
    by: str,
) -> Webhook:
    """Change what is not None; a new address was judged before."""
    before = get(tx, webhook_id)
    after = msgspec.structs.replace(
        before,
        name=before.name if name is None else name,
        description=before.description if description is None else description,
        url=before.url if url is None else url,
        events=before.events if events is None else list(dict.fromkeys(events)),
        status=before.status if status is None else status,
        updated_at=tx.now_ms(),
    )
    check(name=after.name, description=after.description, events=after.events, status=after.status, secret="")
    records.change(tx, after)
    _note(tx, "changed", after, by)
    return get(tx, webhook_id)


def set_secret(tx: Tx, webhook_id: str, sealed: bytes | None) -> Webhook:
    """Another sealed secret; None for none."""
    records.set_secret(tx, get(tx, webhook_id).row, sealed)
    return get(tx, webhook_id)


def sealed_secret(tx: Tx, webhook_id: str) -> bytes | None:
    """Its sealed secret, for signing."""
    return records.secret_of(tx, get(tx, webhook_id).row)


def delete(tx: Tx, webhook_id: str, *, by: str) -> None:
    """Take a webhook away; what waits for it is not sent."""
    found = get(tx, webhook_id)
    records.drop(tx, found.row)
    _note(tx, "deleted", found, by)


def deliveries(tx: Tx, webhook_id: str, limit: int = 50) -> list[Delivery]:
    """The newest messages to a webhook and what came of them, tests among them."""
    return records.deliveries(tx, get(tx, webhook_id).row, limit)


def announce(tx: Tx, event: str, data: Mapping[str, Any], at: int) -> None:
    """Put a message about ``event`` (at this time, ms) in line for each active webhook that asked for it."""
    body = ""
    for webhook in records.page(tx):
        if event not in webhook.events or webhook.status != "ACTIVE" or webhook.created_at > at:
            continue
        body = body or message(event, data, at)
        records.add_delivery(tx, webhook.row, delivery_id=tx.new_hex(), event=event, body=body)
        records.prune(tx, webhook.row, _KEPT)


def note_test(tx: Tx, webhook_id: str, *, delivery_id: str, event: str, body: str, outcome: Outcome) -> None:
    """Write down a test among what was sent; nothing when the webhook was deleted meanwhile."""
    found = records.find(tx, webhook_id)
    if found is not None:
        records.add_test(tx, found.row, delivery_id=delivery_id, event=event, body=body, outcome=outcome)
        records.prune(tx, found.row, _KEPT)


def settle(tx: Tx, due: Due, outcome: Outcome) -> None:
    """Write down what a try has come to, and when to try again."""
    tries = due.tries + 1
    if outcome.delivered:
        state = "delivered"
    elif outcome.final or tries >= TRIES:
        state = "failed"
    else:
        state = "waiting"
    records.note(tx, due.row, outcome, state=state, tries=tries, next_at=tx.now_ms() + pause_ms(tries))


def _note(tx: Tx, act: str, webhook: Webhook, by: str) -> None:
    """Write into the ledger who lets whom be told of what. Only the host: the rest of an address may be a secret."""
    body = {
        "name": webhook.name,
        "host": urlsplit(webhook.url).hostname or "",
        "events": webhook.events,
        "status": webhook.status,
        "by": by,
    }
    ledger.append(tx, kind=f"webhook.{act}", use_case="", subject=webhook.webhook_id, body=body)


def subscribe(subscriptions: Subscriptions) -> None:
    """Hear of everything that webhooks can ask for."""
    name = "webhooks"
    subscriptions.on(name, ModelCreated, _model_created)
    subscriptions.on(name, VersionRegistered, _version_created)
    subscriptions.on(name, VersionTagSet, _tag_set)
    subscriptions.on(name, VersionTagDropped, _tag_dropped)
    subscriptions.on(name, AliasMoved, _alias_moved)
    subscriptions.on(name, PromotionProposed, _promotion_proposed)
    subscriptions.on(name, DecisionTaken, _decision_taken)


def _model_created(tx: Tx, event: ModelCreated, at: int) -> None:
    data = {"name": event.model, "tags": event.tags, "description": event.description or None}
    _announce_of_model(tx, "registered_model.created", data, at)


def _announce_of_model(tx: Tx, what: str, data: dict[str, Any], at: int) -> None:
    """Prompts share the registry with models; who asked to hear of models does not hear of prompts."""
    if not registry.is_prompt(tx, data["name"]):
        announce(tx, what, data, at)


def _version_created(tx: Tx, event: VersionRegistered, at: int) -> None:
    data = {
        "name": event.model,
        "version": str(event.version),
        "source": event.source,
        "run_id": event.run_id or None,
        "tags": event.tags,
        "description": event.description or None,
    }
    _announce_of_model(tx, "model_version.created", data, at)


def _tag_set(tx: Tx, event: VersionTagSet, at: int) -> None:
    data = {"name": event.model, "version": str(event.version), "key": event.key, "value": event.value}
    _announce_of_model(tx, "model_version_tag.set", data, at)


def _tag_dropped(tx: Tx, event: VersionTagDropped, at: int) -> None:
    data = {"name": event.model, "version": str(event.version), "key": event.key}
    _announce_of_model(tx, "model_version_tag.deleted", data, at)


def _alias_moved(tx: Tx, event: AliasMoved, at: int) -> None:
    data = {"name": event.model, "alias": event.alias}
    if event.version:
        _announce_of_model(tx, "model_version_alias.created", data | {"version": str(event.version)}, at)
    else:
        _announce_of_model(tx, "model_version_alias.deleted", data, at)


def _promotion_proposed(tx: Tx, event: PromotionProposed, at: int) -> None:
    data = msgspec.to_builtins(event)
    data.pop("people", None)
    announce(tx, "promotion.proposed", data, at)


def _decision_taken(tx: Tx, event: DecisionTaken, at: int) -> None:
    data = msgspec.to_builtins(event)
    data.pop("labels", None)
    announce(tx, "decision.taken", data, at)
