"""Moving out: what is written for MLflow, opened by MLflow itself and compared field by field."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.client import Client
from stile.client.session import Session
from stile.testing.postgres import Cluster
from stile.testing.server import RunningServer, running_server
from stile.train.moving.mlflow_export import MlflowExport
from stile.train.moving.server_source import ServerSource
from stile.train.moving.values import FoundFile, MovedModel, MovedRun

FILL = """
import math, pathlib, sys
import mlflow
from mlflow.entities import (AssessmentError, AssessmentSource, Dataset, DatasetInput, InputTag, LoggedModelInput,
                             LoggedModelOutput, Metric, Param, SpanEvent)
from mlflow.tracking import MlflowClient
uri, root = sys.argv[1], pathlib.Path(sys.argv[2])
mlflow.set_tracking_uri(uri)
client = MlflowClient(uri, uri)
first = client.create_experiment("churn/ünï ☃ 'q\\"", tags={"team": "risk", "mlflow.note.content": "x" * 9000})
gone = client.create_experiment("abandoned")
away = client.create_experiment("elsewhere", artifact_location="s3://bucket/prefix")
run = client.create_run(first, run_name="forest", tags={"owner": "ana", "note": "ünï \\n 'x'", "a/b c.d-e:f": "v",
                                                        "empty": ""}, start_time=1_600_000_000_000)
rid = run.info.run_id
client.log_batch(rid, [Metric("loss", 1 / (i + 1), 1_600_000_000_000 + i, i) for i in range(900)])
client.log_batch(rid, [
    Metric("loss", 0.25, 1_600_000_000_900, 3), Metric("nan", math.nan, 5, 1), Metric("then nan", 0.5, 4, 0),
    Metric("then nan", math.nan, 4, 0), Metric("top", math.inf, 1, 0), Metric("low", -math.inf, 1, 0),
    Metric("equal", 1.0, 5, 7), Metric("equal", 2.0, 5, 7), Metric("equal", -3.0, 5, 7), Metric("early", 5.0, 5, -3),
    Metric("tiny", 5e-324, 1, 2**40),
], [Param("depth", "7"), Param("path/like", "a b"), Param("empty", ""), Param("long", "é" * 6000)])
client.log_inputs(rid, [
    DatasetInput(Dataset("loans", "d1gest", "local", '{"uri": "x"}', "{}", '{"rows": 2}'),
                 [InputTag("mlflow.data.context", "train"), InputTag("o", "ü")]),
    DatasetInput(Dataset("loans", "other", "local", "y", "{}", "{}"), []),
])
folder = root / "model"
(folder / "sub").mkdir(parents=True)
(folder / "MLmodel").write_text("flavors: {}\\n")
(folder / "weights.bin").write_bytes(bytes(range(256)) * 40)
(folder / "sub" / "ü ñ.txt").write_text("hé")
client.log_artifacts(rid, str(folder), "model")
client.log_text(rid, "hello", "notes/a file.txt")
client.log_text(rid, "", "empty.txt")
model = client.create_logged_model(first, name="net", source_run_id=rid, tags={"kind": "tree"},
                                   params={"trees": "10"}, model_type="forest")
client.log_model_artifacts(model.model_id, str(folder))
client.finalize_logged_model(model.model_id, "READY")
client.create_logged_model(first, name="pending")
client.finalize_logged_model(client.create_logged_model(first, name="failed").model_id, "FAILED")
client.log_outputs(rid, [LoggedModelOutput(model.model_id, 3)])
client.log_metric(rid, "acc", 0.75, timestamp=9, step=2, model_id=model.model_id)
client.log_metric(rid, "acc", 0.85, timestamp=19, step=3, model_id=model.model_id, dataset_name="loans",
                  dataset_digest="d1gest")
client.set_terminated(rid, "FINISHED", 1_600_000_009_000)
child = client.create_run(first, run_name="child", tags={"mlflow.parentRunId": rid})
client.log_inputs(child.info.run_id, models=[LoggedModelInput(model.model_id)])
client.set_terminated(child.info.run_id, "FAILED")
client.create_run(first, run_name="still running")
client.update_run(client.create_run(first).info.run_id, status="SCHEDULED")
client.set_terminated(client.create_run(first).info.run_id, "KILLED")
deleted = client.create_run(first, run_name="deleted one")
client.log_metric(deleted.info.run_id, "loss", 3.0, timestamp=1, step=0)
client.log_text(deleted.info.run_id, "bye", "x.txt")
client.delete_run(deleted.info.run_id)
client.create_run(gone, run_name="with its experiment")
client.delete_experiment(gone)
client.create_run(away, run_name="remote files")
client.create_registered_model("net", tags={"tier": "gold"}, description="The net\\nin lines")
one = client.create_model_version("net", run.info.artifact_uri + "/model", rid, tags={"checked": "yes"},
                                  description="first")
client.create_model_version("net", "models:/" + model.model_id, rid)
client.delete_model_version("net", client.create_model_version("net", "s3://bucket/elsewhere", rid).version)
client.create_model_version("net", f"runs:/{rid}/model", rid)
client.create_model_version("net", "s3://bucket/other", run_link="http://x/y")
client.transition_model_version_stage("net", "1", "Staging")
client.copy_model_version("models:/net/1", "a copy+it, too ü")
client.set_registered_model_alias("net", "best", 2)
client.set_registered_model_alias("net", "champion", 1)
again = client.create_run(first, run_name="logs over it")
client.log_artifacts(again.info.run_id, str(folder), "m")
client.create_registered_model("kept")
client.create_model_version("kept", again.info.artifact_uri + "/m", again.info.run_id)
(folder / "MLmodel").write_text("flavors: {other: {}}\\n")
client.log_artifacts(again.info.run_id, str(folder), "m")
client.register_prompt("greet", "Hello {{name}}")
client.register_prompt("greet", "Hi {{name}} ü", commit_message="second", tags={"a": "b"})
client.set_prompt_alias("greet", "prod", 1)

@mlflow.trace(span_type="AGENT", attributes={"f": 1.5, "big": 2**40, "none": None, "l": ["a", {"b": [True]}],
                                             "nan": math.nan})
def asked(x):
    with mlflow.start_span("inner ü") as span:
        span.set_inputs({"x": x, "é": "ü"})
        span.add_event(SpanEvent("seen", attributes={"a": [1.5, 2.0], "b": True}))
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
        if x:
            raise KeyError("not there")
    mlflow.update_current_trace(tags={"t": "", "u": "ü"}, metadata={"mlflow.trace.session": "s1"},
                                client_request_id="req-9")
    return {"y": x}

mlflow.set_experiment(experiment_id=first)
asked(0)
try:
    asked(1)
except KeyError:
    pass
with mlflow.start_run(run_id=again.info.run_id):
    asked(0)
mlflow.flush_trace_async_logging()
ids = [t.info.trace_id for t in client.search_traces(locations=[first], order_by=["timestamp_ms ASC"])]
bob = AssessmentSource("HUMAN", "bob")
good = mlflow.log_feedback(trace_id=ids[0], name="good", value=True, source=bob, rationale="why", metadata={"k": "v"})
mlflow.override_feedback(trace_id=ids[0], assessment_id=good.assessment_id, value=False)
mlflow.log_feedback(trace_id=ids[0], name="failed", error=AssessmentError("CODE", "no", "stack"))
mlflow.log_expectation(trace_id=ids[0], name="wanted", value={"a": [1]})
mlflow.log_expectation(trace_id=ids[0], name="plain", value=3.5)
client.link_traces_to_run(ids[:2], rid)
"""

READ = """
import json, math, sys
import mlflow
from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient
from mlflow.tracking._model_registry.client import ModelRegistryClient
uri = sys.argv[1]
mlflow.set_tracking_uri(uri)
client = MlflowClient(uri, uri)
registry = ModelRegistryClient(uri, uri).store

def word(value):
    return "NaN" if math.isnan(value) else value

def run(r):
    i, d = r.info, r.data
    return {
        "info": [i.experiment_id, i.run_name, i.status, i.start_time, i.end_time, i.lifecycle_stage, i.user_id,
                 i.artifact_uri],
        "params": d.params, "tags": d.tags, "latest": {k: word(v) for k, v in d.metrics.items()},
        "history": {k: sorted([m.timestamp, m.step, str(word(m.value))] for m in
                              client.get_metric_history(i.run_id, k)) for k in d.metrics},
        "datasets": sorted([x.dataset.name, x.dataset.digest, x.dataset.source_type, x.dataset.source, x.dataset.schema,
                            x.dataset.profile, {t.key: t.value for t in x.tags}] for x in r.inputs.dataset_inputs),
        "read": [m.model_id for m in r.inputs.model_inputs or []],
        "made": [[m.model_id, m.step] for m in (r.outputs.model_outputs if r.outputs else [])],
    }

def model(m):
    return [m.name, m.experiment_id, m.model_type or "", m.source_run_id or "", m.artifact_location,
            str(m.status), m.creation_timestamp, m.last_updated_timestamp, m.tags, m.params,
            sorted([x.key, x.value, x.step, x.timestamp, x.run_id, x.dataset_name or "", x.dataset_digest or ""]
                   for x in m.metrics or [])]

def version(v):
    return [v.source, v.run_id or "", v.run_link or "", v.description or "", v.current_stage, v.creation_timestamp,
            v.last_updated_timestamp, v.tags, v.status]

def registered(name):
    r = registry.get_registered_model(name)
    marked = " AND tags.`mlflow.prompt.is_prompt` = 'true'" if "mlflow.prompt.is_prompt" in r.tags else ""
    versions = client.search_model_versions(f"name='{name}'{marked}")
    places = {} if marked else {int(v.version): client.get_model_version_download_uri(name, v.version)
                                for v in versions}
    return {"self": [r.description or "", r.tags, {k: int(v) for k, v in r.aliases.items()}, r.creation_timestamp,
                     r.last_updated_timestamp],
            "versions": {int(v.version): version(v) for v in versions}, "places": places}

def trace(id):
    found = json.loads(client.get_trace(id).to_json())
    found["info"]["assessments"] = sorted(found["info"].get("assessments", []), key=lambda one: one["assessment_id"])
    for one in found["info"]["assessments"]:
        if "expectation" in one:
            one.pop("valid", None)  # the protocol does not carry it
    return found

found = client.search_experiments(view_type=ViewType.ALL)
active = [e.experiment_id for e in found if e.lifecycle_stage == "active"]
runs = [r.info.run_id for e in found for r in client.search_runs([e.experiment_id], run_view_type=ViewType.ALL)]
names = [r.name for asked in ("", "tags.`mlflow.prompt.is_prompt` = 'true'")
         for r in client.search_registered_models(asked)]
traces = [t.info.trace_id for t in client.search_traces(locations=active, include_spans=False)]
json.dump({
    "experiments": {e.experiment_id: [e.name, e.lifecycle_stage, e.artifact_location, e.tags, e.creation_time or 0,
                                      e.last_update_time or 0] for e in found},
    "runs": {id: run(client.get_run(id)) for id in runs},
    "models": {m.model_id: model(client.get_logged_model(m.model_id)) for m in client.search_logged_models(active)},
    "registered": {name: registered(name) for name in names},
    "traces": {id: trace(id) for id in traces},
    "traces of runs": {id: sorted(t.info.trace_id for t in client.search_traces(
        locations=active, filter_string=f"attributes.run_id = '{id}'", include_spans=False)) for id in runs},
}, open(sys.argv[2], "w"))
"""

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "PATH": "/usr/bin:/bin",
}  # fmt: skip
GENUINE = "STILE_BENCH_PEER"


def run_script(script: str, *arguments: str | Path, python: str = sys.executable) -> None:
    """Run a client in a process of its own: MLflow's stores keep global state."""
    done = subprocess.run(
        [python, "-c", script, *map(str, arguments)], capture_output=True, text=True, env=_QUIET, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def read(uri: str, out: Path) -> dict[str, Any]:
    """All that MLflow's client tells about what is at an address."""
    run_script(READ, uri, out)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def without_places(found: dict[str, Any]) -> dict[str, Any]:
    """What is told of registered models, without where the files of versions are."""
    registered = {name: {**told, "places": {}} for name, told in found["registered"].items()}
    return {**found, "registered": registered}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for kind, several in without_places(expected).items():
        got = without_places(found)[kind]
        assert got.keys() == several.keys(), kind
        for name, value in several.items():
            assert got[name] == value, (kind, name)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        run_script(FILL, running.url, tmp_path_factory.mktemp("files"))
        yield running


@pytest.fixture(scope="module")
def told(filled: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the server tells MLflow's client."""
    return read(filled.url, tmp_path_factory.mktemp("told") / "told.json")


def exported(capsys: pytest.CaptureFixture[str], url: str, folder: Path) -> dict[str, Any]:
    code = run_command(stile, ["export", str(folder), "--layout", "mlflow", "--url", url, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def files_of(folder: Path, uri: str) -> dict[str, bytes]:
    root = folder / "artifacts" / uri.removeprefix("mlflow-artifacts:/")
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_mlflow_reads_everything_from_the_export_that_it_reads_from_the_server(
    filled: RunningServer, told: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    report = exported(capsys, filled.url, folder)
    assert [one["what"] for one in report["omitted"]] == ["files"]  # those at s3://bucket stay there
    assert "--backend-store-uri sqlite:///mlflow.db" in report["serve"]
    assert sorted(entry.name for entry in folder.iterdir()) == ["artifacts", "mlflow.db"]
    found = read(f"sqlite:///{folder}/mlflow.db", tmp_path / "found.json")
    assert_same(found, told)
    assert len(told["runs"]) == 9
    assert len(told["traces"]) == 3
    run = next(one for one in found["runs"].values() if one["info"][1] == "forest")
    weights, later = bytes(range(256)) * 40, b"flavors: {other: {}}\n"
    model = {"MLmodel": b"flavors: {}\n", "weights.bin": weights, "sub/ü ñ.txt": "hé".encode()}
    below = {f"model/{name}": content for name, content in model.items()}
    assert files_of(folder, run["info"][7]) == below | {"notes/a file.txt": b"hello", "empty.txt": b""}
    assert files_of(folder, next(one[4] for one in found["models"].values() if one[0] == "net")) == model
    deleted = next(one for one in found["runs"].values() if one["info"][1] == "deleted one")
    assert files_of(folder, deleted["info"][7]) == {"x.txt": b"bye"}
    again = next(one for one in found["runs"].values() if one["info"][1] == "logs over it")
    assert files_of(folder, again["info"][7])["m/MLmodel"] == later
    places = {name: one["places"] for name, one in found["registered"].items()}
    for name, number in (("net", "1"), ("net", "2"), ("net", "4"), ("a copy+it, too ü", "1"), ("kept", "1")):
        assert files_of(folder, places[name][number]) == model, (name, number)
    assert places["net"]["1"] == places["net"]["4"] == f"{run['info'][7]}/model"  # not kept twice
    assert places["net"]["5"] == "s3://bucket/other"


def test_an_export_comes_back_as_it_was(
    filled: RunningServer, told: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    exported(capsys, filled.url, folder)
    with running_server(tmp_path / "other") as other:
        arguments = [str(folder), "--url", other.url]
        assert run_command(stile, ["import", "mlflow", *arguments, "--state", str(tmp_path / "state"), "--json"]) == 0
        assert [one["what"] for one in json.loads(capsys.readouterr().out)["omitted"]] == ["files"]
        assert_same(read(other.url, tmp_path / "back.json"), told)
        kept = httpx.get(f"{other.url}/api/2.0/mlflow/model-versions/get-download-uri?name=kept&version=1").json()
        address = kept["artifact_uri"].removeprefix("mlflow-artifacts:/")
        file = httpx.get(f"{other.url}/api/2.0/mlflow-artifacts/artifacts/{address}/MLmodel")
        assert file.content == b"flavors: {}\n"


def shape(file: Path) -> dict[str, Any]:
    """The tables of a database: their columns, keys, indexes and references."""
    with closing(sqlite3.connect(file)) as rows:
        names = [row[0] for row in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {
            name: {
                "columns": sorted(row[1:6] for row in rows.execute(f"PRAGMA table_xinfo({name})")),
                "references": sorted(row[2:7] for row in rows.execute(f"PRAGMA foreign_key_list({name})")),
                "indexes": sorted(
                    (unique, [column[2] for column in rows.execute(f"PRAGMA index_info({index})")])
                    for _, index, unique, *_ in rows.execute(f"PRAGMA index_list({name})").fetchall()
                ),
            }
            for name in names
        }


def test_the_tables_are_those_of_mlflow_when_mlflow_has_opened_them(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(capsys, server.url, tmp_path / "out")
    ours, own = tmp_path / "out" / "mlflow.db", tmp_path / "own.db"
    opened = "import mlflow, sys; [mlflow.MlflowClient(uri, uri).search_experiments() for uri in sys.argv[1:]]"
    run_script(opened, f"sqlite:///{ours}", f"sqlite:///{own}")
    assert shape(ours) == shape(own)


class Silent:
    def total(self, runs: int | None) -> None: ...
    def moved(self, what: str, count: int) -> None: ...


class Stopped(Exception):
    """The export is stopped here."""


def test_everything_of_a_server_on_postgresql_is_in_the_export(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_server(tmp_path / "server", store=cluster.fresh()) as running:
        run_script(FILL, running.url, tmp_path)
        expected = read(running.url, tmp_path / "told.json")
        exported(capsys, running.url, tmp_path / "out")
    assert_same(read(f"sqlite:///{tmp_path}/out/mlflow.db", tmp_path / "found.json"), expected)


def rows_of(folder: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as rows:
        names = [row[0] for row in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: sorted(map(repr, rows.execute(f"SELECT * FROM {name}"))) for name in names}


def test_an_export_that_was_stopped_is_not_taken_for_whole_and_goes_on(
    filled: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Counting(ServerSource):
        stops = False

        def __init__(self, session: Session) -> None:
            super().__init__(session)
            self.read: list[str] = []

        def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
            self.read.append(owner.run_id if isinstance(owner, MovedRun) else owner.model_id)
            for number, found in enumerate(super().files(owner)):
                if number == 2 and isinstance(owner, MovedRun) and self.stops:
                    raise Stopped
                yield found

    folder, client = tmp_path / "out", Client(filled.url)
    stopped, goes_on, whole = (Counting(client.session) for _ in range(3))
    stopped.stops = True
    with pytest.raises(Stopped):
        MlflowExport(stopped, folder, Silent(), pinned=stopped.pinned, now=1).run()
    assert sorted(entry.name for entry in folder.iterdir()) == ["artifacts", "mlflow.db.unfinished"]
    report = MlflowExport(goes_on, folder, Silent(), pinned=goes_on.pinned, now=1).run()
    assert [one.what for one in report.omitted] == ["files"]
    MlflowExport(whole, tmp_path / "whole", Silent(), pinned=whole.pinned, now=1).run()
    client.close()
    assert rows_of(folder) == rows_of(tmp_path / "whole")
    assert len(set(stopped.read) - set(goes_on.read)) >= 2  # what was done is not read again
    assert len(set(stopped.read) | set(goes_on.read)) == len(set(whole.read))
    assert run_command(stile, ["export", str(folder), "--layout", "mlflow", "--url", filled.url]) == 1
    assert "is not empty" in capsys.readouterr().err


def test_only_an_export_of_the_same_server_goes_on(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    exported(capsys, server.url, folder)
    (folder / "mlflow.db").rename(folder / "mlflow.db.unfinished")
    for content in (None, b"no database at all" * 100):
        if content:
            (folder / "mlflow.db.unfinished").write_bytes(content)
        assert run_command(stile, ["export", str(folder), "--layout", "mlflow", "--url", server.url]) == 1
        assert "Choose a new folder" in capsys.readouterr().err


@pytest.mark.skipif(not os.environ.get(GENUINE), reason=f"{GENUINE} names no virtual environment with the full mlflow")
def test_a_genuine_server_serves_the_export_at_once(
    filled: RunningServer, told: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    command = exported(capsys, filled.url, folder)["serve"].replace(
        "mlflow server", f"exec {Path(os.environ[GENUINE]).resolve()}/bin/mlflow server --workers 1 --port 5791"
    )
    shell = shutil.which("sh") or "sh"
    with (tmp_path / "log").open("wb") as log:
        serving = subprocess.Popen([shell, "-c", command], env=_QUIET, stdout=log, stderr=log)
        try:
            for _ in range(600):
                try:
                    httpx.get("http://127.0.0.1:5791/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            assert_same(read("http://127.0.0.1:5791", tmp_path / "found.json"), told)
        finally:
            serving.terminate()
            serving.wait(30)
    assert "Traceback" not in (tmp_path / "log").read_text()
