"""The packed form of a metric series: points in chunks, columns apart, eight bytes a number.

A chunk's body is one version byte (1) and then, little-endian, all steps (int64), all times
(int64, ms since 1970 UTC) and all values (float64). NaN is kept as NaN; infinities are clamped
to the largest finite number before they get here. Chunks of a series grow like the digits of a
binary counter: an open tail of up to ``TAIL`` points is rewritten in place, a full one is merged
with earlier chunks that are not larger, up to ``FULL`` points. So single points cost one small
write and a long history is read in few pieces.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stile.kernel.errors import Corrupt

TAIL = 64
"""Points up to which the last chunk is rewritten when a point is added."""

FULL = 4096
"""Points beyond which a chunk is not merged any further."""

_VERSION = 1
_LARGEST = sys.float_info.max
_SWAP = sys.byteorder == "big"


class Point(NamedTuple):
    """One logged value of a metric.

    The field order is the order of a history: by time, then step, then value.
    """

    at: int
    step: int
    value: float


def clamped(value: float) -> float:
    """``value`` with infinities replaced by the largest finite number of their sign."""
    if math.isinf(value):
        return math.copysign(_LARGEST, value)
    return value


def newness(point: Point) -> tuple[int, int, bool, float]:
    """Sort key of "newest": greatest by (step, time, value), NaN below every number."""
    number = not math.isnan(point.value)
    return point.step, point.at, number, point.value if number else 0.0


def pack(points: Sequence[Point]) -> bytes:
    """The body of a chunk."""
    steps = array("q", [p.step for p in points])
    times = array("q", [p.at for p in points])
    values = array("d", [p.value for p in points])
    if _SWAP:
        for column in (steps, times, values):
            column.byteswap()
    return bytes([_VERSION]) + steps.tobytes() + times.tobytes() + values.tobytes()


def unpack(body: bytes) -> list[Point]:
    """The points of a chunk, in the order they were packed.

    Raises:
        Corrupt: these bytes are not a chunk.
    """
    count, rest = divmod(len(body) - 1, 24)
    if rest or not body or body[0] != _VERSION:
        raise Corrupt("A stored piece of a metric's history cannot be read. Restore the last backup.")
    steps, times, values = array("q"), array("q"), array("d")
    view = memoryview(body)
    steps.frombytes(view[1 : 1 + 8 * count])
    times.frombytes(view[1 + 8 * count : 1 + 16 * count])
    values.frombytes(view[1 + 16 * count :])
    if _SWAP:
        for column in (steps, times, values):
            column.byteswap()
    return list(map(Point, times, steps, values))


def ordered(points: Iterable[Point]) -> list[Point]:
    """Points by (time, step, value), identical ones once; NaN counts as identical to NaN and comes last."""
    by_order = sorted(points, key=_order)
    kept: list[Point] = []
    last: tuple[int, int, bool, float] | None = None
    for point in by_order:
        key = _order(point)
        if key != last:
            kept.append(point)
            last = key
    return kept


def after(points: Sequence[Point], mark: Point) -> int:
    """Index of the first of the ordered ``points`` that comes after ``mark``."""
    return bisect_right(points, _order(mark), key=_order)


def without_known(fresh: Iterable[Point], known: Iterable[Point]) -> list[Point]:
    """The points of ``fresh`` that are neither in ``known`` nor earlier in ``fresh``, in their order."""
    seen = {_order(point) for point in known}
    kept = []
    for point in fresh:
        key = _order(point)
        if key not in seen:
            seen.add(key)
            kept.append(point)
    return kept


def merges(earlier_counts: Sequence[int], count: int) -> int:
    """How many of the last chunks (sizes oldest first) a new full chunk of ``count`` points takes in."""
    taken = 0
    for earlier in reversed(earlier_counts):
        if earlier > count or earlier + count > FULL:
            break
        count += earlier
        taken += 1
    return taken


def sampled(points: Sequence[Point], most: int) -> list[Point]:
    """At most ``most`` points that keep the shape: first, last, and the least and greatest of each stretch.

    ``points`` are taken in the order of their steps. NaN points are left out unless there is nothing else.
    """
    line = sorted(points, key=lambda p: (p.step, p.at))
    if len(line) <= most or most < 2:
        return line[:most] if most < 2 else line
    numbers = [p for p in line if not math.isnan(p.value)] or line
    if len(numbers) <= most:
        return numbers
    stretches = (most - 2) // 2
    inner = numbers[1:-1]
    kept = [numbers[0]]
    for index in range(stretches):
        part = inner[index * len(inner) // stretches : (index + 1) * len(inner) // stretches]
        if not part:
            continue
        low = min(range(len(part)), key=lambda i: part[i].value)
        high = max(range(len(part)), key=lambda i: part[i].value)
        kept.extend(part[i] for i in sorted({low, high}))
    kept.append(numbers[-1])
    return kept


def _order(point: Point) -> tuple[int, int, bool, float]:
    missing = math.isnan(point.value)
    return point.at, point.step, missing, 0.0 if missing else point.value
