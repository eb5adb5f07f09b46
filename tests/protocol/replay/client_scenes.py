"""Scenes held by the unmodified mlflow client; what it says to the server is written down call by call."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
import numpy as np
from conversation import Conversation
from mlflow import MlflowClient
from scenes import T0, scene
from sklearn.linear_model import LogisticRegression

_X = np.array([[0.0], [1.0], [2.0], [3.0]])
_Y = np.array([0, 0, 1, 1])


@scene
def fluent_run(talk: Conversation) -> None:
    mlflow.set_tracking_uri(talk.url)
    with talk.listening():
        mlflow.set_experiment("fluent scene")
        with mlflow.start_run(run_name="one", tags={"team": "vision"}) as run:
            mlflow.log_param("depth", 5)
            mlflow.log_params({"a": 1, "b": [1, 2]})
            mlflow.log_metric("auc", 0.5, step=0, timestamp=T0)
            mlflow.log_metrics({"loss": 0.25, "nan": float("nan")}, step=2, timestamp=T0)
            mlflow.set_tag("k", "v")
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "note.txt").write_text("hello", "utf-8")
                mlflow.log_artifact(str(Path(folder) / "note.txt"), "notes")
            mlflow.log_text("text", "texts/t.txt")
            mlflow.log_dict({"a": 1}, "d.json")
            with mlflow.start_run(run_name="child", nested=True):
                mlflow.log_metric("auc", 0.75, step=1, timestamp=T0)
        client = MlflowClient()
        client.get_run(run.info.run_id)
        client.get_metric_history(run.info.run_id, "auc")
        mlflow.search_runs(experiment_names=["fluent scene"], order_by=["metrics.auc DESC"])
        client.list_artifacts(run.info.run_id)
        client.list_artifacts(run.info.run_id, "notes")
        client.delete_run(run.info.run_id)
        client.restore_run(run.info.run_id)


@scene
def model_over_the_registry(talk: Conversation) -> None:
    mlflow.set_tracking_uri(talk.url)
    with talk.listening():
        mlflow.set_experiment("registry scene")
        with mlflow.start_run(run_name="trained"):
            fitted = LogisticRegression().fit(_X, _Y)
            logged = mlflow.sklearn.log_model(
                fitted,
                name="model",
                input_example=None,
                pip_requirements=["scikit-learn"],
                registered_model_name="scene",
            )
            mlflow.log_metric("acc", 1.0, model_id=logged.model_id, timestamp=T0)
        client = MlflowClient()
        client.set_registered_model_alias("scene", "champion", "1")
        client.set_model_version_tag("scene", "1", "checked", "yes")
        client.update_model_version("scene", "1", description="first")
        loaded = mlflow.pyfunc.load_model("models:/scene@champion")
        assert list(loaded.predict(_X)) == [0, 0, 1, 1]
        client.search_model_versions("name = 'scene'")
        client.get_model_version_by_alias("scene", "champion")
        mlflow.search_logged_models(experiment_ids=[mlflow.get_experiment_by_name("registry scene").experiment_id])
        client.delete_registered_model_alias("scene", "champion")
        client.delete_model_version("scene", "1")
        client.delete_registered_model("scene")


@scene
def autologged_fit(talk: Conversation) -> None:
    mlflow.set_tracking_uri(talk.url)
    with talk.listening():
        mlflow.set_experiment("autolog scene")
        mlflow.sklearn.autolog(log_models=False, log_datasets=True, silent=True)
        try:
            with mlflow.start_run(run_name="fitted") as run:
                LogisticRegression(C=0.5).fit(_X, _Y)
        finally:
            mlflow.sklearn.autolog(disable=True, silent=True)
        MlflowClient().get_run(run.info.run_id)
