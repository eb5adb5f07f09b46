"""Tokens of pages, as they are given and as somebody has bent them, on both engines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stile.testing.server import RunningServer

API = "/api/2.0/mlflow"

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)

SEARCHES: list[tuple[str, dict[str, Any]]] = [
    ("runs/search", {"experiment_ids": ["0"]}),
    ("runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.loss DESC", "params.p", "attributes.end_time"]}),
    ("runs/search", {"experiment_ids": ["0"], "order_by": ["attributes.run_name", "tags.t DESC"]}),
    ("experiments/search", {}),
    ("experiments/search", {"order_by": ["name", "creation_time DESC", "experiment_id"]}),
    ("logged-models/search", {"experiment_ids": ["0"]}),
    (
        "logged-models/search",
        {"experiment_ids": ["0"], "order_by": [{"field_name": "name"}, {"field_name": "metrics.loss"}]},
    ),
    ("GET registered-models/search", {}),
    ("GET registered-models/search", {"order_by": ["last_updated_timestamp", "name DESC"]}),
    ("GET model-versions/search", {}),
    ("GET model-versions/search", {"order_by": ["creation_timestamp", "version_number"]}),
    ("GET traces", {"experiment_ids": ["0"]}),
    ("GET traces", {"experiment_ids": ["0"], "order_by": ["execution_time_ms", "status", "tags.t"]}),
    ("GET metrics/get-history", {"metric_key": "loss"}),
]
BENT: list[Any] = ["a", "", "NaN", 0, -1, 1.5, 10**30, -(10**30), 1e308, True, None, [], {}, "\x00", "é" * 200]


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """A server with three of everything."""
    with httpx.Client(base_url=server.url + API) as client:

        def made(path: str, body: dict[str, Any]) -> Any:
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        for number in range(3):
            run = made("/runs/create", {"experiment_id": "0", "run_name": f"r{number}"})["run"]["info"]["run_id"]
            metrics = [{"key": "loss", "value": number / 2, "timestamp": 1, "step": step} for step in range(3)]
            batch = {"metrics": metrics, "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "2"}]}
            made("/runs/log-batch", {"run_id": run, **batch})
            made("/experiments/create", {"name": f"e{number}"})
            model = made("/logged-models", {"experiment_id": "0", "name": f"m{number}", "source_run_id": run})["model"]
            logged = {"model_id": model["info"]["model_id"], "key": "loss", "value": 0.5, "timestamp": 1, "step": 1}
            made("/runs/log-metric", {"run_id": run, **logged})
            made("/registered-models/create", {"name": f"m{number}"})
            made("/model-versions/create", {"name": "m0", "source": f"runs:/{run}/model", "run_id": run})
            made("/traces", {"experiment_id": "0", "timestamp_ms": number, "request_metadata": [], "tags": []})
        client.params = {"run_id": run}
        yield client


def _page(client: httpx.Client, path: str, body: dict[str, Any], token: str) -> httpx.Response:
    asked = {**body, "max_results": 1, **({"page_token": token} if token else {})}
    if path.startswith("GET "):
        return client.get(f"/{path[4:]}", params={"run_id": client.params["run_id"], **asked})
    return client.post(f"/{path}", json=asked)


def test_a_bent_token_is_refused_and_a_given_one_leads_on(client: httpx.Client) -> None:
    """A text where a number belongs, one value more or less, a number too large: 400, or a page, never a 5xx."""
    for path, body in SEARCHES:
        first = _page(client, path, body, "")
        assert first.status_code == 200, (path, first.text)
        token = first.json()["next_page_token"]
        assert token, path
        assert _page(client, path, body, token).status_code == 200, (path, body)
        said = json.loads(base64.urlsafe_b64decode(token))
        values = said["values"]
        bent = [[*values[:place], value, *values[place + 1 :]] for place in range(len(values)) for value in BENT]
        for others in [*bent, [], values[:-1], [*values, 1]]:
            forged = base64.urlsafe_b64encode(json.dumps({**said, "values": others}).encode()).decode()
            answer = _page(client, path, body, forged)
            assert answer.status_code in (200, 400), (path, body, others, answer.text)
        for phase in (-1, 7, 10**30, "a"):
            forged = base64.urlsafe_b64encode(json.dumps({**said, "phase": phase}).encode()).decode()
            assert _page(client, path, body, forged).status_code in (200, 400), (path, phase)
