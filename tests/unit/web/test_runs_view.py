"""A table of runs in words: addresses, heads, cells, differences."""

from __future__ import annotations

import math

import pytest
from starlette.datastructures import QueryParams

from stile.kernel.errors import Invalid
from stile.train.run_facets import Facet, FacetValue
from stile.train.run_table import TableRow
from stile.web.pages import runs_asked, runs_view
from stile.web.pages.runs_asked import Asked, address, asked

COLUMNS = runs_asked.columns(
    ["metrics.auc", "metrics.loss", "metrics.lr", "params.kind", "took", "status", "start_time"]
)


def _row(id: str = "a", *, metrics: dict[str, float] | None = None, kind: str = "tree") -> TableRow:
    return TableRow(
        row=1, run_id=id, experiment_id="0", name=f"run {id}", status="FINISHED", user_id="ann", start_time=1000,
        end_time=3500, artifact_uri="", metrics={"auc": 0.9, "loss": 0.5, "lr": 0.1} if metrics is None else metrics,
        params={"kind": kind}, tags={},
    )  # fmt: skip


def test_address_says_all_of_the_state_and_is_read_back() -> None:
    state = Asked(
        filter="params.`max depth` = 'a&b'", columns=("metrics.auc", "took"), sort="metrics.auc DESC", baseline="b",
        view="3", after="x==",
    )  # fmt: skip
    url = address("/experiments/0", state)
    assert asked(QueryParams(url.partition("?")[2])) == state
    assert address("/experiments/0", Asked()) == "/experiments/0"
    assert asked(QueryParams("cols=a,b&cols=c&cols=,")).columns == ("a", "b", "c")


@pytest.mark.parametrize("change", [{"filter": "metrics.auc > 1"}, {"sort": "status"}])
def test_another_search_begins_at_the_first_page(change: dict[str, str]) -> None:
    assert "cursor" not in address("/x", Asked(after="deep"), **change)
    assert "cursor" in address("/x", Asked(after="deep"), baseline="b")


def test_columns_are_known_by_their_left_side() -> None:
    kinds = {each.text: (each.kind, each.title, each.sort) for each in COLUMNS}
    assert kinds["metrics.auc"] == ("metric", "auc", "metrics.auc")
    assert kinds["took"] == ("took", "took", "")
    assert kinds["start_time"] == ("time", "started", "start_time")
    assert [each.text for each in runs_asked.columns(["metric.`a b`", "metrics.a", "metric.a"])] == [
        "metrics.`a b`", "metrics.a",
    ]  # fmt: skip
    with pytest.raises(Invalid):
        runs_asked.columns(["colour"])


def test_first_click_brings_the_best_to_the_top_and_the_second_turns_round() -> None:
    heads = {head.title: head for head in runs_view.heads("/x", Asked(), COLUMNS)}
    assert "auc+DESC" in heads["auc"].url
    assert "loss+ASC" in heads["loss"].url
    assert "kind+ASC" in heads["kind"].url
    assert heads["took"].url == ""
    assert (heads["started"].sorted, heads["auc"].says, heads["lr"].says) == ("descending", "more is better", "")
    turned = {head.title: head for head in runs_view.heads("/x", Asked(sort="metrics.`auc` DESC"), COLUMNS)}
    assert turned["auc"].sorted == "descending"
    assert "auc+ASC" in turned["auc"].url
    assert turned["started"].sorted == ""


def test_phone_keeps_what_is_sorted_by_and_when_it_started() -> None:
    def kept(sort: str) -> list[str]:
        return [head.title for head in runs_view.heads("/x", Asked(sort=sort), COLUMNS) if not head.wide]

    assert kept("") == ["auc", "started"]
    assert kept("params.kind ASC") == ["kind", "started"]
    assert [h.title for h in runs_view.heads("/x", Asked(), COLUMNS[:3]) if not h.wide] == ["auc", "loss"]
    assert runs_view.heads("/x", Asked(), []) == []


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"auc": 0.95, "loss": 0.4, "lr": 0.2}, [("+0.050", "better"), ("−0.100", "better"), ("+0.100", "neutral")]),
        ({"auc": 0.85, "loss": 0.6, "lr": 0.1}, [("−0.050", "worse"), ("+0.100", "worse"), ("±0", "neutral")]),
        ({"auc": 0.9, "loss": 0.50001}, [("±0", "neutral"), ("+1e-05", "worse"), ("", "")]),
        ({"auc": math.nan, "loss": math.inf, "lr": 2000.25}, [("", ""), ("", ""), ("+2000.2", "neutral")]),
    ],
)
def test_every_number_says_how_far_it_is_from_the_baseline(
    metrics: dict[str, float], expected: list[tuple[str, str]]
) -> None:
    cells = runs_view.cells(_row("b", metrics=metrics), COLUMNS, _row("a"))
    assert [(cell.delta, cell.judged) for cell in cells[:3]] == expected


