"""Experiments, runs, metrics, artifacts through the mlflow client."""

from __future__ import annotations

import math
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from stile.testing.server import RunningServer

pytestmark = pytest.mark.usefixtures("shared")


@pytest.fixture
def client(shared: RunningServer) -> MlflowClient:
    return MlflowClient(shared.url)


@pytest.fixture
def experiment(client: MlflowClient, request: pytest.FixtureRequest) -> str:
    return client.create_experiment(request.node.name)


def _code(raised: pytest.ExceptionInfo[MlflowException]) -> str:
    return raised.value.error_code


def test_fluent_run_is_stored_whole() -> None:
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="one", description="about it", tags={"team": "vision"}) as run:
        mlflow.log_param("depth", 5)
        mlflow.log_params({"a": 1, "b": [1, 2]})
        mlflow.log_metric("auc", 0.5, step=0)
        mlflow.log_metric("auc", 0.9, step=3)
        mlflow.log_metrics({"loss": 0.1, "nan": math.nan, "inf": math.inf})
        mlflow.set_tag("k", "v")
    stored = mlflow.get_run(run.info.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "one"
    assert stored.info.end_time >= stored.info.start_time
    assert stored.data.params == {"depth": "5", "a": "1", "b": "[1, 2]"}
    assert stored.data.metrics["auc"] == 0.9
    assert math.isnan(stored.data.metrics["nan"])
    assert stored.data.metrics["inf"] == 1.7976931348623157e308
    assert stored.data.tags["team"] == "vision"
    assert stored.data.tags["mlflow.note.content"] == "about it"


def test_failed_run_is_marked() -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        _ = 1 / 0
    assert mlflow.get_run(run.info.run_id).info.status == "FAILED"


def test_nested_runs_know_their_parent(client: MlflowClient) -> None:
    experiment = mlflow.set_experiment("nested").experiment_id
    with mlflow.start_run() as parent:
        for index in range(3):
            with mlflow.start_run(nested=True):
                mlflow.log_metric("i", index)
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert sorted(child.data.metrics["i"] for child in children) == [0, 1, 2]
    assert client.get_parent_run(children[0].info.run_id).info.run_id == parent.info.run_id


def test_batch_and_history_come_back(client: MlflowClient, experiment: str) -> None:
    run_id = client.create_run(experiment).info.run_id
    now = int(time.time() * 1000)
    metrics = [Metric("m", i / 10, now + i, i) for i in range(900)]
    client.log_batch(run_id, metrics, [Param(f"p{i}", str(i)) for i in range(100)], [])
    client.log_batch(run_id, metrics[:50], [], [RunTag("a", "b")])
    history = client.get_metric_history(run_id, "m")
    assert [(m.step, m.value, m.timestamp) for m in history] == [(m.step, m.value, m.timestamp) for m in metrics]
    assert client.get_metric_history(run_id, "absent") == []
    assert len(client.get_run(run_id).data.params) == 100


def test_batch_is_taken_back_when_a_param_changes(client: MlflowClient, experiment: str) -> None:
    run_id = client.create_run(experiment).info.run_id
    client.log_param(run_id, "p", "1")
    with pytest.raises(MlflowException) as raised:
        client.log_batch(run_id, [Metric("m", 1, 1, 1)], [Param("q", "2"), Param("p", "2")], [])
    assert _code(raised) == "INVALID_PARAMETER_VALUE"
    data = client.get_run(run_id).data
    assert (data.params, data.metrics) == ({"p": "1"}, {})


def test_runs_are_searched_in_pages(client: MlflowClient, experiment: str) -> None:
    for index in range(7):
        run_id = client.create_run(experiment, run_name=f"r{index}").info.run_id
        client.log_metric(run_id, "auc", index / 10)
        client.log_param(run_id, "kind", "tree" if index % 2 else "linear")
    found = client.search_runs(
        [experiment], "metrics.auc > 0.15 and params.kind = 'tree'", order_by=["metrics.auc DESC"]
    )
    assert [run.info.run_name for run in found] == ["r5", "r3"]
    names, token = [], None
    while True:
        page = client.search_runs([experiment], order_by=["metrics.auc ASC"], max_results=3, page_token=token)
        names += [run.info.run_name for run in page]
        token = page.token
        if not token:
            break
    assert names == [f"r{index}" for index in range(7)]
    table = mlflow.search_runs([experiment], filter_string="attributes.run_name LIKE 'r%'")
    assert len(table) == 7


def test_deleted_things_come_back_when_restored(client: MlflowClient, experiment: str) -> None:
    run_id = client.create_run(experiment).info.run_id
    client.delete_run(run_id)
    with pytest.raises(MlflowException) as raised:
        client.log_metric(run_id, "m", 1)
    assert _code(raised) == "INVALID_PARAMETER_VALUE"
    assert [r.info.run_id for r in client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)] == [run_id]
    client.restore_run(run_id)
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    client.restore_experiment(experiment)
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def test_experiments_are_found_tagged_and_renamed(client: MlflowClient, experiment: str) -> None:
    client.set_experiment_tag(experiment, "team", "vision")
    client.rename_experiment(experiment, "renamed")
    found = client.search_experiments(filter_string="tags.team = 'vision' AND name = 'renamed'")
    assert [e.experiment_id for e in found] == [experiment]
    client.delete_experiment_tag(experiment, "team")
    assert client.get_experiment_by_name("renamed").tags == {}
    assert client.get_experiment_by_name("nobody") is None
    with pytest.raises(MlflowException) as raised:
        client.create_experiment("renamed")
    assert _code(raised) == "RESOURCE_ALREADY_EXISTS"


