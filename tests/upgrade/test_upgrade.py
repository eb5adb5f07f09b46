"""A store written by an earlier version is opened, brought up to date, and everything is found again.

``scripts/keep_store.py`` adds the store of a release.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kept_store import STORES, as_postgres, as_sqlite, tables

from stile.people import accounts
from stile.store import ledger
from stile.store.engines import open_database
from stile.testing.postgres import Cluster
from stile.testing.server import RunningServer, running_server

pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True),
    pytest.mark.parametrize("store", STORES, ids=lambda path: path.name.removesuffix(".sql.xz")),
]

_CASE = "/api/v1/use-cases/early-detection"


@pytest.fixture
def before(store: Path, tmp_path: Path) -> Path:
    """The kept store as a file nobody opens with today's code."""
    file = tmp_path / "before.db"
    as_sqlite(store, file)
    return file


@pytest.fixture
def old_url(engine: str, before: Path, store: Path, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """What ``Settings.store`` is for the kept store, not yet opened by today's code."""
    (tmp_path / "data").mkdir()
    if engine == "sqlite":
        as_sqlite(store, tmp_path / "data" / "stile.db")
        return "sqlite"
    cluster: Cluster = request.getfixturevalue("cluster")
    url = cluster.empty()
    as_postgres(before, url)
    return url


def test_every_row_is_kept_when_an_old_store_is_opened(before: Path, old_url: str, tmp_path: Path) -> None:
    """Every value of every column the old version knew, whatever migrations have added since."""
    db = open_database(old_url, tmp_path / "data")
    old = tables(before)
    assert sum(len(rows) for _, rows in old.values()) > 2000
    applied = {row[0] for row in old["migrations"][1]}
    assert applied <= {name for (name,) in db.read(lambda tx: tx.all("SELECT name FROM migrations"))}
    for table, (columns, rows) in old.items():
        if table == "migrations":
            continue
        sql = f'SELECT {", ".join(columns)} FROM "{table}"'
        found = Counter(map(tuple, db.read(lambda tx, sql=sql: tx.all(sql))))
        missing = Counter(rows) - found
        assert not missing, f"{table} has lost or changed {list(missing)[:2]}"
    assert db.read(ledger.verify) == []
    db.close()
    again = open_database(old_url, tmp_path / "data")  # nothing is left to do the second time
    again.close()


@pytest.fixture
def upgraded(old_url: str, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", store=old_url) as running:
        yield running


@pytest.fixture
def ask(upgraded: RunningServer) -> Iterator[httpx.Client]:
    token = upgraded.services.db.write(lambda tx: accounts.issue_token(tx, person="ada", label="upgrade")).token
    with httpx.Client(base_url=upgraded.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        yield client


def _get(client: httpx.Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def _column(file: Path, table: str, name: str) -> list[Any]:
    columns, rows = tables(file)[table]
    return [row[columns.index(name)] for row in rows]


def test_runs_are_found_when_an_old_store_is_opened(ask: httpx.Client, before: Path) -> None:
    """Searches over old rows use what the migrations have added; histories are whole; logging goes on."""
    api = "/api/2.0/mlflow/"
    named = _get(ask, api + "experiments/get-by-name", experiment_name="kept: corners")["experiment"]
    question = {"experiment_ids": [named["experiment_id"]]}

    def search(**more: Any) -> list[str]:
        answer = ask.post(api + "runs/search", json=question | more)
        assert answer.status_code == 200, answer.text
        return [run["info"]["run_name"] for run in answer.json()["runs"]]

    assert search() == [f"corner-{n}" for n in (11, 10, 9, 8, 7, 6, 5, 4, 3, 1, 0)]
    assert search(run_view_type="DELETED_ONLY") == ["corner-2"]
    by_loss = [f"corner-{n}" for n in (11, 10, 9, 8, 7, 6, 5, 4, 3, 1, 0)]
    assert search(order_by=["metrics.loss ASC"]) == by_loss
    assert search(filter="metrics.loss < 0.021", order_by=["metrics.loss DESC"]) == by_loss[3::-1]
    assert search(filter="params.lr = '0.1' AND tags.colour = 'red'") == ["corner-0"]
    assert search(filter="tags.colour = 'blåbær 🫐'") == ["corner-1"]
    assert search(filter="attributes.run_name LIKE 'corner-1%'") == ["corner-11", "corner-10", "corner-1"]
    assert search(filter="attributes.status = 'FAILED'") == ["corner-1"]
    assert search(order_by=["params.lr DESC"])[0] == "corner-0"
    assert search(filter="datasets.name = 'iris'") == ["corner-0"]

    run = ask.post(api + "runs/search", json=question | {"filter": "attributes.run_name = 'corner-0'"}).json()["runs"][
        0
    ]
    latest = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert latest["single"] == 34.0
    assert math.isnan(float(latest["odd"]))
    assert {"key": "long", "value": "x" * 3000} in run["data"]["tags"]
    run_id = run["info"]["run_id"]
    for key, count in (("single", 35), ("loss", 40), ("odd", 1)):
        history = _get(ask, api + "metrics/get-history", run_id=run_id, metric_key=key)["metrics"]
        assert [point["step"] for point in history] == list(range(count))
    body = {"run_id": run_id, "key": "single", "value": 1.5, "timestamp": 1795262000900, "step": 35}
    assert ask.post(api + "runs/log-metric", json=body).status_code == 200
    assert len(_get(ask, api + "metrics/get-history", run_id=run_id, metric_key="single")["metrics"]) == 36
    made = ask.post(api + "runs/create", json={"experiment_id": named["experiment_id"], "run_name": "new"})
    assert made.status_code == 200
    assert search()[0] == "new"


def test_what_was_decided_is_found_when_an_old_store_is_opened(ask: httpx.Client, before: Path) -> None:
    """Policy, evidence, decisions, promotions, predictions, windows, alerts and the board, with their content."""
    aliases = _get(ask, "/api/2.0/mlflow/registered-models/get", name="early-detection")["registered_model"]["aliases"]
    assert {(one["alias"], str(one["version"])) for one in aliases} == {("champion", "1"), ("shadow", "3")}
    for path, table, column in (
        ("decisions", "decisions", "id"),
        ("evidence", "evidence", "digest"),
        ("promotions", "promotions", "id"),
        ("windows", "windows", "id"),
        ("alerts", "alerts", "id"),
        ("datasets", "datasets", "digest"),
        ("deployments", "deployments", "revision"),
        ("cards", "cards", "id"),
        ("feedback", "feedback", "id"),
    ):
        text = ask.get(f"{_CASE}/{path}").text
        known = _column(before, table, column)
        assert known, table
        for one in known:
            assert f'"{one}"' in text or f":{one}" in text, f"{path} has lost {one}"
    for id in _column(before, "decisions", "id"):
        assert _get(ask, f"/api/v1/decisions/{id}")
    for digest in _column(before, "evidence", "digest"):
        assert len(_get(ask, f"/api/v1/evidence/{digest}")) > 5
    for digest in _column(before, "profiles", "digest"):
        assert _get(ask, f"{_CASE}/profiles/{digest}")
    said = _column(before, "feedback", "prediction")[0]
    assert (
        "Basel" in ask.get(f"/api/v1/predictions/{said}").text
        or "Cleveland" in ask.get(f"/api/v1/predictions/{said}").text
    )
    assert ask.get(f"/api/v1/predictions/{said}/why").status_code == 200
    verified = _get(ask, "/api/v1/ledger/verify")
    assert verified["size"] >= len(_column(before, "ledger", "position")), verified
    for page in ("", "/use-cases/early-detection", "/experiments"):
        assert ask.get(page or "/", follow_redirects=True).status_code == 200
