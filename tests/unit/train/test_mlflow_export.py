"""What a server says is never a way out of the folder that is written, and what has no place is told."""

from __future__ import annotations

import base64
import errno
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stile.kernel.errors import Invalid, Missing, Unavailable
from stile.train.moving.mlflow_export import MlflowExport
from stile.train.moving.trace_forms import kept_span, span_row
from stile.train.moving.transfer import Report
from stile.train.moving.values import (
    FoundFile,
    MovedExperiment,
    MovedModel,
    MovedModelMetric,
    MovedRegistered,
    MovedRun,
    MovedSeries,
    MovedTrace,
    MovedVersion,
    NotHere,
    Omission,
)

PLACE = "mlflow-artifacts:/1/r1/artifacts"


def found(path: str, content: bytes = b"content") -> FoundFile:
    def read() -> Iterator[bytes]:
        yield content

    return FoundFile(path=path, size=len(content), read=read)


class Told:
    """A source that says what a test wants it to say."""

    name = "told"

    def __init__(self, **several: Any) -> None:
        self._experiments = several.pop("experiments", [MovedExperiment(id="1", name="one")])
        self._several = several

    def close(self) -> None: ...

    def experiments(self) -> list[MovedExperiment]:
        if isinstance(self._experiments, Exception):
            raise self._experiments
        found: list[MovedExperiment] = self._experiments
        return found

    def run_count(self) -> int | None:
        return None

    def runs(self, experiment: MovedExperiment) -> Iterator[MovedRun]:
        return (run for run in self._several.get("runs", []) if run.experiment == experiment.id)

    def series(self, run: MovedRun) -> Iterator[MovedSeries]:
        return (one for one in self._several.get("series", []) if one.run_id == run.run_id)

    def models(self, experiment: MovedExperiment) -> Iterator[MovedModel]:
        return (model for model in self._several.get("models", []) if model.experiment == experiment.id)

    def traces(self, experiment: MovedExperiment) -> Iterator[MovedTrace]:
        return (trace for trace in self._several.get("traces", []) if trace.experiment == experiment.id)

    def registered(self) -> Iterator[MovedRegistered]:
        return iter(self._several.get("registered", []))

    def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
        return self.folder(owner.artifact_uri)

    def folder(self, uri: str) -> Iterator[FoundFile]:
        files: dict[str, list[FoundFile]] = self._several.get("files", {})
        if uri not in files:
            raise NotHere("there is nothing there")
        return iter(files[uri])

    def omissions(self) -> list[Omission]:
        return []


class Silent:
    def total(self, runs: int | None) -> None: ...
    def moved(self, what: str, count: int) -> None: ...


def export(folder: Path, pinned: Callable[[str, int], str] = lambda _name, _version: "", **several: Any) -> Report:
    return MlflowExport(Told(**several), folder, Silent(), pinned=pinned, now=5).run()


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return database.execute(sql).fetchall()


def run(**changes: Any) -> MovedRun:
    return MovedRun(**{"run_id": "r1", "experiment": "1", "artifact_uri": PLACE, "end_time": 9} | changes)


@pytest.mark.parametrize(
    "path", ["../out", "/etc/out", "a/../../out", "", "a//b", "a\\b", "C:x", "a\0b", "x" * 300, "%2e%2e/out", "."]
)
def test_a_file_is_left_out_when_its_path_leads_elsewhere_or_has_no_place(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    report = export(folder, runs=[run()], files={PLACE: [found(path), found("kept.txt")]})
    assert [one.what for one in report.omitted] == ["file"]
    there = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()]
    assert sorted(there) == ["deep/out/artifacts/1/r1/artifacts/kept.txt", "deep/out/mlflow.db"]


@pytest.mark.parametrize(
    "uri", ["mlflow-artifacts:/../../x", "mlflow-artifacts://host/x", "file:///etc", "/etc", "s3://bucket/x"]
)
def test_files_at_another_address_stay_where_they_are(uri: str, tmp_path: Path) -> None:
    report = export(tmp_path / "out", runs=[run(artifact_uri=uri)], files={uri: [found("x")]})
    assert [(one.what, one.name) for one in report.omitted] == [("files", "r1")]
    assert list((tmp_path / "out" / "artifacts").iterdir()) == []
    assert rows(tmp_path / "out", "SELECT artifact_uri FROM runs") == [(uri,)]


