"""Rows of metric series: packed chunks of all points, and the newest point of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stile.store.database import Tx
from stile.train import points as packed
from stile.train import run_keys
from stile.train.points import Columns, Piece, Point

_NEWER = """
(excluded.step > latest.step OR (excluded.step = latest.step AND (excluded.at > latest.at
   OR (excluded.at = latest.at AND COALESCE(excluded.value > latest.value, latest.value IS NULL)))))
""".strip()
# Step and time are written out, not as "newer", and there is no WHERE: a third less work for every point logged.
_UPSERT_LATEST = f"""
INSERT INTO latest (run, key, experiment, value, step, at, low, high) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, key) DO UPDATE SET
  value = CASE WHEN {_NEWER} THEN excluded.value ELSE latest.value END,
  step = CASE WHEN excluded.step > latest.step THEN excluded.step ELSE latest.step END,
  at = CASE WHEN excluded.step < latest.step OR (excluded.step = latest.step AND excluded.at < latest.at)
    THEN latest.at ELSE excluded.at END,
  low = CASE WHEN excluded.low < latest.low THEN excluded.low ELSE latest.low END,
  high = CASE WHEN excluded.high > latest.high THEN excluded.high ELSE latest.high END
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
    """Add points to the series of a run, by key, and keep what is newest, least and greatest of each.

    ``last`` is the number of the last chunk of each series, when it is known already.
    """
    if last is None:
        last = _last_chunks(tx, run, pieces)
    tx.many(
        "INSERT INTO points (run, key, chunk, count, body) VALUES (?, ?, ?, ?, ?)",
        [(run, key, last[key] + 1, one.size, one.body) for key, one in pieces.items()],
    )
    tx.many(
        _UPSERT_LATEST,
        [
            (run, key, experiment, None if math.isnan(value) else value, step, at, low, high)
            for key, (_, _, (at, step, value), low, high) in pieces.items()
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


def newest_of(tx: Tx, runs: Sequence[int], key: int) -> list[tuple[int, int, int]]:
    """(run, time, step) of the newest point of one series in each of some runs that have it, by run."""
    if not runs:
        return []
    sql = f"SELECT run, at, step FROM latest WHERE run IN ({run_keys.marks(runs)}) AND key = ? ORDER BY run"
    return [(run, at, step) for run, at, step in tx.all(sql, [*runs, key])]


def sizes(tx: Tx, run: int) -> dict[int, int]:
    """How many points are stored of each series of a run, by key."""
    return dict(tx.all("SELECT key, CAST(SUM(count) AS BIGINT) FROM points WHERE run = ? GROUP BY key", (run,)))


def due(tx: Tx, most: int) -> list[tuple[int, int, int]]:
    """(run, key, points) of series whose least and greatest number are not worked out yet; at most ``most``."""
    return tx.all(
        "SELECT d.run, d.key, CAST(COALESCE(SUM(p.count), 0) AS BIGINT) FROM "
        "(SELECT run, key FROM summaries_due ORDER BY run, key LIMIT ?) d "
        "LEFT JOIN points p ON p.run = d.run AND p.key = d.key GROUP BY d.run, d.key ORDER BY d.run, d.key",
        (most,),
    )


def any_due(tx: Tx) -> bool:
    """Whether there are such series."""
    return tx.one("SELECT 1 FROM summaries_due LIMIT 1") is not None


def summarise(tx: Tx, run: int, key: int) -> None:
    """Work out the least and greatest number of a series from all its points."""
    values = columns(tx, run, key).values
    low, high = packed.ends([value for value in values if not math.isnan(value)])
    tx.run("UPDATE latest SET low = ?, high = ? WHERE run = ? AND key = ?", (low, high, run, key))
    tx.run("DELETE FROM summaries_due WHERE run = ? AND key = ?", (run, key))


def _last_chunks(tx: Tx, run: int, keys: Iterable[int]) -> dict[int, int]:
    """The number of the last chunk of each series, 0 for a new one."""
    wanted = list(keys)
    if len(wanted) == 1:
        newest = "SELECT chunk FROM points WHERE run = ? AND key = ? ORDER BY chunk DESC LIMIT 1"
        return {wanted[0]: tx.scalar(newest, (run, wanted[0])) or 0}
    found: dict[int, int] = {}
    for part in run_keys.blocks(wanted):
        sql = (
            "SELECT k.id, (SELECT p.chunk FROM points p WHERE p.run = ? AND p.key = k.id ORDER BY p.chunk DESC LIMIT 1)"
            f" FROM run_keys k WHERE k.id IN ({run_keys.marks(part)})"
        )
        found.update((key, chunk or 0) for key, chunk in tx.all(sql, (run, *part)))
    return found


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
