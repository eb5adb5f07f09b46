"""Reading metric histories in pages, and thinned for drawing."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence, Set
from itertools import islice
from operator import le
from typing import Any

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import points as packed
from stile.train import runs, search_sql
from stile.train.points import Columns, Point


class PointPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some points of a series by (time, step, value), and the token that leads to the rest."""

    columns: Columns
    next_page_token: str = ""

    @property
    def points(self) -> list[Point]:
        """The points one by one."""
        return list(map(Point, *self.columns))


def page(tx: Tx, run_id: str, key: str, *, max_results: int = 0, page_token: str = "") -> PointPage:
    """A page of a series; with ``max_results`` 0 the whole of it.

    Raises:
        Missing: there is no such run.
        Invalid: the token belongs to another series.
    """
    question = search_sql.question("history", run_id, key)
    token = search_sql.read_token(page_token, question)
    columns = runs.columns(tx, run_id, key)
    start = 0
    if token is not None:
        start = packed.after(columns, _point(token.values))
    end = len(columns.times) if max_results <= 0 else min(start + max_results, len(columns.times))
    shown = columns if end - start == len(columns.times) else columns.part(start, end)
    if end == len(columns.times):
        return PointPage(columns=shown)
    at, step, value = (column[end - 1] for column in columns)
    text = "NaN" if math.isnan(value) else value
    return PointPage(columns=shown, next_page_token=search_sql.write_token(question, 0, [at, step, text]))


def _point(values: Sequence[Any]) -> Point:
    """The point that a token names.

    Raises:
        Invalid: it names none.
    """
    if [type(value) for value in values[:2]] != [int, int] or len(values) != 3:
        raise search_sql.bad_token()
    at, step, value = values
    if value != "NaN" and type(value) is not float:
        raise search_sql.bad_token()
    return Point(at, step, math.nan if value == "NaN" else value)


def thinned(
    tx: Tx, run_ids: Sequence[str], key: str, *, span: tuple[int, int] | None = None, most: int = 2500
) -> list[tuple[str, Columns]]:
    """Series of several runs at steps they share, about ``most`` of them; runs that are gone are left out.

    The steps are spread evenly over all steps seen, and each run keeps its first and last.
    """
    series: list[tuple[str, Columns, Sequence[int]]] = []
    seen: set[int] = set()
    ends: set[int] = set()
    for run_id in run_ids:
        try:
            columns = runs.columns(tx, run_id, key)
        except Missing:
            continue
        order = _by_step(columns, span)
        series.append((run_id, columns, order))
        if order:
            steps = columns.steps
            seen.update(steps if span is None else (steps[index] for index in order))
            ends.update((steps[order[0]], steps[order[-1]]))
    kept = ends | set(_spread(sorted(seen), most))
    return [(run_id, _taken(columns, order, kept)) for run_id, columns, order in series]


def _by_step(columns: Columns, span: tuple[int, int] | None) -> Sequence[int]:
    """Places of the points inside ``span``, in the order of their steps, then times."""
    times, steps, _ = columns
    order: Sequence[int] = range(len(steps))
    if not all(map(le, steps, islice(steps, 1, None))):
        order = sorted(order, key=lambda index: (steps[index], times[index]))
    if span is None:
        return order
    low, high = span
    return [index for index in order if low <= steps[index] <= high]


def _taken(columns: Columns, order: Sequence[int], kept: Set[int]) -> Columns:
    return columns.at_places([index for index in order if columns.steps[index] in kept])


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of the sorted steps, evenly over their range, the last always among them."""
    if len(steps) <= most or not steps:
        return list(steps)
    low, high = steps[0], steps[-1]
    width = (high - low) / most
    found = {min(bisect_left(steps, low + width * index), len(steps) - 1) for index in range(most)}
    return [steps[index] for index in sorted(found)]
