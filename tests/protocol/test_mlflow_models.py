"""Logged models and the registry through the mlflow client, with real models."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from stile.govern import policies, promotions, registry
from stile.kernel.canonical import digest_bytes, digest_of
from stile.people import use_cases
from stile.people.use_cases import Charter
from stile.store.database import Tx
from stile.testing.server import RunningServer

pytestmark = pytest.mark.usefixtures("shared")

_NEEDS = ["scikit-learn"]
"""Given, because working them out takes the client many seconds."""

_TREE_TYPES = [
    "sklearn.tree._tree.Tree",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "_loss.__pyx_unpickle_CyHalfBinomialLoss",
]


@pytest.fixture
def client(shared: RunningServer) -> MlflowClient:
    return MlflowClient(shared.url)


@pytest.fixture(scope="module")
def patients() -> tuple[object, object]:
    return load_breast_cancer(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def linear(shared: RunningServer, patients: tuple[object, object]) -> LogisticRegression:
    """A fitted model, registered as version 1 of ``linear``."""
    model = LogisticRegression(max_iter=200, solver="liblinear").fit(*patients)
    mlflow.set_experiment("models")
    with mlflow.start_run():
        mlflow.sklearn.log_model(model, name="model", registered_model_name="linear", pip_requirements=_NEEDS)
    return model


@pytest.fixture
def autolog() -> Iterator[None]:
    yield
    mlflow.sklearn.autolog(disable=True)


def _code(raised: pytest.ExceptionInfo[MlflowException]) -> str:
    return raised.value.error_code


def test_skops_model_is_registered_pinned_and_predicts_by_alias(
    shared: RunningServer, client: MlflowClient, linear: LogisticRegression, patients: tuple[object, object]
) -> None:
    client.set_registered_model_alias("linear", "best", "1")
    version = client.get_model_version_by_alias("linear", "best")
    assert (version.version, version.status) == ("1", "READY")
    assert version.source.startswith("models:/m-")
    loaded = mlflow.pyfunc.load_model("models:/linear@best")
    x, _ = patients
    assert list(loaded.predict(x)) == list(linear.predict(x))  # type: ignore[attr-defined]
    pinned = shared.services.db.read(lambda tx: registry.version(tx, "linear", 1))
    assert any(file.path.endswith(".skops") for file in pinned.files)
    assert pinned.digest == digest_of(
        {file.path: digest_bytes(shared.services.blobs.get(file.digest)) for file in pinned.files}
    )
    assert pinned.created_by == "local-user"
    assert client.get_run(version.run_id).outputs.model_outputs[0].model_id == version.source.removeprefix("models:/")


def test_tree_model_is_registered_when_its_types_are_trusted(
    client: MlflowClient, patients: tuple[object, object]
) -> None:
    x, y = patients
    trees = GradientBoostingClassifier(n_estimators=3, random_state=0).fit(x, y)
    with mlflow.start_run(), pytest.raises(MlflowException, match="skops_trusted_types"):
        mlflow.sklearn.log_model(trees, name="model", registered_model_name="trees", pip_requirements=_NEEDS)
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            trees,
            name="model",
            registered_model_name="trees",
            pip_requirements=_NEEDS,
            skops_trusted_types=_TREE_TYPES,
        )
    (version,) = client.search_model_versions("name = 'trees'")
    loaded = mlflow.sklearn.load_model(f"models:/trees/{version.version}")
    assert list(loaded.predict(x)) == list(trees.predict(x))


@pytest.mark.usefixtures("autolog")
def test_autolog_of_one_fit_is_stored(client: MlflowClient, patients: tuple[object, object]) -> None:
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog(log_models=False)
    with mlflow.start_run() as run:
        LogisticRegression(max_iter=200, solver="liblinear").fit(*patients)
    stored = client.get_run(run.info.run_id)
    assert stored.data.params["solver"] == "liblinear"
    assert stored.data.metrics["training_accuracy_score"] > 0.9
    assert stored.inputs.dataset_inputs[0].tags[0].value == "train"


def test_logged_models_are_found_and_carry_metrics(client: MlflowClient, linear: LogisticRegression) -> None:
    experiment = mlflow.set_experiment("logged").experiment_id
    with mlflow.start_run() as run:
        made = mlflow.sklearn.log_model(
            linear, name="kept", params={"depth": 3}, tags={"team": "vision"}, pip_requirements=_NEEDS
        )
        mlflow.log_metric("auc", 0.93, step=2, model_id=made.model_id)
        mlflow.log_metric("loss", float("nan"), step=2, model_id=made.model_id)
    for wanted, there in (("metrics.loss != 0.5", True), ("metrics.loss < 0.5", False), ("metrics.auc != 0.93", False)):
        found = mlflow.search_logged_models([experiment], filter_string=wanted, output_format="list")
        assert [model.model_id for model in found] == ([made.model_id] if there else []), wanted
    found = mlflow.search_logged_models(
        [experiment], filter_string="metrics.auc > 0.9 AND tags.team = 'vision'", output_format="list"
    )
    assert [model.model_id for model in found] == [made.model_id]
    model = mlflow.get_logged_model(made.model_id)
    assert (model.name, str(model.status), model.source_run_id) == ("kept", "READY", run.info.run_id)
    assert model.params["depth"] == "3"
    assert [(m.key, m.value, m.step) for m in model.metrics if m.key == "auc"] == [("auc", 0.93, 2)]
    mlflow.set_logged_model_tags(made.model_id, {"x": "y"})
    client.delete_logged_model_tag(made.model_id, "x")
    assert "x" not in mlflow.get_logged_model(made.model_id).tags
    assert "MLmodel" in [f.path for f in client.list_logged_model_artifacts(made.model_id)]
    assert [m.model_id for m in client.get_run(run.info.run_id).outputs.model_outputs] == [made.model_id]
    client.delete_logged_model(made.model_id)
    with pytest.raises(MlflowException) as raised:
        mlflow.get_logged_model(made.model_id)
    assert _code(raised) == "RESOURCE_DOES_NOT_EXIST"


def test_logged_models_are_compared_on_a_dataset(client: MlflowClient) -> None:
    experiment = mlflow.set_experiment("measured").experiment_id
    made = {name: mlflow.initialize_logged_model(name=name).model_id for name in ("one", "two", "three")}
    with mlflow.start_run() as run:
        for name, dataset, digest, at, value in (
            ("one", "val", "d1", 1, 0.7), ("one", "val", "d2", 2, 0.9), ("one", "test", "d3", 3, 0.1),
            ("two", "val", "d1", 1, 0.8), ("two", "test", "d3", 3, 0.5), ("three", "test", "d3", 3, 0.3),
        ):  # fmt: skip
            client.log_metric(
                run.info.run_id, "auc", value, timestamp=at, dataset_name=dataset, dataset_digest=digest,
                model_id=made[name],
            )  # fmt: skip

    def found(filter: str | None = None, datasets: list[dict[str, str]] | None = None, **order: str) -> list[str]:
        by = [{"field_name": "metrics.auc", "ascending": False, **order}]
        models = mlflow.search_logged_models(
            [experiment], filter_string=filter, datasets=datasets, order_by=by, output_format="list"
        )
        return [model.name for model in models]

    assert found() == ["two", "three", "one"]  # by the newest value, whatever it was measured on
    assert found(dataset_name="val") == ["one", "two", "three"]
    assert found(dataset_name="val", dataset_digest="d1") == ["two", "one", "three"]
    assert found("metrics.auc > 0.6", [{"dataset_name": "val", "dataset_digest": "d1"}]) == ["two", "one"]
    assert found("metrics.auc > 0.4", [{"dataset_name": "test", "dataset_digest": "d3"}]) == ["two"]
    assert found("metrics.auc > 0.75", [{"dataset_name": "val", "dataset_digest": "d1"}]) == ["two"]
    assert found(datasets=[{"dataset_name": "val", "dataset_digest": "d2"}]) == ["one"]


def test_registry_remembers_what_it_is_told(client: MlflowClient, linear: LogisticRegression) -> None:
    client.create_registered_model("book", tags={"kind": "x"}, description="first")
    with pytest.raises(MlflowException) as raised:
        client.create_registered_model("book")
    assert _code(raised) == "RESOURCE_ALREADY_EXISTS"
    source = client.get_model_version("linear", "1").source
    for _ in range(3):
        client.create_model_version("book", source, description="d", tags={"a": "b"})
    client.update_registered_model("book", "second")
    client.update_model_version("book", "2", "better")
    client.set_model_version_tag("book", "2", "site", "VA")
    client.delete_model_version_tag("book", "2", "a")
    client.set_registered_model_tag("book", "t", "u")
    client.delete_registered_model_tag("book", "kind")
    client.set_registered_model_alias("book", "best", "2")
    version = client.get_model_version("book", "2")
    assert (version.description, version.tags, version.aliases) == ("better", {"site": "VA"}, ["best"])
    model = client.get_registered_model("book")
    assert (model.description, model.tags, model.aliases) == ("second", {"t": "u"}, {"best": "2"})
    assert model.latest_versions[0].version == "3"
    assert [m.name for m in client.search_registered_models("tags.t = 'u'")] == ["book"]
    assert [v.version for v in client.search_model_versions("name = 'book'", order_by=["version_number ASC"])] == [
        "1",
        "2",
        "3",
    ]
    client.transition_model_version_stage("book", "1", "Staging")
    assert client.get_latest_versions("book", ["Staging"])[0].version == "1"
    client.rename_registered_model("book", "novel")
    assert client.get_model_version_by_alias("novel", "best").version == "2"
    client.delete_model_version("novel", "2")
    assert client.get_registered_model("novel").aliases == {}
    with pytest.raises(MlflowException) as raised:
        client.get_model_version_by_alias("novel", "best")
    assert _code(raised) == "INVALID_PARAMETER_VALUE"
    assert client.create_model_version("novel", source).version == "4"
    client.delete_registered_model("novel")
    with pytest.raises(MlflowException) as raised:
        client.get_registered_model("novel")
    assert _code(raised) == "RESOURCE_DOES_NOT_EXIST"


def test_copy_of_a_version_has_the_same_digest(
    shared: RunningServer, client: MlflowClient, linear: LogisticRegression
) -> None:
    copied = client.copy_model_version("models:/linear/1", "copies")
    one, two = (
        shared.services.db.read(lambda tx, name=name: registry.version(tx, name, 1).digest)
        for name in ("linear", "copies")
    )
    assert one == two != ""
    assert copied.name == "copies"


def test_version_made_of_another_comes_from_the_same_run(client: MlflowClient, linear: LogisticRegression) -> None:
    first = client.get_model_version("linear", "1")
    second = mlflow.register_model("models:/linear/1", "promoted")
    assert (second.run_id, second.model_id) == (first.run_id, first.model_id)
    assert first.run_id
    found = client.search_model_versions(f"run_id = '{first.run_id}' AND version_number = '1' AND name = 'promoted'")
    assert [version.name for version in found] == ["promoted"]


def test_registered_files_cannot_be_written_over(
    shared: RunningServer, client: MlflowClient, linear: LogisticRegression
) -> None:
    uri = client.get_model_version_download_uri("linear", "1").removeprefix("mlflow-artifacts:/")
    url = f"{shared.url}/api/2.0/mlflow-artifacts/artifacts/{uri}/MLmodel"
    before = httpx.get(url).content
    for method in ("PUT", "DELETE"):
        answer = httpx.request(method, url, content=b"evil" if method == "PUT" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert httpx.get(url).content == before
    download = httpx.get(
        f"{shared.url}/model-versions/get-artifact", params={"name": "linear", "version": "1", "path": "MLmodel"}
    )
    assert download.content == before


def test_guarded_alias_is_refused_with_the_way_to_a_decision(
    shared: RunningServer, client: MlflowClient, linear: LogisticRegression
) -> None:
    client.copy_model_version("models:/linear/1", "early-detection")
    charter = Charter(title="T", problem="p", decision="d")
    shared.services.db.write(lambda tx: use_cases.create(tx, name="early-detection", charter=charter, by="ann"))
    with pytest.raises(MlflowException) as raised:
        client.set_registered_model_alias("early-detection", "champion", "1")
    assert _code(raised) == "PERMISSION_DENIED"
    assert f"{shared.url}/" in str(raised.value)
    client.set_registered_model_alias("early-detection", "mine", "1")


def test_moving_the_champion_asks_for_a_promotion_when_the_charter_says_so(
    shared: RunningServer, client: MlflowClient, linear: LogisticRegression
) -> None:
    client.copy_model_version("models:/linear/1", "asked-by-alias")
    charter = Charter(title="T", problem="p", decision="d", alias_moves="propose")

    def govern(tx: Tx) -> None:
        use_cases.create(tx, name="asked-by-alias", charter=charter, by="ann")
        rule = '  - {id: good, says: Good, owner: domain_expert, rule: metric("recall") >= 0.9}\n'
        yaml = f"policy: asked-by-alias\nversion: 1\nsays: Good\nrequire:\n{rule}"
        policies.publish(tx, use_case="asked-by-alias", yaml=yaml, by="ann")

    shared.services.db.write(govern)
    for _ in range(2):  # asking again changes nothing
        client.set_registered_model_alias("asked-by-alias", "champion", "1")
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias("asked-by-alias", "champion")
    found = shared.services.db.read(lambda tx: promotions.listing(tx, "asked-by-alias"))
    assert [(one.version, one.state) for one in found] == [(1, "open")]
    with pytest.raises(MlflowException) as raised:
        client.delete_registered_model_alias("asked-by-alias", "champion")
    assert _code(raised) == "PERMISSION_DENIED"


def test_token_of_a_person_is_who_registered(shared: RunningServer) -> None:
    made = httpx.post(f"{shared.url}/api/v1/people", json={"name": "ann", "kind": "person", "display": "Ann"})
    assert made.status_code in (200, 201), made.text
    token = httpx.post(f"{shared.url}/api/v1/people/ann/tokens", json={"label": "t", "days": 1}).json()["token"]
    answer = httpx.post(
        f"{shared.url}/api/2.0/mlflow/registered-models/create",
        json={"name": "by-ann"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403  # she has no role yet
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    answer = httpx.get(
        f"{shared.url}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Authorization": "Bearer no"}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
