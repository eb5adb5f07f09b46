"""Charts: what they draw, what they say, and that nothing of a user's text gets through unescaped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from hypothesis import example, given
from hypothesis import strategies as st

from stile.train.evidence import CalibrationBin
from stile.web.charts.calibration import calibration
from stile.web.charts.curves import curve
from stile.web.charts.histograms import bin_labels, histogram_pair
from stile.web.charts.intervals import Estimate, Pair, common_range, interval_bars, slices_finding
from stile.web.charts.lineage import Node, lineage
from stile.web.charts.position import is_outside, position
from stile.web.charts.sparkline import decimated, sparkline
from stile.web.charts.svg import Scale, el, number, padded, tick_label, ticks
from stile.web.charts.windows import Mark, Reading, over_windows

EVIL = '<script>"&'
numbers = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


def parsed(drawing: str) -> ElementTree.Element:
    """The drawing as XML: it must be well formed, and free of colours and styles of its own."""
    assert "style=" not in drawing
    assert "fill=" not in drawing
    assert not re.search(r"\b(nan|inf)\b", drawing)
    return ElementTree.fromstring(drawing)


def test_element_escapes_attributes_and_keeps_markup_inside() -> None:
    assert el("text", "a < b", x=1.0, class_='c"d') == '<text x="1" class="c&#34;d">a &lt; b</text>'
    assert el("path", d=None, class_="x") == '<path class="x"/>'


def test_number_is_short() -> None:
    assert [number(v) for v in (1.0, 1.5, -0.001, 12.345, 0.1 + 0.2)] == ["1", "1.5", "0", "12.35", "0.3"]


@example(0.0, 5e-324)
@given(numbers, numbers)
def test_ticks_are_few_ordered_and_inside(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    assert found == sorted(found)
    assert 1 <= len(found) <= 12 or high - low < 1e-9
    if high > low:
        slack = (high - low) * 1e-6 + 1e-9
        assert all(low - slack <= tick <= high + slack for tick in found)


def test_tick_labels_are_short() -> None:
    assert [tick_label(v) for v in (0, 0.05, 20.0, 25_000, 3e7)] == ["0", "0.05", "20", "25k", "3e7"]


@given(st.lists(numbers, min_size=1))
def test_padded_range_holds_every_value(values: list[float]) -> None:
    low, high = padded(values)
    assert low < high
    assert all(low <= value <= high for value in values)


def test_scale_holds_values_inside() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(v) for v in (0, 5, 10, 99, -99)] == [100, 150, 200, 200, 100]
    assert Scale(3, 3, 0, 10)(3) == 5


@given(st.lists(numbers, max_size=400), st.integers(4, 64))
def test_decimation_keeps_ends_and_extremes(values: list[float], limit: int) -> None:
    kept = decimated(values, limit)
    assert len(kept) <= max(limit, 0) or len(values) <= limit
    if values:
        assert kept[0] == (0, values[0])
        assert kept[-1] == (len(values) - 1, values[-1])
        assert max(v for _, v in kept) == max(values)
        assert min(v for _, v in kept) == min(values)


def test_sparkline_says_where_it_goes() -> None:
    assert sparkline("loss", [1.0]) == ""
    drawing = sparkline(EVIL, [1.0, math.nan, 0.5])
    title = parsed(drawing).find("title")
    assert title is not None
    assert title.text == f"{EVIL}: from 1.000 to 0.500 in 2 points"


def test_interval_bars_mark_what_is_below_the_limit() -> None:
    good, bad = (
        Pair("all", Estimate(0.95, 0.9, 0.98), Estimate(0.9, 0.85, 0.95)),
        Pair("site=B", Estimate(0.8, 0.7, 0.9)),
    )
    span = common_range([good, bad], 0.9)
    assert 0 <= span[0] < 0.7
    assert span[1] <= 1
    assert "c-bad" not in interval_bars(good, span, 0.9)
    drawn = interval_bars(bad, span, 0.9)
    assert "c-bad" in drawn
    assert "candidate 0.800 [0.700, 0.900]" in drawn
    parsed(drawn)


def test_interval_bars_draw_nothing_for_what_is_not_known() -> None:
    drawn = interval_bars(Pair("tiny", Estimate(None)), (0, 1))
    assert "circle" not in drawn
    assert "candidate –" in drawn


def test_slices_finding_names_the_worst_and_its_distance_to_the_champion() -> None:
    pairs = [Pair("A", Estimate(0.9), Estimate(0.8)), Pair("B", Estimate(0.7), Estimate(0.75))]
    assert slices_finding("recall", pairs) == "Lowest recall at B: 0.700, 0.050 below the champion."
    assert slices_finding("recall", [Pair("A", Estimate(None))]) == "No slice has enough rows to tell recall."


def test_histogram_pair_compares_shares_not_counts() -> None:
    chart = histogram_pair("age", bin_labels([30.0, 50.0]), [10, 20, 10], [1, 2, 5])
    assert chart.rows[0] == ("below 30", "0.250", "0.125")
    assert chart.finding == "Most moved: above 50, from 25% of rows to 62%."
    assert len(parsed(chart.drawing).findall("rect")) == 3
    assert histogram_pair("age", ["all"], [4], [0]).finding == "No rows in this window."


def test_windows_tell_the_last_value_against_its_limit() -> None:
    readings = [Reading(at * 1000, f"window {at}", value, n=10) for at, value in ((1, 0.95), (2, None), (3, 0.88))]
    chart = over_windows("recall", readings, limit=0.9, marks=[Mark(2000, EVIL)])
    assert (
        chart.finding == "recall is 0.880 in the last window (window 3), below the limit 0.9; 1 of 2 windows broke it."
    )
    drawing = parsed(chart.drawing)
    assert len(drawing.findall("circle")) == 1
    assert len(drawing.findall("rect")) == 1, "a broken limit has another shape, not only another colour"
    assert chart.rows[1] == ("window 2", "2000", "–", "–", "10")
    rising = over_windows("psi", readings, limit=0.9, above_is_bad=True)
    assert "above the limit" not in rising.finding
    assert over_windows("recall", []).finding == "No window has a value of recall yet."


def test_calibration_weighs_bins_by_rows() -> None:
    bins = [
        CalibrationBin(low=0, high=0.5, n=90, predicted=0.2, observed=0.2),
        CalibrationBin(low=0.5, high=1, n=10, predicted=0.9, observed=0.4),
        CalibrationBin(low=1, high=1, n=0, predicted=None, observed=None),
    ]
    chart = calibration(bins)
    assert chart.finding == "Scores are off by 0.050 on average; most around 0.90, where 0.40 came true (too sure)."
    assert len(parsed(chart.drawing).findall("circle")) == 2
    assert calibration([]).finding == "No bin has enough rows to judge the calibration."


def test_curve_knows_whether_less_is_better() -> None:
    assert curve("loss", [0, 1, 2], [1.0, 0.2, 0.3]).finding == "Ends at 0.3000; lowest 0.2000 at step 1."
    assert curve("auc", [0, 1, 2], [0.5, 0.9, 0.8]).finding == "Ends at 0.8000; highest 0.9000 at step 1."
    assert curve("auc", [], []).finding == "No points yet."
    parsed(curve(EVIL, list(range(900)), [math.sin(x / 9) for x in range(900)]).drawing)


def test_lineage_links_its_nodes_and_leaves_out_empty_columns() -> None:
    strip = lineage(
        [[Node("data", EVIL, "both")], [], [Node("run", "a-name-that-is-far-too-long-for-it", "ds", "/runs/1")]]
    )
    drawing = parsed(strip)
    assert [link.get("href") for link in drawing.findall("a")] == ["/runs/1"]
    assert len(drawing.findall("path")) == 1
    assert "…" in strip
    assert lineage([[], []]) == ""


def test_position_is_square_outside_and_round_inside() -> None:
    assert not is_outside(5, 0, 10)
    assert "circle" in position("age", 5, 0, 10, (2, 8))
    outside = position("age", 12, 0, 10, None)
    assert "circle" not in outside
    assert "outside the tested range" in outside
    parsed(outside)
