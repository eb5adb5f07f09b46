"""The unmodified mlflow client, pointed at a really running server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from stile.testing.server import RunningServer, running_server

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client's own warnings are not ours to fix."""
    for item in items:
        if "/protocol/" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """One server on each engine for the tests of a module; each uses names of its own."""
    store = "sqlite" if request.param == "sqlite" else request.getfixturevalue("cluster").fresh()
    with running_server(tmp_path_factory.mktemp("server"), store=store) as running:
        import mlflow

        mlflow.set_tracking_uri(running.url)
        yield running
        while mlflow.active_run():
            mlflow.end_run()
