"""What the page of a run says."""

from __future__ import annotations

import math

from stile.train.artifact_records import Artifact
from stile.train.run_values import Latest, Run, RunInfo
from stile.web.pages import run_view


def run(
    metrics: dict[str, float] | None = None, params: dict[str, str] | None = None, tags: dict[str, str] | None = None
) -> Run:
    info = RunInfo(
        row=1, run_id="r", experiment_id="1", name="a run", user_id="ann", status="FINISHED", start_time=0, end_time=1,
        artifact_uri="mlflow-artifacts:/1/r/artifacts", lifecycle="active", created_by="ann",
    )  # fmt: skip
    return Run(
        info=info, metrics=[Latest(key, value, 0, 0) for key, value in sorted((metrics or {}).items())],
        params=sorted((params or {}).items()), tags=sorted((tags or {}).items()), datasets=[], models=[],
    )  # fmt: skip


def file(path: str, size: int = 3) -> Artifact:
    return Artifact(path=f"1/r/artifacts/{path}", digest="sha256:0", size=size, at=0, by="ann")


def test_metrics_are_grouped_by_prefix_with_the_machine_last() -> None:
    groups = run_view.metric_groups(
        run({"system/cpu": 1, "valid/auc": 0.9, "train/auc": 1, "auc": 0.9}), {"valid/auc": 20, "auc": 1}, None
    )
    assert [group.name for group in groups] == ["", "train", "valid", "system"]
    assert [row.key for group in groups for row in group.curves] == ["valid/auc"]


def test_search_finds_parts_of_names_in_any_case() -> None:
    groups = run_view.metric_groups(run({"valid/AUC": 1, "loss": 2}), {}, None, "auc")
    assert [row.key for group in groups for row in group.rows] == ["valid/AUC"]


def test_difference_to_the_baseline_says_whether_it_is_better() -> None:
    groups = run_view.metric_groups(
        run({"auc": 0.91, "loss": 0.5, "lr": 2.0, "new": 1.0}), {}, run({"auc": 0.9, "loss": 0.4, "lr": 1.0})
    )
    rows = {row.key: run_view.difference_words(row) for group in groups for row in group.rows}
    assert rows == {"auc": "+0.0100 better", "loss": "+0.1000 worse", "lr": "+1.0000", "new": ""}
    nothing = run_view.metric_groups(run({"auc": math.nan}), {}, run({"auc": 0.5}))[0].rows[0]
    assert nothing.better is None


def test_parameters_that_differ_come_first() -> None:
    rows = run_view.param_rows(run(params={"a": "1", "b": "2", "c": "3"}), run(params={"a": "1", "b": "9", "d": "4"}))
    assert [(row.key, row.change, row.value, row.before) for row in rows] == [
        ("b", "changed", "2", "9"), ("c", "new", "3", ""), ("d", "gone", "", "4"), ("a", "same", "1", "1"),
    ]  # fmt: skip
    assert [row.key for row in run_view.param_rows(run(params={"model": "tree", "x": "1"}), None, "TREE")] == ["model"]


def test_environment_tells_what_was_kept_and_links_the_files() -> None:
    made = run(
        tags={
            "mlflow.source.git.commit": "abc", "stile.command": '["python", "train.py", "--lr", "0.1"]',
            "stile.python": "3.11.9",
        }
    )  # fmt: skip
    files = [file("code/changes.patch", 120), file("environment/requirements.txt"), file("model/requirements.txt")]
    machine = {"packages": 41, "platform": "Linux", "machine": "x86_64", "implementation": "CPython"}
    facts = {fact.name: (fact.text, fact.file) for fact in run_view.environment(made, files, "1/r/artifacts", machine)}
    assert facts["Commit"] == ("abc", "")
    assert facts["Command"] == ("python train.py --lr 0.1", "")
    assert facts["Uncommitted changes"] == ("120 B", "code/changes.patch")
    assert facts["Packages"] == ("41 packages", "environment/requirements.txt")
    assert facts["Python"] == ("3.11.9 CPython", "")
    assert facts["Machine"] == ("Linux, x86_64", "")
    assert run_view.environment(run(), [], "1/r/artifacts", {}) == []


def test_packages_of_a_model_stand_in_for_those_of_the_run() -> None:
    facts = run_view.environment(
        run(), [file("deep/model/conda.yaml"), file("model/requirements.txt")], "1/r/artifacts", {}
    )
    assert [(fact.name, fact.file) for fact in facts] == [("Packages", "model/requirements.txt")]


def test_command_that_is_no_list_is_shown_as_text() -> None:
    facts = run_view.environment(run(tags={"stile.command": "not json ["}), [], "1/r/artifacts", {})
    assert [(fact.name, fact.text) for fact in facts] == [("Command", "not json [")]


def test_files_become_a_tree_with_sizes() -> None:
    found = run_view.tree([file("a/b/c.txt", 5), file("a/d.txt", 2), file("top.txt", 1)], "1/r/artifacts")
    assert (found.count, found.size, [each.path for each in found.files]) == (3, 8, ["1/r/artifacts/top.txt"])
    assert [(each.name, each.path, each.count, each.size) for each in found.folders] == [("a", "a", 2, 7)]
    assert [each.path for each in found.folders[0].folders] == ["a/b"]


def test_headline_prefers_final_figures_over_training_curves() -> None:
    groups = run_view.metric_groups(
        run({"train/loss": 1, "valid/loss": 1, "auc": 1, "system/cpu": 1}), {"train/loss": 9, "valid/loss": 9}, None
    )
    assert [row.key for row in run_view.headline(groups)] == ["auc", "valid/loss", "train/loss"]


def test_headline_prefers_what_says_how_good_a_run_is() -> None:
    metrics = {"lr": 1e-4, "epoch": 9, "throughput": 12e3, "train/loss": 1, "val/loss": 1, "val/accuracy": 0.9}
    groups = run_view.metric_groups(run(metrics), dict.fromkeys(metrics, 9), None)
    assert [row.key for row in run_view.headline(groups)] == ["val/loss", "val/accuracy", "train/loss"]


def test_tags_of_clients_are_not_shown_as_those_of_people() -> None:
    tags = {"mlflow.user": "x", "stile.python": "3", "team": "retention"}
    assert run_view.shown_tags(run(tags=tags)) == [("team", "retention")]


def test_values_are_short() -> None:
    assert [run_view.value_words(value) for value in (3.0, 0.12345, math.nan, 1e9)] == [
        "3", "0.1235", "not a number", "1e+09",
    ]  # fmt: skip
