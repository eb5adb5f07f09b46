"""Points that wait to be sent, by metric, in columns: 24 bytes each. No I/O."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

Part = dict[str, dict[str, list[Any]]]
"""Series in columns as they are sent: {key: {at, step, value}}; a value of None is NaN."""

POINTS_PER_CALL = 10_000
_LARGEST = sys.float_info.max


class Waiting:
    """Points of several series.

    Attributes:
        series: (times in ms since 1970 UTC, steps, values) by metric. A point counts once its value is there.
        count: points of all series together.
    """

    __slots__ = ("count", "series")

    def __init__(self) -> None:
        self.series: dict[str, tuple[array[int], array[int], array[float]]] = {}
        self.count = 0

    def level(self) -> None:
        """Take back a point that was added by half."""
        for columns in self.series.values():
            whole = min(len(column) for column in columns)
            for column in columns:
                del column[whole:]
        self.count = sum(len(value) for _, _, value in self.series.values())

    def parts(self) -> Iterator[Part]:
        """The points in pieces small enough for one call."""
        part: Part = {}
        room = POINTS_PER_CALL
        for key, (at, step, value) in self.series.items():
            start = 0
            while start < len(value):
                end = min(len(value), start + room)
                part[key] = {
                    "at": at[start:end].tolist(),
                    "step": step[start:end].tolist(),
                    "value": [_plain(number) for number in value[start:end]],
                }
                room -= end - start
                start = end
                if not room:
                    yield part
                    part, room = {}, POINTS_PER_CALL
        if part:
            yield part


def size(part: Mapping[str, Mapping[str, list[Any]]]) -> int:
    """How many points a piece has."""
    return sum(len(columns["at"]) for columns in part.values())


def _plain(number: float) -> float | None:
    """A value as it is sent: NaN as null, infinities as the largest number."""
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else math.copysign(_LARGEST, number)
