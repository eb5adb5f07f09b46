"""Interned keys: the text of a metric, param or tag key is stored once and known by a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stile.store.database import Tx

_BLOCK = 500


def find(tx: Tx, name: str) -> int | None:
    """The number of a key; None when nothing was ever logged under it."""
    found = tx.scalar("SELECT id FROM run_keys WHERE name = ?", (name,))
    return None if found is None else int(found)


def intern(tx: Tx, name: str) -> int:
    """The number of a key, made when it is new."""
    found = tx.scalar("SELECT id FROM run_keys WHERE name = ?", (name,))
    if found is None:
        found = tx.scalar("INSERT INTO run_keys (name) VALUES (?) RETURNING id", (name,))
    return int(found)


def names(tx: Tx, ids: Iterable[int]) -> dict[int, str]:
    """The texts of keys."""
    wanted = sorted(set(ids))
    found: dict[int, str] = {}
    for part in blocks(wanted):
        found.update(tx.all(f"SELECT id, name FROM run_keys WHERE id IN ({marks(part)})", part))
    return found


def marks(values: Sequence[object]) -> str:
    """As many ``?`` as there are values."""
    return ", ".join("?" * len(values))


def blocks(values: Sequence[int], size: int = _BLOCK) -> Iterable[Sequence[int]]:
    """The values in slices small enough for one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
