"""Relaxed and full writes: what is on the disk when a write is acknowledged, and soon after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import httpx
import pytest

from stile.app import routes
from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store import ledger
from stile.store.database import Database, Tx
from stile.store.sqlite import SqliteDatabase
from stile.testing.power import Disk, watched_syncs
from stile.testing.server import running_server

postgres = pytest.mark.parametrize("engine", ["postgres"], indirect=True)


def _note(tx: Tx, name: str) -> None:
    tx.run("INSERT INTO run_keys (name) VALUES (?)", (name,))


def _decide(tx: Tx, name: str) -> None:
    _note(tx, name)
    ledger.append(tx, kind="k", use_case="u", subject=name, body={})


def _names(tx: Tx) -> set[str]:
    return {row[0] for row in tx.all("SELECT name FROM run_keys")}


class _Cut:
    """Power cuts, each seen from a fresh copy of the synced files."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk, self._folder, self._count = disk, folder, 0

    def left(self) -> set[str]:
        self._count += 1
        folder = self._disk.after_power_cut(self._folder / f"cut-{self._count}")
        connection = apsw.Connection(str(folder / "stile.db"), vfs=self._disk.real_vfs)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {row[0] for row in connection.execute("SELECT name FROM run_keys")}
        connection.close()
        return found


def test_full_writes_survive_a_power_cut_and_take_along_what_was_relaxed(tmp_path: Path) -> None:
    """Every acknowledged full write is in the synced bytes, with every relaxed one acknowledged before it."""
    with watched_syncs(tmp_path / "disk") as disk:
        db = SqliteDatabase(tmp_path / "stile.db")
        cut = _Cut(disk, tmp_path)
        expected: set[str] = set()
        for number in range(12):
            for part in range(3):
                db.write(partial(_note, name=f"relaxed-{number}-{part}"), relaxed=True)
                expected.add(f"relaxed-{number}-{part}")
            name = f"full-{number}"
            # the second kind says it is relaxed, but writes into the ledger
            db.write(partial(_note if number % 2 else _decide, name=name), relaxed=not number % 2)
            expected.add(name)
            assert expected <= cut.left(), number
        assert db.read(ledger.verify) == []
        db.close()


def test_a_mixed_group_is_synced_before_anybody_is_told(tmp_path: Path) -> None:
    async def storm(db: SqliteDatabase) -> None:
        async def one(number: int) -> None:
            relaxed = number % 4 != 0
            await db.awrite(partial(_note, name=f"n-{number}"), relaxed=relaxed)
            if not relaxed:
                assert f"n-{number}" in cut.left()

        await asyncio.gather(*(one(number) for number in range(48)))

    with watched_syncs(tmp_path / "disk") as disk:
        cut = _Cut(disk, tmp_path)
        db = SqliteDatabase(tmp_path / "stile.db")
        asyncio.run(storm(db))
        db.close()


def test_relaxed_writes_share_syncs_and_are_on_disk_soon(tmp_path: Path) -> None:
    """A stream of relaxed writes costs a sync every 30 ms, a single one is synced by itself."""
    with watched_syncs(tmp_path / "disk") as disk:
        cut = _Cut(disk, tmp_path)
        db = SqliteDatabase(tmp_path / "stile.db")
        db.write(partial(_note, name="first"), relaxed=True)
        time.sleep(0.1)
        before, begun = disk.syncs["stile.db-wal"], time.monotonic()
        for number in range(300):
            db.write(partial(_note, name=f"n-{number}"), relaxed=True)
        took = time.monotonic() - begun
        synced = disk.syncs["stile.db-wal"] - before
        assert synced <= took / 0.03 + 2
        assert synced < 150
        deadline = time.monotonic() + 2
        while len(cut.left()) < 301 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(cut.left()) == 301
        settled = disk.syncs["stile.db-wal"]
        time.sleep(0.1)
        assert disk.syncs["stile.db-wal"] == settled, "an idle store does not sync"
        for number in range(20):
            db.write(partial(_note, name=f"full-{number}"))
        assert disk.syncs["stile.db-wal"] - settled == 20, "each full write is one sync"
        db.close()


