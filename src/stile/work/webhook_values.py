"""Webhooks: the events that can be asked for, what is sent, and how it is signed.

Source: ``mlflow.entities.webhook`` and ``mlflow.webhooks`` of MLflow 3 (payloads, headers, signature), which
follow the Standard Webhooks specification.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from stile.kernel.errors import Invalid

MLFLOW_EVENTS: Mapping[str, Mapping[str, Any]] = {
    "registered_model.created": {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    },
    "model_version.created": {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"example_key": "example_value"},
        "description": "An example model version",
    },
    "model_version_tag.set": {"name": "example_model", "version": "1", "key": "example_key", "value": "example_value"},
    "model_version_tag.deleted": {"name": "example_model", "version": "1", "key": "example_key"},
    "model_version_alias.created": {"name": "example_model", "alias": "example_alias", "version": "1"},
    "model_version_alias.deleted": {"name": "example_model", "alias": "example_alias"},
}
"""Events of MLflow, each with the data a test sends."""

OUR_EVENTS: Mapping[str, Mapping[str, Any]] = {
    "promotion.proposed": {
        "use_case": "example-case",
        "promotion": "pro_example",
        "version": 1,
        "reason": "An example reason",
        "roles": ["domain_expert"],
        "by": "ada",
    },
    "decision.taken": {
        "use_case": "example-case",
        "decision": "dec_example",
        "kind": "promoted",
        "version": 1,
        "digest": "",
        "champion": 1,
        "previous": 0,
        "reason": "An example reason",
        "by": "paula",
    },
}
"""Events of ours, the same way."""

EVENTS = {**MLFLOW_EVENTS, **OUR_EVENTS}
STATUSES = ("ACTIVE", "DISABLED")
TRIES = 8
_PAUSES_S = (5, 30, 120, 600, 3600, 10_800, 28_800)
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.\-]{0,61}[A-Za-z0-9])?", re.ASCII)
_AGAIN = frozenset({408, 425, 429})
_SECRET_LENGTH = 1000

Ended = Literal["waiting", "delivered", "failed"]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told. Times are ms since 1970 UTC; the secret is never part of it, only whether there is one."""

    row: int
    webhook_id: str
    name: str
    description: str
    url: str
    events: list[str]
    status: str
    signed: bool
    created_at: int
    updated_at: int
    created_by: str

    @property
    def mlflow_events(self) -> list[str]:
        """Those of its events that MLflow knows."""
        return [event for event in self.events if event in MLFLOW_EVENTS]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one webhook: how often it was tried, and what came of it.

    ``answer`` is the HTTP status of the last try, None when there was no answer; ``error`` says what went wrong.
    ``test``: an example that somebody sent by hand; it is tried once.
    """

    delivery_id: str
    webhook_id: str
    event: str
    state: Ended
    tries: int
    next_at: int
    answer: int | None
    error: str
    created_at: int
    ended_at: int | None
    test: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one try has come to. ``final``: trying again would not help."""

    answer: int | None = None
    body: str = ""
    error: str = ""
    final: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken it."""
        return self.answer is not None and 200 <= self.answer < 300


def message(event: str, data: Mapping[str, Any], at_ms: int) -> str:
    """The body of a message about ``event``."""
    entity, _, action = event.partition(".")
    timestamp = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    return json.dumps({"entity": entity, "action": action, "timestamp": timestamp, "data": dict(data)})


def headers(*, delivery_id: str, at_s: int, body: str, secret: str) -> dict[str, str]:
    """The headers of a message; with a secret, signed over delivery id, time and body."""
    made = {
        "Content-Type": "application/json",
        "User-Agent": "stile-webhooks",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": str(at_s),
    }
    if secret:
        signed = hmac.new(secret.encode(), f"{delivery_id}.{at_s}.{body}".encode(), hashlib.sha256).digest()
        made["X-MLflow-Signature"] = "v1," + base64.b64encode(signed).decode()
    return made


def outcome_of(answer: int, body: str) -> Outcome:
    """What an HTTP answer means. Redirects are not followed; most refusals are not tried again."""
    if 200 <= answer < 300:
        return Outcome(answer=answer, body=body)
    if 300 <= answer < 400:
        return Outcome(answer=answer, body=body, error="It answered with a redirect; none is followed.", final=True)
    again = answer >= 500 or answer in _AGAIN
    return Outcome(answer=answer, body=body, error=f"It answered with status {answer}.", final=not again)


def pause_ms(tries: int) -> int:
    """How long to wait after this many tries."""
    return _PAUSES_S[min(tries, len(_PAUSES_S)) - 1] * 1000


def check(*, name: str, description: str, events: Sequence[str], status: str, secret: str) -> None:
    """Refuse what no webhook can have.

    Raises:
        Invalid: says what is wrong, and for an unknown event which there are.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"Webhook name {name[:80]!r} is invalid. It must start and end with a letter or digit, be at most 63 "
            "characters long, and contain only letters, digits, dots, underscores and hyphens."
        )
    if len(description) > 1000:
        raise Invalid("A webhook's description may have at most 1000 characters.")
    if len(secret) > _SECRET_LENGTH:
        raise Invalid(f"A webhook's secret may have at most {_SECRET_LENGTH} characters.")
    if not events:
        raise Invalid("Webhook events must be a non-empty list.")
    for event in events:
        if event not in EVENTS:
            raise Invalid(f"The event {event[:80]!r} is not sent by this server. It sends: {', '.join(EVENTS)}.")
    if status not in STATUSES:
        raise Invalid(f"Invalid webhook status {status[:40]!r}. It is one of {', '.join(STATUSES)}.")
