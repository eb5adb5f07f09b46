"""Training as people write it, unmodified: autologging of several libraries, nested runs, ``mlflow.evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stile.testing.server import RunningServer

pytestmark = pytest.mark.usefixtures("shared")


@pytest.fixture
def client(shared: RunningServer) -> MlflowClient:
    return MlflowClient(shared.url)


@pytest.fixture(scope="module")
def cancer() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    split = train_test_split(features.iloc[:, :6], target, test_size=0.3, random_state=0)
    return tuple(split)  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    mlflow.autolog(disable=True, silent=True)
    while mlflow.active_run():
        mlflow.end_run()


def test_grid_search_leaves_a_parent_with_its_best_children(client: MlflowClient, cancer: tuple) -> None:
    train, _, target, _ = cancer
    experiment = mlflow.set_experiment("autolog-grid").experiment_id
    mlflow.sklearn.autolog(log_models=False, max_tuning_runs=3, silent=True)
    with mlflow.start_run() as run:
        steps = make_pipeline(StandardScaler(), LogisticRegression())
        GridSearchCV(steps, {"logisticregression__C": [0.1, 1, 10, 100]}, cv=2).fit(train, target)
    parent = client.get_run(run.info.run_id)
    assert parent.data.metrics["best_cv_score"] > 0.8
    assert parent.data.params["best_logisticregression__C"] in ("0.1", "1", "10", "100")
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert len(children) == 3
    assert parent.data.metrics["best_cv_score"] == max(child.data.metrics["mean_test_score"] for child in children)


def test_sklearn_autolog_archives_model_data_and_scores(client: MlflowClient, cancer: tuple) -> None:
    train, test, target, truth = cancer
    mlflow.set_experiment("autolog-sklearn")
    mlflow.sklearn.autolog(silent=True)
    with mlflow.start_run() as run:
        model = RandomForestClassifier(n_estimators=5, random_state=0).fit(train, target)
        accuracy = model.score(test, truth)
    stored = client.get_run(run.info.run_id)
    assert stored.data.params["n_estimators"] == "5"
    assert stored.data.metrics["RandomForestClassifier_score_test"] == accuracy
    assert {one.dataset.name for one in stored.inputs.dataset_inputs} == {"dataset"}
    assert [one.model_id for one in stored.outputs.model_outputs]
    loaded = mlflow.sklearn.load_model(f"models:/{stored.outputs.model_outputs[0].model_id}")
    assert (loaded.predict(test) == model.predict(test)).all()


def test_lightgbm_autolog_keeps_the_curve_of_every_round(client: MlflowClient, cancer: tuple) -> None:
    train, test, target, truth = cancer
    mlflow.set_experiment("autolog-lightgbm")
    mlflow.lightgbm.autolog(silent=True)
    kept: dict[str, dict[str, list[float]]] = {}
    with mlflow.start_run() as run:
        seen = lightgbm.Dataset(train, target)
        booster = lightgbm.train(
            {"objective": "binary", "metric": "binary_logloss", "verbose": -1, "num_threads": 1},
            seen,
            num_boost_round=12,
            valid_sets=[lightgbm.Dataset(test, truth, reference=seen)],
            valid_names=["held_back"],
            callbacks=[lightgbm.record_evaluation(kept)],
        )
    history = client.get_metric_history(run.info.run_id, "held_back-binary_logloss")
    assert [point.step for point in history] == list(range(12))
    assert [point.value for point in history] == kept["held_back"]["binary_logloss"]
    stored = client.get_run(run.info.run_id)
    assert stored.data.params["objective"] == "binary"
    assert "feature_importance_split.json" in {file.path for file in client.list_artifacts(run.info.run_id)}
    loaded = mlflow.lightgbm.load_model(f"models:/{stored.outputs.model_outputs[0].model_id}")
    assert np.allclose(loaded.predict(test), booster.predict(test))


def test_evaluate_logs_metrics_tables_and_graphs(client: MlflowClient, cancer: tuple) -> None:
    train, test, target, truth = cancer
    mlflow.set_experiment("evaluate")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, target)
    table = test.assign(target=truth, prediction=model.predict(test))
    with mlflow.start_run() as run:
        result = mlflow.models.evaluate(
            data=table, targets="target", predictions="prediction", model_type="classifier", evaluators=["default"]
        )
    stored = client.get_run(run.info.run_id)
    assert stored.data.metrics["accuracy_score"] == pytest.approx(model.score(test, truth))
    assert {key: stored.data.metrics[key] for key in result.metrics} == pytest.approx(result.metrics)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"confusion_matrix.png"}


def test_evaluate_of_a_logged_model_is_kept_with_the_model(client: MlflowClient, cancer: tuple) -> None:
    train, test, target, truth = cancer
    mlflow.set_experiment("evaluate-model")
    with mlflow.start_run():
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, target)
        logged = mlflow.sklearn.log_model(model, name="linear", pip_requirements=["scikit-learn"])
        data = mlflow.data.from_pandas(test.assign(target=truth), targets="target", name="held back")
        mlflow.models.evaluate(
            model=logged.model_uri, data=data, model_type="classifier", evaluator_config={"log_explainer": False}
        )
    kept = client.get_logged_model(logged.model_id)
    accuracy = next(metric for metric in kept.metrics if metric.key == "accuracy_score")
    assert accuracy.value == pytest.approx(model.score(test, truth))
    assert accuracy.dataset_name == "held back"


def test_pytorch_training_is_logged_with_its_model(client: MlflowClient) -> None:
    torch = pytest.importorskip("torch", reason="torch is no dependency: its wheel is larger than all others together")
    mlflow.set_experiment("pytorch")
    torch.manual_seed(0)
    inputs = torch.randn(64, 3)
    truth = inputs @ torch.tensor([[1.0], [2.0], [3.0]])
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    mlflow.pytorch.autolog(silent=True)
    with mlflow.start_run() as run:
        for step in range(20):
            loss = torch.nn.functional.mse_loss(model(inputs), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mlflow.log_metric("loss", loss.item(), step=step)
        mlflow.pytorch.log_model(model, name="linear", pip_requirements=["torch"], input_example=inputs.numpy())
    history = client.get_metric_history(run.info.run_id, "loss")
    assert len(history) == 20
    assert history[-1].value < history[0].value
    loaded = mlflow.pytorch.load_model(f"models:/{client.get_run(run.info.run_id).outputs.model_outputs[0].model_id}")
    assert torch.equal(loaded(inputs), model(inputs))


def test_lightning_training_is_logged_with_its_checkpoints(client: MlflowClient) -> None:
    reason = "torch and lightning are no dependencies: install them to run this"
    torch = pytest.importorskip("torch", reason=reason)
    lightning = pytest.importorskip("lightning", reason=reason)
    mlflow.set_experiment("lightning")
    torch.manual_seed(0)
    inputs = torch.randn(64, 3)
    table = torch.utils.data.TensorDataset(inputs, inputs @ torch.tensor([[1.0], [2.0], [3.0]]))
    batches = torch.utils.data.DataLoader(table, batch_size=16)

    class Linear(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def forward(self, batch: Any) -> Any:
            return self.layer(batch)

        def training_step(self, batch: Any, number: int) -> Any:
            loss = torch.nn.functional.mse_loss(self(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    model = Linear()
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    mlflow.pytorch.autolog(checkpoint=True, checkpoint_save_best_only=False, checkpoint_save_freq="epoch", silent=True)
    try:
        with mlflow.start_run() as run:
            trainer.fit(model, batches)
    finally:
        mlflow.pytorch.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert (found.info.status, found.data.params["epochs"], found.data.params["lr"]) == ("FINISHED", "3", "0.1")
    history = [point.value for point in client.get_metric_history(run.info.run_id, "loss_epoch")]
    assert len(history) == 3
    assert history[-1] < history[0]
    kept = [file.path for file in client.list_artifacts(run.info.run_id, "checkpoints")]
    assert kept == [f"checkpoints/epoch_{number}" for number in range(3)]
    last = mlflow.pytorch.load_checkpoint(Linear, run.info.run_id)
    made = mlflow.pytorch.load_model(f"models:/{found.outputs.model_outputs[0].model_id}")
    for loaded in (last, made):
        assert torch.equal(loaded(inputs), model(inputs))
