"""Moving in: stores written by MLflow itself, taken in and compared field by field."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.client import Client
from stile.testing.postgres import Cluster
from stile.testing.server import RunningServer, running_server

# Runs in a process of its own: MLflow's stores keep global state, and its logging is its own.
WRITE = """
import json, math, pathlib, sys
import mlflow
from mlflow.entities import AssessmentError, AssessmentSource, SpanEvent
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric, Param
from mlflow.tracking import MlflowClient
uri, root = sys.argv[1], pathlib.Path(sys.argv[2])
mlflow.set_tracking_uri(uri)
client = MlflowClient(uri, uri)
where = None if uri.startswith("file:") else (root / "artifacts").as_uri()
first = client.create_experiment("churn", artifact_location=where, tags={"team": "risk"})
gone = client.create_experiment("abandoned")
run = client.create_run(first, run_name="forest", tags={"owner": "ana", "note": "ünï"}, start_time=1_600_000_000_000)
run_id = run.info.run_id
client.log_batch(run_id, [Metric("loss", 1 / (i + 1), 1_600_000_000_000 + i, i) for i in range(500)])
client.log_batch(run_id, [Metric("loss", 0.25, 1_600_000_000_900, 3), Metric("val/auc", float("nan"), 5, 1),
                          Metric("val/auc", 0.5, 4, 0), Metric("top", float("inf"), 1, 0)],
                 [Param("depth", "7"), Param("path/like", "a b")])
client.log_inputs(run_id, [DatasetInput(Dataset("loans", "d1gest", "local", '{"uri": "x"}', "{}", '{"rows": 2}'),
                                        [InputTag("mlflow.data.context", "train")])])
folder = root / "model"
folder.mkdir()
(folder / "MLmodel").write_text("flavors: {}\\n")
(folder / "weights.bin").write_bytes(bytes(range(256)) * 40)
client.log_artifacts(run_id, str(folder), "model")
client.log_text(run_id, "hello", "notes/a file.txt")
model = client.create_logged_model(first, name="net", source_run_id=run_id, tags={"kind": "tree"},
                                   params={"trees": "10"}, model_type="forest")
client.log_model_artifacts(model.model_id, str(folder))
client.finalize_logged_model(model.model_id, "READY")
client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 3)])
client.log_metric(run_id, "acc", 0.75, timestamp=9, step=2, model_id=model.model_id)
client.set_terminated(run_id, "FINISHED", 1_600_000_009_000)
child = client.create_run(first, run_name="child", tags={"mlflow.parentRunId": run_id})
client.set_terminated(child.info.run_id, "FAILED")
deleted = client.create_run(first, run_name="deleted one")
client.log_metric(deleted.info.run_id, "loss", 3.0, timestamp=1, step=0)
client.delete_run(deleted.info.run_id)
client.create_run(gone, run_name="with its experiment")
client.delete_experiment(gone)
client.create_registered_model("net", tags={"tier": "gold"}, description="The net")
one = client.create_model_version("net", run.info.artifact_uri + "/model", run_id, tags={"checked": "yes"},
                                  description="first")
two = client.create_model_version("net", "models:/" + model.model_id, run_id)
three = client.create_model_version("net", "s3://bucket/elsewhere", run_id)
client.delete_model_version("net", three.version)
client.copy_model_version("models:/net/1", "a copy")
client.copy_model_version("models:/a copy/1", "a copy+it, too")
client.register_prompt("greet", "Hello {{name}}")
client.set_registered_model_alias("net", "best", two.version)
client.set_registered_model_alias("net", "champion", one.version)
runs = [client.get_run(r.info.run_id) for e in (first, gone)
        for r in client.search_runs([e], run_view_type=mlflow.entities.ViewType.ALL)]
