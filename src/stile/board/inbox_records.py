"""SQL of what a person has dealt with, and of notifications."""

from __future__ import annotations

import msgspec

from stile.store.database import Tx


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person was told; unlike an inbox item it asks for nothing."""

    id: str
    use_case: str
    kind: str
    text: str
    url: str
    at: int
    seen_at: int | None = None


def done_at(tx: Tx, person: str) -> dict[str, int]:
    """When the person marked which item as dealt with."""
    return dict(tx.all("SELECT item, at FROM inbox_done WHERE person = ?", (person,)))


def mark_done(tx: Tx, person: str, item: str) -> None:
    """Mark an item as dealt with."""
    tx.run(
        "INSERT INTO inbox_done (person, item, at) VALUES (?, ?, ?) "
        "ON CONFLICT (person, item) DO UPDATE SET at = excluded.at",
        (person, item, tx.now_ms()),
    )


def mark_open(tx: Tx, person: str, item: str) -> None:
    """Take the mark back."""
    tx.run("DELETE FROM inbox_done WHERE person = ? AND item = ?", (person, item))


def notify(tx: Tx, *, person: str, use_case: str, kind: str, text: str, url: str, about: str) -> None:
    """Tell a person something once per ``kind`` and ``about``."""
    tx.run(
        "INSERT INTO notifications (id, person, use_case, kind, text, url, about, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (person, kind, about) DO NOTHING",
        (tx.new_id("ntf"), person, use_case, kind, text, url, about, tx.now_ms()),
    )


def notifications(tx: Tx, person: str, limit: int = 50) -> list[Notification]:
    """What a person was told, newest first."""
    rows = tx.all(
        "SELECT id, use_case, kind, text, url, at, seen_at FROM notifications "
        "WHERE person = ? ORDER BY id DESC LIMIT ?",
        (person, limit),
    )
    return [
        Notification(id=id, use_case=use_case, kind=kind, text=text, url=url, at=at, seen_at=seen_at)
        for id, use_case, kind, text, url, at, seen_at in rows
    ]


def mark_seen(tx: Tx, person: str) -> int:
    """Mark everything a person was told as seen; returns how many were new."""
    return tx.run("UPDATE notifications SET seen_at = ? WHERE person = ? AND seen_at IS NULL", (tx.now_ms(), person))
