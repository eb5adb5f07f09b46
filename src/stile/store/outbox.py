"""Events on their way up: appended in the transaction that caused them, read in order by each subscriber.

Each subscriber has a position of its own, moved in the same transaction as the effect, so
every event takes effect exactly once per subscriber, also across kill -9.
"""

from __future__ import annotations

import msgspec

from stile.kernel.events import Event, decode_event
from stile.store.database import Tx


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """An event as recorded: its place in the order, when, and the event (None when its class is unknown)."""

    position: int
    at: int
    name: str
    event: Event | None


def append(tx: Tx, name: str, body: bytes) -> None:
    """Record one event."""
    tx.many("INSERT INTO outbox (at, name, body) VALUES (?, ?, ?)", [(tx.now_ms(), name, body)])


def after(tx: Tx, position: int, limit: int = 100) -> list[Posted]:
    """Events after ``position``, oldest first."""
    rows = tx.all(
        "SELECT position, at, name, body FROM outbox WHERE position > ? ORDER BY position LIMIT ?", (position, limit)
    )
    return [Posted(position=p, at=at, name=name, event=decode_event(name, body)) for p, at, name, body in rows]


def last_position(tx: Tx) -> int:
    """The position of the newest event, 0 when there is none."""
    return int(tx.scalar("SELECT COALESCE(MAX(position), 0) FROM outbox"))


def position_of(tx: Tx, subscriber: str) -> int:
    """How far ``subscriber`` has come; 0 for a new one."""
    return int(tx.scalar("SELECT position FROM outbox_positions WHERE subscriber = ?", (subscriber,)) or 0)


def move(tx: Tx, subscriber: str, position: int) -> None:
    """Remember that ``subscriber`` has dealt with everything up to ``position``; never moves back."""
    tx.run(
        "INSERT INTO outbox_positions (subscriber, position) VALUES (?, ?) ON CONFLICT (subscriber) DO UPDATE "
        "SET position = excluded.position WHERE outbox_positions.position < excluded.position",
        (subscriber, position),
    )
