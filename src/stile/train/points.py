"""The packed form of a metric series: points in chunks, columns apart, eight bytes a number.

A chunk's body is one version byte (1) and then, little-endian, all steps (int64), all times
(int64, ms since 1970 UTC) and all values (float64). NaN is kept as NaN; infinities are clamped
to the largest finite number before they get here. What arrives together becomes one chunk, in
one small write. Every ``ROUND`` chunks the last ones are joined, and with them earlier ones that
are not larger, up to ``FULL`` points: so a long history is read in few pieces. A point that was
sent twice is stored twice and read once.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import lt
from typing import Any, NamedTuple

from stile.kernel.errors import Corrupt
from stile.train.limits import check_int64

ROUND = 16
"""So many new chunks of a series are left as they are before they are joined."""

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


class Columns(NamedTuple):
    """Points of one series with each field apart."""

    times: Sequence[int]
    steps: Sequence[int]
    values: Sequence[float]

    def part(self, start: int, end: int) -> Columns:
        """Some of them, by place."""
        return Columns(self.times[start:end], self.steps[start:end], self.values[start:end])

    def at_places(self, places: Sequence[int]) -> Columns:
        """The points at some places."""
        times, steps, values = self
        return Columns([times[i] for i in places], [steps[i] for i in places], [values[i] for i in places])


class Piece(NamedTuple):
    """Points of one series that were logged together: how many, packed, the newest, and the ends of their numbers.

    Without any number ``low`` is the greatest number there is and ``high`` the least: what comes next replaces both.
    """

    size: int
    body: bytes
    newest: Point
    low: float
    high: float


def clamped(value: float) -> float:
    """``value`` with infinities replaced by the largest finite number of their sign."""
    if math.isinf(value):
        return math.copysign(_LARGEST, value)
    return value


def piece(columns: Columns) -> Piece:
    """Some points (at least one) of a series, ready to be stored.

    The newest is the greatest by (step, time, value), NaN below every number.

    Raises:
        Invalid: a time or step does not fit 64 bits.
    """
    times, steps, values = columns
    numbers = values
    if not math.isfinite(sum(values)):  # the sum of large numbers may be infinite too; then nothing changes here
        values = [_NAN if math.isnan(value) else clamped(value) for value in values]
        numbers = [value for value in values if not math.isnan(value)]
    count = len(steps)
    try:
        body = b"".join((_HEAD, struct.pack(f"<{count}q", *steps), struct.pack(f"<{count}q", *times),
                         struct.pack(f"<{count}d", *values)))  # fmt: skip
    except struct.error:
        for what, column in (("Metric timestamp", times), ("Metric step", steps)):
            check_int64(what, max(column))
            check_int64(what, min(column))
        raise
    if count == 1 and numbers:
        return Piece(1, body, Point(times[0], steps[0], values[0]), values[0], values[0])
    return Piece(count, body, _newest(Columns(times, steps, values)), *ends(numbers))


def ends(numbers: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest of some numbers (no NaN); the greatest and the least there are, when none is given."""
    return min(numbers, default=_LARGEST), max(numbers, default=-_LARGEST)


def pieces(logged: Iterable[tuple[str, Point]]) -> dict[str, Piece]:
    """The same by key, for points of several series.

    Raises:
        Invalid: a time or step does not fit 64 bits.
    """
    by_key: dict[str, list[Point]] = {}
    for key, point in logged:
        by_key.setdefault(key, []).append(point)
    return {key: piece(Columns(*zip(*found, strict=True))) for key, found in by_key.items()}


def columns_of(bodies: Iterable[bytes]) -> Columns:
    """The points of several chunks by (time, step, value), identical ones once; NaN comes last.

    Raises:
        Corrupt: these bytes are no chunks.
    """
    parts = list(map(_columns, bodies))
    if not parts:
        return Columns([], [], [])
    steps, times, values = (
        _array(kind, b"".join(column)).tolist() for kind, column in zip("qqd", zip(*parts, strict=True), strict=True)
    )
    found = Columns(times, steps, values)
    if _in_order(times, steps):
        return found
    again = ordered(_points(*found))
    return Columns(*zip(*again, strict=True))


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


def after(columns: Columns, mark: Point) -> int:
    """Index of the first of the ordered points that comes after ``mark``."""
    times, steps, values = columns
    return bisect_right(
        range(len(times)), _order(mark), key=lambda index: _order(Point(times[index], steps[index], values[index]))
    )


def joins(counts: Sequence[int]) -> int:
    """How many of the last chunks (sizes newest first) become one; less than two means none."""
    total = taken = 0
    for count in counts:
        if total + count > FULL or (taken >= ROUND and count > total):
            break
        total += count
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


def _in_order(times: list[int], steps: list[int]) -> bool:
    """Whether each point comes after the one before it by time, then step."""
    if times != sorted(times):  # fast, and most series are in order
        return False
    if not steps or steps == list(range(steps[0], steps[0] + len(steps))):
        return True
    pairs = list(zip(times, steps, strict=True))
    return all(map(lt, pairs, islice(pairs, 1, None)))


def _order(point: Point) -> tuple[int, int, bool, float]:
    missing = math.isnan(point.value)
    return point.at, point.step, missing, 0.0 if missing else point.value


def _newest(columns: Columns) -> Point:
    times, steps, values = columns
    top = max(steps)
    if steps.count(top) == 1:
        index = steps.index(top)
        return Point(times[index], top, values[index])
    return max((p for p in map(Point, times, steps, values) if p.step == top), key=_newness)


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
