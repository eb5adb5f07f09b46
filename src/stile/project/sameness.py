"""Whether two runs measured the same: metric by metric, point by point. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Series = Sequence[tuple[int, float]]
"""Points (step, value) in the order of their steps."""

Verdict = Literal["identical", "within tolerance", "different", "missing"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How one metric compares.

    Attributes:
        first, again: the last value of either run; None where there is none.
        gap: the largest relative difference of any point; None when the points do not match up.
    """

    key: str
    verdict: Verdict
    first: float | None
    again: float | None
    gap: float | None


def compare(first: Mapping[str, Series], again: Mapping[str, Series], tolerance: float) -> list[Comparison]:
    """Compare every metric of the first run with the second's.

    Args:
        first: series of the run that was recorded, by metric.
        again: series of the run that was made now.
        tolerance: largest relative difference of a point that still counts as the same.
    """
    return [_compared(key, first[key], again.get(key, ()), tolerance) for key in sorted(first)]


def _compared(key: str, first: Series, again: Series, tolerance: float) -> Comparison:
    last = first[-1][1] if first else None
    if not again:
        return Comparison(key=key, verdict="missing", first=last, again=None, gap=None)
    if [step for step, _ in first] != [step for step, _ in again]:
        return Comparison(key=key, verdict="different", first=last, again=again[-1][1], gap=None)
    gap = max(_gap(one, other) for (_, one), (_, other) in zip(first, again, strict=True))
    verdict: Verdict = "identical" if gap == 0 else "within tolerance" if gap <= tolerance else "different"
    return Comparison(key=key, verdict=verdict, first=last, again=again[-1][1], gap=gap)


def _gap(one: float, other: float) -> float:
    """The difference in relation to the larger of the two; 0 for the same number, and for NaN twice."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    if math.isnan(one) or math.isnan(other):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other))