names = {e.experiment_id: e.name for e in client.search_experiments(view_type=mlflow.entities.ViewType.ALL)}
traces = []
if not uri.startswith("file:"):
    def tracing():
        @mlflow.trace(span_type="AGENT", attributes={"f": 1.5, "big": 2**40, "none": None, "l": ["a", {"b": [True]}]})
        def asked(x):
            with mlflow.start_span("inner ü") as span:
                span.set_inputs({"x": x})
                span.add_event(SpanEvent("seen", attributes={"a": [1.5, 2.0], "b": True}))
                if x:
                    raise KeyError("not there")
            mlflow.update_current_trace(tags={"t": ""}, metadata={"mlflow.trace.session": "s1"})
            return {"y": x}
        mlflow.set_experiment(experiment_id=first)
        asked(0)
        try:
            asked(1)
        except KeyError:
            pass
    tracing()
    mlflow.flush_trace_async_logging()
    ids = [t.info.trace_id for t in client.search_traces(locations=[first], order_by=["timestamp_ms ASC"])]
    bob = AssessmentSource("HUMAN", "bob")
    good = mlflow.log_feedback(trace_id=ids[0], name="good", value=True, source=bob, rationale="why",
                               metadata={"k": "v"})
    mlflow.override_feedback(trace_id=ids[0], assessment_id=good.assessment_id, value=False)
    mlflow.log_feedback(trace_id=ids[0], name="failed", error=AssessmentError("CODE", "no", "stack"))
    mlflow.log_expectation(trace_id=ids[0], name="wanted", value={"a": [1]})
    mlflow.log_expectation(trace_id=ids[0], name="plain", value=3.5)
    client.link_traces_to_run(ids[:1], run_id)
    traces = [json.loads(client.get_trace(id).to_json()) for id in ids]