def test_run_is_renamed_and_tags_go(client: MlflowClient, experiment: str) -> None:
    run = client.create_run(experiment)
    client.update_run(run.info.run_id, name="new")
    client.set_tag(run.info.run_id, "x", "y")
    client.delete_tag(run.info.run_id, "x")
    stored = client.get_run(run.info.run_id)
    assert stored.info.run_name == stored.data.tags["mlflow.runName"] == "new"
    assert "x" not in stored.data.tags
    with pytest.raises(MlflowException) as raised:
        client.delete_tag(run.info.run_id, "x")
    assert _code(raised) == "RESOURCE_DOES_NOT_EXIST"


def test_artifacts_go_up_and_down(client: MlflowClient, experiment: str, tmp_path: Path) -> None:
    run_id = client.create_run(experiment).info.run_id
    folder = tmp_path / "up"
    (folder / "deep").mkdir(parents=True)
    (folder / "a b ü.txt").write_text("one")
    (folder / "deep" / "big.bin").write_bytes(bytes(3 << 20))
    client.log_artifacts(run_id, str(folder), "things")
    client.log_text(run_id, "hello", "note.txt")
    client.log_dict(run_id, {"a": 1}, "d.json")
    assert {f.path: f.is_dir for f in client.list_artifacts(run_id)} == {
        "things": True,
        "note.txt": False,
        "d.json": False,
    }
    assert {f.path: f.file_size for f in client.list_artifacts(run_id, "things")} == {
        "things/a b ü.txt": 3,
        "things/deep": None,
    }
    assert client.list_artifacts(run_id, "note.txt") == []
    down = Path(client.download_artifacts(run_id, "things", str(tmp_path)))
    assert (down / "a b ü.txt").read_text() == "one"
    assert (down / "deep" / "big.bin").stat().st_size == 3 << 20
    assert mlflow.artifacts.load_dict(client.get_run(run_id).info.artifact_uri + "/d.json") == {"a": 1}


def test_a_file_whose_name_holds_an_escape_goes_up_and_down(
    client: MlflowClient, experiment: str, tmp_path: Path, shared: RunningServer
) -> None:
    """The client does not quote the sign, so it is stored decoded; asked for with it, nothing must lie below it."""
    run_id = client.create_run(experiment).info.run_id
    (tmp_path / "per%20cent.txt").write_text("one")
    client.log_artifact(run_id, str(tmp_path / "per%20cent.txt"))
    assert [file.path for file in client.list_artifacts(run_id)] == ["per cent.txt"]
    (tmp_path / "down").mkdir()
    down = client.download_artifacts(run_id, "per%20cent.txt", str(tmp_path / "down"))
    assert Path(down).read_text() == "one"
    for bad in ("..%2f..", "%2e%2e/x", "a%5cb", "%252e"):
        for ask in (
            f"/api/2.0/mlflow-artifacts/artifacts?path={quote(bad)}",
            f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={quote(bad)}",
        ):
            assert httpx.get(shared.url + ask).status_code == 400, (ask, bad)


@pytest.mark.parametrize(
    "path",
    ["%2e%2e/x", "a/%2e%2e/%2e%2e/b", "a%5cb", "%252e%252e%252fetc", "a%00b", "%2fetc/passwd", "C%3a/x", "a%2f%2fb"],
)
def test_artifact_path_is_refused_when_it_leads_elsewhere(shared: RunningServer, path: str) -> None:
    url = f"{shared.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
    for method in ("PUT", "GET", "DELETE"):
        answer = httpx.request(method, url, content=b"x" if method == "PUT" else None)
        assert answer.status_code == 400, (method, answer.text)
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_downloads_are_never_shown_in_place(shared: RunningServer, client: MlflowClient, experiment: str) -> None:
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, "<script>alert(1)</script>", "x.html")
    answer = httpx.get(f"{shared.url}/get-artifact", params={"run_uuid": run_id, "path": "x.html"})
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/octet-stream"


