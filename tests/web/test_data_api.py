"""Contracts, datasets, evaluations and evidence over real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from stile.data.contract_infer import infer_contract
from stile.data.odcs import write_contract
from stile.data.table import Table, table_of, to_csv
from stile.govern import registry
from stile.testing.server import RunningServer
from stile.train import artifacts

CASE = "early-detection"
U = f"/api/v1/use-cases/{CASE}"


def make_table(n: int = 120, seed: int = 3) -> Table:
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    size = np.clip(rng.normal(10 + 3 * y, 2), 5, 18).round(3)
    return table_of({"size": size, "site": np.where(rng.random(n) < 0.5, "VA", "VB"), "target": y.astype(float)})


TABLE = make_table()


@pytest.fixture
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.post("/api/v1/use-cases", json={"name": CASE}).status_code == 201
        yield client


def put(api: httpx.Client, content: bytes) -> str:
    answer = api.put("/api/v1/blobs", content=content)
    assert answer.status_code == 201
    return str(answer.json()["digest"])


def publish(api: httpx.Client) -> httpx.Response:
    return api.post(U + "/contracts", json={"yaml": write_contract(infer_contract(TABLE, name=CASE, target="target"))})


def register(api: httpx.Client, content: bytes, **fields: Any) -> httpx.Response:
    body = {"name": "test-2024", "role": "test", "table": put(api, content), "source": "lab export"} | fields
    return api.post(U + "/datasets", json=body)


def make_version(server: RunningServer) -> None:
    content = server.services.blobs.put(b"weights")

    def make(tx: Any) -> None:
        artifacts.bind(tx, path="0/r/artifacts/m/MLmodel", digest=content, size=7, by="ana")
        registry.create_model(tx, name=CASE, by="ana")
        registry.create_version(tx, name=CASE, source="mlflow-artifacts:/0/r/artifacts/m", by="ana")

    server.services.db.write(make)


def predictions() -> bytes:
    score = np.clip((TABLE.numbers("size") - 5) / 13, 0, 1)
    return to_csv(table_of({"row": TABLE.row_digests(), "y_true": TABLE.numbers("target"), "score": score}))


def wait(api: httpx.Client, id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = api.get(f"/api/v1/evaluations/{id}").json()
        if found["state"] in ("done", "failed"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the evaluation did not end: {found}")


def test_contract_dataset_and_profile_are_there_when_published(api: httpx.Client) -> None:
    made = publish(api)
    assert made.status_code == 201
    assert (made.json()["version"], made.json()["by"]) == (1, "local-user")
    assert len(api.get(U + "/contracts").json()["contracts"]) == 1
    answer = register(api, to_csv(TABLE))
    assert answer.status_code == 201
    dataset = answer.json()
    assert (dataset["digest"], dataset["rows"], dataset["contract_version"]) == (TABLE.digest, 120, 1)
    assert api.get(U + "/datasets").json()["datasets"] == [dataset]
    profile = api.get(f"{U}/profiles/{dataset['profile_digest']}").json()
    assert profile["rows"] == 120


def test_every_violation_is_in_the_answer_and_nothing_is_stored_when_the_contract_is_broken(api: httpx.Client) -> None:
    publish(api)
    bad = to_csv(TABLE).replace(b"VA", b"VX", 1).replace(b"target", b"goal")
    answer = register(api, bad)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "contract_broken"
    rules = [(v["column"], v["rule"]) for v in error["details"]["violations"]]
    assert rules == [("site", "unknown_category"), ("target", "missing_column"), ("goal", "extra_column")]
    assert error["details"]["violations"][0]["examples"]
    assert api.get(U + "/datasets").json()["datasets"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "role": "test", "table": "sha256:" + "0" * 64}, 404),
        ({"name": "x", "role": "test", "table": "../../secret"}, 400),
        ({"name": "x", "role": "other", "table": "sha256:" + "0" * 64}, 400),
        ({"name": "x"}, 400),
        ([], 400),
    ],
)
def test_bad_dataset_requests_get_one_clear_error(api: httpx.Client, body: Any, status: int) -> None:
    answer = api.post(U + "/datasets", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_bad_contracts_and_unknown_use_cases_are_refused(api: httpx.Client) -> None:
    assert api.post(U + "/contracts", json={"yaml": "kind: Poem"}).status_code == 400
    assert api.get("/api/v1/use-cases/nobody/contracts").status_code == 404
    assert api.post("/api/v1/use-cases/nobody/contracts", json={"yaml": "x"}).status_code == 404


def test_predictions_become_evidence(server: RunningServer, api: httpx.Client) -> None:
    publish(api)
    register(api, to_csv(TABLE))
    make_version(server)
    order = {"version": 1, "predictions": put(api, predictions()), "test": TABLE.digest, "slices": ["site"]}
    answer = api.post(U + "/evaluations", json=order)
    assert answer.status_code == 202
    done = wait(api, answer.json()["evaluation"])
    assert (done["state"], done["progress"], done["error"]) == ("done", 1.0, None)
    evidence = api.get(f"/api/v1/evidence/{done['evidence']}").json()
    assert evidence["digest"] == done["evidence"]
    assert evidence["metrics"]["auc"]["low"] < evidence["metrics"]["auc"]["value"]
    assert evidence["facts"]["size"] == {"bytes": 7}
    assert evidence["subject"]["digest"].startswith("sha256:")
    graph = api.get(f"/api/v1/blobs/{evidence['graphs'][0]['spec']}").json()
    assert graph["$schema"].endswith("v6.json")
    listed = api.get(U + "/evidence").json()["evidence"]
    assert [one["digest"] for one in listed] == [done["evidence"]]
    assert api.get(U + "/evaluations").json()["evaluations"][0]["id"] == done["id"]


def test_evaluation_fails_with_one_message_when_predictions_are_bad(server: RunningServer, api: httpx.Client) -> None:
    publish(api)
    register(api, to_csv(TABLE))
    make_version(server)
    bad = put(api, predictions().replace(b"score", b"chance"))
    answer = api.post(U + "/evaluations", json={"version": 1, "predictions": bad, "test": TABLE.digest})
    done = wait(api, answer.json()["evaluation"])
    assert done["state"] == "failed"
    assert "neither 'score' nor 'y_pred'" in done["error"]
    assert api.get(U + "/evidence").json()["evidence"] == []


def test_evaluation_is_refused_at_once_when_what_it_names_is_not_there(
    server: RunningServer, api: httpx.Client
) -> None:
    publish(api)
    register(api, to_csv(TABLE))
    make_version(server)
    good = {"version": 1, "predictions": put(api, predictions()), "test": TABLE.digest}
    for change in ({"version": 9}, {"predictions": "sha256:" + "0" * 64}, {"test": "sha256:" + "0" * 64}):
        answer = api.post(U + "/evaluations", json=good | change)
        assert answer.status_code == 404, change
        assert answer.json()["error"]["message"]
    assert api.post(U + "/evaluations", json=good | {"threshold": 7}).status_code == 400
    assert api.get("/api/v1/evaluations/eval_nothing").status_code == 404
    assert api.get("/api/v1/evidence/sha256:" + "0" * 64).status_code == 404


def test_server_goes_on_answering_when_a_large_table_is_checked(api: httpx.Client, server: RunningServer) -> None:
    publish(api)
    large = to_csv(table_of({name: np.tile(TABLE.columns[name], 800) for name in TABLE.names}))
    slowest = 0.0
    done: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: done.append(register(api, large)))
    with httpx.Client(base_url=server.url) as other:
        thread.start()
        while thread.is_alive():
            start = time.monotonic()
            assert other.get("/health").status_code == 200
            slowest = max(slowest, time.monotonic() - start)
            time.sleep(0.02)
    thread.join()
    assert done[0].status_code == 201
    assert slowest < 1.0
