"""Rows of metric series: packed chunks of all points, and the newest point of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stile.store.database import Tx
from stile.train import points as packed
from stile.train.points import Point

_UPSERT_LATEST = """
INSERT INTO latest (run, key, experiment, value, step, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (run, key) DO UPDATE SET value = excluded.value, step = excluded.step, at = excluded.at
WHERE excluded.step > latest.step OR (excluded.step = latest.step AND (excluded.at > latest.at
   OR (excluded.at = latest.at AND COALESCE(excluded.value > latest.value, latest.value IS NULL))))
"""


def append(tx: Tx, run: int, key: int, fresh: Sequence[Point]) -> None:
    """Add points to a series; those already in its open tail are not stored again."""
    tail = tx.one(
        "SELECT chunk, count, body FROM points WHERE run = ? AND key = ? ORDER BY chunk DESC LIMIT 1", (run, key)
    )
    if tail is None:
        fresh = packed.without_known(fresh, ())
        tx.run(
            "INSERT INTO points (run, key, chunk, count, body) VALUES (?, ?, 1, ?, ?)",
            (run, key, len(fresh), packed.pack(fresh)),
        )
        return
    chunk, count, body = tail
    if count >= packed.TAIL:
        fresh = packed.without_known(fresh, ())
        tx.run(
            "INSERT INTO points (run, key, chunk, count, body) VALUES (?, ?, ?, ?, ?)",
            (run, key, chunk + 1, len(fresh), packed.pack(fresh)),
        )
        if len(fresh) >= packed.TAIL:
            _merge(tx, run, key)
        return
    known = packed.unpack(body)
    added = packed.without_known(fresh, known)
    if not added:
        return
    known.extend(added)
    tx.run(
        "UPDATE points SET count = ?, body = ? WHERE run = ? AND key = ? AND chunk = ?",
        (len(known), packed.pack(known), run, key, chunk),
    )
    if len(known) >= packed.TAIL:
        _merge(tx, run, key)


def raise_latest(tx: Tx, run: int, experiment: int, key: int, point: Point) -> None:
    """Make ``point`` the newest of its series, if it is."""
    value = None if math.isnan(point.value) else point.value
    tx.run(_UPSERT_LATEST, (run, key, experiment, value, point.step, point.at))


def history(tx: Tx, run: int, key: int) -> list[Point]:
    """All points of a series by (time, step, value), identical ones once."""
    found: list[Point] = []
    for (body,) in tx.all("SELECT body FROM points WHERE run = ? AND key = ? ORDER BY chunk", (run, key)):
        found.extend(packed.unpack(body))
    return packed.ordered(found)


def keys_of(tx: Tx, run: int) -> list[int]:
    """Keys of all series of a run."""
    return [row[0] for row in tx.all("SELECT key FROM latest WHERE run = ?", (run,))]


def _merge(tx: Tx, run: int, key: int) -> None:
    rows = tx.all("SELECT chunk, count FROM points WHERE run = ? AND key = ? ORDER BY chunk", (run, key))
    counts = [count for _, count in rows]
    taken = packed.merges(counts[:-1], counts[-1])
    if not taken:
        return
    first = rows[-1 - taken][0]
    bodies = tx.all(
        "SELECT body FROM points WHERE run = ? AND key = ? AND chunk >= ? ORDER BY chunk", (run, key, first)
    )
    merged = packed.without_known((p for (body,) in bodies for p in packed.unpack(body)), ())
    tx.run("DELETE FROM points WHERE run = ? AND key = ? AND chunk > ?", (run, key, first))
    tx.run(
        "UPDATE points SET count = ?, body = ? WHERE run = ? AND key = ? AND chunk = ?",
        (len(merged), packed.pack(merged), run, key, first),
    )