def test_location_of_the_clients_choice_is_kept_and_never_opened(
    shared: RunningServer, client: MlflowClient, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("s3cr3t")
    experiment = client.create_experiment("elsewhere", artifact_location=f"file://{secret}")
    run = client.create_run(experiment)
    answer = httpx.get(f"{shared.url}/api/2.0/mlflow/artifacts/list", params={"run_id": run.info.run_id, "path": "key"})
    assert answer.status_code == 400
    assert "s3cr3t" not in answer.text
    with pytest.raises(MlflowException) as raised:
        client.create_registered_model("elsewhere")
        client.create_model_version("elsewhere", f"file://{secret}")
    assert _code(raised) == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "runs/get?run_id=" + "f" * 32, None, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "runs/get", None, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "experiments/get?experiment_id=999", None, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("POST", "runs/create", b"{", 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "runs/create", b'{"experiment_id": [1]}', 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "runs/create", b"[" * 100_000, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "runs/search", b'{"experiment_ids": ["0"], "filter": "metrics.a >"}', 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "runs/search", b'{"experiment_ids": ["0"], "max_results": 60000}', 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "nonsense", b"{}", 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "registered-models/get?name=nobody", None, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "model-versions/get?name=nobody&version=x", None, 400, "INVALID_PARAMETER_VALUE"),
    ],
)
@pytest.mark.parametrize("prefix", ["api", "ajax-api"])
def test_errors_have_mlflows_names(  # noqa: PLR0917  the parameters of the table
    shared: RunningServer, prefix: str, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    answer = httpx.request(method, f"{shared.url}/{prefix}/2.0/mlflow/{path}", content=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    assert answer.json()["message"]


def test_numbers_come_as_text_too_and_unknown_fields_are_ignored(shared: RunningServer, experiment: str) -> None:
    base = f"{shared.url}/api/2.0/mlflow"
    body = {"experiment_id": int(experiment), "start_time": "1700000000000", "banana": {"x": 1}, "run_name": None}
    made = httpx.post(f"{base}/runs/create", json=body)
    assert made.status_code in (200, 400)
    body["experiment_id"] = experiment
    info = httpx.post(f"{base}/runs/create", json=body).json()["run"]["info"]
    assert info["start_time"] == 1700000000000
    for value in ("0.5", 0.5, "NaN", "Infinity", 1):
        metric = {"run_id": info["run_id"], "key": "m", "value": value, "timestamp": "5", "step": "7"}
        assert httpx.post(f"{base}/runs/log-metric", json=metric).status_code == 200
    history = httpx.get(f"{base}/metrics/get-history", params={"run_id": info["run_id"], "metric_key": "m"}).json()
    assert [m["value"] for m in history["metrics"]] == [0.5, 1.0, 1.7976931348623157e308, "NaN"]
    metric["value"] = "banana"
    assert httpx.post(f"{base}/runs/log-metric", json=metric).json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_bulk_histories_are_thinned_to_their_ends(shared: RunningServer, client: MlflowClient, experiment: str) -> None:
    ids = []
    for count in (500, 300):
        run_id = client.create_run(experiment).info.run_id
        client.log_batch(run_id, [Metric("m", float(i), i, i) for i in range(count)])
        ids.append(run_id)
    url = f"{shared.url}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    found = httpx.get(url, params={"run_ids": ids, "metric_key": "m", "max_results": 20}).json()["metrics"]
    first = [m["step"] for m in found if m["run_id"] == ids[0]]
    assert (first[0], first[-1]) == (0, 499)
    assert len(first) <= 24
    bulk = f"{shared.url}/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    assert len(httpx.get(bulk, params={"run_id": ids, "metric_key": "m"}).json()["metrics"]) == 800


def test_dataset_inputs_are_found_again(client: MlflowClient) -> None:
    import pandas as pd

    experiment = mlflow.set_experiment("datasets").experiment_id
    table = mlflow.data.from_pandas(pd.DataFrame({"x": [1.0, 2.0]}), name="patients")
    with mlflow.start_run() as run:
        mlflow.log_input(table, context="training")
    (read,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (read.dataset.name, read.dataset.digest) == ("patients", table.digest)
    for text in ("dataset.name = 'patients'", f"dataset.digest = '{table.digest}'", "dataset.context = 'training'"):
        assert [r.info.run_id for r in client.search_runs([experiment], text)] == [run.info.run_id]


def test_answers_who_it_is(shared: RunningServer) -> None:
    assert httpx.get(f"{shared.url}/api/3.0/mlflow/server-info").json()["store_type"] == "SqlStore"
    assert httpx.get(f"{shared.url}/version").text == "3.17.2"
