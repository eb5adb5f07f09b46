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


def intern_all(tx: Tx, names: Iterable[str]) -> dict[str, int]:
    """The numbers of keys, made where they are new; in the order given."""
    wanted = list(names)
    if len(wanted) == 1:
        return {wanted[0]: intern(tx, wanted[0])}
    found: dict[str, int] = {}
    for start in range(0, len(wanted), _BLOCK):
        part = wanted[start : start + _BLOCK]
        found.update(tx.all(f"SELECT name, id FROM run_keys WHERE name IN ({marks(part)})", part))
    return {name: found[name] if name in found else intern(tx, name) for name in wanted}


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
