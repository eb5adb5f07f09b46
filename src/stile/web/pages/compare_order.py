"""In which order many compared runs stand below one another, and what is most worth looking at. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from stile.web.charts.axes import as_number
from stile.web.charts.correlation import rank_correlation
from stile.web.pages.compare_grid import Grid, Head
from stile.web.pages.compare_view import KeyRow, MetricRow

_CLEAR = 0.3
"""Weaker rank correlations are not told from chance; a relation that rises and falls has none either."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of runs are ordered.

    Attributes:
        key: the metric they are ordered by; empty for the order of the address.
        turned: the worst first.
        rising: whether the values rise from the top to the bottom.
        places: the runs by their place, the baseline before all others.
    """

    key: str
    turned: bool
    rising: bool
    places: list[int]


def order_of(rows: Sequence[MetricRow], key: str, baseline: int, runs: int, *, turned: bool) -> Order:
    """The best first, by a metric; where nobody knows which way is better, the greatest. Runs without it come last."""
    row = next((row for row in rows if row.key == key), None)
    if row is None:
        return Order(key="", turned=False, rising=False, places=list(range(runs)))
    rising = (row.way == "down") != turned

    def rank(place: int) -> tuple[bool, bool, float, int]:
        value = row.cells[place].value
        if value is None or math.isnan(value):
            return place != baseline, True, 0.0, place
        return place != baseline, False, value if rising else -value, place

    return Order(key=row.key, turned=turned, rising=rising, places=sorted(range(runs), key=rank))


def ordered(grid: Grid, order: Order, urls: Mapping[str, str]) -> Grid:
    """A table whose rows are runs, in this order; heads with an address in ``urls`` sort by themselves."""
    if not grid.by_run:
        return grid
    at = {place: index for index, place in enumerate(order.places)}
    columns = [_head(head, order, urls.get(head.text, "")) for head in grid.columns]
    rows = sorted(grid.rows, key=lambda row: at[row[0].place])
    return msgspec.structs.replace(grid, columns=columns, rows=rows)


def _head(head: Head, order: Order, url: str) -> Head:
    if not url:
        return head
    state = "" if head.text != order.key else "ascending" if order.rising else "descending"
    return msgspec.structs.replace(head, url=url, sorted=state)


def explaining(worth: Sequence[str], params: Sequence[KeyRow], goal: Sequence[float | None]) -> str:
    """The parameter that goes with the outcome most strongly; the first one worth looking at where none does clearly.

    Args:
        worth: parameters that differ, the best to look at first; seeds among them are never the answer.
        params: their values in every run.
        goal: the outcome of every run.
    """
    values = {row.key: row.values for row in params}
    strongest, found = _CLEAR, next(iter(worth), "")
    for key in worth:
        pairs = [(as_number(value), end) for value, end in zip(values[key], goal, strict=True)]
        known = [(x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(y)]
        strength = abs(rank_correlation([x for x, _ in known], [y for _, y in known]) or 0.0)
        if strength > strongest:
            strongest, found = strength, key
    return found
