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
from typing import Any, NamedTuple

from stile.kernel.errors import Corrupt
from stile.train.limits import check_int64

TAIL = 64
"""Points up to which the last chunk is rewritten when a point is added."""

FULL = 4096
"""Points beyond which a chunk is not merged any further."""

_HEAD = b"\x01"
_NAN = math.nan
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


def canonical(points: Sequence[Point]) -> list[Point]:
    """The points with infinities clamped and every NaN the same object, so that equal points are equal tuples.

    Raises:
        Invalid: a time or step does not fit 64 bits.
    """
    if not points:
        return []
    times, steps, values = zip(*points, strict=True)
    for what, column in (("Metric timestamp", times), ("Metric step", steps)):
        check_int64(what, max(column))
        check_int64(what, min(column))
    if any(map(math.isinf, values)):
        values = tuple(map(clamped, values))
    return _points(times, steps, values)


def newest(points: Sequence[Point]) -> Point:
    """The newest of canonical points: greatest by (step, time, value), NaN below every number."""
    times, steps, values = zip(*points, strict=True)
    if any(map(math.isnan, values)):
        return max(points, key=_newness)
    step, at, value = max(zip(steps, times, values, strict=True))
    return Point(at, step, value)


def pack(points: Sequence[Point]) -> bytes:
    """The body of a chunk."""
    if not points:
        return _HEAD
    times, steps, values = zip(*points, strict=True)
    return b"".join((_HEAD, _bytes(array("q", steps)), _bytes(array("q", times)), _bytes(array("d", values))))


def unpack(body: bytes) -> list[Point]:
    """The points of a chunk, in the order they were packed.

    Raises:
        Corrupt: these bytes are not a chunk.
    """
    steps, times, values = _columns(body)
    return _points(_array("q", times), _array("q", steps), _array("d", values))


def extended(body: bytes, point: Point) -> bytes | None:
    """The body with one more canonical point; None when it is already in there."""
    steps, times, values = _columns(body)
    if point.step in _array("q", steps) and point.at in _array("q", times) and point in unpack(body):
        return None
    more = (_bytes(array("q", (point.step,))), _bytes(array("q", (point.at,))), _bytes(array("d", (point.value,))))
    return b"".join((_HEAD, steps, more[0], times, more[1], values, more[2]))


def joined(bodies: Iterable[bytes]) -> bytes:
    """One body with the points of several, in their order. Points that are in two of them stay twice."""
    steps, times, values = zip(*map(_columns, bodies), strict=True)
    return b"".join((_HEAD, *steps, *times, *values))


def count(body: bytes) -> int:
    """How many points a body has."""
    return (len(body) - 1) // 24


def ordered(points: Iterable[Point]) -> list[Point]:
    """Canonical points by (time, step, value), identical ones once; NaN comes last."""
    distinct = set(points)
    if any(math.isnan(point.value) for point in distinct):
        return sorted(distinct, key=_order)
    return sorted(distinct)


def after(points: Sequence[Point], mark: Point) -> int:
    """Index of the first of the ordered ``points`` that comes after ``mark``."""
    return bisect_right(points, _order(mark), key=_order)


def without_known(fresh: Iterable[Point], known: Iterable[Point]) -> list[Point]:
    """The canonical points of ``fresh`` that are neither in ``known`` nor earlier in ``fresh``, in their order."""
    seen = set(known)
    return [point for point in dict.fromkeys(fresh) if point not in seen]


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


def _newness(point: Point) -> tuple[int, int, bool, float]:
    number = not math.isnan(point.value)
    return point.step, point.at, number, point.value if number else 0.0


def _points(times: Iterable[int], steps: Iterable[int], values: Iterable[float]) -> list[Point]:
    listed = list(values)
    if any(map(math.isnan, listed)):
        listed = [_NAN if math.isnan(value) else value for value in listed]
    return list(map(Point, times, steps, listed))


def _columns(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Steps, times and values of a body, still packed."""
    size, rest = divmod(len(body) - 1, 3)
    if rest or size % 8 or size < 0 or body[:1] != _HEAD:
        raise Corrupt("A stored piece of a metric's history cannot be read. Restore the last backup.")
    return body[1 : 1 + size], body[1 + size : 1 + 2 * size], body[1 + 2 * size :]


def _array(kind: str, column: bytes) -> array[Any]:
    numbers: array[Any] = array(kind, column)
    if _SWAP:
        numbers.byteswap()
    return numbers


def _bytes(numbers: array[Any]) -> bytes:
    if _SWAP:
        numbers.byteswap()
    return numbers.tobytes()
