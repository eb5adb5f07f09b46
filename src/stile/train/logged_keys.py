"""Which keys were logged, to an experiment or to some of its runs, and which values they took.

Everything is answered by stepping from one distinct entry of an index to the next, so that an
experiment of fifty thousand runs costs as much as one of fifty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from stile.store.database import Tx
from stile.train import run_keys
from stile.train.run_keys import marks

Table = Literal["latest", "params", "run_tags"]

SHOWN_LETTERS = 100
"""Letters of a value that the index has; longer values are not told apart by it."""


class KeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """How some runs use a key: how many have it, and whether they differ in it.

    Attributes:
        distinct: how many values a parameter has among them; 0 for others.
        least: the first of these values in alphabetical order.
    """

    key: str
    runs: int
    varies: bool
    distinct: int = 0
    least: str = ""


def keys(tx: Tx, table: Table, experiment: int, *, most: int = 500) -> dict[str, int]:
    """The numbers of the keys of an experiment by name, at most ``most``, in alphabetical order."""
    found = tx.all(
        f"WITH RECURSIVE seen(key, n) AS (SELECT MIN(key), 1 FROM {table} WHERE experiment = ? "
        f"UNION ALL SELECT (SELECT MIN(t.key) FROM {table} t WHERE t.experiment = ? AND t.key > seen.key), seen.n + 1 "
        "FROM seen WHERE seen.key IS NOT NULL AND seen.n < ?) SELECT key FROM seen WHERE key IS NOT NULL",
        (experiment, experiment, most),
    )
    named = run_keys.names(tx, [row[0] for row in found])
    return dict(sorted((name, number) for number, name in named.items()))


def values(tx: Tx, table: Table, experiment: int, key: int, *, most: int, begun: str = "") -> list[str]:
    """The first different values (or their first 100 letters) of a key in an experiment, from ``begun`` on."""
    value = "substr(value, 1, 100)"
    step = f"(SELECT {value} FROM {table} t WHERE t.experiment = ? AND t.key = ? AND {{}} ORDER BY {value} LIMIT 1)"
    found = tx.all(
        f"WITH RECURSIVE seen(value, n) AS (SELECT {step.format(value + ' >= ?')}, 1 UNION ALL "
        f"SELECT {step.format(value + ' > seen.value')}, seen.n + 1 FROM seen "
        "WHERE seen.value IS NOT NULL AND seen.n < ?) SELECT value FROM seen WHERE value IS NOT NULL",
        (experiment, key, begun, experiment, key, most),
    )
    return [row[0] for row in found]


def extremes(tx: Tx, experiment: int, key: int) -> tuple[float, float] | None:
    """The least and the greatest newest value of a metric in an experiment; None when there is no number."""
    where = "FROM latest WHERE experiment = ? AND key = ? AND value IS NOT NULL"
    low = tx.scalar(f"SELECT value {where} ORDER BY value LIMIT 1", (experiment, key))
    high = tx.scalar(f"SELECT value {where} ORDER BY value DESC LIMIT 1", (experiment, key))
    return None if low is None or high is None else (float(low), float(high))


def stepped(tx: Tx, runs: Sequence[int]) -> dict[str, int]:
    """The metrics of which some of these runs logged several steps, and how many did; most first."""
    if not runs:
        return {}
    rows = tx.all(f"SELECT key, COUNT(*) FROM latest WHERE run IN ({marks(runs)}) AND step > 0 GROUP BY key", runs)
    named = run_keys.names(tx, [row[0] for row in rows])
    return dict(sorted(((named[key], int(count)) for key, count in rows), key=lambda each: (-each[1], each[0])))


def use(tx: Tx, table: Table, runs: Sequence[int]) -> list[KeyUse]:
    """How runs (numbers; as many as a page shows) use each key they have, in alphabetical order."""
    if not runs:
        return []
    more = "COUNT(DISTINCT value), MIN(value)" if table == "params" else "0, ''"
    rows = tx.all(
        f"SELECT key, COUNT(*), MIN(value) <> MAX(value), {more} FROM {table} WHERE run IN ({marks(runs)}) "
        "GROUP BY key",
        runs,
    )
    named = run_keys.names(tx, [row[0] for row in rows])
    found = [
        KeyUse(key=named[row[0]], runs=int(row[1]), varies=bool(row[2]), distinct=int(row[3]), least=row[4] or "")
        for row in rows
    ]
    return sorted(found, key=lambda each: each.key)
