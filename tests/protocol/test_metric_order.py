"""Runs in the order of a metric's least or greatest value, through the unmodified mlflow client."""

from __future__ import annotations

import math

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stile.testing.server import RunningServer


def test_client_sorts_runs_by_the_greatest_value_of_a_metric(shared: RunningServer) -> None:
    client = MlflowClient(shared.url)
    experiment = client.create_experiment("by the greatest value")
    for name, values in (("a", [0.2, 0.9, 0.1]), ("b", [0.5]), ("c", [0.7, 0.6]), ("d", [math.nan]), ("e", [])):
        run = client.create_run(experiment, run_name=name).info.run_id
        for step, value in enumerate(values):
            client.log_metric(run, "auc", value, step=step)

    def names(order: str, **more: str) -> list[str]:
        found = client.search_runs([experiment], order_by=[order], **more)
        return [run.info.run_name for run in found]

    assert names("max(metrics.auc) DESC") == ["a", "c", "b", "d", "e"]
    assert names("min(metrics.auc)") == ["a", "b", "c", "d", "e"]
    assert names("best(metrics.`auc`) DESC", filter_string="metrics.auc > 0.3") == ["c", "b"]
    assert names("metrics.auc DESC") == ["c", "b", "a", "d", "e"]
    for wrong in ("max(params.auc)", "best(metrics.lr)", "median(metrics.auc)"):
        with pytest.raises(MlflowException):
            names(wrong)
