"""Charts of runs: many curves on one scale, one quantity against another, lines across axes."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.train.thinning import smoothed
from stile.web.charts.axes import ruler
from stile.web.charts.curves import Track, curve, curves, ink
from stile.web.charts.parallel import parallel
from stile.web.charts.scatter import Dot, scatter

EVIL = '<script>"&'
DOTS = [Dot(str(i), f"run {i}", f"/runs/{i}", i) for i in range(6)]


def parsed(drawing: str) -> ElementTree.Element:
    """The drawing as XML: well formed, without colours and styles of its own, without numbers that are none."""
    assert "style=" not in drawing
    assert not re.search(r"\b(nan|inf)\b", drawing)
    return ElementTree.fromstring(drawing)


def test_curves_of_many_runs_differ_in_colour_then_in_dash() -> None:
    assert len({ink(place) for place in range(32)}) == 32
    tracks = [Track(f"run {i} {EVIL}", [0, 1, 2], [0.1, 0.5, 0.9 - i / 100], i) for i in range(20)]
    chart = curves("auc", tracks)
    drawing = parsed(chart.drawing)
    assert len(drawing.findall("g")) == 20
    assert chart.finding == f"auc ends highest in run 0 {EVIL}: 0.9000."
    assert len(chart.rows) == 20


def test_comparison_without_a_known_direction_only_tells_the_range() -> None:
    chart = curves("lr", [Track("a", [0, 1], [1.0, 2.0]), Track("b", [0, 1], [1.0, 4.0])])
    assert chart.finding == "lr ends between 2.0000 and 4.0000 in 2 runs."
    same = curves("loss", [Track("a", [0, 1], [1.0, 0.5]), Track("b", [0, 2], [2.0, 0.5])])
    assert same.finding == "loss ends at 0.5000 in all 2 runs."
    alone = curves("loss", [Track("a", [0, 1], [1.0, 0.5])])
    assert alone.finding == "loss ends at 0.5000 in a; no other run has logged it."
    assert curves("lr", []).finding == "None of these runs has logged lr."
    assert curves("lr", []).drawing == ""


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.floats(-1e9, 1e9)), min_size=1, max_size=40),
    st.booleans(),
    st.floats(0, 0.99),
    st.sampled_from(["step", "time", "relative"]),
)
def test_any_curve_is_drawn(points: list[tuple[int, float]], log: bool, smooth: float, axis: str) -> None:
    points.sort()
    x, y = [at for at, _ in points], [value for _, value in points]
    soft = (x[::2], smoothed(y, smooth)[::2]) if smooth else None
    chart = curve(EVIL, x, y, axis=axis, log=log, soft=soft)
    parsed(chart.drawing)
    assert ("c-faint" in chart.drawing) <= bool(smooth)
    parsed(curves("m", [Track("a", x, y, soft=soft), Track("b", x, y, 1)], axis=axis, log=log).drawing)


def test_log_scale_has_powers_of_ten_and_leaves_out_what_is_not_positive() -> None:
    chart = curve("loss", [0, 1, 2, 3], [1000.0, -1.0, 1.0, 0.01], log=True)
    labels = [text.text for text in parsed(chart.drawing).findall("text")]
    assert {"0.01", "1", "100"} <= set(labels)
    assert parsed(chart.drawing).findall("path")[-1].get("d", "").count("M") == 2, "a gap where the value was negative"


def test_axis_of_times_says_clock_times_and_of_relative_times_durations() -> None:
    at = 1_760_000_000_000
    clock = parsed(curve("auc", [at, at + 1000], [0.1, 0.2], axis="time").drawing)
    assert clock.findall("text")[-2].text == "10-09 08:53:20"
    since = parsed(curve("auc", [0, 200_000], [0.1, 0.2], axis="relative").drawing)
    assert since.findall("text")[-1].text == "3 min 20 s"


def test_ruler_takes_numbers_as_numbers_and_spreads_decades() -> None:
    plain = ruler("depth", {"a": "3", "b": "7", "c": None, "d": "nan"})
    assert (dict(plain.places), plain.log, plain.words) == ({"a": 3.0, "b": 7.0}, False, False)
    wide = ruler("lr", {"a": "0.0001", "b": "0.1"})
    assert wide.log
    assert wide.places["a"] == pytest.approx(-4)
    assert [label for _, label in wide.marks] == ["0.0001", "0.001", "0.01", "0.1"]


def test_ruler_of_words_keeps_their_order_and_numbers_before_words() -> None:
    words = ruler("model", {"a": "tree", "b": "10", "c": "9", "d": "forest"})
    assert words.words
    assert [label for _, label in words.marks] == ["9", "10", "forest", "tree"]
    many = ruler("name", {str(i): f"word {i:03d}" for i in range(100)})
    assert len(many.places) == 24


def test_scatter_links_its_dots_and_tells_the_rank_correlation() -> None:
    across = ruler("lr", {dot.id: 10.0 ** -int(dot.id) for dot in DOTS})
    up = ruler(f"auc {EVIL}", {dot.id: 0.9 - int(dot.id) / 50 for dot in DOTS if dot.id != "5"})
    chart = scatter(DOTS, across, up)
    drawing = parsed(chart.drawing)
    assert [link.get("href") for link in drawing.findall("a")] == [f"/runs/{i}" for i in range(5)]
    assert "rises with lr (rank correlation +1.00 over 5 runs)" in chart.finding
    assert "1 of 6 runs lack one of them" in chart.finding
    assert chart.rows[0][0] == "run 0"


def test_rank_correlation_shares_ranks_of_ties_and_is_silent_without_spread() -> None:
    steps = ruler("depth", {dot.id: int(dot.id) // 2 for dot in DOTS})
    tied = ruler("auc", {dot.id: int(dot.id) // 3 for dot in DOTS})
    assert "rank correlation +0.82" in scatter(DOTS, steps, tied).finding  # scipy.stats.spearmanr: 0.8165
    flat = ruler("auc", {dot.id: 1.0 for dot in DOTS})
    assert "correlation" not in scatter(DOTS, steps, flat).finding


def test_scatter_without_common_runs_says_what_to_do() -> None:
    chart = scatter(DOTS, ruler("lr", {"0": 1.0}), ruler("auc", {"1": 1.0}))
    assert (chart.drawing, chart.finding) == ("", "No run has both lr and auc. Choose other axes.")


@pytest.mark.parametrize(("goal", "strong", "word"), [("val/loss", "1", "lower"), ("auc", "9", "higher")])
def test_strongest_of_many_parallel_lines_is_the_best_run(goal: str, strong: str, word: str) -> None:
    dots = [Dot(str(at), f"run {at}", f"/runs/{at}", at) for at in range(1, 10)]
    places = {str(at): float(at) for at in range(1, 10)}
    found = parallel(dots, [ruler("lr", places), ruler(goal, places)])
    assert found.finding.endswith(f"The stronger the line, the {word} its {goal}.")
    links = parsed(found.drawing).findall("a")
    lines = [(link.get("href")[-1], link.find("path").get("class").split()[0]) for link in links]
    assert lines[-1] == (strong, "tint-4"), "the strongest is drawn last, over the others"
    assert len(lines) == 9


def test_parallel_lines_have_gaps_and_need_two_places() -> None:
    rulers = [
        ruler("lr", {"0": 0.1, "1": 0.2, "2": 0.3}),
        ruler("model", {"0": "a", "2": "b"}),
        ruler("auc", {"0": 1.0, "1": 0.5}),
    ]
    drawing = parsed(parallel(DOTS[:3], rulers).drawing)
    lines = {link.get("href"): link.find("path").get("d") for link in drawing.findall("a")}
    assert {href: path.count("M") for href, path in lines.items()} == {"/runs/0": 1, "/runs/1": 2, "/runs/2": 1}
    assert parallel(DOTS[:1], [ruler("a", {}), ruler("b", {})]).drawing.count("<a ") == 0


def test_one_value_everywhere_still_has_a_place() -> None:
    same = ruler("seed", {"0": "7", "1": "7"})
    assert same.low < same.places["0"] < same.high
    assert math.isfinite(same.scale(0, 100)(same.places["0"]))
