"""The least and greatest values of metric series: worked out for what was logged before they were kept, and walked.

Every write keeps them (``series_records.append``), beside the newest value and in no index: that would cost every
write more than it saves, for a page can look at all runs of an experiment (20 ms for 50 000). Only a store that an
earlier version has written has series without them; those are read through once, in the background, and until then
have no number to sort by.
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
) -> Part | None:
    """A condition on runs ``r`` that holds for the next ones in the order of ``column``, several times ``limit``.

    So a page joins and sorts a few runs, not all that have logged the metric. Runs with equal values are all
    among them or none is. None when that leaves no few.

    Args:
        tx: the transaction.
        experiments: whose runs are looked at.
        key: number of the metric.
        column: ``low`` or ``high``.
        up: the least first.
        after: the page begins at this value; None for the first.
        limit: runs of a page.
    """
    most = _AHEAD * limit
    if most > _MOST_NEAR:
        return None
    way = "ASC" if up else "DESC"
    begin = "" if after is None else f"AND {column} {'>=' if up else '<='} ? "
    where = f"experiment IN ({marks(experiments)}) AND key = ? AND low <= high {begin}"
    every = f"SELECT run, {column} FROM latest WHERE {where}"
    if len(experiments) == 1:  # in the order of the newest values, which is nearly the right one: less is sorted
        every += f"ORDER BY value {way} LIMIT {_ALL}"
    found = tx.all(
        f"SELECT run, {column} FROM ({every}) found ORDER BY {column} {way} LIMIT ?",
        [*experiments, key, *([] if after is None else [after]), most],
    )
    if len(found) < most:
        return None
    rows = [run for run, value in found if value != found[-1][1]]
    return Part(f"r.id IN ({marks(rows)})", tuple(rows)) if len(rows) >= limit else None


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
