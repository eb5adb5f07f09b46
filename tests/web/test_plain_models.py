"""Models that no use case governs, over HTTP: each version leads to its run, and a run to its versions."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from stile.testing.server import running_server

PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running_server(tmp_path_factory.mktemp("plain")) as running,
        httpx.Client(base_url=running.url, headers=PAGE, timeout=20) as client,
    ):
        yield client


def call(browser: httpx.Client, path: str, **body: object) -> dict:
    answer = browser.post(f"/api/2.0/mlflow/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def run_with(browser: httpx.Client, name: str, auc: float) -> str:
    run = call(browser, "runs/create", experiment_id="0", run_name=name, start_time=1000)["run"]["info"]["run_id"]
    metric = {"key": "auc", "value": auc, "timestamp": 1000, "step": 0}
    call(browser, "runs/log-batch", run_id=run, metrics=[metric])
    return run


def version_of(browser: httpx.Client, name: str, **more: str) -> str:
    return call(browser, "model-versions/create", name=name, **more)["model_version"]["version"]


def test_versions_lead_to_their_runs_and_runs_to_their_versions(browser: httpx.Client) -> None:
    call(browser, "registered-models/create", name="plain", description="For <b>nobody</b> yet.")
    first, second = run_with(browser, "weak", 0.71), run_with(browser, "strong", 0.9312)
    for run in (first, second):
        version_of(browser, "plain", source=f"runs:/{run}/model", run_id=run)
    call(browser, "registered-models/alias", name="plain", alias="best", version="2")
    page = browser.get("/models/plain").text
    assert "Registered, but not governed" in page
    assert "For &lt;b&gt;nobody&lt;/b&gt; yet." in page
    assert f'<a class="open" href="/runs/{second}">strong</a>' in page
    assert '<th scope="col" class="num">auc</th>' in page
    assert "0.9312" in page
    assert "0.7100" in page
    assert "/gate" not in page
    assert 'href="/models/plain#v2">plain v2</a>' in browser.get(f"/runs/{second}").text
    assert 'id="v2"' in page


def test_version_without_a_run_says_where_it_came_from(browser: httpx.Client) -> None:
    call(browser, "registered-models/create", name="from elsewhere")
    version_of(browser, "from elsewhere", source="s3://bucket/model")
    page = browser.get("/models/from%20elsewhere").text
    assert "s3://bucket/model" in page
    call(browser, "registered-models/create", name="empty")
    assert "No version yet" in browser.get("/models/empty").text