def test_relaxed_writes_become_full_when_the_disk_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with watched_syncs(tmp_path / "disk") as disk:
        cut = _Cut(disk, tmp_path)
        db = SqliteDatabase(tmp_path / "stile.db")
        monkeypatch.setattr("os.fsync", broken)
        db.write(partial(_note, name="first"), relaxed=True)
        deadline = time.monotonic() + 2
        while "did not sync" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        db.write(partial(_note, name="second"), relaxed=True)
        assert cut.left() == {"first", "second"}
        db.close()


def _flushed(db: Database, place: str) -> bool:
    return bool(db.read(lambda tx: tx.scalar("SELECT pg_current_wal_flush_lsn() > CAST(? AS pg_lsn)", (place,))))


@postgres
def test_postgresql_flushes_full_writes_first_and_relaxed_ones_soon(db: Database) -> None:
    def noted(tx: Tx, name: str, decided: bool) -> str:
        (_decide if decided else _note)(tx, name)
        return str(tx.scalar("SELECT CAST(pg_current_wal_insert_lsn() AS TEXT)"))

    late = 0
    for number in range(20):
        place = db.write(partial(noted, name=f"relaxed-{number}", decided=False), relaxed=True)
        late += not _flushed(db, place)
        full = db.write(partial(noted, name=f"full-{number}", decided=number % 2 == 0), relaxed=number % 2 == 0)
        assert _flushed(db, full)
        assert _flushed(db, place)
    assert late > 0, "nothing was relaxed"
    place = db.write(partial(noted, name="last", decided=False), relaxed=True)
    deadline = time.monotonic() + 2
    while not _flushed(db, place) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _flushed(db, place)


def test_only_what_is_tracked_about_runs_can_be_relaxed() -> None:
    found = {(route.method, route.path) for route in routes() if route.relaxed and "/ajax-api/" not in route.path}
    assert found == {
        ("POST", "/api/v1/runs/{run_id}/points"),
        *(
            ("POST", f"/api/2.0/mlflow/runs/{verb}")
            for verb in (
                "create", "update", "log-metric", "log-parameter", "log-batch", "set-tag", "delete-tag", "log-inputs",
            )
        ),
    }  # fmt: skip
    assert {route.permission for route in routes() if route.relaxed} == {Permission.TRACK}


def test_a_route_that_decides_cannot_be_declared_relaxed() -> None:
    async def handler(call: Call) -> None:
        raise Invalid("never called")

    with pytest.raises(TypeError, match="cannot be relaxed"):
        Route("POST", "/x", Permission.APPROVE, handler, relaxed=True)


@pytest.mark.parametrize(("durability", "tracked"), [("full", False), ("relaxed", True)])
def test_the_setting_decides_for_tracking_and_nothing_else(tmp_path: Path, durability: str, tracked: bool) -> None:
    with running_server(tmp_path / "server", durability=durability) as server:
        seen: list[bool] = []
        awrite: Callable[..., object] = server.services.db.awrite

        def watched(work: object, *, relaxed: bool = False) -> object:
            seen.append(relaxed)
            return awrite(work, relaxed=relaxed)

        server.services.db.awrite = watched
        with httpx.Client(base_url=server.url) as client:
            made = client.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()
            run_id = made["run"]["info"]["run_id"]
            body = {"run_id": run_id, "key": "loss", "value": 1.0, "timestamp": 1, "step": 0}
            assert client.post("/api/2.0/mlflow/runs/log-metric", json=body).status_code == 200
            assert seen == [tracked, tracked]
            seen.clear()
            assert client.post("/api/v1/use-cases", json={"name": "cases"}).status_code == 201
            assert client.post("/api/2.0/mlflow/registered-models/create", json={"name": "m"}).status_code == 200
            assert client.post("/api/2.0/mlflow/runs/delete", json={"run_id": run_id}).status_code == 200
            assert seen
            assert not any(seen)
