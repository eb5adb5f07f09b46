"""How values read."""

from __future__ import annotations

import math

import pytest

from stile.web import words
from stile.web.pages.gate_view import metric_of_rule
from stile.web.pages.graphs import table_of
from stile.web.render import own_path

NOW = 1_760_000_000_000


@pytest.mark.parametrize(
    ("ago_s", "text"),
    [(0, "now"), (59, "59 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (86_400 * 3, "3 d ago"), (-3700, "in 1 h"),
     (86_400 * 800, "2 y ago")],
)  # fmt: skip
def test_age_is_one_unit(ago_s: int, text: str) -> None:
    assert words.age(NOW - ago_s * 1000, NOW) == text


def test_time_tag_carries_the_absolute_time() -> None:
    tag = words.time_tag(NOW - 60_000, NOW)
    assert tag == '<time datetime="2025-10-09T08:52:20Z" title="2025-10-09 08:52:20 UTC">1 min ago</time>'
    assert "–" in words.time_tag(None, NOW)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.96412, "0.964"), (12345, "12\u2009345"), (None, "–"), (math.nan, "not a number"), (math.inf, "∞"),
     (1e-9, "1e-09"), (2500.04, "2500.0"), ("text", "text"), (True, "True"), (-0.0451, "−0.045"),
     (12295.62, "12\u2009295.6"), (-12345, "−12\u2009345"), (11_173_962.4, "11\u2009173\u2009962"), (1.5e12, "1.5e+12"),
     (0.000123, "0.000123"),
     (0.0, "0.000"), (-math.inf, "−∞")],
)  # fmt: skip
def test_numbers_read_well(value: object, text: str) -> None:
    assert words.number(value) == text


def test_short_numbers_lose_only_zeros() -> None:
    assert [words.short(v) for v in (0.9, 20.0, 0.905, 100.0, 0.0, None)] == ["0.9", "20", "0.905", "100", "0", "–"]


@pytest.mark.parametrize(
    ("ms", "text"), [(12, "12 ms"), (1400, "1.4 s"), (200_000, "3 min 20 s"), (7_260_000, "2 h 1 min")]
)
def test_durations_are_human(ms: float, text: str) -> None:
    assert words.duration(ms) == text


def test_sizes_and_differences() -> None:
    assert [words.size(n) for n in (999, 1500, 26_200_000)] == ["999 B", "1.5 kB", "26.2 MB"]
    assert [words.signed(v, 2) for v in (0.1, -0.1, 0.0)] == ["+0.10", "−0.10", "±0.00"]
    assert [words.signed(v, 4) for v in (-4.3e-07, 1899.2218, -45678.9)] == ["−4.3e-07", "+1899.2", "−45\u2009678.9"]


def test_whole_numbers_have_nothing_behind_the_point() -> None:
    shown = [words.short_whole(v) for v in (3.0, -12.0, 11_173_962.0, 0.25, 1e9, math.nan, math.inf)]
    assert shown == ["3", "−12", "11\u2009173\u2009962", "0.2500", "1e+09", "not a number", "∞"]


def test_sentences_of_the_gate_read_as_people_write() -> None:
    assert words.in_words("product_manager: recall 0.9 >= 0.8") == "product manager: recall 0.9 ≥ 0.8"
    assert words.stamped("at 2026-11-21T02:45:53.609Z <b>") == (
        'at <time datetime="2026-11-21T02:45:53.609Z" data-absolute>2026-11-21 02:45:53 UTC</time> &lt;b&gt;'
    )


@pytest.mark.parametrize("text", ["https://x.example", "//x.example", "/\\x", "", "x", "/a\nb"])
def test_redirects_stay_on_this_server(text: str) -> None:
    assert own_path(text) == "/"


def test_redirects_keep_paths_of_this_server() -> None:
    assert own_path("/models/a?x=1") == "/models/a?x=1"


def test_metric_of_a_rule() -> None:
    assert metric_of_rule('ci_low(metric("recall")) >= 0.9') == "recall"
    assert metric_of_rule("no_champion() || better('auc').low > 0") == "auc"
    assert metric_of_rule("evidence('latency').p99_ms <= 20") == ""


def test_table_of_a_graph_finds_rows_in_layers() -> None:
    spec = {"title": {"text": "ROC"}, "layer": [{"mark": "line", "data": {"values": [{"x": 1, "y": 2}, {"x": 3}]}}]}
    found = table_of("sha256:0", spec)
    assert (found.title, found.columns, found.rows) == ("ROC", ["x", "y"], [[1, 2], [3, None]])
    assert table_of("sha256:0", []).rows == []
