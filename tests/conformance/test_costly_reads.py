"""A read that takes too long is stopped and says what to do; so is one that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stile.kernel.errors import TooSlow
from stile.store.database import Database, Tx
from stile.store.sqlite import SqliteDatabase
from stile.testing.server import RunningServer, running_server
from stile.train import run_search

both = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)

_COSTLY = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT COUNT(*) FROM n"


def _costly(tx: Tx) -> Any:
    return tx.scalar(_COSTLY)


def _cheap(tx: Tx) -> Any:
    return tx.scalar("SELECT COUNT(*) FROM runs")


@pytest.fixture
def impatient(store_url: str, tmp_path: Path) -> Iterator[Database]:
    """A store whose reads may take 0.3 s."""
    if store_url == "sqlite":
        database: Database = SqliteDatabase(tmp_path / "stile.db", read_limit_s=0.3)
    else:
        from stile.store.postgres import PostgresDatabase

        database = PostgresDatabase(store_url, read_limit_s=0.3)
    yield database
    database.close()


@both
def test_a_statement_that_takes_too_long_is_stopped(impatient: Database) -> None:
    begun = time.monotonic()
    with pytest.raises(TooSlow, match=r"longer than 0\.3 s .* Narrow the question: fewer experiments"):
        impatient.read(_costly)
    assert 0.25 < time.monotonic() - begun < 3
    assert impatient.read(_cheap) == 0


@both
def test_the_limit_is_of_a_statement_and_not_of_the_whole_read(impatient: Database) -> None:
    def slowly(tx: Tx) -> int:
        for _ in range(4):
            _cheap(tx)
            time.sleep(0.15)
        return int(_cheap(tx))

    assert impatient.read(slowly) == 0


@both
def test_a_read_is_stopped_when_nobody_waits_for_it(db: Database) -> None:
    """All readers are taken by costly reads; they are free again as soon as these are given up."""

    async def scene() -> float:
        costly = [asyncio.create_task(db.aread(_costly)) for _ in range(8)]
        await asyncio.sleep(0.3)
        for task in costly:
            task.cancel()
        given_up = time.monotonic()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*costly, return_exceptions=True)
        )
        assert await asyncio.gather(*(db.aread(_cheap) for _ in range(8))) == [0] * 8
        return time.monotonic() - given_up

    assert asyncio.run(scene()) < 3


@both
def test_a_costly_search_says_what_to_narrow_in_mlflows_words(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(tx: Tx, **_: Any) -> Any:
        raise TooSlow("This took longer than 30 s and was stopped. Narrow the question.", limit_s=30)

    monkeypatch.setattr(run_search, "rows", work)
    answer = httpx.post(f"{server.url}/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]})
    assert answer.status_code == 400, "clients send a 503 again, which would make it worse"
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "Narrow the question" in answer.json()["message"]


@both
def test_a_search_is_stopped_when_its_client_hangs_up(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(tx: Tx, **_: Any) -> Any:
        begun.set()
        try:
            return _costly(tx)
        finally:
            ended.set()

    monkeypatch.setattr(run_search, "rows", work)
    with httpx.Client(base_url=server.url, timeout=0.6) as client, pytest.raises(httpx.ReadTimeout):
        client.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]})
    assert begun.is_set()
    assert ended.wait(3), "the statement still runs"
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_real_search_is_stopped_at_the_limit(tmp_path: Path) -> None:
    """A pattern that no index answers, over many runs, with a limit that they pass."""
    with running_server(tmp_path / "server") as server:
        database = server.services.db
        assert isinstance(database, SqliteDatabase)

        def fill(tx: Tx) -> None:
            tx.run(
                "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time, artifact_uri, lifecycle, "
                "created_by) WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) "
                "SELECT printf('%032x', i), 0, 'n', 'u', 'RUNNING', i, '', 'active', 'u' FROM n"
            )
            tx.run("INSERT INTO run_keys (id, name) VALUES (1, 'note')")
            tx.run(
                "INSERT INTO params (run, key, experiment, value) "
                "SELECT id, 1, 0, printf('%0400d', id) FROM runs ORDER BY id"
            )

        database.write(fill)
        question = {"experiment_ids": ["0"], "filter": "params.note LIKE '%nowhere%'"}

        def ask() -> httpx.Response:
            return httpx.post(f"{server.url}/api/2.0/mlflow/runs/search", json=question, timeout=30)

        assert ask().json() == {"runs": []}
        database._read_limit_s = 0.002
        answer = ask()
        assert answer.status_code == 400
        assert "longer than 0.002 s" in answer.json()["message"]
