"""Reading metric histories in pages, and thinned for drawing."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import points as packed
from stile.train import runs, search_sql
from stile.train.points import Point


class PointPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some points of a series by (time, step, value), and the token that leads to the rest."""

    points: list[Point]
    next_page_token: str = ""


def page(tx: Tx, run_id: str, key: str, *, max_results: int = 0, page_token: str = "") -> PointPage:
    """A page of a series; with ``max_results`` 0 the whole of it.

    Raises:
        Missing: there is no such run.
        Invalid: the token belongs to another series.
    """
    question = search_sql.question("history", run_id, key)
    token = search_sql.read_token(page_token, question)
    points = runs.history(tx, run_id, key)
    if token is not None and len(token.values) == 3:
        at, step, value = token.values
        mark = Point(int(at), int(step), math.nan if value == "NaN" else float(value))
        points = points[packed.after(points, mark) :]
    if max_results <= 0 or len(points) <= max_results:
        return PointPage(points=points)
    last = points[max_results - 1]
    value = "NaN" if math.isnan(last.value) else last.value
    return PointPage(
        points=points[:max_results], next_page_token=search_sql.write_token(question, 0, [last.at, last.step, value])
    )


def thinned(
    tx: Tx, run_ids: Sequence[str], key: str, *, span: tuple[int, int] | None = None, most: int = 2500
) -> list[tuple[str, list[Point]]]:
    """Series of several runs at steps they share, about ``most`` of them; runs that are gone are left out.

    The steps are spread evenly over all steps seen, and each run keeps its first and last.
    """
    series: list[tuple[str, list[Point]]] = []
    seen: set[int] = set()
    ends: set[int] = set()
    for run_id in run_ids:
        try:
            points = sorted(runs.history(tx, run_id, key), key=lambda p: (p.step, p.at))
        except Missing:
            continue
        if span is not None:
            points = [p for p in points if span[0] <= p.step <= span[1]]
        series.append((run_id, points))
        if points:
            seen.update(p.step for p in points)
            ends.update((points[0].step, points[-1].step))
    steps = sorted(seen)
    kept = ends | set(_spread(steps, most))
    return [(run_id, [p for p in points if p.step in kept]) for run_id, points in series]


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of the sorted steps, evenly over their range, the last always among them."""
    if len(steps) <= most or not steps:
        return list(steps)
    low, high = steps[0], steps[-1]
    width = (high - low) / most
    found = {min(bisect_left(steps, low + width * index), len(steps) - 1) for index in range(most)}
    return [steps[index] for index in sorted(found)]
