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
    """Add canonical points to a series; those already in its open tail are not stored again."""
    tail = tx.one(
        "SELECT chunk, count, body FROM points WHERE run = ? AND key = ? ORDER BY chunk DESC LIMIT 1", (run, key)
    )
    if tail is None or tail[1] >= packed.TAIL:
        chunk = 1 if tail is None else tail[0] + 1
        body = packed.pack(packed.without_known(fresh, ()))
        tx.run(
            "INSERT INTO points (run, key, chunk, count, body) VALUES (?, ?, ?, ?, ?)",
            (run, key, chunk, packed.count(body), body),
        )
    else:
        chunk = tail[0]
        longer = _lengthened(tail[2], fresh)
        if longer is None:
            return
        body = longer
        _replace(tx, run, key, chunk, body)
    if chunk > 1 and packed.count(body) >= packed.TAIL:
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


def _lengthened(body: bytes, fresh: Sequence[Point]) -> bytes | None:
    if len(fresh) == 1:
        return packed.extended(body, fresh[0])
    known = packed.unpack(body)
    added = packed.without_known(fresh, known)
    return packed.pack([*known, *added]) if added else None


def _merge(tx: Tx, run: int, key: int) -> None:
    """Let the last chunk take in those before it that are not larger."""
    rows = tx.all("SELECT chunk, count FROM points WHERE run = ? AND key = ? ORDER BY chunk", (run, key))
    counts = [count for _, count in rows]
    taken = packed.merges(counts[:-1], counts[-1])
    if not taken:
        return
    first = rows[-1 - taken][0]
    bodies = tx.all(
        "SELECT body FROM points WHERE run = ? AND key = ? AND chunk >= ? ORDER BY chunk", (run, key, first)
    )
    tx.run("DELETE FROM points WHERE run = ? AND key = ? AND chunk > ?", (run, key, first))
    _replace(tx, run, key, first, packed.joined(body for (body,) in bodies))


def _replace(tx: Tx, run: int, key: int, chunk: int, body: bytes) -> None:
    tx.run(
        "UPDATE points SET count = ?, body = ? WHERE run = ? AND key = ? AND chunk = ?",
        (packed.count(body), body, run, key, chunk),
    )
