"""Thinning a series for a screen, and smoothing it."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.train.points import Columns
from stile.train.thinning import EMPTY, smoothed, thinned

_VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


def series(values: list[float]) -> Columns:
    """One point a step, a second apart."""
    return Columns([1000 * i for i in range(len(values))], list(range(len(values))), values)


@given(_VALUES, st.integers(4, 60))
def test_extremes_and_ends_are_kept_and_the_limit_holds(values: list[float], most: int) -> None:
    line = thinned(series(values), most)
    assert len(line.values) <= max(most, 4)
    assert (line.values[0], line.values[-1]) == (values[0], values[-1])
    assert (min(line.values), max(line.values)) == (min(values), max(values))
    assert line.steps == sorted(set(line.steps))
    assert [values[step] for step in line.steps] == line.values
    assert line.total == len(values)


def test_one_spike_among_a_million_points_is_drawn() -> None:
    values = [0.0] * 1_000_000
    values[654_321] = 5.0
    line = thinned(series(values), 500)
    assert 5.0 in line.values
    assert line.steps[line.values.index(5.0)] == 654_321
    assert len(line.values) <= 500


def test_points_come_in_the_order_of_the_axis() -> None:
    columns = Columns([30, 10, 20], [1, 3, 2], [0.1, 0.3, 0.2])
    assert thinned(columns, 9).steps == [1, 2, 3]
    by_time = thinned(columns, 9, across="time")
    assert (by_time.times, by_time.values) == ([10, 20, 30], [0.3, 0.2, 0.1])


def test_span_keeps_one_point_beyond_each_end() -> None:
    line = thinned(series([float(i) for i in range(100)]), 50, span=(40, 42))
    assert line.steps == [39, 40, 41, 42, 43]
    assert line.total == 5
    late = thinned(series([float(i) for i in range(100)]), 50, across="time", span=(98_000, math.inf))
    assert late.steps == [97, 98, 99]


def test_relative_times_begin_with_the_first_point_of_the_series() -> None:
    columns = Columns([5000, 6000, 7500, 9000], [0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0])
    line = thinned(columns, 10, across="relative", span=(2000, 2600))
    assert (line.begun, line.x("relative")) == (5000, [1000, 2500, 4000])
    assert line.x("time") == [6000, 7500, 9000]
    assert line.x("step") == [1, 2, 3]


@pytest.mark.parametrize("odd", [math.nan, sys.float_info.max, -sys.float_info.max])
def test_values_that_cannot_be_drawn_are_counted_instead(odd: float) -> None:
    line = thinned(series([1.0, odd, 2.0]), 10)
    assert (line.values, line.not_numbers, line.total) == ([1.0, 2.0], 1, 3)
    assert thinned(series([odd]), 10).values == []


def test_empty_series_gives_an_empty_line() -> None:
    assert thinned(Columns([], [], []), 10) == EMPTY


@given(_VALUES, st.floats(0, 0.99))
def test_smoothing_stays_between_the_extremes(values: list[float], weight: float) -> None:
    found = smoothed(values, weight)
    air = 1e-6 * max(1.0, max(map(abs, values)))
    assert len(found) == len(values)
    assert min(values) - air <= min(found) <= max(found) <= max(values) + air
    assert found[0] == pytest.approx(values[0])


def test_smoothing_calms_a_zigzag() -> None:
    found = smoothed([0.0, 1.0] * 50, 0.9)
    assert max(found[40:]) - min(found[40:]) < 0.2
    assert smoothed([0.0, 1.0], 0) == [0.0, 1.0]


@given(_VALUES, st.floats(0.01, 0.99))
def test_average_of_many_at_once_is_the_same(values: list[float], weight: float) -> None:
    columns = Columns(list(range(len(values) * 40)), list(range(len(values) * 40)), values * 40)
    line = thinned(columns, 10**6, smooth=weight)
    assert line.smooth is not None
    scale = max(1.0, max(map(abs, values)))
    assert line.smooth.values == pytest.approx(smoothed(values * 40, weight), rel=1e-9, abs=1e-9 * scale)
    assert line.smooth.steps == line.steps


@pytest.mark.parametrize("weight", [0.01, 0.5, 0.9, 0.99])
def test_average_is_of_all_points_before_they_are_thinned(weight: float) -> None:
    values = [math.sin(at / 500) + (1 if at % 2 else -1) for at in range(20_000)]
    whole = smoothed(values, weight)
    line = thinned(series(values), 200, smooth=weight)
    assert line.smooth is not None
    assert len(line.smooth.values) <= 200
    assert line.smooth.values == pytest.approx([whole[step] for step in line.smooth.steps])
    assert (min(line.smooth.values), max(line.smooth.values)) == pytest.approx((min(whole), max(whole)))
    part = thinned(series(values), 200, smooth=weight, span=(15_000, 15_050))
    assert part.smooth is not None
    assert part.smooth.values == pytest.approx([whole[step] for step in part.smooth.steps]), "does not begin anew"


def test_average_passes_over_what_is_no_number_and_bears_large_numbers() -> None:
    line = thinned(series([1.0, math.nan, 3.0, sys.float_info.max, 3.0]), 10, smooth=0.5)
    assert line.smooth is not None
    assert (line.smooth.steps, line.smooth.not_numbers) == ([0, 2, 4], 2)
    assert line.smooth.values == pytest.approx(smoothed([1.0, 3.0, 3.0], 0.5))
    huge = thinned(series([1e300, -1e300] * 50), 200, smooth=0.99)
    assert huge.smooth is not None
    assert all(map(math.isfinite, huge.smooth.values))
    assert thinned(series([math.nan]), 10, smooth=0.5).smooth == thinned(series([math.nan]), 10)
    assert thinned(Columns([], [], []), 10, smooth=0.5) == EMPTY
