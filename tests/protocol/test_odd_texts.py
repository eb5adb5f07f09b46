# ruff: noqa: E501  each request stays in one piece
"""Odd texts in everything a client can write: both engines answer alike, never with a failure of their own."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stile.store.database import Tx
from stile.testing import postgres
from stile.testing.server import RunningServer, running_server

M = "/api/2.0/mlflow"
ODD = {
    "nul": "a\0b",
    "half a pair": "a\ud800b",
    "astral, right to left, combining": "\U0001f9ea \u202e\u0634\u200f e\u0301\ufeff\uffff",
    "long": "x" * 120_000,
    "markup": "'\"><script>${7*7}{{7*7}}%s%00\\u0000\\",
    "number": "1e999",
    "blank": " \t\n\u3000",
}
TRACE = {
    "trace_id": "tr-1", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
    "request_time": "2026-01-01T00:00:00Z", "state": "OK", "tags": {"k": "v"}, "trace_metadata": {"k": "v"},
    "request_preview": "p", "response_preview": "p", "client_request_id": "c",
}  # fmt: skip
SAID = {"assessment_name": "good", "source": {"source_type": "HUMAN", "source_id": "ann"}, "rationale": "r",
        "feedback": {"value": "yes"}, "metadata": {"k": "v"}}  # fmt: skip
WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", f"{M}/experiments/create", {"name": "plain", "artifact_location": "s3://b/x", "tags": [{"key": "k", "value": "v"}]}),
    ("POST", f"{M}/experiments/update", {"experiment_id": "0", "new_name": "n"}),
    ("POST", f"{M}/experiments/set-experiment-tag", {"experiment_id": "0", "key": "k", "value": "v"}),
    ("POST", f"{M}/runs/create", {"experiment_id": "0", "run_name": "n", "user_id": "u", "tags": [{"key": "k", "value": "v"}]}),
    ("POST", f"{M}/runs/update", {"run_id": "<run>", "run_name": "n", "status": "RUNNING"}),
    ("POST", f"{M}/runs/set-tag", {"run_id": "<run>", "key": "k", "value": "v"}),
    ("POST", f"{M}/runs/log-parameter", {"run_id": "<run>", "key": "k", "value": "v"}),
    ("POST", f"{M}/runs/log-metric", {"run_id": "<run>", "key": "k", "value": "1", "timestamp": 1, "dataset_name": "d", "dataset_digest": "d", "model_id": "<logged>"}),
    ("POST", f"{M}/runs/log-batch", {"run_id": "<run>", "metrics": [{"key": "k", "value": 1, "timestamp": 1, "step": 1}], "params": [{"key": "p", "value": "v"}], "tags": [{"key": "k", "value": "v"}]}),
    ("POST", f"{M}/runs/log-inputs", {"run_id": "<run>", "datasets": [{"tags": [{"key": "k", "value": "v"}], "dataset": {"name": "n", "digest": "d", "source_type": "t", "source": "s", "schema": "s", "profile": "p"}}]}),
    ("POST", f"{M}/logged-models", {"experiment_id": "0", "name": "n", "model_type": "t", "params": [{"key": "k", "value": "v"}], "tags": [{"key": "k", "value": "v"}]}),
    ("PATCH", f"{M}/logged-models/<logged>/tags", {"tags": [{"key": "k", "value": "v"}]}),
    ("POST", f"{M}/registered-models/create", {"name": "n", "description": "d", "tags": [{"key": "k", "value": "v"}]}),
    ("PATCH", f"{M}/registered-models/update", {"name": "net", "description": "d"}),
    ("POST", f"{M}/registered-models/rename", {"name": "old", "new_name": "old"}),
    ("POST", f"{M}/registered-models/set-tag", {"name": "net", "key": "k", "value": "v"}),
    ("POST", f"{M}/registered-models/alias", {"name": "net", "alias": "best", "version": "1"}),
    ("POST", f"{M}/model-versions/create", {"name": "net", "source": "s3://b/x", "run_id": "", "run_link": "l", "description": "d", "tags": [{"key": "k", "value": "v"}]}),
    ("PATCH", f"{M}/model-versions/update", {"name": "net", "version": "1", "description": "d"}),
    ("POST", f"{M}/model-versions/set-tag", {"name": "net", "version": "1", "key": "k", "value": "v"}),
    ("POST", f"{M}/model-versions/transition-stage", {"name": "net", "version": "1", "stage": "Staging"}),
    ("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": TRACE}}),
    ("PATCH", f"{M}/traces/tr-0/tags", {"key": "k", "value": "v"}),
    ("POST", "/api/3.0/mlflow/traces/tr-0/assessments", {"assessment": SAID}),
    ("POST", f"{M}/webhooks", {"name": "n", "description": "d", "url": "https://93.184.216.34/x", "secret": "s", "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}),
    ("POST", "/api/v1/use-cases", {"name": "other", "title": "t", "problem": "p", "harms": ["h"], "positive": "1", "verdicts": ["agree", "no"]}),
    ("POST", "/api/v1/people", {"name": "ann", "display": "d", "password": "a long enough password"}),
    ("POST", "/api/v1/use-cases/early/cards", {"title": "t", "body": "b"}),
    ("POST", "/api/v1/cards/<card>/comments", {"text": "t"}),
    ("POST", "/api/v1/use-cases/early/iterations", {"title": "t", "goal": "g", "starts_at": 1, "ends_at": 2}),
    ("POST", "/api/v1/experiments/0/views", {"name": "n", "query": {"filter": "params.a = '1'"}}),
    ("POST", f"{M}/runs/search", {"experiment_ids": ["0"], "filter": "tags.k = 'v'", "order_by": ["params.k"]}),
]  # fmt: skip


def _sent(client: httpx.Client, method: str, path: str, body: Any) -> httpx.Response:
    return client.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})


def _variants(body: Any, text: str) -> Iterator[Any]:
    """The body with each of its texts in turn, and each key that is the client's own, replaced."""
    for way in _texts(body, ()):
        for rename in (False, True) if way[-1] == "k" else (False,):
            made = copy.deepcopy(body)
            at = made
            for key in way[:-1]:
                at = at[key]
            if rename:
                at[text] = at.pop("k")
            else:
                at[way[-1]] = text
            yield made


