"""The least and greatest values of metric series: worked out for what was logged before they were kept, and walked.

Every write keeps them (``series_records.append``), beside the newest value. An index in their order would cost every
write more than it saves; they come along in the index by newest value, which a page reads through (4 ms for 50 000
runs). Only a store that an earlier version has written has series without them; those are read through once, in the
background, and until then have no number to sort by.
"""

from __future__ import annotations

from collections.abc import Sequence

from stile.store.database import Database, Tx
from stile.train import series_records
from stile.train.metric_summary import Column
from stile.train.run_keys import marks
from stile.train.search_sql import Part

_AT_ONCE = 200
_POINTS_AT_ONCE = 400_000
_AHEAD = 20
_LEAST_AHEAD = 4
_MOST_NEAR = 2000
_ALL = 1_000_000_000
"""More than there are: a limit keeps the order of an inner selection."""


def catch_up(db: Database) -> int:
    """Work out all that is missing, in small writes; how many series that were. Blocks; periodic work calls it."""
    done = 0
    while db.read(series_records.any_due):
        done += db.write(_some)
    return done


def missing(tx: Tx) -> bool:
    """Whether some series have no least and greatest value yet, so that they are left out of an order by it."""
    return series_records.any_due(tx)


def near(
    tx: Tx, experiments: Sequence[int], key: int, column: Column, *, up: bool, after: float | None, limit: int
) -> Part | float | None:
    """A condition on runs ``r`` that holds for the next ones in the order of ``column``, several times ``limit``.

    So a page joins and sorts a few runs, not all that have logged the metric. Runs with equal values are all
    among them or none is. When that leaves none it is the value that they all share; None when it leaves no few.

    Args:
        tx: the transaction.
        experiments: whose runs are looked at.
        key: number of the metric.
        column: which of the kept numbers.
        up: the least first.
        after: the page begins at this value; None for the first.
        limit: runs of a page.
    """
    most = min(_AHEAD * limit, _MOST_NEAR)
    if most < _LEAST_AHEAD * limit:
        return None
    way = "ASC" if up else "DESC"
    begin = "" if after is None else f"AND {column} {'>=' if up else '<='} ? "
    number = "value IS NOT NULL" if column == "value" else "low <= high"
    where = f"experiment IN ({marks(experiments)}) AND key = ? AND {number} {begin}"
    every = f"SELECT run, {column} FROM latest WHERE {where}"
    if len(experiments) == 1 and column != "value":  # the newest values have nearly the right order: less is sorted
        every += f"ORDER BY value {way} LIMIT {_ALL}"
    found = tx.all(
        f"SELECT run, {column} FROM ({every}) found ORDER BY {column} {way} LIMIT ?",
        [*experiments, key, *([] if after is None else [after]), most],
    )
    if len(found) < most:
        return None
    rows = [run for run, value in found if value != found[-1][1]]
    if len(rows) >= limit:
        return Part(f"r.id IN ({marks(rows)})", tuple(rows))
    return None if rows else float(found[0][1])


def _some(tx: Tx) -> int:
    """The next series that are due: so many that writing them does not hold up anybody for long."""
    points = done = 0
    for run, key, count in series_records.due(tx, _AT_ONCE):
        if done and points + count > _POINTS_AT_ONCE:
            break
        series_records.summarise(tx, run, key)
        points += count
        done += 1
    return done