def test_a_file_that_stands_where_a_folder_must_be_is_told(tmp_path: Path) -> None:
    report = export(tmp_path / "out", runs=[run()], files={PLACE: [found("a"), found("a/b"), found("c")]})
    assert [(one.what, one.name) for one in report.omitted] == [("file", "r1: a/b")]
    assert sorted(file.name for file in (tmp_path / "out/artifacts/1/r1/artifacts").iterdir()) == ["a", "c"]


def test_names_are_values_and_never_sql(tmp_path: Path) -> None:
    odd = "x'); DROP TABLE runs; --"
    export(
        tmp_path / "out", experiments=[MovedExperiment(id="1", name=odd, tags={odd: odd})],
        runs=[run(name=odd, params={odd: odd}, tags={odd: odd})],
        registered=[MovedRegistered(name=odd, aliases={odd: 1}, versions=[MovedVersion(version=1, source=odd)])],
    )  # fmt: skip
    assert rows(tmp_path / "out", "SELECT name FROM runs UNION SELECT name FROM registered_models") == [(odd,)]


def test_the_newest_point_is_the_last_step_then_time_then_value(tmp_path: Path) -> None:
    series = [
        MovedSeries(run_id="r1", key="loss", at=[5, 9, 7], step=[2, 1, 2], value=[1.0, 9.0, 0.5]),
        MovedSeries(run_id="r1", key="loss", at=[7, 7], step=[2, 2], value=[0.5, 0.25]),
        MovedSeries(run_id="r1", key="nan", at=[1], step=[0], value=[None]),
    ]
    report = export(tmp_path / "out", runs=[run()], series=series, files={PLACE: []})
    assert rows(tmp_path / "out", "SELECT key, value, timestamp, step, is_nan FROM latest_metrics ORDER BY key") == [
        ("loss", 0.5, 7, 2, 0), ("nan", 0.0, 1, 0, 1),
    ]  # fmt: skip
    assert rows(tmp_path / "out", "SELECT COUNT(*) FROM metrics") == [(5,)]
    assert [(one.what, one.name) for one in report.omitted] == [("points", "1 of r1")]


def test_what_mlflow_has_no_place_for_is_told(tmp_path: Path) -> None:
    metrics = [MovedModelMetric(key="bad", value=None, run_id="r1"), MovedModelMetric(key="of no run", value=1.0)]
    model = MovedModel(model_id="m-1", experiment="1", name="net", metrics=metrics)
    twins = [MovedExperiment(id="1", name="one"), MovedExperiment(id="2", name="one", lifecycle="deleted")]
    trace = MovedTrace(trace_id="tr-1", experiment="1", spans=[{"trace_id": "no id"}])
    report = export(
        tmp_path / "out", experiments=twins, runs=[run()], models=[model], traces=[trace], files={PLACE: []}
    )
    assert [one.what for one in report.omitted] == ["experiment name", "metric", "trace", "row"]
    assert rows(tmp_path / "out", "SELECT experiment_id, name FROM experiments") == [(1, "one"), (2, "one (2)")]
    assert rows(tmp_path / "out", "SELECT * FROM logged_model_metrics") == []
    assert rows(tmp_path / "out", "SELECT * FROM trace_info") == []


def test_a_version_keeps_the_files_it_was_registered_with(tmp_path: Path) -> None:
    kept = "mlflow-artifacts:/registry/1/1"
    versions = [MovedVersion(version=number, source=PLACE) for number in (1, 2, 3)]
    places = {1: kept, 2: "mlflow-artifacts:/registry/1/2", 3: "mlflow-artifacts:/registry/1/3"}
    report = export(
        tmp_path / "out", lambda _name, version: places[version], runs=[run()],
        registered=[MovedRegistered(name="net", versions=versions)],
        files={PLACE: [found("w", b"newer")], kept: [found("w", b"older")], places[2]: [found("w", b"newer")]},
    )  # fmt: skip
    told = rows(tmp_path / "out", "SELECT version, storage_location FROM model_versions ORDER BY version")
    assert told == [(1, kept), (2, PLACE), (3, places[3])]
    assert (tmp_path / "out/artifacts/registry/1/1/w").read_bytes() == b"older"
    assert {(one.what, one.name) for one in report.omitted} == {("files", "net v3")}


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    file = tmp_path / "mine.txt"
    for target in (tmp_path, file):
        with pytest.raises(Invalid, match="Export into a new"):
            export(target)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(Invalid, match="Export into a new"):
        export(link)
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["link", "mine.txt"]


