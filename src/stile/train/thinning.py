"""A long series as few points that draw the same: in each stretch the least and the greatest are kept.

What a screen cannot show is left out, what it can show is not: a single spike among a million
points is still there. Nothing is averaged.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stile.train.points import Columns

Across = Literal["step", "time", "relative"]

_LARGEST = sys.float_info.max


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Some points of a series, in the order they are drawn in.

    Attributes:
        steps: of each point.
        times: ms since 1970 UTC.
        values: numbers only.
        total: points there are, before thinning and inside the span that was asked for.
        not_numbers: points among them that are NaN or infinite; they are not drawn.
        begun: time of the first point of the whole series; 0 without points.
    """

    steps: list[int]
    times: list[int]
    values: list[float]
    total: int
    not_numbers: int = 0
    begun: int = 0

    def x(self, across: Across) -> list[int]:
        """Where each point lies: its step, its time in ms since 1970 UTC, or ms since the first point."""
        if across == "relative":
            return [at - self.begun for at in self.times]
        return self.times if across == "time" else self.steps


EMPTY = Line(steps=[], times=[], values=[], total=0)


def thinned(columns: Columns, most: int, *, across: Across = "step", span: tuple[float, float] | None = None) -> Line:
    """At most ``most`` points (at least 4) of a series.

    The first and the last are always among them. Infinities were clamped to the largest number when
    they were logged and are recognised by it.

    Args:
        columns: the whole series, in any order.
        most: how many points may be left.
        across: what the horizontal axis is: steps, times, or times since the first point of the series.
        span: ends of the part that is looked at, in steps or ms on that axis; one point beyond each end is kept,
            so that lines run to the edge.
    """
    count = len(columns.steps)
    if not count:
        return EMPTY
    steps = np.fromiter(columns.steps, np.int64, count)
    times = np.fromiter(columns.times, np.int64, count)
    values = np.fromiter(columns.values, np.float64, count)
    begun = int(times.min())
    first, second = (steps, times) if across == "step" else (times, steps)
    if np.any(first[1:] < first[:-1]):
        order = np.lexsort((second, first))
        steps, times, values = steps[order], times[order], values[order]
    if span is not None:
        x = steps if across == "step" else times - (begun if across == "relative" else 0)
        low = max(0, int(np.searchsorted(x, span[0], "left")) - 1)
        high = min(count, int(np.searchsorted(x, span[1], "right")) + 1)
        steps, times, values = steps[low:high], times[low:high], values[low:high]
    total = len(values)
    usable = np.isfinite(values) & (np.abs(values) < _LARGEST)
    odd = total - int(usable.sum())
    if odd:
        steps, times, values = steps[usable], times[usable], values[usable]
    kept = _kept(values, max(4, most))
    return Line(
        steps=steps[kept].tolist(), times=times[kept].tolist(), values=values[kept].tolist(), total=total,
        not_numbers=odd, begun=begun,
    )  # fmt: skip


def _kept(values: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Places that are kept, in order."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    stretches = (most - 2) // 2
    edges = 1 + np.arange(stretches + 1) * (count - 2) // stretches
    width = int(np.diff(edges).max())
    # Rows of equal width: the last value of a shorter stretch is repeated, which moves no extreme.
    places = np.minimum(edges[:-1, None] + np.arange(width), edges[1:, None] - 1)
    rows = values[places]
    lowest = places[np.arange(stretches), rows.argmin(axis=1)]
    highest = places[np.arange(stretches), rows.argmax(axis=1)]
    return np.unique(np.concatenate(([0, count - 1], lowest, highest)))


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """The exponential moving average with the start's bias taken out; ``weight`` 0 changes nothing.

    Args:
        values: in the order of the axis.
        weight: how much of the past stays, 0 <= weight < 1.

    Source: Kingma and Ba, "Adam" (2015), section 3, for the correction of the start.
    """
    if not weight:
        return list(values)
    average, left = 0.0, 1.0
    found = []
    for value in values:
        average = weight * average + (1 - weight) * value
        left *= weight
        found.append(average / (1 - left) if math.isfinite(average) else value)
    return found
