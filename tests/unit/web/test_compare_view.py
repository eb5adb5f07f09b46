"""What a comparison of runs says, and how it is laid out."""

from __future__ import annotations

import math

from stile.train.evidence import Computed, Evidence, Metric, SliceValue, Subject
from stile.train.run_values import InputDataset, Latest, Run, RunInfo
from stile.web.pages import compare_grid, compare_view
from stile.web.pages.compare_grid import Head
from stile.web.pages.compare_view import KeyRow


def run(
    at: int,
    metrics: dict[str, float] | None = None,
    *,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    datasets: list[InputDataset] | None = None,
    step: int = 0,
) -> Run:
    info = RunInfo(
        row=at, run_id=str(at), experiment_id="1", name=f"run {at}", user_id="ann", status="FINISHED", start_time=0,
        end_time=1, artifact_uri="", lifecycle="active", created_by="ann",
    )  # fmt: skip
    return Run(
        info=info, metrics=[Latest(key, value, step, 0) for key, value in (metrics or {}).items()],
        params=sorted((params or {}).items()), tags=sorted((tags or {}).items()), datasets=datasets or [], models=[],
    )  # fmt: skip


def heads(count: int) -> list[Head]:
    return [Head(text=f"run {at}", url=f"/runs/{at}", place=at, baseline=at == 0) for at in range(count)]


def test_parameter_that_one_run_lacks_differs() -> None:
    rows = compare_view.params([run(0, params={"a": "1", "b": "2"}), run(1, params={"a": "1"})])
    assert [(row.key, row.values, row.differs) for row in rows] == [
        ("a", ["1", "1"], False), ("b", ["2", None], True),
    ]  # fmt: skip


def test_best_follows_the_direction_of_the_name_and_is_unknown_without_one() -> None:
    rows = compare_view.metrics(
        [run(0, {"auc": 0.9, "loss": 0.5, "lr": 1.0}), run(1, {"auc": 0.8, "loss": 0.4, "lr": 2.0})], 0
    )
    best = {row.key: [cell.best for cell in row.cells] for row in rows}
    assert best == {"auc": [True, False], "loss": [False, True], "lr": [False, False]}
    assert [row.cells[1].better for row in rows] == [False, True, None]


def test_values_that_are_no_numbers_are_never_best() -> None:
    (row,) = compare_view.metrics([run(0, {"auc": math.nan}), run(1, {"auc": 0.8}), run(2, {"auc": 0.7})], 0)
    assert [cell.best for cell in row.cells] == [False, True, False]
    same = compare_view.metrics([run(0, {"auc": 0.8}), run(1, {"auc": 0.8})], 0)[0]
    assert (same.differs, [cell.best for cell in same.cells]) == (False, [False, False])


def test_outcome_is_a_final_figure_that_most_runs_have() -> None:
    runs = [run(at, {"auc": 0.9 - at / 10, "fit_seconds": float(at)}) for at in range(3)] + [
        run(3, {"fit_seconds": 9.0})
    ]
    rows = compare_view.metrics(runs, 0)
    assert compare_view.outcome(rows, "") == "auc"
    assert compare_view.outcome(rows, "fit_seconds") == "fit_seconds"
    assert compare_view.outcome(rows, "ghost") == "auc"
    assert compare_view.outcome([], "") == ""


def test_curve_is_one_of_unseen_data_and_not_the_machines() -> None:
    rows = compare_view.metrics([run(0, {"system/cpu": 1, "train/loss": 1, "valid/loss": 1}, step=9)], 0)
    assert compare_view.chosen_curve(rows, "") == "valid/loss"
    assert compare_view.chosen_curve(rows, "train/loss") == "train/loss"
    assert compare_view.chosen_curve(compare_view.metrics([run(0, {"auc": 1})], 0), "auc") == ""


def test_axes_worth_looking_at_are_numbers_that_vary() -> None:
    runs = [run(at, params={"lr": str(at), "model": "ab"[at % 2], "seed": "7", "rare": "1"}) for at in range(3)]
    runs.append(run(3, params={"lr": "9", "model": "a", "seed": "7"}))
    rows = compare_view.params(runs)
    assert compare_view.axes_worth(rows) == ["lr", "model", "rare"]
    assert compare_view.chosen_axes([], ["lr", "model"], "auc") == ["params.lr", "params.model", "metrics.auc"]
    assert compare_view.chosen_axes(["params.a", "metrics.b"], ["lr"], "auc") == ["params.a", "metrics.b"]
    assert compare_view.values_on("params.model", runs) == {"0": "a", "1": "b", "2": "a", "3": "a"}
    assert compare_view.values_on("nothing", runs) == {}


