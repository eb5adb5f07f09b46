"""Every row from one engine to the other and back, and numbers that are never given twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from stile.client import Client
from stile.kernel.errors import Exists, Invalid
from stile.store import engine_copy, ledger
from stile.store.engines import open_database
from stile.store.offline import read_only
from stile.store.snapshot import counts
from stile.store.sqlite import SqliteDatabase
from stile.testing.postgres import Cluster
from stile.testing.server import running_server


def _use(store: str, folder: Path) -> str:
    """A server on ``store`` that somebody works with; the id of a run."""
    with running_server(folder, store=store) as server, Client(server.url) as client:
        client.create_use_case("credit", title="Credit – größer", problem="p", decision="d")
        client.add_person("ana")
        with client.start_run("first") as run:
            run.log_metrics({"loss": 0.5, "nan": float("nan")})
            run.log_artifact(b"some content", "notes/a.txt")
        server.services.db.write(lambda tx: tx.run("DELETE FROM outbox"))
    return run.run_id


def _root(file: Path) -> tuple[int, str]:
    with read_only(file) as tx:
        assert ledger.verify(tx) == []
        return ledger.root(tx)


def test_store_is_the_same_when_it_went_to_the_other_engine_and_back(tmp_path: Path, cluster: Cluster) -> None:
    first, second = cluster.fresh(), cluster.fresh()
    run_id = _use(first, tmp_path / "data")
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    engine_copy.to_sqlite(first, one)
    engine_copy.to_postgres(one, second)
    engine_copy.to_sqlite(second, two)
    assert counts(one) == counts(two)
    assert counts(one)["runs"] == 1
    assert _root(one) == _root(two)
    for table in ("runs", "latest", "artifacts", "ledger", "members", "accounts"):
        assert _rows(one, table) == _rows(two, table)
    with running_server(tmp_path / "data", store=second) as server, Client(server.url) as client:
        found = client.session.get("/api/2.0/mlflow/runs/get", run_id=run_id)["run"]
        assert {metric["key"]: metric["value"] for metric in found["data"]["metrics"]} == {"loss": 0.5, "nan": "NaN"}
        client.start_run("second").end()
        assert client.verify_ledger()["ok"] is True


def test_numbers_go_on_after_rows_that_are_gone(tmp_path: Path, cluster: Cluster) -> None:
    url, other = cluster.fresh(), cluster.fresh()
    _use(url, tmp_path / "data")
    there = open_database(url, tmp_path)
    last = there.read(lambda tx: tx.scalar("SELECT last_value FROM pg_sequences WHERE sequencename LIKE 'outbox%'"))
    there.close()
    file = tmp_path / "copy.db"
    engine_copy.to_sqlite(url, file)
    for_events = "INSERT INTO outbox (name, body, at) VALUES ('k', ?, 1) RETURNING position"
    sqlite = SqliteDatabase(file)
    assert sqlite.write(lambda tx: tx.scalar(for_events, (b"{}",))) == last + 1
    sqlite.close()
    engine_copy.to_postgres(file, other)
    postgres = open_database(other, tmp_path)
    assert postgres.write(lambda tx: tx.scalar(for_events, (b"{}",))) == last + 2
    postgres.close()


def test_used_database_is_not_written_over(tmp_path: Path, cluster: Cluster) -> None:
    url = cluster.fresh()
    _use(url, tmp_path / "data")
    file = tmp_path / "copy.db"
    engine_copy.to_sqlite(url, file)
    with pytest.raises(Exists, match="holds a store already"):
        engine_copy.to_postgres(file, url)


def test_nothing_is_there_when_a_text_cannot_be_kept(tmp_path: Path, cluster: Cluster) -> None:
    _use("sqlite", tmp_path / "data")
    file = tmp_path / "data" / "stile.db"
    sqlite = SqliteDatabase(file)
    sqlite.write(lambda tx: tx.run("UPDATE runs SET name = 'a' || char(0) || 'b'"))  # of an older release
    sqlite.close()
    url = cluster.fresh()
    with pytest.raises(Invalid, match="NUL"):
        engine_copy.to_postgres(file, url)
    empty = open_database(url, tmp_path)
    assert empty.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM use_cases")) == 0
    empty.close()


def _rows(file: Path, table: str) -> list[str]:
    with read_only(file) as tx:
        return sorted(map(repr, tx.all(f"SELECT * FROM {table}")))
