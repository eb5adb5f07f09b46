"""Runs as rows of a table: who they are, and of what was logged only the columns that are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from stile.store.database import Tx
from stile.train import metric_summary, run_keys, series_records
from stile.train import points as packed
from stile.train.metric_summary import Column, Summary
from stile.train.run_keys import blocks, marks
from stile.train.run_values import Latest, Run

_MOST_POINTS = 200_000


class TableRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Times in ms since 1970 UTC; only keys that were asked for and logged.

    ``metrics`` may hold NaN; a summary stands beside the metric it sums up, as ``max(auc)``.
    """

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
    """The runs with these numbers, in this order, with the values of these keys.

    A metric may be asked for by a summary: ``max(auc)``. It is left out where it is not worked out yet (``summaries``).

    Raises:
        Invalid: nobody knows what is best for a metric whose best is asked for.
    """
    values: dict[int, dict[str, float]] = {row: {} for row in rows}
    texts: dict[str, dict[int, dict[str, str]]] = {table: {row: {} for row in rows} for table in ("params", "run_tags")}
    who = {}
    asked = {"params": _numbered(tx, params), "run_tags": _numbered(tx, tags)}
    summed = [metric_summary.split(name) for name in dict.fromkeys(metrics)]
    kept = {each: metric_summary.column(*each) for each in summed}
    numbers = _numbered(tx, [key for _, key in summed])
    for part in blocks(list(rows)):
        inside = f"run IN ({marks(part)})"
        for found in tx.all(
            "SELECT id, run_id, experiment, name, status, user_id, start_time, end_time, artifact_uri "
            f"FROM runs WHERE id IN ({marks(part)})",
            part,
        ):
            who[found[0]] = found
        if numbers:
            sql = f"SELECT run, key, value, low, high FROM latest WHERE {inside} AND key IN ({marks(list(numbers))})"
            found_metrics = {(row[0], numbers[row[1]]): row[2:] for row in tx.all(sql, [*part, *numbers])}
            for run in part:
                for each, column in kept.items():
                    found_value = _summed(found_metrics.get((run, each[1])), column)
                    if found_value is not None:
                        values[run][metric_summary.written(*each)] = found_value
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


def summed_up(tx: Tx, runs: Sequence[Run], summary: Summary) -> list[Run]:
    """The runs with a summary of each metric in place of its newest value.

    Where nobody knows what is best, and where it is not worked out yet, the newest value stays.
    """
    if summary == "last" or not runs:
        return list(runs)
    rows = [run.info.row for run in runs]
    found: dict[tuple[int, int], tuple[float | None, float | None, float | None]] = {}
    for part in blocks(rows):
        sql = f"SELECT run, key, value, low, high FROM latest WHERE run IN ({marks(part)})"
        found |= {(row[0], row[1]): (row[2], row[3], row[4]) for row in tx.all(sql, part)}
    names = run_keys.names(tx, {key for _, key in found})
    values = {(run, names[key]): ends for (run, key), ends in found.items()}
    return [
        msgspec.structs.replace(run, metrics=[_summed_metric(run, each, values, summary) for each in run.metrics])
        for run in runs
    ]


def _summed_metric(
    run: Run,
    metric: Latest,
    values: Mapping[tuple[int, str], tuple[float | None, float | None, float | None]],
    summary: Summary,
) -> Latest:
    if summary not in metric_summary.choices(metric.key):
        return metric
    value = _summed(values.get((run.info.row, metric.key)), metric_summary.column(summary, metric.key))
    return metric if value is None else msgspec.structs.replace(metric, value=value)


def _summed(ends: Sequence[float | None] | None, column: Column) -> float | None:
    """One of (newest, least, greatest) of a series; NaN when it has no number, None when it is not known."""
    if ends is None:
        return None
    value, low, high = ends
    if column == "value":
        return math.nan if value is None else value
    if low is None or high is None:
        return None
    return math.nan if low > high else low if column == "low" else high


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
