"""In which order compared runs stand, and which parameter the scatter plot begins with."""

from __future__ import annotations

import math

import pytest

from stile.train.run_values import Latest, Run, RunInfo
from stile.web.charts.correlation import rank_correlation
from stile.web.pages import compare_order, compare_view
from stile.web.pages.compare_grid import Head, key_grid, metric_grid


def run(at: int, metrics: dict[str, float] | None = None, *, params: dict[str, str] | None = None) -> Run:
    info = RunInfo(
        row=at, run_id=str(at), experiment_id="1", name=f"run {at}", user_id="ann", status="FINISHED", start_time=0,
        end_time=1, artifact_uri="", lifecycle="active", created_by="ann",
    )  # fmt: skip
    return Run(
        info=info, metrics=[Latest(key, value, 0, 0) for key, value in (metrics or {}).items()],
        params=sorted((params or {}).items()), tags=[], datasets=[], models=[],
    )  # fmt: skip


def heads(count: int) -> list[Head]:
    return [Head(text=f"run {at}", url=f"/runs/{at}", place=at) for at in range(count)]


def rows(values: list[float | None], key: str = "val/loss") -> list[compare_view.MetricRow]:
    return compare_view.metrics([run(at, {} if v is None else {key: v}) for at, v in enumerate(values)], 0)


@pytest.mark.parametrize(
    ("key", "turned", "places", "rising"),
    [
        ("val/loss", False, [0, 4, 2, 1, 3, 5], True),
        ("val/loss", True, [0, 1, 2, 4, 3, 5], False),
        ("val/auc", False, [0, 1, 2, 4, 3, 5], False),
        ("lr", False, [0, 1, 2, 4, 3, 5], False),
    ],
)
def test_best_comes_first_after_the_baseline_and_what_has_no_number_last(
    key: str, turned: bool, places: list[int], rising: bool
) -> None:
    values = [0.5, 0.9, 0.4, None, 0.1, math.nan]
    found = compare_order.order_of(rows(values, key), key, 0, 6, turned=turned)
    assert (found.places, found.rising) == (places, rising)


def test_order_of_the_address_stays_where_there_is_no_such_metric() -> None:
    found = compare_order.order_of(rows([0.2, 0.1]), "other", 1, 2, turned=False)
    assert (found.key, found.places) == ("", [0, 1])


def test_rows_of_runs_follow_the_order_and_heads_sort() -> None:
    values = [0.5, 0.9, 0.4, 0.3, 0.1, 0.2, 0.8, 0.7, 0.6]
    metrics = rows(values)
    order = compare_order.order_of(metrics, "val/loss", 0, 9, turned=False)
    grid = compare_order.ordered(
        metric_grid(metrics, heads(9), whole=False, find=""), order, {"val/loss": "/compare?x"}
    )
    assert [head.place for head, _ in grid.rows] == [0, 4, 5, 3, 2, 8, 7, 6, 1]
    assert [(head.url, head.sorted) for head in grid.columns] == [("/compare?x", "ascending")]
    few = metric_grid(rows([0.5, 0.9]), heads(2), whole=False, find="")
    assert compare_order.ordered(few, order, {"val/loss": "/x"}) == few, "side by side nothing is ordered"


def test_scatter_begins_with_what_goes_with_the_outcome_and_never_with_a_seed() -> None:
    lr = [0.1, 0.2, 0.3, 0.4, 0.5]
    goal = [0.5, 0.4, 0.3, 0.2, 0.1]
    noise = ["3", "1", "4", "1", "5"]
    runs = [
        run(at, params={"seed": str(at), "lr": str(lr[at]), "noise": noise[at], "model": f"m{at}"}) for at in range(5)
    ]
    params = compare_view.params(runs)
    worth = compare_view.axes_worth(params)
    assert "seed" not in worth
    assert compare_order.explaining(worth, params, goal) == "lr"
    assert compare_order.explaining(worth, params, [None] * 5) == worth[0]
    assert compare_order.explaining([], params, goal) == ""
    hill = [0.1, 0.4, 0.9, 0.4, 0.1]
    assert compare_order.explaining(["lr", "noise"], params, hill) == "lr", "what rises and falls is worth a look, too"
    alone = compare_view.params([run(at, params={"seed": str(at)}) for at in range(2)])
    assert compare_view.axes_worth(alone) == ["seed"], "better than nothing"


def test_rank_correlation_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    left, right = [1.0, 2.0, 2.0, 4.0, 5.0, 3.0], [2.0, 1.0, 4.0, 4.0, 6.0, 0.5]
    assert rank_correlation(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None


def test_tables_of_words_keep_the_order_of_the_runs() -> None:
    params = compare_view.params([run(at, params={"a": str(at)}) for at in range(9)])
    metrics = rows([float(9 - at) for at in range(9)])
    order = compare_order.order_of(metrics, "val/loss", 0, 9, turned=False)
    grid = compare_order.ordered(key_grid(params, heads(9), whole=False, find=""), order, {})
    assert [head.place for head, _ in grid.rows] == [0, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [cells[0].text for _, cells in grid.rows][:3] == ["0", "8", "7"]