def test_baseline_has_no_difference_from_itself() -> None:
    cells = runs_view.cells(_row("a"), COLUMNS, _row("a"))
    assert {cell.delta for cell in cells} == {""}
    assert not any(cell.same for cell in cells)


def test_texts_that_are_the_baselines_too_are_marked_and_long_ones_cut() -> None:
    cells = runs_view.cells(_row("b"), COLUMNS, _row("a"))
    assert [cell.same for cell in cells if cell.kind == "text"] == [True]
    long = runs_view.cells(_row("b", kind="x" * 900), COLUMNS, None)[3]
    assert (len(long.text), len(long.title), long.text[-1]) == (32, 500, "…")
    assert runs_view.cells(_row(), COLUMNS, None)[4].text == "2.5 s"
    assert runs_view.cells(_row(metrics={}), COLUMNS, None)[0].text == "–"


def test_facet_links_ask_for_a_value_and_take_it_back() -> None:
    facet = Facet(
        entity="param", key="kind", chosen="it's",
        values=[FacetValue(value="it's", count=3), FacetValue(value="b", count=1000, more=True),
                FacetValue(value="c", count=7, more=True)],
    )  # fmt: skip
    state = Asked(filter="metrics.auc > 0.5 and params.kind = 'it''s'", after="deep")
    menu = runs_view.menus("/x", state, [facet])[0]
    assert (menu.title, menu.chosen) == ("kind", "it's")
    assert [link.count for link in menu.links] == ["3", ">1000", "7+"]
    reads = [asked(QueryParams(link.url.partition("?")[2])).filter for link in menu.links]
    assert reads == [
        "metrics.auc > 0.5",
        "metrics.auc > 0.5 and params.kind = 'b'",
        "metrics.auc > 0.5 and params.kind = 'c'",
    ]
    assert all("cursor" not in link.url for link in menu.links)


def test_times_for_programs_are_in_utc() -> None:
    assert runs_view.iso(1_760_000_000_129) == "2025-10-09T08:53:20.129Z"


def test_metrics_that_count_something_have_nothing_behind_the_point() -> None:
    columns = runs_asked.columns(["metrics.epochs", "metrics.auc", "metrics.flag", "metrics.odd", "metrics.none"])
    rows = [
        _row("a", metrics={"epochs": 12.0, "auc": 0.9, "flag": 1.0, "odd": math.nan}),
        _row("b", metrics={"epochs": 11_000_000.0, "auc": 2.0, "flag": 0.0, "odd": 3.0}),
    ]
    whole = runs_view.whole_columns(rows, columns)
    assert whole == {"metrics.epochs"}
    assert [cell.text for cell in runs_view.cells(rows[1], columns, None, whole=whole)] == [
        "11\u2009000\u2009000", "2.000", "0.000", "3.000", "–",
    ]  # fmt: skip
    assert runs_view.cells(rows[0], columns, rows[1], whole=whole)[0].delta == "−10\u2009999\u2009988"


def test_states_are_written_alike_in_menus_and_tables() -> None:
    facet = Facet(entity="attribute", key="status", values=[FacetValue(value="FAILED", count=2, more=False)])
    menu = runs_view.menus("/x", Asked(filter="attributes.status = 'FAILED'"), [facet])[0]
    assert [link.value for link in menu.links] == ["failed"]
    chosen = Facet(entity="attribute", key="status", values=facet.values, chosen="FAILED")
    assert runs_view.menus("/x", Asked(filter="attributes.status = 'FAILED'"), [chosen])[0].chosen == "failed"
    asks = runs_view.menus("/x", Asked(), [facet])[0].links[0].url
    assert "FAILED" in asks, "the search itself is MLflow's"


@pytest.mark.parametrize(
    ("metrics", "kind", "says"),
    [
        ({"auc": 0.9, "loss": 0.5}, "tree", "metrics.auc > 0.9 and params.kind = 'tree'"),
        ({"loss": 0.5}, "o'neill", "metrics.loss < 0.5"),
        ({"loss": 0.5}, "x" * 60, "metrics.loss < 0.5"),
        ({"auc": math.nan}, "tree", 'metrics.auc > 0.9 and params.model = "tree"'),
        ({}, "tree", 'metrics.auc > 0.9 and params.model = "tree"'),
    ],
)
def test_example_of_a_search_is_made_of_what_is_there(metrics: dict[str, float], kind: str, says: str) -> None:
    assert runs_view.example([_row(metrics=metrics, kind=kind)], COLUMNS) == says