def test_an_export_that_cannot_go_on_says_so_and_goes_on_later(tmp_path: Path) -> None:
    folder, fails = tmp_path / "out", True

    def broken(error: Exception) -> FoundFile:
        def read() -> Iterator[bytes]:
            yield b"half"
            if fails:
                raise error

        return FoundFile(path="x", size=4, read=read)

    with pytest.raises(Unavailable, match="nobody answers"):
        export(folder, experiments=Unavailable("nobody answers"))
    assert not folder.exists()
    for error in (OSError(errno.ENOSPC, "No space left"), Unavailable("The server went away.")):
        with pytest.raises(Unavailable, match="run the same again to go on"):
            export(folder, runs=[run()], files={PLACE: [broken(error)]})
        assert sorted(entry.name for entry in folder.iterdir()) == ["artifacts", "mlflow.db.unfinished"]
    with pytest.raises(Invalid, match="a begun export of told, not of another"):
        other = Told()
        other.name = "another"
        MlflowExport(other, folder, Silent(), pinned=lambda _name, _version: "", now=5).run()
    fails = False
    assert export(folder, runs=[run()], files={PLACE: [broken(OSError())]}).omitted == []
    assert (folder / "artifacts/1/r1/artifacts/x").read_bytes() == b"half"
    assert sorted(entry.name for entry in folder.iterdir()) == ["artifacts", "mlflow.db"]


def test_a_file_that_is_gone_by_now_is_told(tmp_path: Path) -> None:
    def read() -> Iterator[bytes]:
        raise Missing("It is gone.")
        yield b""

    gone = FoundFile(path="x", size=4, read=read)
    report = export(tmp_path / "out", runs=[run()], files={PLACE: [gone, found("y")]})
    assert [(one.name, one.why) for one in report.omitted] == [("r1: x", "It is gone.")]


def test_a_span_is_the_same_when_it_was_kept_and_read_again() -> None:
    def value(**kind: Any) -> dict[str, Any]:
        return kind

    pairs = [
        {"key": "mlflow.traceRequestId", "value": value(string_value="tr-" + "01" * 16)},
        {"key": "mlflow.spanType", "value": value(string_value="TOOL")},
        {"key": "nan", "value": value(double_value="NaN")},
        {"key": "low", "value": value(double_value="-Infinity")},
        {"key": "whole", "value": value(int_value=str(2**62))},
        {"key": "none", "value": {}},
        {"key": "list", "value": value(array_value={"values": [value(bool_value=True), value(string_value="ü")]})},
        {"key": "map", "value": value(kvlist_value={"values": [{"key": "a", "value": value(double_value=1.5)}]})},
    ]
    message = {
        "trace_id": base64.b64encode(b"\1" * 16).decode(), "span_id": base64.b64encode(b"\2" * 8).decode(),
        "parent_span_id": base64.b64encode(b"\3" * 8).decode(), "name": "ü",
        "start_time_unix_nano": "1", "end_time_unix_nano": "2",
        "status": {"code": "STATUS_CODE_ERROR", "message": "why"}, "attributes": pairs,
        "events": [{"time_unix_nano": "3", "name": "seen", "attributes": pairs[4:6]}],
        "links": [{"trace_id": base64.b64encode(b"\4" * 16).decode(), "span_id": base64.b64encode(b"\5" * 8).decode()}],
    }  # fmt: skip
    row = span_row(message)
    assert (row.span_id, row.parent_id, row.kind, row.status) == ("02" * 8, "03" * 8, "TOOL", "ERROR")
    assert (row.start, row.end) == (1, 2)
    assert json.loads(row.content)["links"][0]["trace_id"] == "tr-" + "04" * 16
    assert kept_span(row.content) == message
