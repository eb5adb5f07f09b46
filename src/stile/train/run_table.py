"""Runs as rows of a table: who they are, and of what was logged only the columns that are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from stile.store.database import Tx
from stile.train import points as packed
from stile.train import run_keys, series_records
from stile.train.run_keys import blocks, marks

_MOST_POINTS = 200_000


class TableRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Times in ms since 1970 UTC; ``metrics`` may hold NaN; only keys that were asked for and logged."""

    row: int
    run_id: str
    experiment_id: str
    name: str
    status: str
    user_id: str
    start_time: int
    end_time: int | None
    artifact_uri: str
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]

    @property
    def took_ms(self) -> int | None:
        """How long it ran; None while it runs."""
        return None if self.end_time is None else self.end_time - self.start_time


def load(
    tx: Tx, rows: Sequence[int], *, metrics: Sequence[str] = (), params: Sequence[str] = (), tags: Sequence[str] = ()
) -> list[TableRow]:
    """The runs with these numbers, in this order, with the values of these keys."""
    values: dict[int, dict[str, float]] = {row: {} for row in rows}
    texts: dict[str, dict[int, dict[str, str]]] = {table: {row: {} for row in rows} for table in ("params", "run_tags")}
    who = {}
    asked = {"params": _numbered(tx, params), "run_tags": _numbered(tx, tags)}
    numbers = _numbered(tx, metrics)
    for part in blocks(list(rows)):
        inside = f"run IN ({marks(part)})"
        for found in tx.all(
            "SELECT id, run_id, experiment, name, status, user_id, start_time, end_time, artifact_uri "
            f"FROM runs WHERE id IN ({marks(part)})",
            part,
        ):
            who[found[0]] = found
        if numbers:
            sql = f"SELECT run, key, value FROM latest WHERE {inside} AND key IN ({marks(list(numbers))})"
            for run, key, value in tx.all(sql, [*part, *numbers]):
                values[run][numbers[key]] = math.nan if value is None else value
        for table, keys in asked.items():
            if keys:
                sql = f"SELECT run, key, value FROM {table} WHERE {inside} AND key IN ({marks(list(keys))})"
                for run, key, value in tx.all(sql, [*part, *keys]):
                    texts[table][run][keys[key]] = value
    return [
        TableRow(
            row=row, run_id=who[row][1], experiment_id=str(who[row][2]), name=who[row][3], status=who[row][4],
            user_id=who[row][5], start_time=who[row][6], end_time=who[row][7], artifact_uri=who[row][8],
            metrics=values[row], params=texts["params"][row], tags=texts["run_tags"][row],
        )
        for row in rows
        if row in who
    ]  # fmt: skip


def curves(tx: Tx, rows: Sequence[int], key: str, *, most: int) -> dict[int, list[float]]:
    """The course of one metric in runs that logged several steps of it, thinned to ``most`` values, by run.

    Runs are left out once two hundred thousand points have been read: a page does not wait for them.
    """
    number = run_keys.find(tx, key)
    if number is None or not rows:
        return {}
    stepped = tx.all(
        "SELECT p.run, SUM(p.count) FROM points p JOIN latest l ON l.run = p.run AND l.key = p.key "
        f"WHERE p.run IN ({marks(rows)}) AND p.key = ? AND l.step > 0 GROUP BY p.run",
        [*rows, number],
    )
    found = {}
    read = 0
    for run, count in stepped:
        if count < 2 or read + count > _MOST_POINTS:
            continue
        read += int(count)
        points = [packed.Point(*each) for each in zip(*series_records.columns(tx, run, number), strict=True)]
        found[run] = [point.value for point in packed.sampled(points, most)]
    return found


def _numbered(tx: Tx, keys: Sequence[str]) -> dict[int, str]:
    numbers = ((run_keys.find(tx, key), key) for key in dict.fromkeys(keys))
    return {number: key for number, key in numbers if number is not None}
