"""The packed form of metric series."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.kernel.errors import Corrupt
from stile.train import points as packed
from stile.train.points import FULL, Point

_INT = st.integers(-(2**63), 2**63 - 1)
_POINT = st.builds(Point, _INT, _INT, st.floats(allow_infinity=False))
_SMALL = st.builds(Point, st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 1.0, math.nan]))
_OTHER_NAN = -math.nan


def _same(left: list[Point], right: list[Point]) -> bool:
    return [repr(p) for p in left] == [repr(p) for p in right]


@given(st.lists(_POINT, max_size=50))
def test_unpack_gives_back_every_point_when_packed(points: list[Point]) -> None:
    assert _same(packed.unpack(packed.pack(points)), points)


@pytest.mark.parametrize("body", [b"", b"\x02" + bytes(24), b"\x01" + bytes(23)])
def test_unpack_is_refused_when_the_bytes_are_no_chunk(body: bytes) -> None:
    with pytest.raises(Corrupt):
        packed.unpack(body)


@given(st.lists(_SMALL, max_size=40))
def test_ordered_keeps_each_point_once_and_in_order(points: list[Point]) -> None:
    found = packed.ordered(points)
    assert len({repr(p) for p in found}) == len(found) == len({repr(p) for p in points})
    assert [(p.at, p.step) for p in found] == sorted((p.at, p.step) for p in found)


@given(st.lists(_SMALL, max_size=40), st.integers(0, 39))
def test_after_continues_exactly_behind_the_mark(points: list[Point], index: int) -> None:
    found = packed.ordered(points)
    if index < len(found):
        assert packed.after(found, found[index]) == index + 1


@given(st.lists(_SMALL, max_size=20), st.lists(_SMALL, max_size=20))
def test_without_known_plus_known_is_the_union(fresh: list[Point], known: list[Point]) -> None:
    added = packed.without_known(fresh, known)
    assert _same(packed.ordered([*known, *added]), packed.ordered([*known, *fresh]))
    assert len(added) == len({repr(p) for p in fresh} - {repr(p) for p in known})


def test_newest_is_by_step_then_time_then_value() -> None:
    points = [Point(9, 1, 5.0), Point(1, 2, 1.0), Point(1, 2, 3.0), Point(1, 2, math.nan)]
    assert packed.newest(points) == Point(1, 2, 3.0)
    assert packed.newest(points[:3]) == Point(1, 2, 3.0)


@given(st.lists(_SMALL, max_size=30), _SMALL)
def test_extended_adds_a_point_once(points: list[Point], one: Point) -> None:
    body = packed.pack(points)
    longer = packed.extended(body, one)
    known = repr(one) in {repr(p) for p in points}
    assert (longer is None) == known
    if longer is not None:
        assert _same(packed.unpack(longer), [*points, one])


@given(st.lists(st.lists(_POINT, max_size=9), min_size=1, max_size=5))
def test_joined_holds_the_points_of_all(parts: list[list[Point]]) -> None:
    body = packed.joined(map(packed.pack, parts))
    assert _same(packed.unpack(body), [p for part in parts for p in part])
    assert packed.count(body) == sum(map(len, parts))


def test_every_nan_is_the_same_point_after_canonical_and_unpack() -> None:
    found = packed.canonical([Point(1, 1, _OTHER_NAN), Point(1, 1, float("nan"))])
    assert len(set(found)) == 1
    assert len({*packed.unpack(packed.pack(found)), *found}) == 1


def test_infinities_become_the_largest_numbers() -> None:
    assert packed.clamped(math.inf) == 1.7976931348623157e308
    assert packed.clamped(-math.inf) == -1.7976931348623157e308
    assert math.isnan(packed.clamped(math.nan))


def test_chunks_grow_like_a_binary_counter() -> None:
    counts: list[int] = []
    for _ in range(200):
        taken = packed.merges(counts, 64)
        merged = sum(counts[len(counts) - taken :]) + 64
        counts = [*counts[: len(counts) - taken], merged]
    assert sum(counts) == 200 * 64
    assert max(counts) == FULL
    assert len(counts) < 10


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 50))
def test_sampled_keeps_ends_and_extremes_within_the_limit(values: list[float], most: int) -> None:
    line = [Point(i, i, v) for i, v in enumerate(values)]
    found = packed.sampled(line, most)
    assert len(found) <= most
    assert (found[0], found[-1]) == (line[0], line[-1])
    if most >= 4:
        assert max(values) in [p.value for p in found]
        assert min(values) in [p.value for p in found]
    assert [p.step for p in found] == sorted(p.step for p in found)
