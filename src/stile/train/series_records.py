"""Rows of metric series: packed chunks of all points, and the newest point of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stile.store.database import Tx
from stile.train import points as packed
from stile.train.points import Columns, Piece, Point

_UPSERT_LATEST = """
INSERT INTO latest (run, key, experiment, value, step, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (run, key) DO UPDATE SET value = excluded.value, step = excluded.step, at = excluded.at
WHERE excluded.step > latest.step OR (excluded.step = latest.step AND (excluded.at > latest.at
   OR (excluded.at = latest.at AND COALESCE(excluded.value > latest.value, latest.value IS NULL))))
"""
_PLACE = """
SELECT r.id, r.experiment, r.lifecycle, k.id,
  (SELECT p.chunk FROM points p WHERE p.run = r.id AND p.key = k.id ORDER BY p.chunk DESC LIMIT 1)
FROM runs r LEFT JOIN run_keys k ON k.name = ? WHERE r.run_id = ?
""".strip()


class Place(NamedTuple):
    """Where the next chunk of a series goes; ``key`` is None when nothing was ever logged under it."""

    run: int
    experiment: int
    lifecycle: str
    key: int | None
    last_chunk: int


def place(tx: Tx, run_id: str, key: str) -> Place | None:
    """All that adding to one series needs to know, in one look; None when there is no such run."""
    row = tx.one(_PLACE, (key, run_id))
    return None if row is None else Place(row[0], row[1], row[2], row[3], row[4] or 0)


def append(
    tx: Tx, run: int, experiment: int, pieces: Mapping[int, Piece], *, last: Mapping[int, int] | None = None
) -> None:
    """Add points to the series of a run, by key, and make the newest of each its latest if it is.

    ``last`` is the number of the last chunk of each series, when it is known already.
    """
    if last is None:
        last = _last_chunks(tx, run, pieces)
    tx.many(
        "INSERT INTO points (run, key, chunk, count, body) VALUES (?, ?, ?, ?, ?)",
        [(run, key, last[key] + 1, count, body) for key, (count, body, _) in pieces.items()],
    )
    tx.many(
        _UPSERT_LATEST,
        [
            (run, key, experiment, None if math.isnan(value) else value, step, at)
            for key, (_, _, (at, step, value)) in pieces.items()
        ],
    )
    for key, chunk in last.items():
        if (chunk + 1) % packed.ROUND == 0:
            _join(tx, run, key)


def add_missing(tx: Tx, run: int, experiment: int, key: int, given: Columns) -> int:
    """Add those points of ``given`` (at least one) that the series does not have yet; how many those were."""
    known: set[Point] = set()
    for (body,) in tx.all("SELECT body FROM points WHERE run = ? AND key = ? ORDER BY chunk", (run, key)):
        known.update(packed.unpack(body))
    fresh = [point for point in dict.fromkeys(packed.unpack(packed.piece(given).body)) if point not in known]
    if fresh:
        append(tx, run, experiment, {key: packed.piece(Columns(*zip(*fresh, strict=True)))})
    return len(fresh)


def columns(tx: Tx, run: int, key: int) -> Columns:
    """All points of a series by (time, step, value), identical ones once."""
    rows = tx.all("SELECT body FROM points WHERE run = ? AND key = ? ORDER BY chunk", (run, key))
    return packed.columns_of(row[0] for row in rows)


def keys_of(tx: Tx, run: int) -> list[int]:
    """Keys of all series of a run."""
    return [row[0] for row in tx.all("SELECT key FROM latest WHERE run = ?", (run,))]


def sizes(tx: Tx, run: int) -> dict[int, int]:
    """How many points are stored of each series of a run, by key."""
    return dict(tx.all("SELECT key, CAST(SUM(count) AS BIGINT) FROM points WHERE run = ? GROUP BY key", (run,)))


def _last_chunks(tx: Tx, run: int, keys: Iterable[int]) -> dict[int, int]:
    """The number of the last chunk of each series, 0 for a new one."""
    newest = "SELECT chunk FROM points WHERE run = ? AND key = ? ORDER BY chunk DESC LIMIT 1"
    return {key: tx.scalar(newest, (run, key)) or 0 for key in keys}


def _join(tx: Tx, run: int, key: int) -> None:
    """Make one chunk of the last ones, under the number of the last."""
    sizes = tx.all(
        "SELECT chunk, count FROM points WHERE run = ? AND key = ? ORDER BY chunk DESC LIMIT ?",
        (run, key, 4 * packed.ROUND),
    )
    taken = packed.joins([count for _, count in sizes])
    if taken < 2:
        return
    last, first = sizes[0][0], sizes[taken - 1][0]
    bodies = tx.all(
        "SELECT body FROM points WHERE run = ? AND key = ? AND chunk >= ? ORDER BY chunk", (run, key, first)
    )
    body = packed.joined(row[0] for row in bodies)
    tx.run("DELETE FROM points WHERE run = ? AND key = ? AND chunk >= ? AND chunk < ?", (run, key, first, last))
    tx.run(
        "UPDATE points SET count = ?, body = ? WHERE run = ? AND key = ? AND chunk = ?",
        (packed.count(body), body, run, key, last),
    )