def _texts(value: Any, way: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str) and not value.startswith("<"):
        yield way
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from _texts(inner, (*way, key))


def _sent(client: httpx.Client, method: str, path: str, body: Any, ids: dict[str, str]) -> httpx.Response:
    text = json.dumps(body)
    for name, id in ids.items():
        path, text = path.replace(name, id), text.replace(name, id)
    return client.request(method, path, content=text, headers={"Content-Type": "application/json"})


def _prepared(client: httpx.Client) -> dict[str, str]:
    def post(path: str, body: Any) -> Any:
        answer = _sent(client, "POST", path, body, {})
        assert answer.is_success, answer.text
        return answer.json()

    for name in ("net", "old"):
        post(f"{M}/registered-models/create", {"name": name})
    post(f"{M}/model-versions/create", {"name": "net", "source": "s3://b/x"})
    post("/api/3.0/mlflow/traces", {"trace": {"trace_info": TRACE | {"trace_id": "tr-0"}}})
    post("/api/v1/use-cases", {"name": "early", "title": "t"})
    return {
        "<run>": post(f"{M}/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"],
        "<logged>": post(f"{M}/logged-models", {"experiment_id": "0"})["model"]["info"]["model_id"],
        "<card>": post("/api/v1/use-cases/early/cards", {"title": "t"})["id"],
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, cluster: postgres.Cluster) -> Iterator[list[RunningServer]]:
    folder = tmp_path_factory.mktemp("odd")
    with running_server(folder / "one") as one, running_server(folder / "two", store=cluster.fresh()) as two:
        yield [one, two]


@pytest.fixture(scope="module")
def clients(both: list[RunningServer]) -> Iterator[list[tuple[httpx.Client, dict[str, str]]]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for server in both]
        yield [(client, _prepared(client)) for client in opened]


def test_the_requests_are_good_ones_as_they_stand(clients: list[tuple[httpx.Client, dict[str, str]]]) -> None:
    for client, ids in clients:
        for method, path, body in WRITES:
            answer = _sent(client, method, path, body, ids)
            assert answer.is_success or path.endswith("/rename"), (path, answer.text)


@pytest.mark.parametrize("odd", ODD)
def test_both_engines_answer_alike_when_a_text_is_odd(
    odd: str, clients: list[tuple[httpx.Client, dict[str, str]]], both: list[RunningServer]
) -> None:
    for method, path, body in WRITES:
        for made in _variants(body, ODD[odd]):
            answers = [_sent(client, method, path, made, ids) for client, ids in clients]
            shown = (path, json.dumps(made)[:300], [(answer.status_code, answer.text[:200]) for answer in answers])
            assert answers[0].status_code == answers[1].status_code < 500, shown
            if odd == "half a pair":
                assert answers[0].status_code == 400, shown
            if not answers[0].is_success:
                assert len(answers[0].json().get("message") or answers[0].json()["error"]["message"]) > 10, shown
    assert both[0].services.db.read(_columns_with_nul) == []


def _columns_with_nul(tx: Tx) -> list[str]:
    """Columns of SQLite that hold what PostgreSQL could not."""
    tables = [name for (name,) in tx.all("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [(table, row[1]) for table in tables for row in tx.all(f"PRAGMA table_info({table})")]
    asked = "SELECT 1 FROM {} WHERE typeof({}) = 'text' AND instr({}, char(0)) LIMIT 1"
    return [f"{table}.{column}" for table, column in columns if tx.one(asked.format(table, column, column))]


@pytest.mark.parametrize("way", ["a%00b", "%00", "a%ED%A0%80b", "%F0%9F%A7%AA", "%E2%80%AE"])
def test_both_engines_answer_alike_when_an_address_is_odd(
    way: str, clients: list[tuple[httpx.Client, dict[str, str]]]
) -> None:
    for path in (
        f"{M}/experiments/get-by-name?experiment_name={way}", f"{M}/registered-models/get?name={way}",
        f"{M}/registered-models/search?filter=name%3D%27{way}%27", f"{M}/runs/get?run_id={way}",
        f"{M}/model-versions/get?name={way}&version=1", f"{M}/metrics/get-history?run_id=<run>&metric_key={way}",
        f"{M}/registered-models/alias?name=net&alias={way}", f"{M}/artifacts/list?run_id=<run>&path={way}",
        f"/api/3.0/mlflow/traces/{way}", f"/api/v1/use-cases/{way}", f"/api/v1/cards/{way}", f"/models/{way}",
        f"/runs/{way}", f"/experiments/0?filter={way}", f"/use-cases/{way}", f"/people/{way}",
    ):  # fmt: skip
        answers = [_sent(client, "GET", path, {}, ids) for client, ids in clients]
        assert answers[0].status_code == answers[1].status_code < 500, (path, [answer.text[:200] for answer in answers])
