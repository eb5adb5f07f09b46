"""A long series as few points that draw the same: in each stretch the least and the greatest are kept.

What a screen cannot show is left out, what it can show is not: a single spike among a million
points is still there. Nothing is averaged, unless a moving average is asked for: that is made of
all points before any is left out, and thinned in the same way.
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
_LARGE = 1e150
_BLOCK = 4096


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Some points of a series, in the order they are drawn in.

    Attributes:
        steps: of each point.
        times: ms since 1970 UTC.
        values: numbers only.
        total: points there are, before thinning and inside the span that was asked for.
        not_numbers: points among them that are NaN or infinite; they are not drawn.
        begun: time of the first point of the whole series; 0 without points.
        smooth: the moving average of the whole series, thinned for itself; None when none was asked for.
    """

    steps: list[int]
    times: list[int]
    values: list[float]
    total: int
    not_numbers: int = 0
    begun: int = 0
    smooth: Line | None = None

    def x(self, across: Across) -> list[int]:
        """Where each point lies: its step, its time in ms since 1970 UTC, or ms since the first point."""
        if across == "relative":
            return [at - self.begun for at in self.times]
        return self.times if across == "time" else self.steps


EMPTY = Line(steps=[], times=[], values=[], total=0)


def thinned(
    columns: Columns,
    most: int,
    *,
    across: Across = "step",
    span: tuple[float, float] | None = None,
    smooth: float = 0.0,
) -> Line:
    """At most ``most`` points (at least 4) of a series.

    The first and the last are always among them. Infinities were clamped to the largest number when
    they were logged and are recognised by it.

    Args:
        columns: the whole series, in any order.
        most: how many points may be left.
        across: what the horizontal axis is: steps, times, or times since the first point of the series.
        span: ends of the part that is looked at, in steps or ms on that axis; one point beyond each end is kept,
            so that lines run to the edge.
        smooth: weight of the past in a moving average, 0 (none is made) <= smooth < 1.
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
    usable = np.isfinite(values) & (np.abs(values) < _LARGEST)
    low, high = 0, count
    if span is not None:
        x = steps if across == "step" else times - (begun if across == "relative" else 0)
        low = max(0, int(np.searchsorted(x, span[0], "left")) - 1)
        high = min(count, int(np.searchsorted(x, span[1], "right")) + 1)
    total = high - low
    looked_at = low + np.flatnonzero(usable[low:high])

    def line(drawn: NDArray[np.float64], smoothed: Line | None = None) -> Line:
        kept = looked_at[_kept(drawn[looked_at], max(4, most))]
        return Line(
            steps=steps[kept].tolist(), times=times[kept].tolist(), values=drawn[kept].tolist(), total=total,
            not_numbers=total - len(looked_at), begun=begun, smooth=smoothed,
        )  # fmt: skip

    if not smooth:
        return line(values)
    averages = np.zeros(count)
    averages[usable] = _averages(values[usable], smooth)
    return line(values, line(averages))


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


def _averages(values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """What ``smoothed`` gives, many values at a time.

    Inside a block, the average after its k-th value is w^k (before + (1 - w) (x_1 / w + ... + x_k / w^k)); blocks are
    so short that no power is smaller than 1e-150.
    """
    count = len(values)
    if not count or np.abs(values).max() > _LARGE:
        return np.array(smoothed(values.tolist(), weight))
    block = max(1, min(_BLOCK, int(-150 / math.log10(weight))))
    decay = weight ** np.arange(1, block + 1)
    found = np.empty(count)
    before = 0.0
    for start in range(0, count, block):
        part = values[start : start + block]
        fade = decay[: len(part)]
        found[start : start + block] = fade * (before + (1 - weight) * np.cumsum(part / fade))
        before = float(found[min(start + block, count) - 1])
    return found / (1 - weight ** np.arange(1, count + 1))


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