def test_environment_and_data_are_compared_by_what_they_are() -> None:
    first = run(
        0, tags={"stile.commit": "abc", "stile.command": '["python", "a.py"]', "team": "x"},
        datasets=[InputDataset(name="cases", digest="d1", tags={"mlflow.data.context": "training"})],
    )  # fmt: skip
    second = run(1, tags={"mlflow.source.git.commit": "abc"}, datasets=[InputDataset(name="cases", digest="d2")])
    environment = {row.key: row.values for row in compare_view.environments([first, second])}
    assert environment == {"commit": ["abc", "abc"], "command": ["python a.py", None]}
    assert {row.key: row.values for row in compare_view.datasets([first, second])} == {
        "read": [None, "cases d2"], "training": ["cases d1", None],
    }  # fmt: skip
    assert [row.key for row in compare_view.tags([first, second])] == ["team"]


def evidence(recall: float, low: float, high: float) -> Evidence:
    measured = {"recall": Metric(value=recall, low=low, high=high, n=50)}
    return Evidence(
        subject=Subject(kind="model_version", use_case="u"), computed=Computed(by="x", at=0, code="c"),
        metrics=measured, slices={"site": [SliceValue(value="north", n=20, metrics=measured)]},
    )  # fmt: skip


def test_slices_are_marked_only_where_the_intervals_do_not_touch() -> None:
    documents = [evidence(0.8, 0.7, 0.85), None, evidence(0.9, 0.86, 0.95), evidence(0.82, 0.75, 0.9)]
    assert compare_view.slice_metrics(documents) == ["recall"]
    rows = compare_view.slice_rows(documents, "recall", 0)
    assert [row.name for row in rows] == ["all rows", "site = north"]
    cells = rows[1].cells
    assert cells[1] is None
    assert [(cell.apart, cell.better) for cell in cells if cell] == [(False, None), (True, True), (False, True)]
    grid = compare_grid.slice_grid(rows, heads(4))
    assert [head.text for head in grid.columns] == ["run 0", "run 2", "run 3"], "a run without evidence has no column"
    assert [cell.mark for cell in grid.rows[0][1]] == ["", "better", ""]


def test_few_runs_are_columns_and_many_are_rows() -> None:
    row = KeyRow(key="lr", values=[str(at) for at in range(9)], differs=True)
    side = compare_grid.key_grid([KeyRow(key="lr", values=["1", "2"], differs=True)], heads(2), whole=False, find="")
    assert ([head.text for head in side.columns], side.rows[0][0].text, side.by_run) == (
        ["run 0", "run 1"],
        "lr",
        False,
    )
    below = compare_grid.key_grid([row], heads(9), whole=False, find="")
    assert ([head.text for head in below.columns], below.rows[8][0].text, below.by_run) == (["lr"], "run 8", True)
    assert below.rows[8][1][0].text == "8"


def test_value_that_most_do_not_have_is_marked() -> None:
    row = KeyRow(key="model", values=["tree", "tree", None], differs=True)
    grid = compare_grid.key_grid([row], heads(3), whole=False, find="")
    assert [(cell.text, cell.mark) for cell in grid.rows[0][1]] == [("tree", ""), ("tree", ""), ("–", "odd")]
    split = KeyRow(key="model", values=["a", "b"], differs=True)
    assert {cell.mark for cell in compare_grid.key_grid([split], heads(2), whole=False, find="").rows[0][1]} == {""}


def test_long_texts_are_cut_and_told_in_full_on_demand() -> None:
    row = KeyRow(key="notes", values=["x" * 500, "short"], differs=True)
    cell = compare_grid.key_grid([row], heads(2), whole=False, find="").rows[0][1][0]
    assert (len(cell.text), len(cell.title)) == (80, 200)
    many = KeyRow(key="notes", values=["x" * 500] * 9, differs=False)
    cell = compare_grid.key_grid([many], heads(9), whole=True, find="").rows[0][1][0]
    assert (len(cell.text), cell.title) == (22, "")


def test_search_looks_at_keys_and_values() -> None:
    rows = [KeyRow(key="lr", values=["1", "2"], differs=True), KeyRow(key="model", values=["Tree", None], differs=True)]
    for find, expected in (("LR", ["lr"]), ("tree", ["model"]), ("", ["lr", "model"]), ("zzz", [])):
        grid = compare_grid.key_grid(rows, heads(2), whole=False, find=find)
        assert [head.text for head, _ in grid.rows] == expected
        assert grid.total == 2


def test_cells_of_a_page_are_limited_however_many_keys_there_are() -> None:
    rows = [KeyRow(key=f"k{at}", values=[str(n) for n in range(100)], differs=True) for at in range(300)]
    grid = compare_grid.key_grid(rows, heads(100), whole=False, find="")
    assert (grid.shown, len(grid.columns), len(grid.rows), grid.total) == (40, 40, 100, 300)


def test_differences_of_metrics_are_short_and_signed() -> None:
    rows = compare_view.metrics([run(0, {"loss": 0.5}), run(1, {"loss": 0.4}), run(2, {"loss": 0.500001})], 0)
    cells = compare_grid.metric_grid(rows, heads(3), whole=False, find="").rows[0][1]
    assert [(cell.text, cell.more, cell.mark) for cell in cells] == [
        ("0.5000", "", ""), ("0.4000", "−0.1000", "best"), ("0.5000", "+1e-06", "worse"),
    ]  # fmt: skip
