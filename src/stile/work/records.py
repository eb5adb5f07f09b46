"""Rows of background work: starts that wait for the engine, and events that no handler could deal with."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.store.database import Tx


class WaitingStart(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that was asked for before the engine was up."""

    key: str
    name: str
    arguments: dict[str, Any]
    at: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event one subscriber gave up on.

    Attributes:
        subscriber: whose handler failed.
        position: place of the event in the outbox.
        event: name of the event.
        error: what the last try said.
        tries: how often it was tried.
        at: when it was given up, ms since 1970 UTC.
    """

    subscriber: str
    position: int
    event: str
    error: str
    tries: int
    at: int


def add_start(tx: Tx, *, key: str, name: str, arguments: dict[str, Any]) -> None:
    """Keep a start until the engine is up; a second one with the same key is ignored."""
    tx.run(
        "INSERT INTO work_starts (key, name, arguments, at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (key, name, msgspec.json.encode(arguments).decode(), tx.now_ms()),
    )


def starts(tx: Tx) -> list[WaitingStart]:
    """Every start that waits, oldest first."""
    rows = tx.all("SELECT key, name, arguments, at FROM work_starts ORDER BY at, key")
    return [WaitingStart(key=k, name=n, arguments=msgspec.json.decode(a), at=at) for k, n, a, at in rows]


def is_waiting(tx: Tx, key: str) -> bool:
    """Whether the start with this key still waits for the engine."""
    return tx.one("SELECT 1 FROM work_starts WHERE key = ?", (key,)) is not None


def drop_start(tx: Tx, key: str) -> None:
    """Forget a start that the engine has taken over."""
    tx.run("DELETE FROM work_starts WHERE key = ?", (key,))


def add_dead_letter(tx: Tx, *, subscriber: str, position: int, event: str, error: str, tries: int) -> None:
    """Record that ``subscriber`` gave up on an event."""
    tx.run(
        "INSERT INTO work_dead_letters (subscriber, position, event, error, tries, at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (subscriber, position) DO NOTHING",
        (subscriber, position, event, error, tries, tx.now_ms()),
    )


def dead_letters(tx: Tx, limit: int = 100) -> list[DeadLetter]:
    """What was given up on, newest first."""
    rows = tx.all(
        "SELECT subscriber, position, event, error, tries, at FROM work_dead_letters ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [DeadLetter(subscriber=s, position=p, event=e, error=m, tries=n, at=at) for s, p, e, m, n, at in rows]
