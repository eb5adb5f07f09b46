"""The packed form of metric series."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.kernel.errors import Corrupt, Invalid
from stile.train import points as packed
from stile.train.points import FULL, Columns, Point

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


@given(st.lists(_SMALL, min_size=1, max_size=40), st.integers(0, 39))
def test_after_continues_exactly_behind_the_mark(points: list[Point], index: int) -> None:
    found = packed.columns_of([packed.pack(points)])
    if index < len(found.times):
        mark = Point(found.times[index], found.steps[index], found.values[index])
        assert packed.after(found, mark) == index + 1


@given(st.lists(st.lists(_SMALL, max_size=20), max_size=4))
def test_columns_are_the_points_of_all_chunks_in_order_and_once(chunks: list[list[Point]]) -> None:
    found = packed.columns_of(map(packed.pack, chunks))
    assert _same(list(map(Point, *found)), packed.ordered(point for chunk in chunks for point in chunk))


@given(st.lists(st.builds(Point, st.integers(0, 3), st.integers(0, 3), st.floats()), min_size=1, max_size=30))
def test_a_piece_holds_its_points_and_knows_the_newest(points: list[Point]) -> None:
    made = packed.piece(Columns(*zip(*points, strict=True)))
    clean = [Point(p.at, p.step, packed.clamped(p.value)) for p in points]
    assert made.size == len(points)
    assert _same(packed.unpack(made.body), clean)
    greatest = max(clean, key=lambda p: (p.step, p.at, -math.inf if math.isnan(p.value) else p.value))
    assert repr(made.newest.step) == repr(greatest.step)
    assert repr(made.newest) == repr(greatest) or made.newest.value == greatest.value


def test_a_piece_is_refused_when_a_step_needs_more_than_64_bits() -> None:
    with pytest.raises(Invalid, match="step"):
        packed.piece(Columns([1], [2**63], [1.0]))


def test_newest_is_by_step_then_time_then_value() -> None:
    points = [Point(9, 1, 5.0), Point(1, 2, 1.0), Point(1, 2, 3.0), Point(1, 2, math.nan)]
    assert packed.pieces([("m", point) for point in points])["m"].newest == Point(1, 2, 3.0)
    assert packed.pieces([("m", point) for point in points[:3]])["m"].newest == Point(1, 2, 3.0)


def test_pieces_are_apart_by_key() -> None:
    made = packed.pieces([("a", Point(1, 1, 1.0)), ("b", Point(1, 2, 2.0)), ("a", Point(2, 2, 3.0))])
    assert {key: one.size for key, one in made.items()} == {"a": 2, "b": 1}
    assert made["a"].newest == Point(2, 2, 3.0)


@given(st.lists(st.lists(_POINT, max_size=9), min_size=1, max_size=5))
def test_joined_holds_the_points_of_all(parts: list[list[Point]]) -> None:
    body = packed.joined(map(packed.pack, parts))
    assert _same(packed.unpack(body), [p for part in parts for p in part])
    assert packed.count(body) == sum(map(len, parts))


def test_every_nan_is_the_same_point_when_packed() -> None:
    made = packed.piece(Columns([1, 1], [1, 1], [_OTHER_NAN, float("nan")]))
    assert len(packed.columns_of([made.body, made.body]).values) == 1


def test_infinities_become_the_largest_numbers() -> None:
    assert packed.clamped(math.inf) == 1.7976931348623157e308
    assert packed.clamped(-math.inf) == -1.7976931348623157e308
    assert math.isnan(packed.clamped(math.nan))


def test_chunks_stay_few_when_points_come_one_by_one() -> None:
    counts: list[int] = []
    for number in range(1, 20_001):
        counts.append(1)
        if number % packed.ROUND == 0:
            taken = packed.joins(counts[::-1])
            counts[-taken:] = [sum(counts[-taken:])]
    assert sum(counts) == 20_000
    assert max(counts) <= FULL
    assert len(counts) < 20


def test_large_chunks_are_left_alone() -> None:
    assert packed.joins([FULL, FULL]) == 1
    assert packed.joins([1000] * 20) == 4


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