def word(value): return "NaN" if math.isnan(value) else value
json.dump({
    "runs": {r.info.run_id: {
        "experiment": names[r.info.experiment_id], "name": r.info.run_name, "status": r.info.status,
        "start": r.info.start_time, "end": r.info.end_time, "lifecycle": r.info.lifecycle_stage,
        "user": r.info.user_id, "params": r.data.params, "tags": r.data.tags,
        "latest": {k: word(v) for k, v in r.data.metrics.items()},
        "history": {k: sorted([m.timestamp, m.step, str(word(m.value))] for m in client.get_metric_history(
            r.info.run_id, k)) for k in r.data.metrics},
        "datasets": [[d.dataset.name, d.dataset.digest, d.dataset.source, d.dataset.profile,
                      {t.key: t.value for t in d.tags}] for d in r.inputs.dataset_inputs],
        "outputs": [[m.model_id, m.step] for m in (r.outputs.model_outputs if r.outputs else [])]} for r in runs},
    "model": {"id": model.model_id, "created": model.creation_timestamp},
    "traces": traces,
    "versions": {int(v.version): [v.run_id, v.creation_timestamp, v.description or "", dict(v.tags)]
                 for v in client.search_model_versions("name='net'")},
}, open(sys.argv[3], "w"))
"""


class Written:
    """A store that MLflow wrote, and what MLflow's own client reads from it."""

    def __init__(self, uri: str, address: str, root: Path) -> None:
        self.address, self.root = address, root
        expected = root / "expected.json"
        script = root / "write.py"
        script.write_text(WRITE)
        env = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [sys.executable, str(script), uri, str(root), str(expected)],
            capture_output=True, text=True, env=env, cwd=root, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        self.expected: dict[str, Any] = json.loads(expected.read_text())


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("database")
    return Written(f"sqlite:///{root}/mlflow.db", str(root / "mlflow.db"), root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("folder")
    return Written((root / "mlruns").as_uri(), str(root / "mlruns"), root)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server") as running:
        yield running


def moved(
    capsys: pytest.CaptureFixture[str], url: str, source: str, state: Path, kind: str = "mlflow"
) -> dict[str, Any]:
    code = run_command(stile, ["import", kind, source, "--url", url, "--state", str(state), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def tracked(url: str) -> dict[str, Any]:
    """What a server tells about its runs, in the shape of ``Written.expected``."""
    from mlflow.entities import ViewType
    from mlflow.tracking import MlflowClient

    client = MlflowClient(url, url)
    names = {e.experiment_id: e.name for e in client.search_experiments(view_type=ViewType.ALL)}
    word = lambda value: "NaN" if math.isnan(value) else value  # noqa: E731
    return {
        r.info.run_id: {
            "experiment": names[r.info.experiment_id], "name": r.info.run_name, "status": r.info.status,
            "start": r.info.start_time, "end": r.info.end_time, "lifecycle": r.info.lifecycle_stage,
            "user": r.info.user_id, "params": r.data.params, "tags": r.data.tags,
            "latest": {key: word(value) for key, value in r.data.metrics.items()},
            "history": {
                key: sorted(
                    [m.timestamp, m.step, str(word(m.value))] for m in client.get_metric_history(r.info.run_id, key)
                )
                for key in r.data.metrics
            },
            "datasets": [
                [d.dataset.name, d.dataset.digest, d.dataset.source, d.dataset.profile,
                 {tag.key: tag.value for tag in d.tags}]
                for d in r.inputs.dataset_inputs
            ],
            "outputs": [[m.model_id, m.step] for m in (r.outputs.model_outputs if r.outputs else [])],
        }
        for found in client.search_runs(list(names), run_view_type=ViewType.ALL)
        for r in [client.get_run(found.info.run_id)]
    }  # fmt: skip


def told(trace: dict[str, Any]) -> dict[str, Any]:
    """What a client reads of a trace, without where it lies."""
    info = dict(trace["info"])
    info["tags"] = {key: value for key, value in info["tags"].items() if key != "mlflow.artifactLocation"}
    said = sorted(info.get("assessments", []), key=lambda one: str(one["assessment_id"]))
    for one in said:
        if "expectation" in one:
            one.pop("valid", None)  # the protocol does not carry it
    info["assessments"] = said
    del info["trace_location"]
    return info | {"spans": trace["data"]["spans"]}


def compare(written: Written, url: str, tmp_path: Path) -> None:
    """Everything MLflow's client reads from its own store, it reads from ours."""
    from mlflow.tracking import MlflowClient

    expected, got = written.expected["runs"], tracked(url)
    assert got.keys() == expected.keys()
    largest = 1.7976931348623157e308
    for run_id, fields in expected.items():
        for name, value in fields.items():
            if name == "latest":
                value = {key: largest if number == math.inf else number for key, number in value.items()}
            if name == "history":
                value = {
                    key: sorted([at, step, str(largest) if number == "inf" else number] for at, step, number in points)
                    for key, points in value.items()
                }
            if name == "tags":
                value = value | {"mlflow.runName": fields["name"]}
            assert got[run_id][name] == value, (run_id, name)
    client = MlflowClient(url, url)
    for trace in written.expected["traces"]:
        wanted = told(trace)
        found = told(json.loads(client.get_trace(wanted["trace_id"]).to_json()))
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert found[name] == value, name
    run_id = next(key for key, fields in expected.items() if fields["name"] == "forest")
    assert Path(client.download_artifacts(run_id, "notes/a file.txt", str(tmp_path))).read_text() == "hello"
    weights = bytes(range(256)) * 40
    assert Path(client.download_artifacts(run_id, "model/weights.bin", str(tmp_path))).read_bytes() == weights
    model = client.get_logged_model(written.expected["model"]["id"])
    assert (model.name, model.model_type, model.tags["kind"], model.params["trees"]) == ("net", "forest", "tree", "10")
    assert (model.creation_timestamp, model.source_run_id, str(model.status)) == (
        written.expected["model"]["created"], run_id, "READY",
    )  # fmt: skip
    assert [(m.key, m.value, m.step, m.run_id) for m in model.metrics] == [("acc", 0.75, 2, run_id)]
    versions = client.search_model_versions("name='net'")
    assert {
        str(v.version): [v.run_id, v.creation_timestamp, v.description or "", dict(v.tags)] for v in versions
    } == written.expected["versions"]
    for number in (1, 2):
        local = tmp_path / f"v{number}"
        local.mkdir(exist_ok=True)
        from mlflow.artifacts import download_artifacts

        got_folder = Path(download_artifacts(f"models:/net/{number}", dst_path=str(local), tracking_uri=url))
        assert (got_folder / "weights.bin").read_bytes() == weights
    for copy in ("a copy", "a copy+it, too"):
        local = tmp_path / copy
        got_folder = Path(download_artifacts(f"models:/{copy}/1", dst_path=str(local), tracking_uri=url))
        assert (got_folder / "weights.bin").read_bytes() == weights
    assert client.load_prompt("greet").template == "Hello {{name}}"
    registered = client.get_registered_model("net")
    assert (registered.description, registered.tags) == ("The net", {"tier": "gold"})
    assert {alias: int(number) for alias, number in registered.aliases.items()} == {"best": 2, "champion": 1}


def test_everything_of_a_database_is_here_field_by_field_when_it_was_imported(
    database: Written, fresh: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    mlflow.set_tracking_uri(fresh.url)
    before = Path(database.address).read_bytes()
    report = moved(capsys, fresh.url, database.address, tmp_path / "state")
    assert report["omitted"] == []
    assert report["added"]["runs"] == report["seen"]["runs"] == 4
    assert report["added"]["points"] == 506
    compare(database, fresh.url, tmp_path)
    assert Path(database.address).read_bytes() == before
    again = moved(capsys, fresh.url, database.address, tmp_path / "state")
    without_state = moved(capsys, fresh.url, f"sqlite:///{database.address}", tmp_path / "other state")
    assert {*again["added"].values(), *without_state["added"].values()} == {0}
    compare(database, fresh.url, tmp_path)
    imported = [entry for entry in Client(fresh.url).ledger() if entry["kind"] == "history.imported"]
    assert len(imported) == 1


def test_everything_of_a_folder_is_here_field_by_field_when_it_was_imported(
    folder: Written, fresh: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    mlflow.set_tracking_uri(fresh.url)
    report = moved(capsys, fresh.url, folder.address, tmp_path / "state")
    assert report["omitted"] == []
    compare(folder, fresh.url, tmp_path)
    assert set(moved(capsys, fresh.url, folder.address, tmp_path / "state2")["added"].values()) == {0}


def test_a_server_and_an_export_carry_the_same_when_it_moves_on(
    folder: Written, fresh: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    moved(capsys, fresh.url, folder.address, tmp_path / "state")
    out = tmp_path / "export"
    assert run_command(stile, ["export", str(out), "--url", fresh.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["runs"] == 4
    assert run_command(stile, ["export", str(out), "--url", fresh.url]) == 1
    capsys.readouterr()
    for kind, source in (("mlflow", fresh.url), ("stile", str(out))):
        with running_server(tmp_path / f"{kind} server") as other:
            mlflow.set_tracking_uri(other.url)
            report = moved(capsys, other.url, source, tmp_path / f"{kind} state", kind)
            assert report["omitted"] == []
            compare(folder, other.url, tmp_path)
            assert tracked(other.url) == tracked(fresh.url)


def test_the_rest_is_added_when_an_import_was_stopped_half_way(
    folder: Written, fresh: RunningServer, tmp_path: Path
) -> None:
    import mlflow

    from stile.train.moving.folder_source import FolderSource
    from stile.train.moving.state import TransferState
    from stile.train.moving.transfer import Transfer
    from stile.train.moving.values import FoundFile, MovedModel, MovedRun

    class Stopped(Exception):
        pass

    class Breaking(FolderSource):
        def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
            for number, found in enumerate(super().files(owner)):
                if isinstance(owner, MovedRun) and number == 2:
                    raise Stopped
                yield found

    class Silent:
        def total(self, runs: int | None) -> None: ...
        def moved(self, what: str, count: int) -> None: ...

    mlflow.set_tracking_uri(fresh.url)
    session = Client(fresh.url).session
    state = TransferState(tmp_path / "state")
    with pytest.raises(Stopped):
        Transfer(Breaking(Path(folder.address)), session, state, Silent()).run()
    state.close()
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes() + b'{"run_id": "torn')
    state = TransferState(tmp_path / "state")
    report = Transfer(FolderSource(Path(folder.address)), session, state, Silent()).run()
    state.close()
    session.close()
    assert report.added["points"] == 0
    compare(folder, fresh.url, tmp_path)


def test_what_is_guarded_or_lost_is_told_when_it_cannot_be_taken(
    folder: Written, fresh: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "mlruns"
    shutil.copytree(folder.address, copy)
    run_id = next(key for key, fields in folder.expected["runs"].items() if fields["name"] == "forest")
    run = next(copy.glob(f"*/{run_id}"))
    (run / "params" / "bad;key").write_text("1")
    Client(fresh.url).create_use_case("net", title="The net", problem="p", decision="d")
    report = moved(capsys, fresh.url, str(copy), tmp_path / "state")
    told = {(one["what"], one["name"]) for one in report["omitted"]}
    assert told == {("run", run_id), ("alias", "net@champion")}


def test_everything_of_a_postgresql_database_is_here_when_it_was_imported(
    cluster: Cluster, fresh: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    address = cluster.empty().replace("postgresql://", "postgresql+psycopg://")
    written = Written(address, address, tmp_path)
    mlflow.set_tracking_uri(fresh.url)
    assert moved(capsys, fresh.url, address, tmp_path / "state")["omitted"] == []
    compare(written, fresh.url, tmp_path)
    assert set(moved(capsys, fresh.url, address, tmp_path / "other")["added"].values()) == {0}


def test_traces_move_from_a_server_and_by_an_export(
    database: Written, fresh: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    report = moved(capsys, fresh.url, database.address, tmp_path / "state")
    run_id = next(key for key, fields in database.expected["runs"].items() if fields["name"] == "forest")
    mlflow.set_tracking_uri(fresh.url)
    place = mlflow.get_run(run_id).info.experiment_id
    linked = mlflow.search_traces(locations=[place], run_id=run_id, return_type="list")
    assert [trace.info.trace_id for trace in linked] == [database.expected["traces"][0]["info"]["trace_id"]]
    assert report["added"]["traces"] == 2
    out = tmp_path / "export"
    assert run_command(stile, ["export", str(out), "--url", fresh.url, "--json"]) == 0
    capsys.readouterr()
    for kind, source in (("mlflow", fresh.url), ("stile", str(out))):
        with running_server(tmp_path / f"{kind} server") as other:
            mlflow.set_tracking_uri(other.url)
            report = moved(capsys, other.url, source, tmp_path / f"{kind} state", kind)
            assert (report["added"]["traces"], report["omitted"]) == (2, [])
            compare(database, other.url, tmp_path)
            place = mlflow.get_run(run_id).info.experiment_id
            there = mlflow.search_traces(locations=[place], run_id=run_id, return_type="list")
            assert [trace.info.trace_id for trace in there] == [trace.info.trace_id for trace in linked]


_SPAN = {"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "EhISEhISEhI=", "name": "s"}
_SAID = {"assessment_id": "a-1", "trace_id": "", "kind": "feedback", "name": "n", "body": {}}
_DEEP: dict[str, Any] = {"string_value": "x"}
for _ in range(50):
    _DEEP = {"array_value": {"values": [_DEEP]}}


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": "../x"}, {"state": "WHAT"}, {"at": -1}, {"took": 2**62}, {"tags": {"a\x00": "b"}},
        {"metadata": {"k": "v" * 8001}}, {"spans": [{}]}, {"spans": [{"trace_id": "xyz"}]},
        {"spans": [{"trace_id": "q6urq6urq6urq6urq6urqw==", "span_id": "EhISEhISEhI=", "name": "of another"}]},
        {"spans": [_SPAN | {"attributes": [{"key": "k", "value": {"int_value": "x"}}]}]},
        {"spans": [_SPAN | {"attributes": [{"key": "k", "value": {"double_value": True}}]}]},
        {"spans": [_SPAN | {"events": ["x"]}]}, {"assessments": [_SAID | {"name": ""}]},
        {"spans": [_SPAN | {"attributes": {"a": 1}}]}, {"spans": [_SPAN | {"start_time_unix_nano": 5}]},
        {"spans": [_SPAN | {"attributes": [{"key": "k", "value": _DEEP}]}]}, {"spans": [_SPAN | {"links": [5]}]},
        {"assessments": [_SAID | {"created_at": 2**62}]}, {"assessments": [_SAID | {"kind": "what"}]},
    ],
)  # fmt: skip
def test_a_trace_that_cannot_be_kept_is_not_taken_in(change: dict[str, Any], fresh: RunningServer) -> None:
    whole = {"trace_id": "tr-" + "0" * 31 + "1", "experiment": "0", "state": "OK", "at": 1} | change
    body = {"experiment_id": "0", "traces": [whole]}
    answer = httpx.post(f"{fresh.url}/api/v1/import/traces", json=body)
    assert answer.status_code == 400, answer.text
    found = httpx.get(f"{fresh.url}/api/3.0/mlflow/traces/batchGet", params={"trace_ids": "tr-" + "0" * 31 + "1"})
    assert found.json().get("traces", []) == []
