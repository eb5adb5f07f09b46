"""Curves of runs as pages draw them: which metrics have one, its points thinned, and what is newest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import run_keys, run_records, run_table, runs, series_records
from stile.train.points import Point
from stile.train.run_values import ENDED, Run
from stile.train.thinning import Across, Line, thinned


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one run, thinned."""

    run_id: str
    key: str
    line: Line


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is.

    Attributes:
        status: as MLflow names it.
        points: the newest of each metric, NaN values among them.
        written: how many parameters and tags it has.
    """

    status: str
    points: dict[str, Point]
    written: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far several runs are with one metric.

    Attributes:
        running: whether one of them has not ended.
        points: (number of the run, time, step) of the newest point in each that has logged the metric.
    """

    running: bool
    points: list[tuple[int, int, int]]


def sizes(tx: Tx, run_id: str) -> dict[str, int]:
    """How many points each metric of a run has (a point that was sent twice may count twice).

    Raises:
        Missing: there is no such run.
    """
    found = series_records.sizes(tx, runs.info(tx, run_id).row)
    names = run_keys.names(tx, found)
    return {names[key]: count for key, count in found.items()}


def of_run(
    tx: Tx,
    run_id: str,
    keys: Sequence[str],
    *,
    most: int,
    across: Across = "step",
    span: tuple[float, float] | None = None,
    smooth: float = 0.0,
) -> list[RunLine]:
    """Some metrics of a run, each with at most ``most`` points; without points where it was never logged.

    Raises:
        Missing: there is no such run.
    """
    return [
        RunLine(
            run_id=run_id,
            key=key,
            line=thinned(runs.columns(tx, run_id, key), most, across=across, span=span, smooth=smooth),
        )
        for key in keys
    ]


def of_runs(
    tx: Tx,
    run_ids: Sequence[str],
    key: str,
    *,
    most: int,
    across: Across = "step",
    span: tuple[float, float] | None = None,
    smooth: float = 0.0,
) -> list[RunLine]:
    """One metric of several runs; runs that are gone or have never logged it are left out."""
    found = []
    for run_id in run_ids:
        try:
            columns = runs.columns(tx, run_id, key)
        except Missing:
            continue
        if columns.steps:
            found.append(
                RunLine(run_id=run_id, key=key, line=thinned(columns, most, across=across, span=span, smooth=smooth))
            )
    return found


def newest(tx: Tx, run_id: str) -> Newest:
    """How far a run is.

    Raises:
        Missing: there is no such run.
    """
    info = runs.info(tx, run_id)
    latest = run_records.latest(tx, info.row)
    points = {each.key: Point(each.at, each.step, each.value) for each in latest}
    return Newest(status=info.status, points=points, written=run_records.written(tx, info.row))


def progress(tx: Tx, run_ids: Sequence[str], key: str) -> Progress:
    """How far these runs are with one metric; those that do not exist, or not any more, have ended."""
    heads = (run_records.head(tx, run_id) for run_id in run_ids)
    rows = [head[0] for head in heads if head is not None]
    running = any(run.status not in ENDED for run in run_table.load(tx, rows))
    number = run_keys.find(tx, key)
    points = series_records.newest_of(tx, rows, number) if number is not None else []
    return Progress(running=running, points=points)


def several(tx: Tx, run_ids: Sequence[str]) -> list[Run]:
    """Runs with all that was logged, in this order; those that do not exist are left out."""
    rows = (run_records.head(tx, run_id) for run_id in run_ids)
    return run_records.load(tx, [row[0] for row in rows if row is not None])
